import { setTimeout as sleep } from 'node:timers/promises'
import type { FaultServer } from '../../test/support/faults/server.ts'
import { type Asker, newName } from '../chaos/asker.ts'
import { watchForStops } from '../chaos/stops.ts'

/** A stub that runs before fault servers of its own. */
export interface Subject {
  readonly id: string
  readonly servers: readonly FaultServer[]
  readonly asker: Asker
}

/** How often and how long. */
export interface Plan {
  readonly deaths: number
  readonly awayMs: number
  readonly outageMs: number
  readonly giveUpMs: number
}

/**
 * One fault: what the table calls it, before how many resolvers, and the times to the first right
 * answer, ms; `giveUpMs` stands for longer.
 */
export interface Case {
  readonly id: string
  readonly title: string
  readonly resolvers: 1 | 2
  /** Whether every stub may go through it at the same time: it is waiting, nearly all of it. */
  readonly together: boolean
  run(subject: Subject, plan: Plan): Promise<readonly number[]>
}

/**
 * Who dials once a second would be lucky or unlucky every time if a resolver were always away for
 * whole seconds.
 */
const RESTART_PHASES_MS = [0, 370, 740, 110, 480, 850]
const CALM_MS = 30_000
/** After so many deaths that it did not recover from, no more are tried. */
const HOPELESS = 2

/**
 * A new name every 50 ms from now on, until one is answered rightly: what a user who keeps trying
 * sees.
 */
async function recovery({ asker }: Subject, plan: Plan): Promise<number> {
  return asker.firstAnswer(plan.giveUpMs, 50).catch(() => plan.giveUpMs)
}

/** The server that answered last. */
async function inUse({ servers, asker }: Subject): Promise<FaultServer> {
  const before = servers.map(({ counts }) => counts.queries)
  for (let i = 0; i < 3; i++) await Promise.race([asker.ask(newName('use')), sleep(1000)])
  const gained = servers.map(({ counts }, i) => counts.queries - (before[i] ?? 0))
  const used = servers[gained.indexOf(Math.max(...gained))]
  if (used === undefined) throw new Error('there is no server')
  return used
}

/** Until it answers steadily again, so that one death is not the next one's; for 30 s at most. */
async function calm({ asker }: Subject): Promise<void> {
  const untilMs = performance.now() + CALM_MS
  await asker.firstAnswer(CALM_MS, 50).catch(() => {})
  for (let good = 0; good < 5 && performance.now() < untilMs; ) {
    const told = await Promise.race([asker.ask(newName('calm')), sleep(1000)])
    good = told?.right === true ? good + 1 : 0
    await sleep(30)
  }
}

async function deaths(subject: Subject, plan: Plan): Promise<readonly number[]> {
  const times: number[] = []
  while (times.length < plan.deaths) {
    times.push(await undisturbed(() => death(subject, plan)))
    if (times.filter((ms) => ms >= plan.giveUpMs).length >= HOPELESS) break
  }
  return times
}

async function death(subject: Subject, plan: Plan): Promise<number> {
  await calm(subject)
  const used = await inUse(subject)
  used.path.strand()
  return recovery(subject, plan)
}

async function darkness(subject: Subject, plan: Plan): Promise<number> {
  await calm(subject)
  const used = await inUse(subject)
  used.begin({ kind: 'blackhole' })
  const tookMs = await recovery(subject, plan)
  used.clear()
  await sleep(1000)
  return tookMs
}

/** Once more where the machine stood still meanwhile. */
async function undisturbed(measure: () => Promise<number>): Promise<number> {
  for (;;) {
    const { stops, end } = watchForStops()
    const tookMs = await measure()
    end()
    if (stops.length === 0) return tookMs
  }
}

async function after(subject: Subject, plan: Plan, kind: 'away' | 'blackhole', forMs: number): Promise<number> {
  await calm(subject)
  for (const server of subject.servers) server.begin({ kind })
  // Not waited for: the replies come when a dial ends, and a server that returned just then would
  // return just after a dial, every time.
  const meanwhile = subject.asker.traffic({ perS: 5, forMs, hits: 0 }).catch(() => [])
  await sleep(forMs)
  for (const server of subject.servers) server.clear()
  const tookMs = await recovery(subject, plan)
  await meanwhile
  return tookMs
}

/** In the order of the table. */
export const CASES: readonly Case[] = [
  { id: 'dead-1', title: 'connection dead silently, one resolver', resolvers: 1, together: false, run: deaths },
  { id: 'dead-2', title: 'connection dead silently, a second resolver healthy', resolvers: 2, together: false, run: deaths },
  {
    id: 'dark-first',
    title: 'the resolver in use blackholed, a second healthy',
    resolvers: 2,
    together: false,
    async run(subject, plan) {
      const times: number[] = []
      for (let i = 0; i < Math.max(1, Math.round(plan.deaths / 10)); i++) times.push(await undisturbed(() => darkness(subject, plan)))
      return times
    },
  },
  {
    id: 'restart',
    title: 'the only resolver restarts',
    resolvers: 1,
    together: true,
    async run(subject, plan) {
      const times: number[] = []
      for (const moreMs of RESTART_PHASES_MS) times.push(await undisturbed(() => after(subject, plan, 'away', plan.awayMs + moreMs)))
      return times
    },
  },
  {
    id: 'outage',
    title: 'the network is dark, one resolver',
    resolvers: 1,
    together: true,
    run: async (subject, plan) => [await undisturbed(() => after(subject, plan, 'blackhole', plan.outageMs))],
  },
]
