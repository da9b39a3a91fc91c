import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { isPossible } from './fault.ts'
import { SCENARIOS, stepsOf, storm } from './scenario.ts'
import { seeded } from './seeded.ts'

const MAIN = join(dirname(fileURLToPath(import.meta.url)), 'main.js')
const STAGE = { protocols: ['dot', 'h2'] as const, lengthMs: 3_600_000, everyMs: 60_000 }

t.test('the same seed draws the same faults, another one others', async (t) => {
  const drawn = storm(seeded(7), STAGE)
  t.strictSame(storm(seeded(7), STAGE), drawn)
  t.notSame(storm(seeded(8), STAGE), drawn)
  t.equal(drawn.length, 60)
  for (const [i, { atMs, forMs, server, fault }] of drawn.entries()) {
    t.ok(isPossible(fault.kind, STAGE.protocols[server as 0 | 1]), `${i}: ${fault.kind} can be had there`)
    t.ok(atMs + forMs <= (drawn[i + 1]?.atMs ?? Number.POSITIVE_INFINITY), 'one at a time')
  }
})

t.test('seeded: uniform enough, and forks are independent', async (t) => {
  const chance = seeded(1)
  const counts = new Array<number>(10).fill(0)
  for (let i = 0; i < 10_000; i++) counts[chance.below(10)]! += 1
  t.ok(
    counts.every((count) => count > 850 && count < 1150),
    counts.join(' '),
  )
  t.not(seeded(1).branch().next(), seeded(1).next())
})

t.test('every scenario has its steps; an unknown name throws', async (t) => {
  for (const name of Object.keys(SCENARIOS)) {
    const protocols = ['h2', 'dot'] as const
    t.doesNotThrow(() => stepsOf(name, seeded(1), { ...STAGE, protocols }), name)
  }
  t.throws(() => stepsOf('sunshine', seeded(1), STAGE), /no scenario/)
  t.throws(() => stepsOf('gzip', seeded(1), STAGE), /cannot be had over dot/)
})

t.test('alone: --list names them, a run prints what to use, invalid arguments are refused', async (t) => {
  const run = (...args: string[]) =>
    new Promise<{ code: number; out: string }>((resolve) => {
      const child = execFile(process.execPath, [MAIN, ...args], (_error, stdout, stderr) =>
        resolve({ code: child.exitCode ?? -1, out: stdout + stderr }),
      )
    })
  const list = await run('--list')
  for (const name of Object.keys(SCENARIOS)) t.match(list.out, new RegExp(`^${name} `, 'm'))
  t.equal((await run('--scenario', 'sunshine')).code, 1)
  t.equal((await run('--over', 'tcp')).code, 1)
  const child = spawn(process.execPath, [MAIN, '--scenario', 'flap', '--seed', '3'], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  await new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk) => {
      said += String(chunk)
      if (said.includes('away begins')) resolve()
    })
    child.on('exit', () => resolve())
  })
  const file = /^resolvers (.+)$/m.exec(said)?.[1] ?? ''
  t.equal(JSON.parse(readFileSync(file, 'utf8')).resolvers.length, 2)
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  t.strictSame(await gone, [0, null])
})
