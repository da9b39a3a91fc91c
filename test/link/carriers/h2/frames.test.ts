import fc from 'fast-check'
import t from 'tap'
import { FLAG, FRAME, H2, MAX_FRAME_OCTETS } from '../../../../src/link/carriers/h2/codes.ts'
import { type FrameSink, H2FrameReader, Inbound, Patience } from '../../../../src/link/carriers/h2/frames.ts'
import { RequestHead } from '../../../../src/link/carriers/h2/heads.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { endpointAt } from '../../../support/link-rig.ts'
import { frame, settings, u32 } from './rig.ts'

/** Events as text. */
function listening() {
  const events: string[] = []
  const note = (name: string, ...what: readonly unknown[]) => {
    events.push([name, ...what].join(' '))
    return H2.none
  }
  const text = (octets: Uint8Array, start: number, end: number) => Buffer.from(octets.subarray(start, end)).toString('hex')
  const sink: FrameSink = {
    onSettings: (octets, start, end) => note('settings', text(octets, start, end)),
    onPing: (octets, start) => void note('ping', text(octets, start, start + 8)),
    onPong: () => void note('pong'),
    onGoaway: (last) => note('goaway', last),
    onReset: (id, code) => note('reset', id, code),
    onWindowUpdate: (id, increment) => note('window', id, increment),
    onHeaders: (id, octets, start, end, last) => note('headers', id, text(octets, start, end), last),
    onData: (id, octets, start, end, flow, last) => note('data', id, text(octets, start, end), flow, last),
  }
  const clock = new FakeClock()
  return { events, clock, inbound: new Inbound(sink, new Patience(clock)) }
}

const HELLO = settings()
const after = (...frames: readonly Uint8Array[]) => {
  const { inbound, events } = listening()
  const code = inbound.receive(Buffer.concat([HELLO, ...frames]))
  return { code, events: events.slice(1) }
}

t.test('rules for single frames (RFC 9113 section 6)', (t) => {
  const eight = new Uint8Array(8)
  const cases: [string, number, ...Uint8Array[]][] = [
    ['DATA on stream 0', H2.protocol, frame(FRAME.data, 0, 0, [1])],
    ['DATA, all padding and more', H2.protocol, frame(FRAME.data, FLAG.padded, 1, [5, 0, 0, 0, 0])],
    ['DATA, padded, empty', H2.frameSize, frame(FRAME.data, FLAG.padded, 1)],
    ['HEADERS on stream 0', H2.protocol, frame(FRAME.headers, FLAG.endHeaders, 0, [0x88])],
    ['HEADERS, too much padding', H2.protocol, frame(FRAME.headers, FLAG.endHeaders | FLAG.padded, 1, [2, 0x88])],
    ['HEADERS, no room for its priority', H2.frameSize, frame(FRAME.headers, FLAG.endHeaders | FLAG.priority, 1, [0, 0, 0, 0])],
    ['PRIORITY on stream 0', H2.protocol, frame(FRAME.priority, 0, 0, [0, 0, 0, 0, 0])],
    ['PRIORITY of 4 octets', H2.frameSize, frame(FRAME.priority, 0, 1, u32(0))],
    ['RST_STREAM on stream 0', H2.protocol, frame(FRAME.rstStream, 0, 0, u32(0))],
    ['RST_STREAM of 3 octets', H2.frameSize, frame(FRAME.rstStream, 0, 1, [0, 0, 0])],
    ['SETTINGS on a stream', H2.protocol, frame(FRAME.settings, 0, 1)],
    ['SETTINGS of 5 octets', H2.frameSize, frame(FRAME.settings, 0, 0, [0, 0, 0, 0, 0])],
    ['SETTINGS ACK with a payload', H2.frameSize, frame(FRAME.settings, FLAG.ack, 0, [0, 1, 0, 0, 0, 0])],
    ['PUSH_PROMISE', H2.protocol, frame(FRAME.pushPromise, FLAG.endHeaders, 1, u32(2), [0x82])],
    ['PING on a stream', H2.protocol, frame(FRAME.ping, 0, 1, eight)],
    ['PING of 7 octets', H2.frameSize, frame(FRAME.ping, 0, 0, eight.subarray(1))],
    ['GOAWAY on a stream', H2.protocol, frame(FRAME.goaway, 0, 1, eight)],
    ['GOAWAY of 7 octets', H2.frameSize, frame(FRAME.goaway, 0, 0, eight.subarray(1))],
    ['WINDOW_UPDATE of 0 on the connection', H2.protocol, frame(FRAME.windowUpdate, 0, 0, u32(0))],
    ['WINDOW_UPDATE of 5 octets', H2.frameSize, frame(FRAME.windowUpdate, 0, 0, [0, 0, 0, 0, 1])],
    ['CONTINUATION of nothing', H2.protocol, frame(FRAME.continuation, FLAG.endHeaders, 1, [0x88])],
    ['CONTINUATION on stream 0', H2.protocol, frame(FRAME.continuation, FLAG.endHeaders, 0, [0x88])],
    ['a frame above 16,384 octets', H2.frameSize, frame(FRAME.data, 0, 1, new Uint8Array(MAX_FRAME_OCTETS + 1))],
  ]
  for (const [name, code, ...frames] of cases) t.same(after(...frames), { code, events: [] }, name)
  t.end()
})

