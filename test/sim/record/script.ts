import { fraction } from './chance.ts'
import { MOODS, type Mood, ROUGH_MOODS } from './peer.ts'
import { clientQuery, isRough, poolOf } from './zone.ts'

/**
 * What happens at a moment of a run. All of it is of the seed: what the daemon does moves none of
 * it.
 */
export type Action = { readonly atMs: number } & (
  | {
      readonly do: 'ask'
      readonly from: string
      readonly port: number
      readonly over: 'udp' | 'tcp'
      readonly queries: readonly Uint8Array[]
      readonly thenDone: boolean
    }
  | { readonly do: 'mood'; readonly peer: number; readonly mood: Mood }
  | { readonly do: 'mend' | 'die' | 'reload' | 'refuse' | 'forget' }
  | { readonly do: 'roam'; readonly to: string }
  | { readonly do: 'online'; readonly up: boolean }
  | { readonly do: 'suspend' | 'stop-for' | 'trace'; readonly forMs: number }
  | { readonly do: 'wall'; readonly byMs: number }
  | { readonly do: 'vpn'; readonly there: boolean }
)
type Ask = Extract<Action, { readonly do: 'ask' }>

const PROFILES = ['off', 'jitter', 'lite', 'balanced', 'always-on'] as const
const TRANSPORTS = [['dot'], ['doh'], ['dot', 'doh']] as const

/** How the daemon of a seed is set up, and what it is given at each reload. */
export function setupOf(seed: number) {
  const profile = PROFILES[seed % PROFILES.length] ?? 'off'
  const transports = TRANSPORTS[Math.floor(seed / PROFILES.length) % TRANSPORTS.length] ?? ['dot']
  const chance = (of: string) => fraction(seed, 'setup', of)
  const pick = <T>(of: string, from: readonly T[]): T => from[Math.floor(chance(of) * from.length)] ?? (from[0] as T)
  const count = 1 + Math.floor(chance('resolvers') * 3)
  const policy = pick('policy', [
    undefined,
    undefined,
    { vpn: 'required' },
    { vpn: 'preferred', minimumOperators: Math.min(2, count) },
    { audit: 'required' },
  ])
  const config = {
    ...{ transports, shaping: { profile, jitterMs: 20 }, timeoutMs: pick('timeout', [2000, 4000]) },
    rebinding: { protect: pick('rebinding', [true, true, false]) },
    usageProfile: pick('usage', ['strict', 'strict', 'strict', 'opportunistic']),
    cache: { persist: pick('persist', ['off', 'disk', 'disk', 'runtime']), maxBytes: pick('bytes', [65_536, 33_554_432]) },
    ...(policy === undefined ? {} : { policy }),
  }
  const other = { ...config, shaping: { profile: pick('other', PROFILES), jitterMs: 50 }, timeoutMs: 3000, use: ['r0'] }
  return { rttsMs: Array.from({ length: count }, (_, i) => 5 + Math.floor(chance(`rtt ${i}`) * 120)), config, reloads: [other, config] }
}

const MINUTE_MS = 60_000
const isPaced = (seed: number) => seed % PROFILES.length > 1
/** Schedules cost more work a minute than anything else. */
const lengthMs = (seed: number) => (isPaced(seed) ? 3 : 8) * MINUTE_MS

/** Draws that follow one another, for one purpose of one seed. */
class Draws {
  readonly #of: readonly (string | number)[]
  #count = 0
  constructor(...of: readonly (string | number)[]) {
    this.#of = of
  }
  next(): number {
    return fraction(...this.#of, this.#count++)
  }
  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }
  oneIn(n: number): boolean {
    return this.below(n) === 0
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T
  }
  /** Exponential, of this mean. */
  after(meanMs: number): number {
    return Math.round(-meanMs * Math.log(1 - this.next() * 0.999))
  }
}

