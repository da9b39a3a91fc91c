import { EnigmError } from '../../src/errors.ts'
import type { Carrier, CarrierTools, Established, Sent, Ticket, Watcher } from '../../src/link/carriers/carrier.ts'
import type { DialTarget } from '../../src/link/dial/dialler.ts'
import type { Authenticated } from '../../src/resolve.ts'
import type { FakeClock } from './fake-clock.ts'

/** A carrier that does what the test says, and keeps its silence as a real one does. */
export class FakeCarrier implements Carrier<Authenticated> {
  readonly address: string
  readonly protection: Authenticated
  readonly handshakeMs: number
  readonly watcher: Watcher
  readonly clock: FakeClock
  readonly tickets: { readonly request: Uint8Array; readonly ticket: Ticket<Authenticated> }[] = []
  idleMs = Number.POSITIVE_INFINITY
  silentSinceMs: number | undefined
  probes = 0
  /** Whether its protocol has a sign of life to ask for. */
  pings = true
  destroyed = false
  /** Like HTTP/1.1: of the requests only the first is written. */
  oneByOne = false
  /** Like DoT: a reply trickles, and delays all after it. */
  replyUnfinished = false

  constructor({ address, protection, handshakeMs }: Established<Authenticated>, tools: CarrierTools, clock: FakeClock) {
    this.address = address
    this.protection = protection
    this.handshakeMs = handshakeMs
    this.watcher = tools.watcher
    this.clock = clock
  }
  certificate(): undefined {}
  get inFlight(): number {
    return this.tickets.length
  }
  get waiting(): number {
    return this.oneByOne ? Math.max(0, this.tickets.length - 1) : 0
  }
  send(request: Uint8Array, ticket: Ticket<Authenticated>): Sent {
    const entry = { request, ticket }
    this.tickets.push(entry)
    this.silentSinceMs ??= this.clock.nowMs()
    const waits = () => this.oneByOne && this.tickets.indexOf(entry) > 0
    return {
      get waits() {
        return waits()
      },
      cancel: () => {
        const at = this.tickets.indexOf(entry)
        if (at < 0) return
        this.tickets.splice(at, 1)
        this.#rest()
      },
    }
  }
  probe(): boolean {
    this.probes++
    return this.pings
  }
  destroy(error: EnigmError): void {
    this.destroyed = true
    for (const { ticket } of this.tickets.splice(0)) ticket.failed(error, 'lost')
  }

  /** The peer answers the oldest request. */
  answer(rttMs = 20): void {
    this.speak()
    const entry = this.tickets.shift()
    entry?.ticket.answered({ wire: entry.request, rttMs, protection: this.protection })
    this.#rest()
  }
  /** The peer shows that it is there. */
  speak(): void {
    this.silentSinceMs = undefined
    this.watcher.heard()
  }
  /** The connection dies. */
  die(): void {
    const error = new EnigmError('connection-lost', 'died')
    this.watcher.down(error)
    this.destroy(error)
  }
  #rest(): void {
    if (this.tickets.length > 0 || this.destroyed) return
    this.silentSinceMs = undefined
    this.watcher.idle()
  }
}

export interface FakeDial {
  readonly signal: AbortSignal
  readonly first: string | undefined
  up(): Promise<FakeCarrier>
  fail(error: EnigmError): Promise<void>
}

/** Dials that end when told. */
export function fakeTarget(clock: FakeClock) {
  const dials: FakeDial[] = []
  const carriers: FakeCarrier[] = []
  const forgotten = { times: 0, sockets: 0 }
  const target: DialTarget<Authenticated> = {
    resolver: 'test',
    transport: 'dot',
    forgetSessions: () => void forgotten.times++,
    dial: (signal, first) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
        const protection = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: '', resumed: false } as const
        dials.push({
          signal,
          first,
          up: async () => {
            const established = { address: '192.0.2.1', protection, handshakeMs: 20, certificate: () => undefined }
            resolve({
              ...established,
              carry: (tools) => {
                const carrier = new FakeCarrier(established, tools, clock)
                carriers.push(carrier)
                return carrier
              },
              close: () => void forgotten.sockets++,
            })
            await clock.advance(0)
            const carrier = carriers.at(-1)
            if (carrier === undefined) throw new Error('no carrier came of the dial')
            return carrier
          },
          fail: async (error) => {
            reject(error)
            await clock.advance(0)
          },
        })
      }),
  }
  return { target, dials, carriers, forgotten }
}
