import t from 'tap'
import { FLAG, FRAME, H2, SETTING } from '../../../../src/link/carriers/h2/codes.ts'
import { query } from '../../../support/messages.ts'
import { addressRecord, replyTo } from '../../../support/replies.ts'
import { carry, field, frame, GOOD, type Outcome, type Peer, type Seen, scripted, settings, u32 } from './rig.ts'

const isHead = (seen: Seen) => seen.type === FRAME.headers
const isBody = (seen: Seen) => seen.type === FRAME.data && (seen.flags & FLAG.endStream) !== 0
const head = (streamId: number, fields: readonly number[] = GOOD, flags = 0) =>
  frame(FRAME.headers, FLAG.endHeaders | flags, streamId, fields)
const body = (streamId: number, octets: Uint8Array, flags: number = FLAG.endStream) => frame(FRAME.data, flags, streamId, octets)
const goawayCode = async (peer: Peer) => (await peer.until((seen) => seen.type === FRAME.goaway)).payload.readUInt32BE(4)
const resetCode = async (peer: Peer, id: number) =>
  (await peer.until((seen) => seen.type === FRAME.rstStream && seen.streamId === id)).payload.readUInt32BE(0)

/** One request; the server greets, waits for it, says `frames`, and tells what `then` finds. */
async function faced<T>(frames: (query: Buffer) => readonly Uint8Array[], then: (peer: Peer) => Promise<T>) {
  let found: (value: T) => void = () => {}
  const finding = new Promise<T>((resolve) => {
    found = resolve
  })
  const server = await scripted(async (peer) => {
    peer.socket.write(settings())
    const asked = await peer.until(isBody)
    peer.socket.write(Buffer.concat(frames(asked.payload)))
    found(await then(peer))
  })
  const rig = await carry(server.port)
  const outcome = await rig.ask(query())
  const result = await finding
  const { told } = rig
  rig.end()
  await server.end()
  return { outcome, result, told }
}

