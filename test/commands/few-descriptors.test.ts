import { spawnSync } from 'node:child_process'
import t from 'tap'
import { CLI } from '../support/real/daemon.ts'

t.test('run loads with 48 file descriptors: its modules are not all opened at once', async (t) => {
  for (const count of [48, 64]) {
    const { status, stderr } = spawnSync(
      'sh',
      ['-c', `unset NODE_OPTIONS; ulimit -n ${count}; exec "$0" "$1" run --help`, process.execPath, CLI],
      {
        encoding: 'utf8',
      },
    )
    t.equal(status, 0, `${count}: ${stderr}`)
  }
})
