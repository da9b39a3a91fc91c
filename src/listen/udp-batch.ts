import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { Batch, MOST_DRAINED } from './batch.ts'
import type { DatagramCalls } from './datagram-calls.ts'
import { InFlight } from './in-flight.ts'
import { type Listener, type ListenOptions, sparseFaults } from './listener.ts'
import { growBuffers, inFlightLimit, literalLookup, packetHandler } from './udp.ts'

/** After a drain this large the next turn drains at its first packet. */
const BUSY_DRAIN = 8

/**
 * As listenUdp, with many messages a system call. libuv watches the socket and delivers what comes first; a second message in the same turn of the event loop
 * means that more wait, and they are fetched and answered in batches. Replies always leave by our own call: dgram's costs 4 us more.
 */
export async function listenUdpBatch(
  options: ListenOptions,
  calls: DatagramCalls,
  inFlight = new InFlight(inFlightLimit(options)),
): Promise<Listener> {
  const { address, clock, drainMs } = options
  const fd = calls.open(address, options.port, options.reusePort === true)
  const v6 = isIPv6(address)
  const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', lookup: literalLookup })
  const shutdown = { closing: false }
  const batch = new Batch({ options, calls, fd, v6, inFlight, shutdown: shutdown })
  socket.on('message', drainBursts(batch, packetHandler(socket, options, inFlight, shutdown)))
  const port = await adopted(socket, fd, options)
  growBuffers(socket)

  let closed: Promise<void> | undefined
  const close = async () => {
    // What the kernel holds was asked before the end: with several workers it can wait in a socket that this thread had no turn for yet.
    for (const untilMs = clock.nowMs() + drainMs / 2; batch.drain() >= MOST_DRAINED && clock.nowMs() < untilMs; );
    shutdown.closing = true
    await inFlight.drained(clock, drainMs)
    batch.flush()
    batch.end()
    await new Promise<void>((resolve) => socket.close(resolve))
  }
  return {
    address,
    port,
    transport: 'udp',
    close() {
      closed ??= close()
      return closed
    },
  }
}

/** Tells a lone packet from a burst. */
function drainBursts(batch: Batch, zoned: (packet: Buffer, from: RemoteInfo) => void): (packet: Buffer, from: RemoteInfo) => void {
  let thisTurn = 0
  let busy = false
  const nextTurn = () => {
    thisTurn = 0
  }
  return (packet, from) => {
    if (thisTurn++ === 0) setImmediate(nextTurn)
    if (from.address.includes('%')) zoned(packet, from)
    // Port 0 can be forged, and nobody can be answered on it.
    else if (from.port !== 0) batch.take(packet, from.address, from.port)
    if (busy || thisTurn > 1) busy = batch.drain() >= BUSY_DRAIN
    else batch.send()
  }
}

function adopted(socket: Socket, fd: number, options: ListenOptions): Promise<number> {
  const fault = sparseFaults(options, 'listen/udp')
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind({ fd, exclusive: true }, () => {
      socket.off('error', reject)
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ECONNREFUSED') fault()
      })
      resolve(socket.address().port)
    })
  })
}
