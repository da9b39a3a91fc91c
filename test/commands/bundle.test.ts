import { spawnSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { CLI } from '../support/real/daemon.ts'

/** Says on standard error, for each bundle, whether V8 took the code that lies beside it. */
const HOOK = `const vm = require('node:vm'); const { Script } = vm
vm.Script = class extends Script { constructor(text, o) { super(text, o); process._rawDebug(o.cachedData ? 'code ' + !this.cachedDataRejected : 'no code') } }`

/** `status` of a file that is not there: exit code 3. */
function status(directory: string, main: string) {
  const hook = join(directory, 'hook.cjs')
  writeFileSync(hook, HOOK)
  const { NODE_OPTIONS: _, ...env } = process.env
  return spawnSync(process.execPath, ['--require', hook, main, 'status', '--file', '/nonexistent'], { encoding: 'utf8', env })
}

t.test('V8 accepts the code cache of every loaded bundle, and only the bundle of the command is loaded', (t) => {
  const { status: code, stderr } = status(t.testdir({}), CLI)
  t.equal(code, 3)
  t.equal(stderr, 'code true\n'.repeat(3), 'program, commander, status')
  t.end()
})

const spoilt = {
  absent: (file: string) => rmSync(file),
  empty: (file: string) => truncateSync(file),
  'cut short': (file: string) => truncateSync(file, 5000),
  'of another version': (file: string) => writeFileSync(file, readFileSync(file).fill(0x5a, 4, 8)),
  'not code': (file: string) => writeFileSync(file, Buffer.alloc(5000, 'x')),
}
for (const [how, spoil] of Object.entries(spoilt)) {
  t.test(`code that is ${how} costs time and has no other effect`, (t) => {
    const directory = t.testdir({})
    const dist = join(directory, 'dist')
    cpSync(dirname(CLI), dist, { recursive: true })
    const parts = readdirSync(join(dist, 'parts')).filter((name) => name.endsWith('.code'))
    t.ok(parts.length > 5)
    for (const name of parts) spoil(join(dist, 'parts', name))
    const { status: code, stdout, stderr } = status(directory, join(dist, 'main.js'))
    t.equal(code, 3)
    t.match(stdout, 'There is no status file here')
    t.notMatch(stderr, 'code true')
    t.end()
  })
}

t.test('a stack trace names the bundle, not the place where it was built', (t) => {
  const run = readFileSync(join(dirname(CLI), 'parts', 'run.js.code'), 'latin1')
  t.notMatch(run, /build-dist-\d+/)
  t.end()
})