t.test('errors of the connection: GOAWAY names the error (RFC 9113)', async (t) => {
  const good = (q: Buffer) => [head(1), body(1, replyTo(q))]
  const cases: [string, number, (query: Buffer) => readonly Uint8Array[]][] = [
    ['HEADERS of an idle stream', H2.protocol, () => [head(3)]],
    ['HEADERS of a stream that only a server opens', H2.protocol, () => [head(2)]],
    ['DATA of an idle stream', H2.protocol, () => [body(7, Uint8Array.of(1))]],
    ['RST_STREAM of an idle stream', H2.protocol, () => [frame(FRAME.rstStream, 0, 9, u32(8))]],
    ['WINDOW_UPDATE of an idle stream', H2.protocol, () => [frame(FRAME.windowUpdate, 0, 9, u32(8))]],
    ['PUSH_PROMISE', H2.protocol, () => [frame(FRAME.pushPromise, FLAG.endHeaders, 1, u32(2), [0x82])]],
    ['ENABLE_PUSH 1', H2.protocol, () => [settings([SETTING.enablePush, 1])]],
    ['MAX_FRAME_SIZE 16,383', H2.protocol, () => [settings([SETTING.maxFrameSize, 16_383])]],
    ['MAX_FRAME_SIZE 2^24', H2.protocol, () => [settings([SETTING.maxFrameSize, 2 ** 24])]],
    ['INITIAL_WINDOW_SIZE 2^31', H2.flowControl, () => [settings([SETTING.initialWindowSize, 2 ** 31])]],
    ['the connection window beyond 2^31-1', H2.flowControl, () => [frame(FRAME.windowUpdate, 0, 0, u32(0x7fffffff))]],
    [
      'stream windows beyond 2^31-1 by SETTINGS',
      H2.flowControl,
      () => [frame(FRAME.windowUpdate, 0, 1, u32(1000)), settings([SETTING.initialWindowSize, 0x7fffffff])],
    ],
    [
      'stream windows beyond 2^31-1 by the second INITIAL_WINDOW_SIZE of one frame',
      H2.flowControl,
      () => [
        frame(FRAME.windowUpdate, 0, 1, u32(1000)),
        settings([SETTING.initialWindowSize, 10], [SETTING.initialWindowSize, 0x7fffffff]),
      ],
    ],
    [
      'and by one that the next one takes back: they are processed in order (section 6.5.3)',
      H2.flowControl,
      () => [
        frame(FRAME.windowUpdate, 0, 1, u32(1000)),
        settings([SETTING.initialWindowSize, 0x7fffffff], [SETTING.initialWindowSize, 10]),
      ],
    ],
    [
      'a GOAWAY with a higher last ID than the one before',
      H2.protocol,
      () => [1, 3].map((id) => frame(FRAME.goaway, 0, 0, u32(id), u32(0))),
    ],
    ['an index into an empty dynamic table', H2.compression, () => [head(1, [0xbe])]],
    ['a dynamic table above the default', H2.compression, () => [head(1, [0x3f, 0xe2, 0x1f, ...GOOD])]],
    ['a broken block on a stream that is closed', H2.compression, (q) => [...good(q), head(1, [0xbe])]],
    ['DATA after END_STREAM', H2.streamClosed, (q) => [...good(q), body(1, Uint8Array.of(1))]],
    ['HEADERS after END_STREAM', H2.streamClosed, (q) => [...good(q), head(1)]],
    ['DATA after RST_STREAM', H2.streamClosed, () => [frame(FRAME.rstStream, 0, 1, u32(8)), body(1, Uint8Array.of(1))]],
    ['CONTINUATION without HEADERS', H2.protocol, () => [frame(FRAME.continuation, FLAG.endHeaders, 1, [0x88])]],
    ['a frame above 16,384 octets', H2.frameSize, () => [frame(FRAME.data, 0, 1, new Uint8Array(16_385))]],
    ['a PING flood', H2.enhanceYourCalm, () => new Array<Buffer>(1100).fill(frame(FRAME.ping, 0, 0, new Uint8Array(8)))],
    ['a SETTINGS flood', H2.enhanceYourCalm, () => new Array<Buffer>(1100).fill(settings())],
    ['interim responses without end', H2.enhanceYourCalm, () => new Array<Buffer>(1100).fill(head(1, field(':status', '103')))],
    [
      'an endless header block',
      H2.enhanceYourCalm,
      () => [frame(FRAME.headers, 0, 1, [0x88]), ...new Array<Buffer>(20).fill(frame(9, 0, 1))],
    ],
    ['RST_STREAM again and again', H2.enhanceYourCalm, () => new Array<Buffer>(1100).fill(frame(FRAME.rstStream, 0, 1, u32(8)))],
  ]
  for (const [name, code, frames] of cases) {
    const { outcome, result, told } = await faced(frames, goawayCode)
    t.equal(result, code, name)
    t.ok(told.includes('down'), 'the watcher knows')
    const answered = 'wire' in outcome
    if (!answered) t.equal(outcome.code, 'connection-lost')
  }
})

