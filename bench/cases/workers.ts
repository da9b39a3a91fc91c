import { CORE } from '../children.ts'
import { dnsperf } from '../load/dnsperf.ts'
import type { Server } from '../peers/server.ts'
import { type Bench, CACHE, fleet, interleaved, takesPart, usualVia, withFleet } from './case.ts'
import { warm } from './warm.ts'

/**
 * Client sockets: the kernel spreads sockets over the workers, not queries, and few would be spread
 * unevenly.
 */
const CLIENTS = 128
const IN_FLIGHT = 1000

/**
 * (i) hits with one worker and with two, on the same cores. `busiestUs` is CPU of the busiest
 * thread per answered query: what bounds the rate where every thread and the load have cores of
 * their own, and so what can be said of two workers on a machine that has not.
 */
export async function workers(bench: Bench): Promise<void> {
  const peers = bench.peers.filter((peer) => takesPart(peer, 'workers'))
  const file = bench.names.known(0, bench.plan.hitNames)
  const load = { file, inFlight: IN_FLIGHT, clients: CLIENTS, threads: 2 } as const
  await withFleet(fleet(bench, peers, usualVia, CACHE, CORE.servers), async (servers) => {
    for (const server of servers) {
      await warm(server, file)
      await dnsperf({ ...load, port: server.port, seconds: bench.plan.settleS })
    }
    await interleaved(bench, 'workers', servers, bench.plan.rounds, async (server) => {
      const [cpuNs, threads] = [server.cost().cpuNs, server.threadsNs()]
      const { completed, sent, lost, queriesPerS } = await dnsperf({ ...load, port: server.port, seconds: bench.plan.seconds })
      return {
        queriesPerS,
        cpuUs: (server.cost().cpuNs - cpuNs) / 1000 / completed,
        busiestUs: busiestNs(server, threads) / 1000 / completed,
        lossPct: (100 * lost) / sent,
      }
    })
  })
}

function busiestNs(server: Server, before: ReadonlyMap<string, number>): number {
  return Math.max(...[...server.threadsNs()].map(([thread, ns]) => ns - (before.get(thread) ?? 0)))
}
