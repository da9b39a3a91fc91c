import { dnsperf } from '../load/dnsperf.ts'
import type { Server } from '../peers/server.ts'

/**
 * Has a server answer every name of `file`, gently, until none was lost; and then once more, since
 * dnsdist leaves an answer out of its cache where that is locked just then.
 */
export async function warm(server: Server, file: string): Promise<void> {
  const load = { port: server.port, file, inFlight: 50, seconds: 1800, once: true } as const
  for (let attempt = 0; attempt < 3; attempt++) {
    const { completed, sent } = await dnsperf(load)
    if (completed === sent) break
  }
  await dnsperf(load)
}
