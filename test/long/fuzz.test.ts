// Every target of the fuzzer for a share of an hour (FUZZ_MINUTES: of another time). What npm test
// runs of it are the inputs of the corpus alone. FUZZ_JSON: a file that gets the figures.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { TARGETS } from '../fuzz/targets.ts'
import { PROJECT_ROOT } from '../support/readme.ts'

const names = Object.keys(TARGETS)
const minutes = Number(process.env.FUZZ_MINUTES ?? 60) / names.length
const json = process.env.FUZZ_JSON
const MAX_SAID = 10_000

t.setTimeout((minutes + 2) * 60_000 * names.length)

for (const name of names)
  t.test(`${name} for ${minutes.toFixed(1)} minutes`, { timeout: (minutes + 2) * 60_000 }, async (t) => {
    const args = ['--enable-source-maps', join(PROJECT_ROOT, 'build/test/fuzz/main.js'), name, '--minutes', String(minutes)]
    const child = spawn(process.execPath, json === undefined ? args : [...args, '--json', json], { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => (said = `${said}${part}`.slice(-MAX_SAID)))
    t.teardown(() => child.kill('SIGKILL'))
    const [code] = await once(child, 'close')
    t.equal(code, 0, said.slice(-2000))
    t.comment(said.trim().split('\n').at(-1) ?? '')
  })
