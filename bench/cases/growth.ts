import { type Bench, fleet, interleaved, stopAll, usualVia } from './case.ts'
import { perQuery, warm } from './throughput.ts'

/** Room for a million answers in any of them. */
const CACHE = { entries: 1_200_000, cacheBytes: 2 ** 30 }
const ROUNDS = 3

/** (f) the same servers with ever more names in their caches: CPU per hit, and memory. */
export async function growth(bench: Bench): Promise<void> {
  const peers = bench.peers.filter((peer) => peer.caches && peer.role !== 'floor' && peer.id !== 'enigm-dns (dgram)')
  const servers = await fleet(bench, peers, usualVia, CACHE)
  let known = 0
  for (const size of bench.plan.growth) {
    const more = bench.names.known(known, size)
    for (const server of servers) {
      bench.say(`growth: ${server.peer.id} learns ${size - known} names`)
      await warm(server, more)
    }
    known = size
    const file = bench.names.known(0, size)
    await interleaved(bench, `growth-${size}`, servers, Math.min(ROUNDS, bench.plan.rounds), async (server) => {
      const {
        cpuUs = 0,
        queriesPerS = 0,
        lossPct = 0,
      } = await perQuery(server, { file, inFlight: 200, seconds: bench.plan.seconds, clients: 64 })
      return { cpuUs, queriesPerS, rssMb: server.rssMb(), lossPct }
    })
  }
  await stopAll(servers)
}
