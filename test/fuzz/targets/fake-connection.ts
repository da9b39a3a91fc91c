import { Duplex } from 'node:stream'
import { EnigmError } from '../../../src/errors.ts'
import type { Carrier, CarrierTools, Sent } from '../../../src/link/carriers/carrier.ts'
import type { Connection } from '../../../src/link/dial/connect.ts'
import type { Authenticated } from '../../../src/resolve.ts'
import { FakeClock, seededRandom } from '../../support/fake-clock.ts'
import { query } from '../../support/messages.ts'
import { must } from '../target.ts'

/** What is known of the fake connection. */
export const PROTECTION = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: '', resumed: false } as const

/** The requests that are under way when the octets arrive. */
export const REQUESTS: readonly Uint8Array[] = [0, 1, 2, 3].map((i) => query({ name: `n${i}.example`, id: 0x1000 + i }))

/** What became of each request: an answer's octets as hex, or how it failed. */
export type Outcomes = readonly (string | undefined)[]

/** What makes the carrier that is fed. */
export type Make = (connection: Connection<Authenticated>, tools: CarrierTools) => Carrier

/** What became of requests that were sent, and how a test says what became of one. */
interface Sending {
  readonly outcomes: (string | undefined)[]
  readonly sent: readonly Sent[]
  settle(i: number, outcome: string): void
}

/** Sends `REQUESTS`. Each must be settled once, with its own answer or an error. */
export function sendAll(carrier: Pick<Carrier, 'send'>): Sending {
  const outcomes = new Array<string | undefined>(REQUESTS.length).fill(undefined)
  const settle = (i: number, outcome: string) => {
    must(outcomes[i] === undefined, 'a request is settled once')
    outcomes[i] = outcome
  }
  const sent = REQUESTS.map((request, i) =>
    carrier.send(request, {
      answered: ({ wire }) => {
        must(wire[0] === request[0] && wire[1] === request[1], 'an answer has the ID of its request')
        settle(i, Buffer.from(wire).toString('hex'))
      },
      failed: ({ code }, loss) => settle(i, `${code} ${loss}`),
    }),
  )
  return { outcomes, sent, settle }
}

/**
 * Gives `chunks` to a carrier with requests under way, as its resolver would, then destroys it.
 * Checks that every request settles once, with an answer to it or an error, and returns what was
 * said before the end.
 */
export async function receive(
  make: Make,
  chunks: readonly Uint8Array[],
): Promise<{ readonly outcomes: Outcomes; readonly written: number }> {
  let written = 0
  const stream = new Duplex({
    read() {},
    write(chunk: Uint8Array, _encoding, done) {
      written += chunk.length
      done()
    },
  })
  const watcher = { heard() {}, draining() {}, idle() {}, mismatch() {}, down() {} }
  const carrier = make(
    { stream, address: '127.0.0.1', protection: PROTECTION, handshakeMs: 1, protocol: undefined, certificate: () => undefined },
    { clock: new FakeClock(), random: seededRandom(1), watcher },
  )
  const { outcomes } = sendAll(carrier)
  await turn()
  for (const chunk of chunks) stream.emit('data', chunk)
  const seen = [...outcomes]
  await turn()
  must(carrier.inFlight <= REQUESTS.length, 'no more in flight than was sent')
  carrier.destroy(new EnigmError('closed', 'the run is over'))
  must(carrier.inFlight === 0 && outcomes.every((outcome) => outcome !== undefined), 'every request is settled')
  return { outcomes: seen, written }
}

/** More would measure the cutting. */
const MAX_PIECES = 256

/** The octets in pieces: the first one says where to cut. */
export function pieces(input: Uint8Array): readonly Uint8Array[] {
  const octets = input.subarray(1)
  const size = Math.max(1 + (input[0] ?? 0), Math.ceil(octets.length / MAX_PIECES))
  const chunks: Uint8Array[] = []
  for (let at = 0; at < octets.length; at += size) chunks.push(octets.slice(at, at + size))
  return chunks
}

/** Lets everything run that is due now. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
