import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import type { Timer } from '../clock.ts'
import { systemCode } from '../errors.ts'
import { InFlight } from './in-flight.ts'
import { type Listener, type ListenOptions, sparseFaults } from './listener.ts'
import { openUdp } from './open-udp.ts'
import { inFlightLimit } from './udp.ts'

/** How soon a new address of the host answers. */
const LOOK_MS = 10_000
/** Another program may hold the port that the kernel chose on one address only. */
const PORT_ATTEMPTS = 8

/** What `os.networkInterfaces` returns. */
export type Interfaces = () => NodeJS.Dict<NetworkInterfaceInfo[]>

/** Whether the address stands for every address of its family. */
export function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::'
}

/**
 * A wildcard over UDP: one socket for each address of each interface that is up. A socket bound to the wildcard itself would answer from whatever address the
 * route back prefers, and clients drop a reply that comes from another address than they asked; dgram has no IP_PKTINFO to say which one that was.
 * Looked at again every 10 s: new addresses are opened, gone ones closed. What is on no interface is not covered: of 127.0.0.0/8 only 127.0.0.1
 * is, so 127.0.0.2 must be listed by itself. Rejects with the system's error when an address cannot be bound at the start.
 */
export async function listenUdpEverywhere(options: ListenOptions, interfaces: Interfaces = networkInterfaces): Promise<Listener> {
  const inFlight = new InFlight(inFlightLimit(options))
  const sockets = await firstSockets(options, inFlight, interfaces)
  const port = [...sockets.values()][0]?.port ?? options.port
  const fault = sparseFaults(options, 'listen/wildcard')
  let closed: Promise<void> | undefined
  let looking: Promise<void> = Promise.resolve()

  const look = async () => {
    const now = addressesOf(options.address, interfaces)
    for (const [address, socket] of sockets) {
      if (now.has(address)) continue
      sockets.delete(address)
      void socket.close()
    }
    for (const address of now) {
      if (sockets.has(address)) continue
      try {
        sockets.set(address, await openUdp({ ...options, address, port }, inFlight))
      } catch {
        // A tentative IPv6 address cannot be bound yet (RFC 4862 section 5.4): the next look tries again.
        fault()
      }
    }
  }
  let timer: Timer
  const schedule = () => {
    timer = options.clock.setTimer(LOOK_MS, () => {
      looking = look()
        .catch(fault)
        .then(() => {
          if (closed === undefined) schedule()
        })
    })
  }
  schedule()

  const close = async () => {
    timer.cancel()
    await looking
    await Promise.all(Array.from(sockets.values(), (socket) => socket.close()))
  }
  return {
    address: options.address,
    port,
    transport: 'udp',
    close() {
      closed ??= close()
      return closed
    },
  }
}

async function firstSockets(options: ListenOptions, inFlight: InFlight, interfaces: Interfaces): Promise<Map<string, Listener>> {
  for (let attempt = 1; ; attempt++) {
    const sockets = new Map<string, Listener>()
    try {
      let { port } = options
      for (const address of addressesOf(options.address, interfaces)) {
        const socket = await openIfReady({ ...options, address, port }, inFlight)
        if (socket === undefined) continue
        sockets.set(address, socket)
        port = socket.port
      }
      if (sockets.size === 0) throw Object.assign(new Error('no interface has such an address'), { code: 'EADDRNOTAVAIL' })
      return sockets
    } catch (error) {
      await Promise.all(Array.from(sockets.values(), (socket) => socket.close()))
      const collision = options.port === 0 && systemCode(error) === 'EADDRINUSE'
      if (!collision || attempt === PORT_ATTEMPTS) throw error
    }
  }
}

/** A tentative or just removed address is left to the next look. */
async function openIfReady(options: ListenOptions, inFlight: InFlight): Promise<Listener | undefined> {
  try {
    return await openUdp(options, inFlight)
  } catch (error) {
    if (systemCode(error) === 'EADDRNOTAVAIL') return undefined
    throw error
  }
}

/** Link-local IPv6 addresses mean nothing without their interface (RFC 4007 section 11). */
function addressesOf(wildcard: string, interfaces: Interfaces): ReadonlySet<string> {
  const family = wildcard === '::' ? 'IPv6' : 'IPv4'
  const found = new Set<string>()
  for (const [name, addresses] of Object.entries(interfaces())) {
    for (const one of addresses ?? []) {
      if (one.family === family) found.add(one.address.startsWith('fe80:') ? `${one.address}%${name}` : one.address)
    }
  }
  return found
}
