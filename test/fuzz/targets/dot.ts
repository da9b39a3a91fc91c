import { FrameReader, framed } from '../../../src/dns/framing.ts'
import { setId } from '../../../src/dns/message.ts'
import { DotCarrier } from '../../../src/link/carriers/dot.ts'
import { seededRandom } from '../../support/fake-clock.ts'
import { bytes } from '../../support/messages.ts'
import { addressRecord, replyTo, withOptions } from '../../support/replies.ts'
import { must, type Target } from '../target.ts'
import { type Make, pieces, REQUESTS, receive } from './fake-connection.ts'

/**
 * The IDs that the carrier draws from the same seed: without them no octets would ever be an
 * answer.
 */
const random = seededRandom(1)
const ANSWERS = REQUESTS.map((request) => {
  const reply = replyTo(request, [addressRecord()])
  setId(reply, random.below(65_536))
  return reply
})
const [A0, A1, A2] = ANSWERS as [Buffer, Buffer, Buffer]

const make: Make = (connection, tools) => new DotCarrier(connection, tools)

/**
 * DNS over TLS, from behind the TLS: the octets that a resolver sends. Input: how they are cut,
 * then they.
 */
export const dotTarget: Target = {
  name: 'dot',
  maxOctets: 65_535,
  words: ANSWERS,
  seeds: [
    bytes(255, framed(A0), framed(A1)),
    bytes(2, framed(A2), framed(withOptions(A0, Uint8Array.of(0, 11, 0, 2, 0, 0)))),
    bytes(0, [0, 12], A0.subarray(0, 12)),
    bytes(40, [0xff, 0xff], new Uint8Array(300)),
    bytes(7, [0, 11], A0),
    bytes(3, [0, 0, 0, 1, 9], framed(A0), [0, 11], new Uint8Array(11), framed(A1)),
    bytes(
      1,
      framed(bytes(A0.subarray(0, 2), [0x81, 0x80], new Uint8Array(8))),
      framed(bytes(A1.subarray(0, 2), [0x81, 0x81, 0, 1], new Uint8Array(6))),
    ),
  ],
  async timed(input) {
    await receive(make, [input.slice(1)])
  },
  async run(input) {
    framesAreWhole(input, 0)
    framesAreWhole(input, 12)
    const { outcomes } = await receive(make, pieces(input))
    const whole = await receive(make, [input.slice(1)])
    must(JSON.stringify(outcomes) === JSON.stringify(whole.outcomes), 'how the octets are cut does not matter')
  },
}

function framesAreWhole(input: Uint8Array, minOctets: number): void {
  const octets = input.subarray(1)
  const frames: string[] = []
  const reader = new FrameReader(65_535, minOctets)
  for (const chunk of pieces(input)) {
    if (!reader.push(chunk, (frame) => void frames.push(Buffer.from(frame).toString('hex')))) break
    must(reader.pendingOctets <= 65_537, 'at most one frame is held back')
  }
  const expected: string[] = []
  for (let at = 0; at + 2 <= octets.length; ) {
    const length = (octets[at]! << 8) | octets[at + 1]!
    if (length < minOctets || at + 2 + length > octets.length) break
    expected.push(Buffer.from(octets.subarray(at + 2, at + 2 + length)).toString('hex'))
    at += 2 + length
  }
  must(frames.join() === expected.join(), 'every whole frame before the first broken length, and no other')
}