t.test('the first frame is SETTINGS (RFC 9113 section 3.4)', (t) => {
  t.equal(listening().inbound.receive(frame(FRAME.ping, 0, 0, new Uint8Array(8))), H2.protocol)
  t.equal(listening().inbound.receive(frame(FRAME.settings, FLAG.ack, 0)), H2.protocol)
  t.equal(listening().inbound.receive(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')), H2.frameSize)
  t.end()
})

t.test('accepted frames: padding and priority are cut off, unknown types and flags ignored, the reserved bit too', (t) => {
  const reserved = frame(FRAME.data, 0, 5, [9])
  reserved[5] = 0x80
  const { code, events } = after(
    frame(FRAME.headers, FLAG.endHeaders | FLAG.padded | FLAG.priority, 3, [2, 0, 0, 0, 0, 9, 0x88, 0, 0]),
    frame(FRAME.data, FLAG.padded | FLAG.endStream, 3, [1, 7, 8, 0]),
    frame(0x0a, 255, 0, [1, 2, 3]),
    frame(0xff, 255, 77),
    reserved,
    frame(FRAME.ping, 0xfe, 0, [1, 2, 3, 4, 5, 6, 7, 8]),
    frame(FRAME.goaway, 0, 0, u32(0x80000003), u32(0), [1, 2, 3]),
  )
  t.equal(code, H2.none)
  t.same(events, ['headers 3 88 false', 'data 3 0708 4 true', 'data 5 09 1 false', 'ping 0102030405060708', 'goaway 3'])
  t.end()
})

t.test('CONTINUATION: joined, never interleaved, bounded (CVE-2024-27316)', (t) => {
  const open = frame(FRAME.headers, FLAG.endStream, 1, [0x88])
  const more = (streamId: number, flags: number, ...octets: number[]) => frame(FRAME.continuation, flags, streamId, octets)
  t.same(after(open, more(1, 0, 1), more(1, FLAG.endHeaders, 2)), { code: H2.none, events: ['headers 1 880102 true'] })
  t.equal(after(open, frame(FRAME.ping, 0, 0, new Uint8Array(8))).code, H2.protocol, 'a PING between')
  t.equal(after(open, frame(0x0a, 0, 0)).code, H2.protocol, 'an unknown frame between')
  t.equal(after(open, frame(FRAME.data, 0, 1, [1])).code, H2.protocol, 'DATA of the stream between')
  t.equal(after(open, open).code, H2.protocol, 'HEADERS between')
  t.equal(after(open, more(3, FLAG.endHeaders, 1)).code, H2.protocol, 'of another stream')
  t.equal(after(open, more(1, FLAG.endHeaders), more(1, FLAG.endHeaders)).code, H2.protocol, 'after the end')
  t.equal(after(open, ...new Array<Buffer>(17).fill(more(1, 0))).code, H2.enhanceYourCalm, 'empty ones without end')
  const full = frame(FRAME.continuation, 0, 1, new Uint8Array(MAX_FRAME_OCTETS))
  t.equal(after(open, full, full).code, H2.enhanceYourCalm, 'more octets than a header list may have')
  t.end()
})

t.test('floods of every cheap frame end in ENHANCE_YOUR_CALM (CVE-2019-9512 to 9518)', (t) => {
  const kinds: Record<string, Buffer> = {
    PING: frame(FRAME.ping, 0, 0, new Uint8Array(8)),
    'PING ACK': frame(FRAME.ping, FLAG.ack, 0, new Uint8Array(8)),
    SETTINGS: settings(),
    'SETTINGS ACK': frame(FRAME.settings, FLAG.ack, 0),
    PRIORITY: frame(FRAME.priority, 0, 1, [0, 0, 0, 0, 0]),
    'empty DATA': frame(FRAME.data, 0, 1),
    'DATA of padding': frame(FRAME.data, FLAG.padded, 1, [3, 0, 0, 0]),
    WINDOW_UPDATE: frame(FRAME.windowUpdate, 0, 1, u32(1)),
    GOAWAY: frame(FRAME.goaway, 0, 0, u32(1), u32(0)),
    unknown: frame(0x20, 0, 0),
  }
  for (const [name, one] of Object.entries(kinds)) {
    t.equal(after(...new Array<Buffer>(900).fill(one)).code, H2.none, `900 ${name}`)
    t.equal(after(...new Array<Buffer>(1100).fill(one)).code, H2.enhanceYourCalm, `1,100 ${name}`)
  }
  t.end()
})

t.test('a number that is a flood at once is none over a day', async (t) => {
  const { inbound, clock } = listening()
  inbound.receive(HELLO)
  let code: number = H2.none
  for (let minute = 0; minute < 24 * 60 && code === H2.none; minute++) {
    for (let i = 0; i < 60; i++) code = inbound.receive(frame(FRAME.ping, 0, 0, new Uint8Array(8)))
    if (minute % 10 === 0) await clock.advance(600_000)
  }
  t.equal(code, H2.none)
})

const anyFrame = fc
  .tuple(fc.integer({ min: 0, max: 12 }), fc.nat(255), fc.nat(6), fc.uint8Array({ maxLength: 40 }))
  .map(([type, flags, streamId, payload]) => frame(type, flags, streamId, payload))
const anyFrames = fc.array(anyFrame, { maxLength: 12 }).map((frames) => Buffer.concat([HELLO, ...frames]))

t.test('the events are the same for any division of the octets', (t) => {
  fc.assert(
    fc.property(anyFrames, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 }), (octets, cuts) => {
      const whole = listening()
      const code = whole.inbound.receive(octets)
      const cut = listening()
      let cutCode: number = H2.none
      for (let at = 0, i = 0; at < octets.length && cutCode === H2.none; i++) {
        const end = Math.min(octets.length, at + (cuts[i % cuts.length] ?? 1))
        cutCode = cut.inbound.receive(octets.subarray(at, end))
        at = end
      }
      return code === cutCode && whole.events.join('\n') === cut.events.join('\n')
    }),
    { numRuns: 2000 },
  )
  t.end()
})

