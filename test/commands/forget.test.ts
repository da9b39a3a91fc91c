import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../src/clock.ts'
import { forgetCommand } from '../../src/commands/forget.ts'
import type { Host, RunningService } from '../../src/commands/running-service.ts'

t.test('files are removed at paths recorded by root or this user, and stay at paths recorded by anyone else', async (t) => {
  const ours = process.geteuid?.()
  if (ours === undefined) return
  for (const uid of [ours, 54_321]) {
    const directory = t.testdir()
    const stateDir = join(directory, 'state')
    mkdirSync(stateDir, { mode: 0o700 })
    const files = ['cache.key', 'cache.sealed'].map((name) => join(stateDir, name))
    for (const file of files) writeFileSync(file, 'kept')
    const service: RunningService = {
      pid: process.pid,
      processStart: undefined,
      namespace: undefined,
      config: undefined,
      listenOption: undefined,
      listen: [],
      statusFile: join(directory, 'status.json'),
      stateDir,
      uid,
    }
    const host: Host = { services: () => [service], likely: () => [], namespace: () => undefined, uid: ours, statusFiles: [] }
    let said = ''
    const out = { write: (text: string) => (said += text) }
    await forgetCommand({ out, clock: systemClock(), exit: () => {}, host }).parseAsync([], { from: 'user' })
    t.same(
      files.map((file) => existsSync(file)),
      uid === ours ? [false, false] : [true, true],
    )
    t.match(said, /LEFT: the daemon/)
  }
})
