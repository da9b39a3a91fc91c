import type { Server } from '../peers/server.ts'
import { type Bench, fleet, type HotFleet, stopAll, takesPart, usualVia } from './case.ts'
import { perHit } from './throughput.ts'
import { warm } from './warm.ts'

/** One that has not started yet. */
export function hotFleet(): HotFleet {
  let running: Promise<readonly Server[]> | undefined
  return {
    get(bench) {
      running ??= started(bench)
      return running
    },
    async stop() {
      const servers = await running?.catch(() => [])
      running = undefined
      await stopAll(servers ?? [])
    },
  }
}

/**
 * Those that then answer the names of the hit cases from their caches, after some load; the others
 * are stopped, and skipped aloud.
 */
async function started(bench: Bench): Promise<readonly Server[]> {
  const file = bench.names.known(0, bench.plan.hitNames)
  const seconds = bench.plan.settleS
  const peers = bench.peers.filter((peer) => takesPart(peer, 'hits'))
  const ready: Server[] = []
  for (const server of await fleet(bench, peers, usualVia)) {
    try {
      await warm(server, file)
      await perHit(bench, server, { file, inFlight: 200, seconds })
      ready.push(server)
    } catch (error) {
      bench.skip(`${server.peer.id} in hits`, error instanceof Error ? error.message : String(error))
      await server.stop()
    }
  }
  return ready
}
