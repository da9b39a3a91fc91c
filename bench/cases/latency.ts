import { probe } from '../load/prober.ts'
import { type Bench, interleaved } from './case.ts'

/** (d) hits at light load: one in flight, and 10,000 queries a second. */
export async function latency(bench: Bench): Promise<void> {
  const { prober, plan } = bench
  if (prober === undefined) return bench.skip('latency', 'the prober needs a C compiler')
  const servers = await bench.hot.get(bench)
  for (const { port } of servers) await probe(prober, { port, seconds: plan.settleS / 2, ratePerS: 10_000, names: plan.hitNames })
  for (const [id, ratePerS] of [['latency-1', 0] as const, ['latency-10k', 10_000] as const])
    await interleaved(bench, id, servers, plan.rounds, async (server) => {
      const before = server.cost().cpuNs
      const { sent, lost, p50Us, p99Us, p999Us } = await probe(prober, {
        port: server.port,
        seconds: plan.seconds,
        ratePerS,
        names: plan.hitNames,
      })
      return { p50Us, p99Us, p999Us, cpuUs: (server.cost().cpuNs - before) / 1000 / sent, lossPct: (100 * lost) / sent }
    })
}
