import type { Server } from '../peers/server.ts'
import { type Bench, fleet, interleaved, takesPart, usualVia, withFleet } from './case.ts'
import { perHit } from './throughput.ts'
import { warm } from './warm.ts'

/** Room for a million answers in any of them. */
const CACHE = { entries: 1_200_000, cacheBytes: 2 ** 30 }
const ROUNDS = 3

/** (f) the same servers with ever more names in their caches: CPU per hit, and memory. */
export async function growth(bench: Bench): Promise<void> {
  const peers = bench.peers.filter((peer) => takesPart(peer, 'growth'))
  await withFleet(fleet(bench, peers, usualVia, CACHE), async (servers) => {
    let known = 0
    for (const size of bench.plan.growth) {
      const more = bench.names.known(known, size)
      for (const server of servers) {
        bench.say(`growth: ${server.peer.id} learns ${size - known} names`)
        await warm(server, more)
      }
      known = size
      await measure(bench, servers, size)
    }
  })
}

async function measure(bench: Bench, servers: readonly Server[], size: number): Promise<void> {
  const load = { file: bench.names.known(0, size), inFlight: 200, seconds: bench.plan.seconds, clients: 64 }
  await interleaved(bench, `growth-${size}`, servers, Math.min(ROUNDS, bench.plan.rounds), async (server) => {
    const { cpuUs = 0, queriesPerS = 0, lossPct = 0 } = await perHit(bench, server, load)
    return { cpuUs, queriesPerS, rssMb: server.rssMb(), lossPct }
  })
}
