import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { query } from '../support/messages.ts'
import { CLI } from '../support/real/daemon.ts'
import { udpClient } from '../support/real/dns-client.ts'
import { freePort } from '../support/real/server-process.ts'

t.test('run resolves names even if its ready line cannot be written or is not read', async (t) => {
  for (const output of ['/dev/full', 'pipe'] as const) {
    const dir = t.testdir({})
    const port = await freePort()
    const config = { listen: [`127.0.0.1:${port}`], statusFile: join(dir, 'status.json'), stateDir: join(dir, 'state') }
    writeFileSync(join(dir, 'config.json'), JSON.stringify(config), { mode: 0o600 })
    const full = openSync('/dev/full', 'w')
    const child = spawn(process.execPath, [CLI, 'run', '--config', join(dir, 'config.json')], {
      stdio: ['ignore', output === 'pipe' ? 'pipe' : full, 'ignore'],
    })
    closeSync(full)
    child.stdout?.destroy()
    t.teardown(() => child.kill('SIGKILL'))
    const client = await udpClient(port)
    t.teardown(() => client.close())
    let answered = false
    for (let i = 0; i < 100 && !answered && child.exitCode === null; i++) {
      // localhost is answered here: nothing is dialled.
      answered = await client.ask(query({ name: 'localhost' }), 200).then(
        () => true,
        () => false,
      )
    }
    t.ok(answered, `${output}: exit code ${child.exitCode}`)
    await new Promise((resolve) => setTimeout(resolve, 300))
    t.equal(child.exitCode, null, 'it stays')
    child.kill('SIGTERM')
    const [code] = await once(child, 'exit')
    t.equal(code, 0)
  }
})
