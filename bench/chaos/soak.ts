import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { play, type Step, storm } from '../../test/support/faults/scenario.ts'
import { seeded } from '../../test/support/faults/seeded.ts'
import { cleanUpOnExit } from '../children.ts'
import { ROOT } from '../compiled.ts'
import { rssMb } from '../load/process-cost.ts'
import { thisMachine } from '../machine.ts'
import { quantile, type Told } from './asker.ts'
import { heapGrowth, insideProbe } from './inside.ts'
import { svgOf } from './plot.ts'
import { startScene } from './scene.ts'
import { watchForStops } from './stops.ts'

const USAGE = `npm run soak -- [--minutes 20] [--seed 1] [--per-s 200] [--every S]

The daemon before three resolvers (DoT, DoH over h2 and over h1; 5 ms away), 200 questions a second, 80 % of them asked before, and one fault drawn by the seed at a time.
72 hours with a fault a minute are 4,320 faults; in 20 minutes a fault comes every --every seconds (default 15: 80 faults). Writes bench/results/soak.json and soak.svg.`

const { values: o } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    'per-s': { type: 'string', default: '200' },
    every: { type: 'string', default: '15' },
    help: { type: 'boolean', default: false },
  },
})
/** One line of the plot: a second. */
interface Second {
  asked: number
  right: number
  hitMs: number[]
  missMs: number[]
  rssMb: number
  fds: number
}
/** Full within three minutes, so that what grows after that is no cache that fills. */
const CACHE_BYTES = 2 * 2 ** 20

interface Limit {
  readonly what: string
  readonly figure: number
  readonly op: '<=' | '>='
  readonly limit: number
  readonly pass: boolean
}

if (o.help) console.log(USAGE)
else process.exitCode = await soak(Number(o.minutes) * 60_000, Number(o.seed), Number(o['per-s']), Number(o.every) * 1000)

async function soak(lengthMs: number, seed: number, perS: number, everyMs: number): Promise<number> {
  cleanUpOnExit()
  const machine = thisMachine()
  const protocols = ['dot', 'h2', 'h1'] as const
  const probe = insideProbe()
  const config = { cache: { maxBytes: CACHE_BYTES } }
  const scene = await startScene({ protocols, usual: { rttMs: 5 }, config, daemon: { env: probe.env } }, seed)
  const { daemon, asker, servers } = scene
  await asker.firstAnswer(10_000)
  await asker.traffic({ perS, forMs: 2000, hits: 0.8 })
  const steps = storm(seeded(seed), { protocols, lengthMs, everyMs })
  const seconds: Second[] = Array.from({ length: Math.ceil(lengthMs / 1000) + 8 }, () => ({
    asked: 0,
    right: 0,
    hitMs: [],
    missMs: [],
    rssMb: 0,
    fds: 0,
  }))
  const fdsBefore = readdirSync(`/proc/${daemon.pid}/fd`).length
  const beganMs = performance.now()
  const beganWallMs = Date.now()
  const watch = watchForStops()
  let silent = 0
  let leftOut = 0
  const ownLoop = monitorEventLoopDelay({ resolution: 5 })
  ownLoop.enable()
  const player = play(steps, servers, (step, what) => say(beganMs, `${step.fault.kind} ${what} at ${protocols[step.server]}`))
  const sampling = setInterval(() => {
    const second = seconds[Math.floor((performance.now() - beganMs) / 1000)]
    if (second === undefined || !daemon.alive) return
    second.rssMb = rssMb(daemon.pid)
    second.fds = readdirSync(`/proc/${daemon.pid}/fd`).length
  }, 1000)
  const note = (told: readonly Told[]) => {
    for (const { atMs, tookMs, right, hit, rcode } of told) {
      if (watch.stops.some(({ fromMs, toMs }) => atMs < toMs && atMs + tookMs > fromMs)) {
        leftOut++
        continue
      }
      if (rcode < 0) silent++
      const second = seconds[Math.floor((atMs - beganMs) / 1000)]
      if (second === undefined) continue
      second.asked++
      if (right) second.right++
      ;(hit ? second.hitMs : second.missMs).push(tookMs)
    }
  }
  for (let leftMs = lengthMs; leftMs > 0; leftMs = beganMs + lengthMs - performance.now()) {
    // Not waited for: the last replies of one stretch come during the next.
    const stretch = asker.traffic({ perS, forMs: Math.min(30_000, leftMs), hits: 0.8 }).then(note)
    await Promise.race([stretch, sleep(Math.min(30_000, leftMs))])
  }
  await sleep(6500)
  player.stop()
  clearInterval(sampling)
  for (const server of servers) server.clear()
  await sleep(3000)
  watch.end()
  const fdsAfter = readdirSync(`/proc/${daemon.pid}/fd`).length
  const used = seconds.slice(0, Math.floor(lengthMs / 1000))
  const fair = used.filter((_, s) => !steps.some((step) => overlaps(step, s)))
  const hits = used.flatMap(({ hitMs }) => hitMs)
  const limits: Limit[] = []
  const limit = (what: string, figure: number, op: Limit['op'], of: number) =>
    limits.push({ what, figure, op, limit: of, pass: op === '<=' ? figure <= of : figure >= of })
  limit('answered rightly in seconds without a fault, %', percent(fair), '>=', 99.99)
  limit('answered rightly in all, %', percent(used), '>=', 99)
  limit('wrong answers', asker.counts.wrong, '<=', 0)
  limit('questions without a reply', silent, '<=', 0)
  const inside = probe.read()
  const heap = heapGrowth(inside, beganWallMs + lengthMs / 4)
  limit('heap after GC at the end above a quarter of the way, MB', heap.toMb - heap.fromMb, '<=', 5)
  limit('event loop of the daemon, delay p99.9, ms (its timer of 5 ms in it)', inside.at(-1)?.loopMs.p999 ?? Number.NaN, '<=', 50)
  limit('descriptors at the end above the start', Math.abs(fdsAfter - fdsBefore), '<=', 5)
  limit('hits, p99, ms', quantile(hits, 0.99), '<=', 5)
  limit('hits, p99.9, ms', quantile(hits, 0.999), '<=', 50)
  limit('restarts', daemon.alive ? 0 : 1, '<=', 0)
  limit('faults in the log', daemon.log().match(/"type":"fault"/g)?.length ?? 0, '<=', 0)
  limit(
    'cleartext connections',
    servers.reduce((sum, { path }) => sum + path.counts.cleartext, 0),
    '<=',
    0,
  )
  limit('what a stub of ours never does', scene.unexpected.length, '<=', 0)
  await scene.close()
  for (const { what, figure, op, limit, pass } of limits)
    console.log(`${pass ? 'pass' : 'FAIL'}  ${what}: ${Number(figure.toFixed(4))} (${op} ${limit})`)
  const failures = asker.counts.failed
  console.log(
    `${steps.length} faults in ${lengthMs / 60_000} minutes, seed ${seed}; load before ${machine.loadBefore.toFixed(1)}; event loop of the asker and the servers: p99 ${(ownLoop.percentile(99) / 1e6).toFixed(1)} ms, which is in the hits' figures; not answered, by code: ${JSON.stringify(failures)}`,
  )
  const growth = `heap after GC ${heap.fromMb.toFixed(1)} MB at a quarter, ${heap.toMb.toFixed(1)} MB at the end; RSS ${inside[0]?.rssMb.toFixed(0)} to ${inside.at(-1)?.rssMb.toFixed(0)} MB`
  const stops = watch.stops.map(({ fromMs, toMs }) => ({ fromS: round((fromMs - beganMs) / 1000), forS: round((toMs - fromMs) / 1000) }))
  console.log(`${growth}; stopped from outside ${stops.length} times, ${leftOut} questions under way then left out`)
  const rows = used.map((s) => ({
    answered: s.right,
    asked: s.asked,
    hitP99Ms: round(quantile(s.hitMs, 0.99)),
    missP50Ms: round(quantile(s.missMs, 0.5)),
    missP99Ms: round(quantile(s.missMs, 0.99)),
    rssMb: round(s.rssMb),
    fds: s.fds,
  }))
  const dir = join(ROOT, 'bench', 'results')
  mkdirSync(dir, { recursive: true })
  writeFileSync(
    join(dir, 'soak.json'),
    `${JSON.stringify({ machine, seed, perS, everyMs, limits, failures, stops, leftOut, inside, steps, seconds: rows })}\n`,
  )
  writeFileSync(
    join(dir, 'soak.svg'),
    svgOf(plotOf(rows, steps, `Soak: ${lengthMs / 60_000} minutes, ${perS} questions a second, ${steps.length} faults, seed ${seed}`)),
  )
  return limits.every(({ pass }) => pass) ? 0 : 1
}