t.test('errors of one stream: it is reset, the connection continues', async (t) => {
  const LOST: Outcome = { code: 'connection-lost', loss: 'lost' }
  const final = (code: Extract<Outcome, { code: unknown }>['code']): Outcome => ({ code, loss: 'final' })
  const dns = field('content-type', 'application/dns-message')
  const status = (value: string) => field(':status', value)
  const cases: [string, Outcome, number, (query: Buffer) => readonly Uint8Array[]][] = [
    ['no :status', LOST, H2.protocol, () => [head(1, dns)]],
    ['two of it', LOST, H2.protocol, () => [head(1, [0x88, 0x88, ...dns])]],
    ['a header of HTTP/1.1', LOST, H2.protocol, () => [head(1, [...GOOD, ...field('connection', 'close')])]],
    ['an upper-case name', LOST, H2.protocol, () => [head(1, [0x88, ...field('Content-Type', 'x')])]],
    ['DATA before HEADERS', LOST, H2.protocol, (q) => [body(1, replyTo(q))]],
    ['101', LOST, H2.protocol, () => [head(1, status('101'))]],
    ['an interim response that ends it', LOST, H2.protocol, () => [head(1, status('100'), FLAG.endStream)]],
    ['a second head', LOST, H2.protocol, () => [head(1), head(1)]],
    ['trailers that do not end it', LOST, H2.protocol, () => [head(1), head(1, field('x', 'y'))]],
    ['trailers with a pseudo-header', LOST, H2.protocol, () => [head(1), head(1, [0x88], FLAG.endStream)]],
    ['a header list too large', LOST, H2.protocol, () => [head(1, new Array<number>(600).fill(0x88))]],
    [
      'a body shorter than its content-length',
      LOST,
      H2.protocol,
      (q) => [head(1, [...GOOD, ...field('content-length', '999')]), body(1, replyTo(q))],
    ],
    ['a WINDOW_UPDATE of 0', LOST, H2.protocol, () => [frame(FRAME.windowUpdate, 0, 1, u32(0))]],
    ['a window beyond 2^31-1', LOST, H2.flowControl, () => [frame(FRAME.windowUpdate, 0, 1, u32(0x7fffffff))]],
    [
      'more than the window, by padding',
      LOST,
      H2.flowControl,
      () => [head(1), ...new Array<Buffer>(520).fill(frame(FRAME.data, FLAG.padded, 1, [255, 1], new Uint8Array(255)))],
    ],
    ['status 500', final('http-status'), H2.cancel, () => [head(1, [0x8e, ...dns])]],
    ['a redirect', final('http-status'), H2.cancel, () => [head(1, [...status('302'), ...field('location', 'https://elsewhere.test/')])]],
    ['another media type', final('http-type'), H2.cancel, () => [head(1, [0x88, ...field('content-type', 'text/html')])]],
    ['no media type', final('http-type'), H2.cancel, () => [head(1, [0x88])]],
    ['gzip', final('http-encoding'), H2.cancel, () => [head(1, [...GOOD, ...field('content-encoding', 'gzip')])]],
    ['a content-length of 65,536', final('http-size'), H2.cancel, () => [head(1, [...GOOD, ...field('content-length', '65536')])]],
    [
      '65,536 octets',
      final('http-size'),
      H2.cancel,
      () => [head(1), ...new Array<Buffer>(4).fill(frame(FRAME.data, 0, 1, new Uint8Array(16_384)))],
    ],
  ]
  for (const [name, expected, code, frames] of cases) {
    const { outcome, result, told } = await faced(frames, (peer) => resetCode(peer, 1))
    t.same(outcome, expected, name)
    t.equal(result, code, `${name}: RST_STREAM`)
    t.notOk(told.includes('down'), 'the connection lives')
  }
})

t.test('complete responses that are no answer', async (t) => {
  const settled = (frames: (query: Buffer) => readonly Uint8Array[]) => faced(frames, async () => {})
  const other = replyTo(query({ name: 'other.example' }))
  other[0] = 0
  other[1] = 0
  const mismatch = await settled(() => [head(1), body(1, other)])
  t.same(mismatch.outcome, { code: 'reply-mismatch', loss: 'final' })
  t.ok(mismatch.told.includes('mismatch'))
  const wrongId = await settled((q) => {
    const reply = replyTo(q)
    reply[1] = 7
    return [head(1), body(1, reply)]
  })
  t.same(wrongId.outcome, { code: 'reply-mismatch', loss: 'final' })
  t.same((await settled(() => [head(1, GOOD, FLAG.endStream)])).outcome, { code: 'reply-malformed', loss: 'final' })
  t.same((await settled(() => [head(1, [0x8e], FLAG.endStream)])).outcome, { code: 'http-status', loss: 'final' })
})

