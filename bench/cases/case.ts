import { CORE } from '../children.ts'
import type { Names } from '../load/names.ts'
import { OURS } from '../peers/enigm-dns.ts'
import type { Group, Peer, Via } from '../peers/peer.ts'
import { type CacheSize, type Server, startServer } from '../peers/server.ts'
import type { CountingUpstream } from '../upstream/upstream.ts'

/** One measured figure set: what one server did in one round of one case. */
export interface Sample {
  readonly case: CaseId
  readonly subject: string
  readonly role: Peer['role']
  readonly round: number
  readonly values: Readonly<Record<string, number>>
}

export type CaseId =
  | 'hits-200'
  | 'hits-1000'
  | 'miss-dot'
  | 'jitter-equal'
  | 'jitter-600'
  | 'miss-doh'
  | 'miss-doq'
  | 'miss-dnscrypt'
  | 'latency-1'
  | 'latency-10k'
  | 'added-dot'
  | 'added-doh'
  | 'tcp-200'
  | 'workers'
  | `growth-${number}`
  | 'first'
  | 'idle'

/** How much is measured. */
export interface Plan {
  readonly rounds: number
  readonly seconds: number
  /**
   * Hits before the figures count; idleness is given three times as long to settle, and at least as
   * long as it is measured.
   */
  readonly settleS: number
  /**
   * Misses before the figures count: of programs that get faster while they run, what is measured
   * is the one that has run for a while.
   */
  readonly settleMisses: number
  readonly hitNames: number
  readonly growth: readonly number[]
  readonly starts: number
  readonly idleSeconds: number
}

/**
 * The servers of the hit cases, their caches full: started when first asked for, and shared, since
 * starting and filling them takes longer than measuring.
 */
export interface HotFleet {
  get(bench: Bench): Promise<readonly Server[]>
  /** Stops them; the next `get` starts others. */
  stop(): Promise<void>
}

/** What a case works with. */
export interface Bench {
  readonly plan: Plan
  readonly peers: readonly Peer[]
  readonly upstream: CountingUpstream
  readonly names: Names
  /** The compiled prober, where there is a compiler. */
  readonly prober: string | undefined
  /** A line for who watches. */
  readonly say: (line: string) => void
  readonly add: (sample: Sample) => void
  readonly hot: HotFleet
  /** Servers that would not start, by what was wanted of them: they are not waited for again. */
  readonly gone: Set<string>
  /** A server that could not be measured, and why. */
  readonly skip: (what: string, why: string) => void
}

/** Room for what the misses bring, too. Of every case but growth. */
export const CACHE: CacheSize = { entries: 200_000, cacheBytes: 64 * 2 ** 20 }

/**
 * Whether a server is measured in a group of cases: unless it says where, in all that it is able to
 * be in.
 */
export function takesPart(peer: Peer, group: Group): boolean {
  if (peer.only !== undefined) return peer.only.includes(group)
  if (group === 'hits') return peer.caches
  if (group === 'workers') return peer.id === OURS
  if (peer.role === 'floor') return false
  return group === 'tcp' ? peer.caches && peer.tcp : group === 'growth' ? peer.caches : true
}

/** How a server that takes part in a hit case reaches the upstream: encrypted where it can. */
export const usualVia = (peer: Peer): Via => (peer.via.includes('dot') ? 'dot' : (peer.via[0] ?? 'do53'))

/** Starts those of `peers` that will start and answer rightly; the others are skipped, aloud. */
export async function fleet(
  bench: Bench,
  peers: readonly Peer[],
  via: (peer: Peer) => Via,
  size: CacheSize = CACHE,
  on: string = CORE.server,
): Promise<readonly Server[]> {
  const servers: Server[] = []
  for (const peer of peers) {
    const what = `${peer.id} over ${via(peer)}`
    if (bench.gone.has(what)) continue
    try {
      servers.push(await startServer(peer, via(peer), size, bench.upstream, on))
    } catch (error) {
      bench.gone.add(what)
      bench.skip(what, error instanceof Error ? error.message : String(error))
    }
  }
  return servers
}

/**
 * `run` for every server in turn, round after round: A B C A B C. What one cannot do is skipped,
 * aloud; then everything is stopped.
 */
export async function interleaved(
  bench: Bench,
  id: CaseId,
  servers: readonly Server[],
  rounds: number,
  run: (server: Server, round: number) => Promise<Readonly<Record<string, number>>>,
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const server of servers) {
      try {
        const values = await run(server, round)
        bench.add({ case: id, subject: server.peer.id, role: server.peer.role, round, values })
        const figures = Object.entries(values).map(([name, value]) => `${name} ${value.toPrecision(3)}`)
        bench.say(`${id} ${round + 1}/${rounds} ${server.peer.id}: ${figures.join(', ')}`)
      } catch (error) {
        bench.skip(`${server.peer.id} in ${id}`, error instanceof Error ? error.message : String(error))
      }
    }
  }
}

/**
 * Starts a fleet, does `work` with it, and stops it, whatever becomes of the work: servers left
 * behind would be in the figures of later cases.
 */
export async function withFleet(servers: Promise<readonly Server[]>, work: (servers: readonly Server[]) => Promise<void>): Promise<void> {
  const started = await servers
  try {
    await work(started)
  } finally {
    await stopAll(started)
  }
}

/** Stops servers. */
export async function stopAll(servers: readonly Server[]): Promise<void> {
  await Promise.all(servers.map((server) => server.stop()))
}
