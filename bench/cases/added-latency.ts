import { dnsperf } from '../load/dnsperf.ts'
import type { Peer } from '../peers/peer.ts'
import type { Server } from '../peers/server.ts'
import { type Bench, interleaved, takesPart } from './case.ts'

/**
 * Misses one at a time by the servers of the miss cases, and the same kind of questions put to the
 * upstream itself: the difference is what a stub adds. The upstream is asked over DoT in either
 * case: dnsperf's DoH client waits out Nagle's algorithm and the delayed acknowledgement, 40 ms;
 * and DoT is the quicker one, so what is added is not made smaller.
 */
export async function addedLatency(bench: Bench, via: 'dot' | 'doh', fleet: readonly Server[]): Promise<void> {
  const servers = fleet.filter(({ peer }) => takesPart(peer, 'added'))
  const seconds = bench.plan.seconds
  let directUs: number | undefined
  await interleaved(bench, `added-${via}`, [itself(bench), ...servers], bench.plan.rounds, async ({ port, peer }) => {
    const isDirect = peer.role === 'floor'
    if (isDirect) directUs = undefined
    const file = bench.names.fresh(Math.ceil(seconds * 20_000))
    const load = { port, file, inFlight: 1, seconds, once: true } as const
    const { meanUs, completed, failed } = await dnsperf(isDirect ? { ...load, mode: 'dot' } : load)
    bench.names.forget(file)
    if (completed === 0 || failed > completed / 50) throw new Error(`${failed} of ${completed} answers were failures`)
    if (isDirect) directUs = meanUs
    return directUs === undefined ? { meanUs } : { meanUs, addedUs: meanUs - directUs }
  })
}

/** The upstream where a server under test would be. */
function itself({ upstream }: Bench): Server {
  const peer: Peer = {
    id: 'the upstream itself',
    tool: '',
    via: ['dot'],
    caches: false,
    tcp: false,
    role: 'floor',
    version: upstream.kind,
    launch: () => ({ args: [] }),
  }
  return {
    peer,
    via: 'dot',
    port: upstream.dotPort,
    cost: () => ({ cpuNs: upstream.cpuNs(), wakeUps: 0 }),
    threadsNs: () => new Map(),
    rssMb: () => 0,
    stop: async () => {},
  }
}