t.test('valid answers in every form', async (t) => {
  const shapes: Record<string, (query: Buffer) => readonly Uint8Array[]> = {
    plain: (q) => [head(1), body(1, replyTo(q))],
    'an empty DATA at the end': (q) => [head(1), body(1, replyTo(q), 0), body(1, new Uint8Array(0))],
    'octet by octet': (q) => [head(1), ...[...replyTo(q)].map((octet) => body(1, Uint8Array.of(octet), 0)), body(1, new Uint8Array(0))],
    trailers: (q) => [head(1), body(1, replyTo(q), 0), head(1, field('x', 'y'), FLAG.endStream)],
    'interim responses': (q) => [head(1, field(':status', '103')), head(1, field(':status', '100')), head(1), body(1, replyTo(q))],
    padding: (q) => [head(1), frame(FRAME.data, FLAG.endStream | FLAG.padded, 1, [9], replyTo(q), new Uint8Array(9))],
    'CONTINUATION, an octet each': (q) => [
      frame(FRAME.headers, 0, 1, GOOD.slice(0, -8)),
      ...GOOD.slice(-8).map((octet, i) => frame(FRAME.continuation, i === 7 ? FLAG.endHeaders : 0, 1, [octet])),
      body(1, replyTo(q)),
    ],
    'Age and content-length': (q) => [
      head(1, [...GOOD, ...field('age', '17'), ...field('content-length', String(replyTo(q).length))]),
      body(1, replyTo(q)),
    ],
    'unknown frames between': (q) => [frame(0x10, 7, 1, [1]), head(1), frame(0x11, 7, 3), body(1, replyTo(q))],
    'then RST_STREAM(NO_ERROR)': (q) => [head(1), body(1, replyTo(q)), frame(FRAME.rstStream, 0, 1, u32(0))],
    '65,535 octets': (q) => {
      const reply = replyTo(q, [addressRecord()])
      const pieces = [...new Array<Uint8Array>(3).fill(new Uint8Array(16_384)), new Uint8Array(65_535 - 3 * 16_384 - reply.length)]
      return [head(1), body(1, reply, 0), ...pieces.map((piece, i) => body(1, piece, i === 3 ? FLAG.endStream : 0))]
    },
  }
  for (const [name, frames] of Object.entries(shapes)) {
    const { outcome } = await faced(frames, async () => {})
    t.ok('wire' in outcome && outcome.wire[0] === 0x12 && outcome.wire[1] === 0x34, `${name}: under the ID of the request`)
    if ('wire' in outcome) t.equal(outcome.ageS, name.startsWith('Age') ? 17 : undefined)
  }
})

t.test('our announcements, and the form of a request', async (t) => {
  let first: Seen | undefined
  const { result } = await faced(
    (q) => [head(1), body(1, replyTo(q))],
    async (peer) => {
      first = peer.seen[0]
      return [
        await peer.until(isHead),
        await peer.until(isBody),
        await peer.until((seen) => seen.type === FRAME.settings && seen.flags === 1),
      ]
    },
  )
  const announced = new Map(
    Array.from({ length: 4 }, (_, i) => [first?.payload.readUInt16BE(i * 6), first?.payload.readUInt32BE(i * 6 + 2)]),
  )
  t.equal(first?.type, FRAME.settings)
  t.equal(announced.get(SETTING.headerTableSize), 0)
  t.equal(announced.get(SETTING.enablePush), 0)
  t.ok((announced.get(SETTING.initialWindowSize) ?? 0) > 65_535)
  const [heading, bodied] = result
  t.equal(heading?.flags, FLAG.endHeaders)
  t.equal(bodied?.payload.readUInt16BE(0), 0, 'the query has ID 0')
  t.notMatch(heading?.payload.toString('latin1'), /user-agent|cookie|accept-language/)
  t.match(heading?.payload.toString('latin1'), /resolver\.test:\d+.*\/dns-query.*application\/dns-message.*identity/s)
})
