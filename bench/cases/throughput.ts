import { dnsperf, type Load } from '../load/dnsperf.ts'
import { JITTERED, OURS } from '../peers/enigm-dns.ts'
import type { Server } from '../peers/server.ts'
import { withDnscrypt, withDoq } from '../upstream/datagrams.ts'
import { addedLatency } from './added-latency.ts'
import { type Bench, type CaseId, fleet, interleaved, takesPart, withFleet } from './case.ts'

/** Enough names that no server asks them all within a run: 130,000 queries a second would. */
const FRESH_PER_S = 130_000
/**
 * Fewer answers make no figure; so few that a smoke run passes on a machine that has hardly time
 * for it.
 */
const ENOUGH = 10
const MISSES_IN_FLIGHT = 200
/**
 * What jitter costs is seen at a rate that both can hold, and where both have as much to do as they
 * can: it keeps every query for some ms, so with few in flight it is mostly idle.
 */
const JITTER = [
  { id: 'jitter-equal', inFlight: 400, perS: 15_000 },
  { id: 'jitter-600', inFlight: 600 },
] as const
const TCP_CLIENTS = 20
/** Share of misses that a figure of hits may have in it. */
const MAX_MISSES = 0.05

/**
 * Loads a server and divides what it cost by what it answered. A failure (SERVFAIL of an overloaded
 * one) is no answer.
 */
export async function perQuery(server: Server, load: Omit<Load, 'port'>): Promise<Readonly<Record<string, number>>> {
  const before = server.cost().cpuNs
  const { sent, completed, failed, queriesPerS, meanUs } = await dnsperf({ ...load, port: server.port })
  const costUs = (server.cost().cpuNs - before) / 1000
  const answered = completed - failed
  if (answered < ENOUGH || answered < sent / 2) throw new Error(`it answered ${answered} of ${sent} queries, and refused ${failed}`)
  return {
    cpuUs: costUs / answered,
    queriesPerS: (queriesPerS * answered) / completed,
    meanUs,
    lossPct: (100 * (sent - answered)) / sent,
  }
}

/**
 * `perQuery` where the cache is to answer. Throws where the upstream was asked too often: figures
 * of misses must not stand among those of hits.
 */
export async function perHit(bench: Bench, server: Server, load: Omit<Load, 'port'>): Promise<Readonly<Record<string, number>>> {
  const before = await bench.upstream.asked()
  const values = await perQuery(server, load)
  const after = await bench.upstream.asked()
  const hits = (values.queriesPerS ?? 0) * load.seconds
  const misses = before === undefined || after === undefined ? 0 : after - before
  if (misses > hits * MAX_MISSES)
    throw new Error(`it asked the upstream ${misses} times for what it had been told, in ${hits.toFixed(0)} answers`)
  return values
}

/** (a) hits over `hitNames` names, at 200 and at 1000 in flight. */
export async function hits(bench: Bench): Promise<void> {
  const servers = await bench.hot.get(bench)
  const file = bench.names.known(0, bench.plan.hitNames)
  for (const inFlight of [200, 1000] as const)
    await interleaved(bench, `hits-${inFlight}`, servers, bench.plan.rounds, (server) =>
      perHit(bench, server, { file, inFlight, seconds: bench.plan.seconds, clients: 64 }),
    )
}

/**
 * Has every server ask for so many new names that what it compiles and connects at first is behind
 * it.
 */
async function settled(bench: Bench, servers: readonly Server[]): Promise<void> {
  const file = bench.names.fresh(bench.plan.settleMisses)
  for (const { port } of servers) await dnsperf({ port, file, inFlight: MISSES_IN_FLIGHT, seconds: 30, once: true })
  bench.names.forget(file)
}

/** Misses over a transport of datagrams, which a server before the upstream speaks. */
export async function datagramMisses(bench: Bench, via: 'doq' | 'dnscrypt'): Promise<void> {
  const extended = await (via === 'doq' ? withDoq : withDnscrypt)(bench.upstream)
  try {
    await misses({ ...bench, upstream: extended.upstream }, via)
  } finally {
    await extended.stop()
  }
}

/**
 * (b) and (c): names that nobody asked before, over one transport; over DoT and DoH then one at a
 * time, for the latency. The caches are full of earlier ones, as they would be.
 */
export async function misses(bench: Bench, via: 'dot' | 'doh' | 'doq' | 'dnscrypt'): Promise<void> {
  const peers = bench.peers.filter((peer) => takesPart(peer, 'misses') && peer.via.includes(via))
  await withFleet(
    fleet(bench, peers, () => via),
    async (servers) => {
      await settled(bench, servers)
      await missesOf(bench, `miss-${via}`, servers, { inFlight: MISSES_IN_FLIGHT })
      const ours = servers.filter(({ peer }) => peer.id === OURS || peer.id === JITTERED)
      if (via === 'dot') for (const { id, ...load } of JITTER) await missesOf(bench, id, ours, load)
      if (via === 'dot' || via === 'doh') await addedLatency(bench, via, servers)
    },
  )
}

/** Names that nobody asked before: in a round the same for each server, and others in the next. */
async function missesOf(bench: Bench, id: CaseId, servers: readonly Server[], load: Pick<Load, 'inFlight' | 'perS'>): Promise<void> {
  const { seconds, rounds } = bench.plan
  let at = -1
  let file = ''
  await interleaved(bench, id, servers, rounds, (server, round) => {
    if (round !== at) {
      bench.names.forget(file)
      file = bench.names.fresh(Math.ceil(seconds * FRESH_PER_S))
      at = round
    }
    return perQuery(server, { file, seconds, once: true, ...load })
  })
  bench.names.forget(file)
}

/** (e) hits over TCP, on connections that stay. */
export async function tcpHits(bench: Bench): Promise<void> {
  const servers = (await bench.hot.get(bench)).filter(({ peer }) => takesPart(peer, 'tcp'))
  const file = bench.names.known(0, bench.plan.hitNames)
  const load = { file, inFlight: 200, clients: TCP_CLIENTS, mode: 'tcp' } as const
  // dnsdist keeps an answer to TCP apart from that to UDP: once through all names, but in bounded
  // time, since smartdns answers some twenty a second.
  const once = { ...load, once: true, seconds: 5 * bench.plan.settleS }
  for (const { port } of servers) for (let pass = 0; pass < 2; pass++) await dnsperf({ ...once, port })
  await interleaved(bench, 'tcp-200', servers, bench.plan.rounds, (server) =>
    perHit(bench, server, { ...load, seconds: bench.plan.seconds }),
  )
}
