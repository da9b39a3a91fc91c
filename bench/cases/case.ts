import type { Names } from '../load/names.ts'
import type { Peer, Via } from '../peers/peer.ts'
import { type CacheSize, type Server, startServer } from '../peers/server.ts'
import type { Upstream } from '../upstream/upstream.ts'

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
  | 'miss-doh'
  | 'latency-1'
  | 'latency-10k'
  | 'tcp-200'
  | `growth-${number}`
  | 'first'
  | 'idle'

/** How much is measured. */
export interface Plan {
  readonly rounds: number
  readonly seconds: number
  readonly hitNames: number
  readonly growth: readonly number[]
  readonly starts: number
  readonly idleSeconds: number
}

/** What a case works with. */
export interface Bench {
  readonly plan: Plan
  readonly peers: readonly Peer[]
  readonly upstream: Upstream
  readonly names: Names
  /** The compiled prober, where there is a compiler. */
  readonly prober: string | undefined
  /** A line for who watches. */
  readonly say: (line: string) => void
  readonly add: (sample: Sample) => void
  /** A server that could not be measured, and why. */
  readonly skip: (what: string, why: string) => void
}

/** The cache of every case but growth. */
export const CACHE: CacheSize = { entries: 200_000, cacheBytes: 64 * 2 ** 20 }

/** How a server that takes part in a hit case reaches the upstream: encrypted where it can. */
export const usualVia = (peer: Peer): Via => (peer.via.includes('dot') ? 'dot' : (peer.via[0] ?? 'do53'))

/** Starts those of `peers` that will start and answer rightly; the others are skipped, aloud. */
export async function fleet(
  bench: Bench,
  peers: readonly Peer[],
  via: (peer: Peer) => Via,
  size: CacheSize = CACHE,
): Promise<readonly Server[]> {
  const servers: Server[] = []
  for (const peer of peers) {
    try {
      servers.push(await startServer(peer, via(peer), size, bench.upstream))
    } catch (error) {
      bench.skip(`${peer.id} over ${via(peer)}`, error instanceof Error ? error.message : String(error))
    }
  }
  return servers
}

/** `run` for every server in turn, round after round: A B C A B C. What one cannot do is skipped, aloud; then everything is stopped. */
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

/** Stops servers. */
export async function stopAll(servers: readonly Server[]): Promise<void> {
  await Promise.all(servers.map((server) => server.stop()))
}
