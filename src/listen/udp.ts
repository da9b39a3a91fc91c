import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { withoutZone } from '../config/cidr.ts'
import { UDP_SIZE } from '../dns/edns.ts'
import { copyOf } from '../dns/octets.ts'
import type { View } from '../resolve.ts'
import { InFlight, overloadReply, untilQuiet } from './in-flight.ts'
import { DEFAULT_LIMITS, type Listener, type ListenOptions, sparseFaults } from './listener.ts'
import { isLocal } from './reply-rate.ts'

/**
 * A burst of 10,000 queries of 100 octets costs the kernel 8 MB; the size that it grants
 * (net.core.rmem_max) is usually smaller.
 */
const RECEIVE_OCTETS = 4 * 1024 * 1024
/**
 * Limit of replies that the kernel did not accept at once. Above this number they are dropped, as
 * on a congested network.
 */
const SEND_QUEUE = 1_000

/**
 * dgram resolves even a literal address with a lookup, by default on the thread pool: this lookup
 * is synchronous. dgram does not read the family.
 */
export function literalLookup(address: string, _options: unknown, done: (error: null, address: string, family: number) => void): void {
  done(null, address, 0)
}

/**
 * Serves one address (not a wildcard, see wildcard.ts) over UDP. Rejects with the system's error if
 * it cannot bind. `inFlight` is shared by the sockets of one wildcard.
 */
export async function listenUdp(options: ListenOptions, inFlight = new InFlight(inFlightLimit(options))): Promise<Listener> {
  const { address, clock, drainMs } = options
  const socket = createSocket(
    isIPv6(address) ? { type: 'udp6', ipv6Only: true, lookup: literalLookup } : { type: 'udp4', lookup: literalLookup },
  )
  const shutdown = { closing: false }
  let packets = 0
  const handle = packetHandler(socket, options, inFlight, shutdown)
  socket.on('message', (packet, from) => {
    packets++
    handle(packet, from)
  })
  const { port } = await bindSocket(socket, options)
  growBuffers(socket)

  let closed: Promise<void> | undefined
  const close = async () => {
    inFlight.enter()
    void untilQuiet(() => packets, clock, drainMs / 2).then(() => {
      shutdown.closing = true
      inFlight.leave()
    })
    await inFlight.drained(clock, drainMs)
    shutdown.closing = true
    await new Promise<void>((resolve) => socket.close(resolve))
  }
  return {
    address,
    port,
    transport: 'udp',
    inheritedFd: options.inheritedFd,
    close() {
      closed ??= close()
      return closed
    },
  }
}

/** The limit of queries in progress for these options. */
export function inFlightLimit(options: ListenOptions): number {
  return options.limits?.inFlight ?? DEFAULT_LIMITS.inFlight
}

/**
 * The hit path: one call of the Responder and one send; no promise, no closure, and no buffer
 * except dgram's own. One output buffer serves all packets: dgram passes a reply to the kernel
 * before the next packet is delivered. If the kernel's buffer is full, libuv keeps a reference
 * instead, so while its queue is not empty each reply gets a buffer of its own.
 */
export function packetHandler(socket: Socket, options: ListenOptions, inFlight: InFlight, shutdown: { readonly closing: boolean }) {
  const { responder } = options
  const shared = Buffer.alloc(UDP_SIZE)
  const fault = sparseFaults(options, 'listen/udp')

  const reply = (from: RemoteInfo, address: string, view: View) => {
    inFlight.enter()
    responder.later({ address, transport: 'udp', view }, (octets, length) => {
      try {
        if (length === 0 || socket.getSendQueueCount() >= SEND_QUEUE) inFlight.leave()
        // The query counts as in progress until its reply is sent: a socket that closes earlier
        // would lose the reply.
        else socket.send(copyOf(octets, 0, length), from.port, from.address, inFlight.leave)
      } catch {
        // The socket was closed because the drain limit passed.
        inFlight.leave()
        if (!shutdown.closing) fault()
      }
    })
  }

  return (packet: Buffer, from: RemoteInfo): void => {
    const address = from.family === 'IPv6' ? withoutZone(from.address) : from.address
    // Port 0 can be forged, a reply to it is impossible, and send() throws for it.
    if (shutdown.closing || from.port === 0 || !options.allowed(address)) return
    const queued = socket.getSendQueueCount()
    if (queued >= SEND_QUEUE) return
    const out = queued === 0 ? shared : Buffer.allocUnsafe(UDP_SIZE)
    const { queryRate, replyRate, clock } = options
    const counted = queryRate !== undefined && queryRate.perSecond > 0
    const refused = counted ? queryRate.limitedReply(address, clock.nowMs(), packet, out, 0) : undefined
    const paced = refused === undefined && replyRate !== undefined && !isLocal(address)
    const instead = paced ? replyRate.limitedReply(address, clock.nowMs(), packet, out, 0) : refused
    if (instead !== undefined) {
      if (instead > 0) socket.send(out, 0, instead, from.port, from.address)
      return
    }
    const view = options.view(address)
    let length = responder.now(packet, 0, packet.length, out, 0, UDP_SIZE, view)
    if (length === 0 && inFlight.full) length = overloadReply(packet, out, 0)
    else if (length === 0) {
      reply(from, address, view)
      return
    }
    if (length > 0) socket.send(out, 0, length, from.port, from.address)
  }
}

function bindSocket(socket: Socket, options: ListenOptions): Promise<{ readonly port: number }> {
  const { address, port, inheritedFd } = options
  return new Promise((resolve, reject) => {
    const refused = (error: Error) => {
      socket.close()
      reject(error)
    }
    socket.once('error', refused)
    socket.bind({ ...(inheritedFd === undefined ? { address, port } : { fd: inheritedFd }), exclusive: true }, () => {
      socket.off('error', refused)
      socket.on('error', onSocketError(options))
      resolve(socket.address())
    })
  })
}

/**
 * An ICMP error about one client's port is no evidence about the socket. Any other error is
 * reported, and reading continues.
 */
function onSocketError(options: ListenOptions): (error: NodeJS.ErrnoException) => void {
  const fault = sparseFaults(options, 'listen/udp')
  return (error) => {
    if (error.code !== 'ECONNREFUSED') fault()
  }
}

export function growBuffers(socket: Socket): void {
  for (let octets = RECEIVE_OCTETS; octets >= RECEIVE_OCTETS / 4; octets /= 2) {
    try {
      socket.setRecvBufferSize(octets)
      return
    } catch {
      // macOS refuses more than kern.ipc.maxsockbuf instead of granting less.
    }
  }
}
