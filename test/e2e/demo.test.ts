import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { CLI } from '../support/real/daemon.ts'

/** The demo with a temporary directory of its own, so that what it leaves behind can be seen. */
function start(
  t: Test,
  ...args: readonly string[]
): { readonly child: ChildProcess; readonly temporary: string; readonly said: () => string } {
  const temporary = mkdtempSync(join(tmpdir(), 'enigm-dns-demo-test-'))
  const child = spawn(process.execPath, [CLI, 'demo', ...args], { env: { PATH: process.env.PATH, TMPDIR: temporary }, stdio: 'pipe' })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
  }
  t.teardown(() => {
    child.kill('SIGKILL')
    rmSync(temporary, { recursive: true, force: true })
  })
  return { child, temporary, said: () => said }
}

t.test('demo --once', async (t) => {
  const { child, temporary, said } = start(t, '--once')
  const [code] = await once(child, 'close')
  t.equal(code, 0, said())
  const lines = said().trimEnd().split('\n')
  t.ok(lines.length <= 23, `fits a screen: ${lines.length} lines and the prompt`)
  t.strictSame(
    lines.map((line) => line.replace(temporary, tmpdir())).filter((line) => line.length > 80),
    [],
    'of 80 columns',
  )
  t.match(said(), /protects NOTHING/)
  t.match(said(), /from the cache[\s\S]*NXDOMAIN[\s\S]*TCP[\s\S]*answered here/)
  t.match(said(), /out 152 in 492 \| \(nothing\) \| out 152 in 492 \| out 152 in 492 \| \(nothing\)/, 'one size out, one size in')
  t.match(said(), /left this host: 0\n/)
  t.match(said(), /status file: protected \(dot, TLSv1\.3, authenticated by ca\+spki\)/)
  t.strictSame(readdirSync(temporary), [], 'nothing is left behind')
})

t.test('demo --paths: what each party saw of one query, from its own log', async (t) => {
  const { child, temporary, said } = start(t, '--paths')
  const [code] = await once(child, 'close')
  t.equal(code, 0, said())
  t.strictSame(
    said()
      .split('\n')
      .filter((line) => line.length > 80),
    [],
    'of 80 columns',
  )
  t.match(said(), /asked: www\.demo\.example A {3}answered: 192\.0\.2\.80/)
  const sides = said()
    .split('\n')
    .flatMap((line) => (line.includes(' | ') ? [line.split(' | ').map((side) => side.trim())] : []))
  t.match(sides, [
    ['the relay (Relay Ltd)', 'the target (Target Ltd)'],
    ['from     127.0.0.1, this host', /^from {5}127\.0\.0\.\d, the relay$/],
    [/^to {7}target\.demo\.example:\d+$/, 'name     www.demo.example. A'],
    [/^message {2}\d+ octets, sealed$/, /^message {2}128 octets, opened$/],
    ['the name in it: not found', /^(this host: not seen)?$/],
  ])
  t.match(said(), /relay middle +yes +with resolver demo/)
  t.match(said(), /resolver demo +with relay middle +yes/)
  t.match(said(), /requires that nobody knows both: met\. State: protected/)
  t.strictSame(readdirSync(temporary), [], 'nothing is left behind')
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  t.test(`demo, ended by ${signal}`, async (t) => {
    const { child, temporary, said } = start(t)
    while (!said().includes('Ctrl-C') && child.exitCode === null) await sleep(20)
    t.equal(child.exitCode, null, said())
    t.equal(readdirSync(temporary).length, 1)
    child.kill(signal)
    const [code] = await once(child, 'close')
    t.equal(code, 0)
    t.strictSame(readdirSync(temporary), [], 'nothing is left behind')
  })
}

t.test('a signal while the demo starts', async (t) => {
  const { child, temporary } = start(t)
  while (readdirSync(temporary).length === 0) await sleep(5)
  child.kill('SIGTERM')
  const [code] = await once(child, 'close')
  t.equal(code, 0)
  t.strictSame(readdirSync(temporary), [])
})

t.test('the output is no longer read', async (t) => {
  const { child, temporary } = start(t)
  child.stdout?.destroy()
  const [code] = await once(child, 'exit')
  t.equal(code, 0)
  t.strictSame(readdirSync(temporary), [])
})
