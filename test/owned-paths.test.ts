import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type PathsSetup, preparePaths } from '../src/owned-paths.ts'

const ACCOUNT = { name: 'service', uid: 61_234, gid: 61_235, groups: [] }

t.test('a closed directory of root with other files in it is not given away', { skip: process.getuid?.() !== 0 }, async (t) => {
  for (const [name, given] of [
    ['tls.key', false],
    ['status.key', true],
  ] as const) {
    const directory = t.testdir()
    const stateDir = join(directory, 'state')
    mkdirSync(stateDir, { mode: 0o700 })
    writeFileSync(join(stateDir, name), 'kept', { mode: 0o600 })
    const setup = { config: { stateDir, statusFile: join(directory, 'run', 'status.json') }, files: [] } as unknown as PathsSetup
    const take = () => preparePaths(setup, ACCOUNT)
    if (given) take()
    else t.throws(take, { code: 'state', message: /^stateDir: .* holds other files, and would be given to user service; name a new/ })
    t.equal(statSync(stateDir).uid, given ? ACCOUNT.uid : 0, name)
  }
})
