import { setId } from '../../../src/dns/message.ts'
import { FLAG, FRAME } from '../../../src/link/carriers/h2/codes.ts'
import { leanH2Carrier } from '../../../src/link/carriers/h2/connection.ts'
import { putFrameHeader } from '../../../src/link/carriers/h2/outbox.ts'
import { endpointAt } from '../../support/link-rig.ts'
import { bytes, u16s, u32s } from '../../support/messages.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'
import { must, type Target } from '../target.ts'
import { type Make, pieces, REQUESTS, receive } from './fake-connection.ts'

const ENDPOINT = endpointAt(1, { ca: '' })
/**
 * What one octet may make us write, on average: a PING of 17 octets is answered with as many, a
 * header block of 10 with an RST_STREAM of 13.
 */
const MOST_WRITTEN = 4
/** The preface, four requests, and what says goodbye. */
const ALWAYS_WRITTEN = 4096

function frame(type: number, flags: number, streamId: number, ...payload: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const body = bytes(...payload)
  const header = new Uint8Array(9)
  putFrameHeader(header, 0, body.length, type, flags, streamId)
  return bytes(header, body)
}
const text = (value: string) => [value.length, ...Buffer.from(value, 'latin1')]
const field = (name: string, value: string) => [0, ...text(name), ...text(value)]
const GOOD = [0x88, ...field('content-type', 'application/dns-message')]
const BODIES = REQUESTS.map((request) => {
  const reply = replyTo(request, [addressRecord()])
  setId(reply, 0)
  return Uint8Array.from(reply)
})
const body = (i: number) => BODIES[i] ?? new Uint8Array(0)
const settings = (...values: readonly Uint8Array[]) => frame(FRAME.settings, 0, 0, ...values)
const setting = (id: number, value: number) => bytes(u16s(id), u32s(value))
const answer = (i: number) =>
  bytes(frame(FRAME.headers, FLAG.endHeaders, 2 * i + 1, GOOD), frame(FRAME.data, FLAG.endStream, 2 * i + 1, body(i)))
const OK = settings()

const make: Make = (connection, tools) => leanH2Carrier(connection, ENDPOINT, tools)

/**
 * HTTP/2 as the lean client reads it, HPACK included: the octets that a server sends. Input: how
 * they are cut, then they.
 */
export const h2Target: Target = {
  name: 'h2',
  maxOctets: 65_535,
  words: [
    ...BODIES,
    GOOD,
    OK,
    ...[0, 1, 2, 3, 4, 6, 7, 8, 9].map((type) => frame(type, 4, 1)),
    field('content-length', '54'),
    field('age', '9'),
  ],
  seeds: [
    bytes(255, OK, answer(0), answer(1), answer(2), answer(3)),
    bytes(3, OK, answer(3), answer(0)),
    bytes(99, settings(setting(1, 0), setting(3, 1), setting(4, 10), setting(5, 16_384)), frame(FRAME.settings, FLAG.ack, 0), answer(1)),
    bytes(
      50,
      OK,
      frame(FRAME.headers, 0, 1, GOOD.slice(0, 9)),
      frame(FRAME.continuation, FLAG.endHeaders, 1, GOOD.slice(9)),
      frame(0, 1, 1, body(0)),
    ),
    bytes(50, OK, frame(FRAME.headers, FLAG.endHeaders, 3, [0x48, ...text('100')]), answer(1), frame(FRAME.goaway, 0, 0, u32s(3, 0))),
    bytes(
      200,
      OK,
      frame(FRAME.rstStream, 0, 1, u32s(7)),
      frame(FRAME.rstStream, 0, 3, u32s(8)),
      frame(FRAME.ping, 0, 0, u32s(1, 2)),
      answer(2),
    ),
    bytes(200, OK, frame(FRAME.headers, 0x2d, 1, [3], u32s(0), [16], GOOD, [0, 0, 0]), frame(FRAME.data, 9, 5, [4], body(2), [0, 0, 0, 0])),
    bytes(200, OK, frame(FRAME.windowUpdate, 0, 0, u32s(0x7fffffff)), frame(FRAME.windowUpdate, 0, 1, u32s(0)), answer(0)),
    bytes(
      200,
      OK,
      frame(FRAME.headers, 4, 1, GOOD, field('age', '20'), field('content-length', String(body(0).length))),
      frame(0, 1, 1, body(0)),
    ),
    bytes(
      200,
      OK,
      frame(FRAME.headers, 4, 1, [0x48, 0x03, 0x34, 0x30, 0x34], [0x5f, 0x87, 0x49, 0x7c, 0xa5, 0x8a, 0xe8, 0x19, 0xaa]),
      answer(1),
    ),
    bytes(
      200,
      OK,
      frame(FRAME.headers, 4, 1, [0x3f, 0xe1, 0x1f, 0x40, ...text('x-a'), ...text('b'), 0xbe, 0x88]),
      frame(FRAME.goaway, 0, 0, u32s(0, 2)),
    ),
  ],
  async timed(input) {
    await receive(make, [input.slice(1)])
  },
  async run(input) {
    const cut = await receive(make, pieces(input))
    must(cut.written <= ALWAYS_WRITTEN + MOST_WRITTEN * input.length, 'what is written is bounded by what came')
    const whole = await receive(make, [input.slice(1)])
    must(JSON.stringify(cut.outcomes) === JSON.stringify(whole.outcomes), 'how the octets are cut does not matter')
  },
}
