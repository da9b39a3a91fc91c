import { dnsperf, type Load } from '../load/dnsperf.ts'
import type { Server } from '../peers/server.ts'
import { type Bench, fleet, interleaved, stopAll, usualVia } from './case.ts'

/** Enough names that no server asks them all within a run: 130,000 queries a second would. */
const FRESH_PER_S = 130_000
const MISSES_IN_FLIGHT = 200
const TCP_CLIENTS = 20

/** Loads a server and divides what it cost by what it answered. */
export async function perQuery(server: Server, load: Omit<Load, 'port'>): Promise<Readonly<Record<string, number>>> {
  const before = server.cost().cpuNs
  const outcome = await dnsperf({ ...load, port: server.port })
  const cpuUs = (server.cost().cpuNs - before) / 1000 / outcome.completed
  if (outcome.completed < 100) throw new Error(`it answered ${outcome.completed} of ${outcome.sent} queries`)
  if (outcome.failed > outcome.completed / 50) throw new Error(`${outcome.failed} of ${outcome.completed} answers were failures`)
  return { cpuUs, queriesPerS: outcome.queriesPerS, meanUs: outcome.meanUs, lossPct: (100 * outcome.lost) / outcome.sent }
}

/** Has a server answer every name of `file`, gently: what was lost is asked again. */
export async function warm(server: Server, file: string): Promise<void> {
  for (let attempt = 0; attempt < 3; attempt++) {
    const { completed, sent } = await dnsperf({ port: server.port, file, inFlight: 50, seconds: 300, once: true })
    if (completed === sent) return
  }
}

/** (a) hits over `hitNames` names, at 200 and at 1000 in flight. */
export async function hits(bench: Bench): Promise<void> {
  const servers = await fleet(
    bench,
    bench.peers.filter((peer) => peer.caches),
    usualVia,
  )
  const file = bench.names.known(0, bench.plan.hitNames)
  for (const server of servers) {
    await warm(server, file)
    await dnsperf({ port: server.port, file, inFlight: 200, seconds: 1 })
  }
  for (const inFlight of [200, 1000] as const)
    await interleaved(bench, `hits-${inFlight}`, servers, bench.plan.rounds, (server) =>
      perQuery(server, { file, inFlight, seconds: bench.plan.seconds, clients: 64 }),
    )
  await stopAll(servers)
}

/** (b) and (c): names that nobody asked before, over DoT or DoH. The caches are full of earlier ones, as they would be. */
export async function misses(bench: Bench, via: 'dot' | 'doh'): Promise<void> {
  // What differs only towards the client costs a miss nothing that this case could see.
  const peers = bench.peers.filter((peer) => peer.via.includes(via) && peer.id !== 'enigm-dns (dgram)')
  const servers = await fleet(bench, peers, () => via)
  const seconds = bench.plan.seconds
  const load = (forS: number) => ({
    file: bench.names.fresh(Math.ceil(forS * FRESH_PER_S)),
    inFlight: MISSES_IN_FLIGHT,
    seconds: forS,
    once: true,
  })
  const first = load(1)
  for (const server of servers) await dnsperf({ ...first, port: server.port })
  let current = load(seconds)
  let at = 0
  await interleaved(bench, `miss-${via}`, servers, bench.plan.rounds, (server, round) => {
    if (round !== at) {
      current = load(seconds)
      at = round
    }
    return perQuery(server, current)
  })
  await stopAll(servers)
}

/** (e) hits over TCP, on connections that stay. */
export async function tcpHits(bench: Bench): Promise<void> {
  const servers = await fleet(
    bench,
    bench.peers.filter((peer) => peer.caches && peer.tcp && peer.id !== 'enigm-dns (dgram)'),
    usualVia,
  )
  const file = bench.names.known(0, bench.plan.hitNames)
  const load = { file, inFlight: 200, seconds: bench.plan.seconds, clients: TCP_CLIENTS, mode: 'tcp' } as const
  for (const server of servers) {
    await warm(server, file)
    await dnsperf({ ...load, port: server.port, seconds: 0.5 })
  }
  await interleaved(bench, 'tcp-200', servers, bench.plan.rounds, (server) => perQuery(server, load))
  await stopAll(servers)
}
