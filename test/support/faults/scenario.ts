import { FAULTS, type Fault, type FaultKind, isPossible, type Protocol } from './fault.ts'
import type { Seeded } from './seeded.ts'
import type { FaultServer } from './server.ts'

/**
 * One fault of a schedule: it begins `atMs` after the start at the server of that number (from 0),
 * and is cleared `forMs` later.
 */
export interface Step {
  readonly atMs: number
  readonly forMs: number
  readonly server: number
  readonly fault: Fault
}

/** What a schedule is drawn for. */
export interface Stage {
  readonly protocols: readonly Protocol[]
  readonly lengthMs: number
  /** From one fault to the next. */
  readonly everyMs: number
}

/** With what measure a fault is drawn for a storm: as the field has it. */
const MEASURES: Readonly<Record<FaultKind, (chance: Seeded) => Omit<Fault, 'kind'>>> = {
  blackhole: () => ({}),
  away: () => ({}),
  'half-open': () => ({}),
  cut: () => ({}),
  latency: (c) => ({ ms: 50 + c.below(250), spreadMs: c.below(50) }),
  loss: (c) => ({ perMille: 10 + c.below(90), ms: 200 }),
  rate: (c) => ({ octetsPerS: 20_000 + c.below(80_000) }),
  'slow-handshake': (c) => ({ ms: 200 + c.below(1300) }),
  expired: () => ({}),
  'wrong-name': () => ({}),
  'self-signed': () => ({}),
  stall: (c) => ({ every: 1 + c.below(4) }),
  slow: (c) => ({ every: 2 + c.below(10), ms: 300 + c.below(1200) }),
  reset: (c) => ({ every: 100 + c.below(100) }),
  goaway: (c) => ({ every: 100 + c.below(100) }),
  'goaway-0': (c) => ({ every: 100 + c.below(100) }),
  'refused-stream': (c) => ({ every: 2 + c.below(9) }),
  'max-streams': (c) => ({ streams: 1 + c.below(4) }),
  'wrong-id': (c) => ({ every: 1 + c.below(9) }),
  'wrong-question': (c) => ({ every: 1 + c.below(9) }),
  'wrong-case': () => ({}),
  'extra-records': () => ({}),
  truncated: (c) => ({ every: 2 + c.below(9) }),
  short: (c) => ({ every: 2 + c.below(9) }),
  servfail: (c) => ({ every: 2 + c.below(9) }),
  oversize: (c) => ({ every: 10 + c.below(9) }),
  'wrong-type': (c) => ({ every: 2 + c.below(9) }),
  redirect: (c) => ({ every: 2 + c.below(9) }),
  gzip: (c) => ({ every: 2 + c.below(9) }),
  status: (c) => ({ every: 2 + c.below(9) }),
  trickle: (c) => ({ every: 50 + c.below(50), ms: 200 }),
  'out-of-order': (c) => ({ ms: 5 + c.below(30) }),
}

/**
 * A schedule of faults, each drawn with its server, measure and length (a tenth to a half of
 * `everyMs`): the same for the same seed. One server fails at a time.
 */
export function storm(chance: Seeded, stage: Stage): readonly Step[] {
  const steps: Step[] = []
  for (let atMs = stage.everyMs / 2; atMs < stage.lengthMs; atMs += stage.everyMs) {
    const server = chance.below(stage.protocols.length)
    const possible = kinds.filter((kind) => isPossible(kind, stage.protocols[server] ?? 'dot'))
    const kind = chance.pick(possible)
    steps.push({ atMs, forMs: Math.round(stage.everyMs * (0.1 + 0.4 * chance.next())), server, fault: { kind, ...MEASURES[kind](chance) } })
  }
  return steps
}

/**
 * The scenarios by name: each fault alone at the first server from the start on, and what is drawn.
 */
export const SCENARIOS: Readonly<Record<string, string>> = {
  fair: 'nothing fails',
  ...FAULTS,
  flap: 'the first server is away for 1 s every 3 s',
  storm: 'one fault drawn by the seed every minute (or --every S), at a server drawn by the seed',
}

/**
 * The steps of a scenario. Throws for a name that is none, and where the first server cannot have
 * the fault.
 */
export function stepsOf(name: string, chance: Seeded, stage: Stage): readonly Step[] {
  if (!(name in SCENARIOS)) throw new Error(`no scenario ${name}: --list names them`)
  if (name === 'fair') return []
  if (name === 'storm') return storm(chance, stage)
  if (name === 'flap') {
    const times = Math.floor(stage.lengthMs / 3000)
    return Array.from({ length: times }, (_, i) => ({ atMs: 1000 + i * 3000, forMs: 1000, server: 0, fault: { kind: 'away' as const } }))
  }
  const kind = kinds.find((kind) => kind === name) ?? 'cut'
  if (!isPossible(kind, stage.protocols[0] ?? 'dot')) throw new Error(`${kind} cannot be had over ${stage.protocols[0]}`)
  return [{ atMs: 0, forMs: stage.lengthMs, server: 0, fault: { kind } }]
}

/**
 * Plays `steps` on `servers` in real time. `told` hears of each beginning and end. Stops at once
 * when `stop` is called.
 */
export function play(
  steps: readonly Step[],
  servers: readonly FaultServer[],
  told: (step: Step, what: 'begins' | 'ends') => void = () => {},
): { readonly stop: () => void } {
  const timers = steps.flatMap((step) => {
    const server = servers[step.server]
    if (server === undefined) throw new Error(`there is no server ${step.server}`)
    const begin = () => {
      server.begin(step.fault)
      told(step, 'begins')
    }
    const end = () => {
      server.clear()
      told(step, 'ends')
    }
    return [setTimeout(begin, step.atMs), setTimeout(end, Math.min(step.atMs + step.forMs, 2 ** 31 - 1))]
  })
  return { stop: () => timers.forEach(clearTimeout) }
}

const kinds: readonly FaultKind[] = Object.keys(FAULTS).filter((kind): kind is FaultKind => kind in FAULTS)
