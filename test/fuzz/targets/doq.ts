import { framed } from '../../../src/dns/framing.ts'
import { setId } from '../../../src/dns/message.ts'
import { EnigmError } from '../../../src/errors.ts'
import { DoqCarrier } from '../../../src/link/doq/carrier.ts'
import type { QuicConnection, QuicEnd, QuicStream } from '../../../src/quic.ts'
import { FakeClock, seededRandom } from '../../support/fake-clock.ts'
import { bytes } from '../../support/messages.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'
import { must, type Target } from '../target.ts'
import { type Outcomes, PROTECTION, REQUESTS, sendAll, turn } from './fake-connection.ts'

/** What a step of an input does; its first octet modulo their number chooses. */
const STEPS = ['data', 'end', 'reset', 'streams', 'over', 'broken', 'time', 'cancel'] as const
const MAX_STEPS = 60
const ANSWERS = REQUESTS.map((request) => {
  const reply = replyTo(request, [addressRecord()])
  setId(reply, 0)
  return framed(reply)
})
const [A0, A1, A2] = ANSWERS as [Buffer, Buffer, Buffer]

/** The peer's direction of a stream, as the steps fill it. */
class FakeStream implements QuicStream {
  readonly #cut: number
  #octets: Uint8Array = new Uint8Array(0)
  /** What comes behind the octets. */
  behind: 'end' | 'more' | number = 'more'
  freed = 0

  constructor(cut: number) {
    this.#cut = cut
  }
  get hasNews(): boolean {
    return this.#octets.length > 0 || this.behind !== 'more'
  }
  give(octets: Uint8Array): void {
    if (this.behind === 'more') this.#octets = Buffer.concat([this.#octets, octets])
  }
  read(): Uint8Array | 'end' | 'more' | number {
    must(this.freed === 0, 'a freed stream is not read')
    if (this.#octets.length === 0) return this.behind
    const part = this.#octets.subarray(0, Math.max(this.#cut, this.#octets.length >> 6)) // more would measure the cutting
    this.#octets = this.#octets.subarray(part.length)
    return part
  }
  free(): void {
    must(this.freed++ === 0, 'a stream is freed once')
  }
}

/** A connection of a peer that does what the steps say. */
class FakeQuic implements QuicConnection {
  readonly streams: FakeStream[] = []
  readonly #cut: number
  /** How many streams the peer allows in all. */
  allowed = 3
  closed = 0
  end: QuicEnd | undefined