/** The script of a seed, in order of time; `again`: of its second start. */
export function scriptOf(seed: number, again = 0): readonly Action[] {
  const endMs = again === 0 ? lengthMs(seed) : MINUTE_MS / 2
  const clients = new Clients(seed, again)
  const actions = [...pages(seed, again, endMs, clients), ...(again === 0 ? disturbances(seed, endMs) : [])]
  return actions.toSorted((a, b) => a.atMs - b.atMs)
}

/**
 * Pages of names, some of them asked twice at once, and names that are asked all the time, so that
 * they are renewed before their time.
 */
function pages(seed: number, again: number, endMs: number, clients: Clients): readonly Action[] {
  const draws = new Draws(seed, 'pages', again)
  const pool = poolOf(seed, 48)
  const actions: Action[] = []
  for (let atMs = 50; atMs < endMs; atMs += 40 + draws.after(4000)) {
    for (let left = 1 + draws.below(8); left > 0; left--) {
      const name = pool[Math.floor(draws.next() ** 2 * pool.length)] ?? ''
      actions.push(clients.asks(atMs, name, draws))
      if (draws.oneIn(4)) actions.push(clients.asks(atMs + draws.pick([0, 3]), name, draws))
    }
    if (draws.oneIn(3)) actions.push(clients.strange(atMs, draws))
    if (draws.oneIn(4)) actions.push(clients.overTcp(atMs, [draws.pick(pool), draws.pick(pool), draws.pick(pool)], draws))
  }
  for (let atMs = 1000; atMs < endMs; atMs += 3700) for (const name of pool.slice(0, 3)) actions.push(clients.asks(atMs, name, draws))
  return actions
}

const TYPES = [1, 1, 1, 1, 28, 16, 65]
const OPTS = [undefined, { size: 1232 }, { size: 1232 }, { size: 4096, dnssecOk: true }, { size: 512 }]
/** RD, and with it CD or AD. */
const FLAGS = [0x0100, 0x0100, 0x0100, 0x0110, 0x0120]
/** Names that never leave, and those that must not. */
const SPECIAL = [
  ...[
    'localhost',
    'a.localhost',
    '1.0.0.127.in-addr.arpa',
    '7.1.168.192.in-addr.arpa',
    'x.onion',
    'y.invalid',
    'z.test',
    'home.arpa',
    'printer.local',
  ],
  ...['resolver.arpa', 'use-application-dns.net', 'no-such-tld-at-all', ''],
]

/** Who asks, and how. Each query has a port of its own, so that its answer is known again. */
class Clients {
  readonly #seed: number
  #port: number
  constructor(seed: number, again: number) {
    this.#seed = seed
    this.#port = again * 20_000
  }

