import { InFlight } from './in-flight.ts'
import type { Listener, ListenOptions } from './listener.ts'
import { inFlightLimit, listenUdp } from './udp.ts'
import { listenUdpBatch } from './udp-batch.ts'

/** Opens UDP on one address, many datagrams a call where the system calls are given; a link-local address (with its zone) is always left to dgram. */
export function openUdp(options: ListenOptions, inFlight = new InFlight(inFlightLimit(options))): Promise<Listener> {
  const calls = options.address.includes('%') ? undefined : options.datagramCalls
  return calls === undefined ? listenUdp(options, inFlight) : listenUdpBatch(options, calls, inFlight)
}