t.test('any octets are accepted without a throw, and memory is bounded', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (chunks) => {
      const { inbound } = listening()
      inbound.receive(HELLO)
      return chunks.every((chunk) => inbound.receive(chunk) >= 0)
    }),
    { numRuns: 2000 },
  )
  const reader = new H2FrameReader(() => H2.none)
  const large = frame(FRAME.data, 0, 1, new Uint8Array(MAX_FRAME_OCTETS))
  for (const octet of large.subarray(0, -1)) reader.push(Uint8Array.of(octet))
  t.equal(reader.pendingOctets, large.length - 1)
  reader.push(large.subarray(-1))
  t.equal(reader.pendingOctets, 0)
  t.end()
})

t.test('a frame that lies in one chunk is not copied', (t) => {
  let from: ArrayBufferLike | undefined
  const reader = new H2FrameReader((_type, _flags, _id, octets) => {
    from = octets.buffer
    return H2.none
  })
  const chunk = Uint8Array.from(frame(FRAME.data, 0, 1, [1, 2, 3]))
  reader.push(chunk)
  t.equal(from, chunk.buffer)
  t.end()
})

t.test('requests: one size for one body size, for any stream; the content-length is right', (t) => {
  const head = new RequestHead(endpointAt(853, { ca: '' }))
  const out = Buffer.alloc(512)
  const put = (streamId: number, octets: number) => Buffer.from(out.subarray(0, head.put(out, 0, streamId, octets)))
  const sizes = new Set([1, 3, 101, 0x7fffffff].flatMap((id) => [100, 128, 256, 999].map((octets) => put(id, octets).length)))
  t.equal(sizes.size, 1)
  for (const octets of [7, 33, 128, 1024, 65_535]) {
    const written = put(5, octets)
    t.equal(written.length, head.octets(octets))
    t.equal(written.readUIntBE(0, 3), written.length - 9)
    t.equal(written.readUInt32BE(5), 5)
    t.ok(
      written
        .subarray(9)
        .toString('latin1')
        .endsWith(String.fromCharCode(String(octets).length) + octets),
    )
  }
  t.throws(() => new RequestHead(endpointAt(1, { ca: '', doh: { port: 1, path: `/${'x'.repeat(17_000)}` } })), { code: 'config' })
  t.end()
})
