import { parseArgs } from 'node:util'
import { median } from '../report/run.ts'
import { type Loop, loops } from './loops.ts'

const HELP = `npm run bench:micro -- [options] [LOOP ...]
  the inner loops of a hit and a miss, ns of CPU each, the collector's included: scan, key, lookup, patch, pad, frame, frame-h2, blocked; or
  doh              the two HTTP/2 clients, CPU us a request (slow)
  odoh             sealing an oblivious query and opening its response, CPU ms
  odoh-daemon      a query over DoH and over ODoH, CPU ms of the daemon
  --rounds N       interleaved; default 9; the median and the least are printed
  --seed N         the order of names; default 1`

const ROUND_US = 50_000

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '9' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
})

if (options.help) console.log(HELP)
else if (positionals[0] === 'doh') await (await import('./doh-client.ts')).compareClients(positionals.slice(1).map(Number))
else if (positionals[0] === 'odoh') (await import('./odoh.ts')).measureSealing()
else if (positionals[0] === 'odoh-daemon') await (await import('./odoh.ts')).measureDaemons()
else measureAll()

function measureAll(): void {
  const all = loops(Number(options.seed))
  const unknown = positionals.filter((name) => !all.some((loop) => loop.name === name))
  const rounds = Number(options.rounds)
  if (unknown.length > 0 || !(rounds >= 1)) {
    console.error(`${unknown.length > 0 ? `no such loop: ${unknown.join(', ')}` : '--rounds takes a number from 1 up'}\n\n${HELP}`)
    process.exitCode = 2
    return
  }
  const chosen = all.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
  const counts = new Map(chosen.map((loop) => [loop, countFor(loop)]))
  const found = new Map<Loop, number[]>(chosen.map((loop) => [loop, []]))
  for (let round = 0; round < rounds; round++)
    for (const loop of chosen) {
      const count = counts.get(loop) ?? 1
      found.get(loop)?.push((cpuUs(loop, count) * 1000) / count)
    }
  for (const [{ name, what }, values] of found)
    console.log(`${name.padEnd(9)} ${median(values).toFixed(1).padStart(7)} ns  (least ${Math.min(...values).toFixed(1)})  ${what}`)
}

/** How many make a round; finding it out is also what warms the loop. */
function countFor(loop: Loop): number {
  // A multiple of every loop's stride: of 10,000 names and of 64 frames.
  for (let count = 40_000; ; count *= 2) if (cpuUs(loop, count) >= ROUND_US) return count
}

/** CPU and no wall clock: others may be working here. */
function cpuUs(loop: Loop, count: number): number {
  const before = process.cpuUsage()
  if (loop.run(count) === 0) throw new Error(`${loop.name} did nothing`)
  const { user, system } = process.cpuUsage(before)
  return user + system
}