  constructor(cut: number) {
    this.#cut = cut
  }
  receive(): void {
    this.#alive()
  }
  drive(): void {
    this.#alive()
  }
  timeoutMs(): number | undefined {
    this.#alive()
    return undefined
  }
  handshake(): never {
    throw new Error('the handshake is over')
  }
  request(): QuicStream | undefined {
    this.#alive()
    if (this.streams.length >= this.allowed) return undefined
    const stream = new FakeStream(this.#cut)
    this.streams.push(stream)
    return stream
  }
  readable(): readonly QuicStream[] {
    this.#alive()
    return this.streams.filter((stream) => stream.freed === 0 && stream.hasNews)
  }
  ended(): QuicEnd | undefined {
    this.#alive()
    return this.end
  }
  close(): void {
    must(this.closed++ === 0, 'a connection is closed once')
  }
  #alive(): void {
    must(this.closed === 0, 'a closed connection is not used')
  }
}

/** Everything that one run of steps left behind. */
interface Ran {
  readonly outcomes: Outcomes
  readonly told: readonly string[]
}

/** Plays the steps to a carrier with requests under way; its streams give `cut` octets at a time. */
async function play(steps: Uint8Array, cut: number): Promise<Ran> {
  const quic = new FakeQuic(cut)
  const clock = new FakeClock()
  let listener: { datagram(octets: Uint8Array): void; broken(error: EnigmError): void } | undefined
  let paths = 0
  const path = {
    listen(to: NonNullable<typeof listener>) {
      listener = to
    },
    close: () => must(paths++ === 0, 'a path is closed once'),
  }
  const told: string[] = []
  const tell = (what: string) => () => {
    must(!told.includes('down'), 'nothing is reported after the end')
    if (what !== 'heard') told.push(what)
  }
  const watcher = { heard: tell('heard'), draining: tell('draining'), idle: tell('idle'), mismatch: tell('mismatch'), down: tell('down') }
  const established = { address: '127.0.0.1', protection: PROTECTION, handshakeMs: 1, certificate: () => undefined }
  const carrier = new DoqCarrier(established, quic, path, { clock, random: seededRandom(1), watcher })
  const { outcomes, sent, settle } = sendAll(carrier)
  await turn()
  const work = async () => {
    listener?.datagram(steps)
    await turn()
  }
  for (let at = 0, taken = 0; at + 2 <= steps.length && taken < MAX_STEPS; taken++) {
    const [what = 0, n = 0, length = 0] = steps.subarray(at, at + 3)
    at += 2
    const step = STEPS[what % STEPS.length]
    const stream = quic.streams[n % Math.max(1, quic.streams.length)]
    if (step === 'data') {
      const octets = n >= 250 ? new Uint8Array(length * 300) : steps.subarray(at + 1, at + 1 + length)
      stream?.give(octets)
      at += 1 + (n >= 250 ? 0 : length)
    } else if (step === 'end' || step === 'reset') {
      if (stream?.behind === 'more') stream.behind = step === 'end' ? 'end' : n >> 2
    } else if (step === 'streams') quic.allowed = Math.max(quic.allowed, n)
    else if (step === 'over') quic.end ??= { code: n, remote: true }
    else if (step === 'broken') listener?.broken(new EnigmError('connection-lost', 'the port is closed'))
    else if (step === 'time') await clock.advance(n * 10)
    else {
      const i = n % sent.length
      if (outcomes[i] === undefined) settle(i, 'cancelled')
      sent[i]?.cancel()
    }
    await work()
    must(carrier.inFlight <= outcomes.filter((outcome) => outcome === undefined).length, 'in flight is what is not settled')
  }
  const seen = [...outcomes]
  carrier.destroy(new EnigmError('closed', 'the run is over'))
  await turn()
  must(carrier.inFlight === 0 && outcomes.every((outcome) => outcome !== undefined), 'every request is settled')
  must(quic.closed === 1 && paths === 1, 'the connection and its path are closed')
  must(clock.timers === 0, 'no timer is left')
  return { outcomes: seen, told }
}

/**
 * DNS over QUIC, from behind QUIC: what a resolver does with its streams. Input: how its octets are
 * cut, then steps of two octets, `data` with a length and so many octets behind it.
 */
export const doqTarget: Target = {
  name: 'doq',
  maxOctets: 1024,
  words: ANSWERS,
  seeds: [
    bytes(255, [0, 0, A0.length], A0, [1, 0], [0, 1, A1.length], A1, [1, 1]),
    bytes(1, [0, 2, A2.length], A2, [1, 2], [2, 0], [2, 18], [3, 4], [0, 3, A0.length], A0, [1, 3]),
    bytes(7, [0, 0, 3], A0.subarray(0, 3), [6, 20], [4, 4]),
    bytes(0, [0, 255, 240], [1, 0]),
    bytes(3, [7, 0], [7, 3], [0, 1, 14], new Uint8Array(14), [1, 1], [5, 0]),
    bytes(9, [6, 9], [6, 9], [6, 200], [3, 9]),
  ],
  async timed(input) {
    await play(input.subarray(1), 65_536)
  },
  async run(input) {
    const cut = await play(input.subarray(1), 1 + (input[0] ?? 0))
    const whole = await play(input.subarray(1), 65_536)
    must(JSON.stringify(cut) === JSON.stringify(whole), 'how the octets are cut does not matter')
  },
}