/** A second that a fault touches, or the four after it: a question may be under way for so long. */
function overlaps({ atMs, forMs }: Step, second: number): boolean {
  return second * 1000 + 1000 > atMs - 4000 && second * 1000 < atMs + forMs + 1000
}

function plotOf(
  rows: readonly {
    readonly answered: number
    readonly asked: number
    readonly hitP99Ms: number
    readonly missP50Ms: number
    readonly missP99Ms: number
    readonly rssMb: number
  }[],
  steps: readonly Step[],
  title: string,
) {
  const curve = (label: string, colour: string, of: (row: (typeof rows)[number]) => number) => ({
    label,
    colour,
    points: rows.map((row, s) => [s, Number.isFinite(of(row)) ? of(row) : 0] as const),
  })
  return {
    title,
    endS: rows.length,
    marks: steps.map(({ atMs, forMs, fault }) => ({ fromS: atMs / 1000, toS: (atMs + forMs) / 1000, word: fault.kind })),
    panels: [
      { label: 'answers a second', curves: [curve('asked', '#999', (r) => r.asked), curve('answered rightly', '#2a7', (r) => r.answered)] },
      { label: 'latency of hits, ms', curves: [curve('p99', '#27a', (r) => r.hitP99Ms)] },
      { label: 'latency of misses, ms', curves: [curve('p99', '#d62', (r) => r.missP99Ms), curve('p50', '#27a', (r) => r.missP50Ms)] },
      { label: 'RSS, MB', curves: [curve('RSS', '#72a', (r) => r.rssMb)] },
    ],
  }
}

function percent(seconds: readonly Second[]): number {
  const asked = seconds.reduce((sum, s) => sum + s.asked, 0)
  return (seconds.reduce((sum, s) => sum + s.right, 0) / asked) * 100
}

function say(beganMs: number, text: string): void {
  console.log(`${((performance.now() - beganMs) / 1000).toFixed(1)} s: ${text}`)
}

function round(v: number): number {
  return Math.round(v * 1000) / 1000
}
