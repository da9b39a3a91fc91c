import { parseArgs } from 'node:util'
import { play } from './play.ts'

const { values } = parseArgs({ options: { seed: { type: 'string' }, seeds: { type: 'string' }, hours: { type: 'string' } } })
const first = Number(values.seed ?? 1)
const count = Number(values.seeds ?? 1)
const hours = Number(values.hours ?? 6)
if (![first, count, hours].every((n) => n > 0 && Number.isFinite(n))) {
  console.error('npm run sim -- --seed N [--seeds COUNT] [--hours H]')
  process.exit(2)
}
let failures = 0
for (let seed = first; seed < first + count; seed++) {
  const beganMs = performance.now()
  const outcome = await play(seed, hours)
  const seconds = ((performance.now() - beganMs) / 1000).toFixed(1)
  const faults = Object.entries(outcome.faults)
    .map(([kind, times]) => `${kind} ${times}`)
    .join(', ')
  console.log(
    `seed ${seed}: ${hours} h in ${seconds} s, ${outcome.queries} queries, ${outcome.failed} failed, ${outcome.stale} stale, digest ${outcome.digest}; ${faults}`,
  )
  for (const broken of outcome.broken) console.log(`  BROKEN ${broken}`)
  if (outcome.broken.length > 0) failures++
}
console.log(`${count - failures} of ${count} seeds keep every promise`)
process.exitCode = failures === 0 ? 0 : 1
