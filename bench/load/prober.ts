import { output } from '../children.ts'

/** Latencies of a light load, microseconds. */
export interface Latency {
  readonly sent: number
  readonly lost: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
}

/** Runs the compiled prober.c at `program`. `ratePerS` 0: one query in flight. */
export async function probe(
  program: string,
  at: { readonly port: number; readonly seconds: number; readonly ratePerS: number; readonly names: number },
): Promise<Latency> {
  const text = await output(program, [at.port, at.seconds, at.ratePerS, at.names].map(String))
  const [sent = 0, lost = 0, p50 = 0, p99 = 0, p999 = 0] = text.trim().split(' ').map(Number)
  return { sent, lost, p50Us: p50 / 1000, p99Us: p99 / 1000, p999Us: p999 / 1000 }
}
