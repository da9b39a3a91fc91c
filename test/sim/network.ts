import { EventEmitter } from 'node:events'
import { FrameReader, framed } from '../../src/dns/framing.ts'
import { EnigmError } from '../../src/errors.ts'
import type { LinkTools } from '../../src/link/create-link.ts'
import type { Secured } from '../../src/link/dial/handshake.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import type { Dice } from './dice.ts'

/** What a simulated resolver does at the moment. */
export type Mood = 'well' | 'dark' | 'refusing' | 'resetting' | 'half-open' | 'slow' | 'lying' | 'servfail'

/** A resolver of the simulation. */
export interface Peer {
  readonly address: string
  readonly rttMs: number
  mood: Mood
  /** Dials so far, by clock time. */
  readonly dials: number[]
  answer(query: Uint8Array): Uint8Array
}

/** Octets of a frame, later. */
type Later = (afterMs: number, fn: () => void) => void

/**
 * The peer's end of one connection. It stands in for a byte stream where links are concerned: they
 * write, end, destroy and listen. Anything else that is asked of it
 * throws, so that the stand-in cannot pass for what it is not.
 */
class Wire extends EventEmitter {
  readonly #peer: Peer
  readonly #dice: Dice
  readonly #later: Later
  readonly #reader = new FrameReader()
  #chunk: Uint8Array[] = []
  destroyed = false
  /** Made before its peer went half-open: nothing comes through any more. */
  deaf = false

  constructor(peer: Peer, dice: Dice, later: Later) {
    super()
    this.#peer = peer
    this.#dice = dice
    this.#later = later
  }

  write(octets: Uint8Array, done?: () => void): boolean {
    done?.()
    if (this.destroyed || this.deaf) return true
    if (!this.#reader.push(Uint8Array.from(octets), (frame) => this.#asked(Uint8Array.from(frame))))
      throw new Error('a link wrote what is no DNS message')
    return true
  }
  end(done?: () => void): void {
    done?.()
  }
  setNoDelay(): void {}
  destroy(error?: Error): void {
    if (this.destroyed) return
    this.destroyed = true
    this.#later(0, () => {
      if (error !== undefined && this.listenerCount('error') > 0) this.emit('error', error)
      this.emit('close')
    })
  }

  #asked(query: Uint8Array): void {
    const { mood, rttMs } = this.#peer
    if (mood === 'dark' || mood === 'half-open') return
    if (mood === 'resetting' && this.#dice.oneIn(4)) {
      this.#later(rttMs, () => this.destroy(new Error('ECONNRESET')))
      return
    }
    const reply = Uint8Array.from(this.#peer.answer(query))
    if (mood === 'lying') reply[0] = (reply[0] ?? 0) ^ 0x55
    if (mood === 'servfail') reply[3] = ((reply[3] ?? 0) & 0xf0) | 2
    const wait = rttMs * (mood === 'slow' ? 20 : 1) + this.#dice.below(10)
    this.#later(wait, () => this.#deliver(framed(reply)))
  }

  /** In pieces now and then, as TCP does. */
  #deliver(frame: Uint8Array): void {
    if (this.destroyed || this.deaf || this.#peer.mood === 'dark') return
    const cut = this.#dice.oneIn(8) ? 1 + this.#dice.below(frame.length - 1) : frame.length
    this.#chunk.push(frame.slice(0, cut))
    for (const chunk of this.#chunk.splice(0)) this.emit('data', chunk)
    if (cut < frame.length) this.emit('data', frame.slice(cut))
  }
}

/** A network of peers, in memory, on one clock. */
export interface MemoryNetwork {
  readonly handshake: NonNullable<LinkTools['handshake']>
  /** Every connection there is dies in silence, as behind a router that was replaced. */
  forgetConnections(): void
  /** Whether anything can be reached at all. */
  up: boolean
}

export function memoryNetwork(peers: readonly Peer[], clock: FakeClock, dice: Dice): MemoryNetwork {
  const wires = new Set<Wire>()
  const later: Later = (afterMs, fn) => void clock.setTimer(afterMs, fn)
  const network: MemoryNetwork = {
    up: true,
    forgetConnections() {
      for (const wire of wires) wire.deaf = true
    },
    handshake(_what, address, _port, onTcp) {
      const peer = peers.find((p) => p.address === address)
      if (peer === undefined) throw new Error(`nobody lives at ${address}`)
      peer.dials.push(clock.nowMs())
      let abandoned = false
      const result = new Promise<Secured>((resolve, reject) => {
        const fail = (code: 'connect-failed' | 'connect-refused') => later(peer.rttMs, () => reject(new EnigmError(code, 'simulated')))
        if (!network.up) return fail('connect-failed')
        if (peer.mood === 'dark') return
        if (peer.mood === 'refusing') return fail('connect-refused')
        later(peer.rttMs, onTcp)
        later(peer.rttMs * 3, () => {
          if (abandoned || !network.up || peer.mood === 'dark') return
          const wire = new Wire(peer, dice, later)
          wires.add(wire)
          wire.on('close', () => wires.delete(wire))
          const protection = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: 'simulated', resumed: false } as const
          resolve({ stream: wire as unknown as Secured['stream'], protection, protocol: 'dot', certificate: () => undefined })
        })
      })
      return { result, heard: () => false, abandon: () => (abandoned = true) }
    },
  }
  return network
}
