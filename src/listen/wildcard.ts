import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import type { Timer } from '../clock.ts'
import { systemCode } from '../errors.ts'
import { InFlight } from './in-flight.ts'
import { type Listener, type ListenOptions, sparseFaults } from './listener.ts'
import { inFlightLimit } from './udp.ts'
import { openUdp } from './udp-batch.ts'

/**
 * If the kernel reports changes: interval of the check for changes that it did not report, and for
 * addresses that could not be opened.
 */
const LOOK_MS = 10_000
/** If it does not: interval of the check for new addresses. A check costs 0.35 ms. */
const POLL_MS = 500
/**
 * A router's tables change a thousand times a second, and each change is reported: at most one
 * check in this time.
 */
const APART_MS = 20
/** Another program may hold the port that the kernel chose, on one address only. */
const PORT_ATTEMPTS = 8

/** The result of `os.networkInterfaces`. */
export type ReadInterfaces = () => NodeJS.Dict<NetworkInterfaceInfo[]>

/** Whether the address means every address of its family. */
export function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::'
}

/**
 * Serves a wildcard over UDP with one socket for each address of each interface that is up. A
 * socket bound to the wildcard itself would answer from the address that the route back prefers,
 * and clients drop a reply that comes from another address than the one they asked. dgram has no
 * IP_PKTINFO to choose the address. Addresses are checked when the kernel reports a change, and at
 * intervals: new addresses are opened, and those that are gone are closed. An address on no
 * interface is not covered: of 127.0.0.0/8 only 127.0.0.1 is, so 127.0.0.2 must be listed
 * separately. Rejects with the system's error if an address cannot be bound at the start.
 */
export async function listenUdpEverywhere(options: ListenOptions, interfaces: ReadInterfaces = networkInterfaces): Promise<Listener> {
  const inFlight = new InFlight(inFlightLimit(options))
  const first = await firstSockets(options, inFlight, interfaces)
  const port = [...first.values()][0]?.port ?? options.port
  const sockets = new WildcardSockets({ ...options, port }, first, interfaces, inFlight)
  return { address: options.address, port, transport: 'udp', close: () => sockets.close() }
}

/** The sockets of one wildcard, updated with the addresses of the host. */
class WildcardSockets {
  readonly #options: ListenOptions
  readonly #interfaces: ReadInterfaces
  readonly #inFlight: InFlight
  readonly #sockets: Map<string, Listener>
  readonly #opening = new Map<string, Promise<void>>()
  /** Sockets that are still bound: an address that comes back meanwhile must wait. */
  readonly #leaving = new Map<string, Promise<void>>()
  readonly #fault: () => void
  readonly #kernel: { close(): void } | undefined
  #round: Timer | undefined
  #soon: Timer | undefined
  #lookedAtMs: number
  #closed: Promise<void> | undefined

  constructor(options: ListenOptions, sockets: Map<string, Listener>, interfaces: ReadInterfaces, inFlight: InFlight) {
    this.#options = options
    this.#interfaces = interfaces
    this.#inFlight = inFlight
    this.#sockets = sockets
    this.#fault = sparseFaults(options, 'listen/wildcard')
    this.#lookedAtMs = options.clock.nowMs()
    this.#kernel = options.addressChanges?.(() => this.#lookSoon())
    this.#schedule()
  }

  close(): Promise<void> {
    this.#closed ??= this.#end()
    return this.#closed
  }

  async #end(): Promise<void> {
    this.#kernel?.close()
    this.#round?.cancel()
    this.#soon?.cancel()
    await Promise.all(this.#opening.values())
    await Promise.all([...this.#leaving.values(), ...Array.from(this.#sockets.values(), (socket) => socket.close())])
  }

  #schedule(): void {
    if (this.#closed !== undefined) return
    const { clock } = this.#options
    this.#round = clock.setTimer(this.#kernel === undefined ? POLL_MS : LOOK_MS, () => void this.#look().then(() => this.#schedule()))
  }

  #lookSoon(): void {
    if (this.#soon !== undefined || this.#closed !== undefined) return
    const { clock } = this.#options
    const waitMs = this.#lookedAtMs + APART_MS - clock.nowMs()
    if (waitMs <= 0) {
      void this.#look()
      return
    }
    this.#soon = clock.setTimer(waitMs, () => {
      this.#soon = undefined
      void this.#look()
    })
  }

  /** Resolves after all sockets that it started to open are open or have failed. Never rejects. */
  async #look(): Promise<void> {
    this.#lookedAtMs = this.#options.clock.nowMs()
    try {
      const now = addressesOf(this.#options.address, this.#interfaces)
      for (const [address, socket] of this.#sockets) {
        if (now.has(address)) continue
        this.#sockets.delete(address)
        this.#leaving.set(
          address,
          socket.close().then(() => void this.#leaving.delete(address)),
        )
      }
      for (const address of now) if (!this.#sockets.has(address) && !this.#opening.has(address)) this.#open(address)
    } catch {
      this.#fault()
    }
    await Promise.all(this.#opening.values())
  }

  #open(address: string): void {
    const open = async () => {
      await this.#leaving.get(address)
      if (this.#closed !== undefined) return
      this.#sockets.set(address, await openUdp({ ...this.#options, address }, this.#inFlight))
    }
    // A tentative IPv6 address cannot be bound yet (RFC 4862 section 5.4): the kernel reports when
    // it can, and the next check tries again.
    const opening = open().catch(this.#fault)
    this.#opening.set(address, opening)
    void opening.then(() => void this.#opening.delete(address))
  }
}

async function firstSockets(options: ListenOptions, inFlight: InFlight, interfaces: ReadInterfaces): Promise<Map<string, Listener>> {
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

/** A tentative or just removed address is left to the next check. */
async function openIfReady(options: ListenOptions, inFlight: InFlight): Promise<Listener | undefined> {
  try {
    return await openUdp(options, inFlight)
  } catch (error) {
    if (systemCode(error) === 'EADDRNOTAVAIL') return undefined
    throw error
  }
}

/** Link-local IPv6 addresses are ambiguous without their interface (RFC 4007 section 11). */
function addressesOf(wildcard: string, interfaces: ReadInterfaces): ReadonlySet<string> {
  const family = wildcard === '::' ? 'IPv6' : 'IPv4'
  const found = new Set<string>()
  for (const [name, addresses] of Object.entries(interfaces())) {
    for (const one of addresses ?? []) {
      if (one.family === family) found.add(one.address.startsWith('fe80:') ? `${one.address}%${name}` : one.address)
    }
  }
  return found
}