  #ask(atMs: number, queries: readonly Uint8Array[], more: Partial<Ask> = {}): Ask {
    return { atMs, do: 'ask', from: '127.0.0.1', port: this.#port++, over: 'udp', queries, thenDone: false, ...more }
  }
  #id(): number {
    return Math.floor(fraction(this.#seed, 'id', this.#port) * 65_536)
  }

  asks(atMs: number, name: string, draws: Draws): Ask {
    const cased = draws.oneIn(5) ? name.replace(/[a-z]/g, (c) => (draws.oneIn(2) ? c.toUpperCase() : c)) : name
    const type = name.startsWith('large') || name.startsWith('cut') ? 16 : draws.pick(TYPES)
    const opt = draws.pick(OPTS)
    const from = draws.oneIn(12) ? '192.0.2.200' : draws.pick(['127.0.0.1', '127.0.0.2'])
    const query = clientQuery({ id: this.#id(), name: cased, type, flags: draws.pick(FLAGS), ...(opt === undefined ? {} : { opt }) })
    return this.#ask(atMs, [query], { from })
  }

  /** What is answered without asking anybody, or not at all. */
  strange(atMs: number, draws: Draws): Ask {
    const id = this.#id()
    const name = draws.pick(SPECIAL)
    const opt = { size: 1232 }
    return this.#ask(atMs, [
      draws.pick([
        ...[1, 28, 2, 6, 43, 12].map((type) => clientQuery({ id, name, type, opt })),
        clientQuery({ id, name: 'host-0.sim.example', flags: 0 }),
        clientQuery({ id, name: 'host-0.sim.example', flags: 0x2900 }),
        clientQuery({ id, name: 'host-0.sim.example', flags: 0x8100 }),
        clientQuery({ id, name: 'host-0.sim.example', type: 252 }),
        ...(isRough(this.#seed) ? [clientQuery({ id, name: 'host-0.sim.example', type: 251 })] : []),
        clientQuery({ id, name: 'host-0.sim.example', type: 255 }),
        clientQuery({ id, name: 'host-0.sim.example', opt: { size: 1232, version: 1 } }),
        clientQuery({ id, name: 'host-0.sim.example' }).subarray(0, 20),
        Uint8Array.from([1, 2, 3]),
      ]),
    ])
  }

  overTcp(atMs: number, names: readonly string[], draws: Draws): Ask {
    const queries = names.map((name) =>
      clientQuery({ id: this.#id() ^ draws.below(4096), name, type: name.startsWith('large') ? 16 : 1, opt: { size: 1232 } }),
    )
    return this.#ask(atMs, queries, { over: 'tcp', thenDone: draws.oneIn(2) })
  }
}

const KINDS_OF_TROUBLE = [
  'mood',
  'mood',
  'mood',
  'mood',
  'die',
  'roam',
  'offline',
  'suspend',
  'stop-for',
  'wall',
  'vpn',
  'refuse',
  'trace',
  'forget',
] as const
const SETTLED_MS = 40_000

/** Trouble, each mended after a while; two reloads; and calm at the end. */
function disturbances(seed: number, endMs: number): readonly Action[] {
  const draws = new Draws(seed, 'trouble')
  const moods: readonly Mood[] = isRough(seed) ? [...MOODS, ...ROUGH_MOODS, ...ROUGH_MOODS] : MOODS
  const actions: Action[] = [
    { atMs: Math.round(endMs * 0.4), do: 'reload' },
    { atMs: Math.round(endMs * 0.7), do: 'reload' },
    // Long enough that a heartbeat sees it: where the policy asks for a VPN nothing may be answered
    // meanwhile.
    { atMs: Math.round(endMs * 0.2), do: 'vpn', there: false },
    { atMs: Math.round(endMs * 0.2) + 25_000, do: 'vpn', there: true },
  ]
  for (let atMs = 15_000 + draws.after(10_000); atMs < endMs - SETTLED_MS; atMs += 8_000 + draws.after(25_000)) {
    const afterMs = atMs + 2000 + draws.after(15_000)
    const kind = draws.pick(KINDS_OF_TROUBLE)
    if (kind === 'mood') actions.push({ atMs, do: 'mood', peer: draws.below(3), mood: draws.pick(moods) }, { atMs: afterMs, do: 'mend' })
    else if (kind === 'roam') actions.push({ atMs, do: 'roam', to: `place ${draws.below(3)}` })
    else if (kind === 'offline') actions.push({ atMs, do: 'online', up: false }, { atMs: afterMs, do: 'online', up: true })
    else if (kind === 'suspend' || kind === 'stop-for')
      actions.push({ atMs, do: kind, forMs: 4000 + draws.after(kind === 'suspend' ? 60_000 : 3000) })
    else if (kind === 'wall') actions.push({ atMs, do: 'wall', byMs: draws.pick([3_600_000, -3_600_000, 86_400_000]) })
    else if (kind === 'vpn') actions.push({ atMs, do: 'vpn', there: false }, { atMs: afterMs, do: 'vpn', there: true })
    else if (kind === 'trace') actions.push({ atMs, do: 'trace', forMs: 20_000 })
    else actions.push({ atMs, do: kind })
  }
  const calm: Action[] = [
    { atMs: endMs - SETTLED_MS, do: 'mend' },
    { atMs: endMs - SETTLED_MS, do: 'vpn', there: true },
    { atMs: endMs - SETTLED_MS, do: 'online', up: true },
  ]
  return [...actions.filter(({ atMs }) => atMs < endMs - SETTLED_MS), ...calm]
}
