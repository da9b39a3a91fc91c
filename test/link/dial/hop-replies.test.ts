import { Duplex } from 'node:stream'
import fc from 'fast-check'
import t from 'tap'
import { HopFault } from '../../../src/link/dial/hop-reading.ts'
import { connectByHttp } from '../../../src/link/dial/http-connect.ts'
import { connectBySocks5 } from '../../../src/link/dial/socks5.ts'

const NEXT = { host: '192.0.2.1', port: 853 }
const LOGIN = { username: 'u', password: 'p' }
const CLIENTS = {
  'SOCKS5 without a user': (stream: Duplex) => connectBySocks5(stream, NEXT, undefined, false),
  'SOCKS5 with a user': (stream: Duplex) => connectBySocks5(stream, NEXT, LOGIN, false),
  'isolated SOCKS5': (stream: Duplex) => connectBySocks5(stream, NEXT, LOGIN, true),
  'HTTP CONNECT': (stream: Duplex) => connectByHttp(stream, NEXT, LOGIN),
}

/** A proxy that says `chunks`, whatever it is asked, and ends. */
function saying(chunks: readonly Uint8Array[]): Duplex {
  const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  stream.on('error', () => {})
  for (const chunk of chunks) stream.push(chunk)
  stream.push(null)
  return stream
}

/** Cuts octets into pieces of these lengths. */
function cut(octets: Uint8Array, lengths: readonly number[]): readonly Uint8Array[] {
  const pieces: Uint8Array[] = []
  let at = 0
  for (const length of lengths) {
    pieces.push(octets.subarray(at, at + length))
    at += length
  }
  return [...pieces, octets.subarray(at)].filter((piece) => piece.length > 0)
}

/** A right reply of each kind, by RFC 1928 section 6 and RFC 1929 section 2: some must be taken. */
const rightReplies = fc.oneof(
  fc.uint8Array({ minLength: 6, maxLength: 6 }).map((bound) => Uint8Array.of(5, 0, 5, 0, 0, 1, ...bound)),
  fc.uint8Array({ maxLength: 30 }).map((host) => Uint8Array.of(5, 2, 1, 0, 5, 0, 0, 3, host.length, ...host, 0, 80)),
  fc.constant(Buffer.from('HTTP/1.1 200 OK\r\n\r\n')),
)

/** Right replies, octets that begin as one does and go on in any way, and any octets. */
const replies = fc.oneof(
  rightReplies,
  fc.uint8Array({ maxLength: 40 }),
  fc.uint8Array({ maxLength: 40 }).map((rest) => Uint8Array.of(5, 0, 5, 0, 0, 1, ...rest)),
  fc.uint8Array({ maxLength: 300 }).map((rest) => Uint8Array.of(5, 2, 1, 0, 5, 0, 0, 3, ...rest)),
  fc.string({ maxLength: 60 }).map((rest) => Buffer.from(`HTTP/1.1 200${rest}\r\n\r\n`, 'latin1')),
)

for (const [name, client] of Object.entries(CLIENTS)) {
  t.test(`${name}: whatever a proxy says, in whatever pieces, it is a connection or a HopFault`, async (t) => {
    const outcomes = { connected: 0, failed: 0 }
    await fc.assert(
      fc.asyncProperty(replies, fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 8 }), async (octets, lengths) => {
        try {
          await client(saying(cut(octets, lengths)))
          outcomes.connected++
        } catch (error) {
          if (!(error instanceof HopFault)) throw error
          outcomes.failed++
        }
      }),
      { numRuns: 400 },
    )
    t.ok(outcomes.connected > 0 && outcomes.failed > 0, JSON.stringify(outcomes))
  })
}

t.test('a right reply is taken in any pieces, and what follows it stays in the stream', async (t) => {
  const cases: readonly (readonly [keyof typeof CLIENTS, Uint8Array])[] = [
    ['SOCKS5 without a user', Uint8Array.of(5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 1, 2)],
    ['SOCKS5 with a user', Uint8Array.of(5, 2, 1, 0, 5, 0, 0, 3, 2, 97, 98, 1, 2)],
    ['isolated SOCKS5', Uint8Array.of(5, 2, 1, 0, 5, 0, 0, 4, ...new Uint8Array(16), 1, 2)],
    ['HTTP CONNECT', Buffer.from('HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n')],
  ]
  for (const [name, reply] of cases) {
    for (const length of [1, 3, 1000]) {
      const pieces = cut(Buffer.concat([reply, Buffer.from('rest')]), Array<number>(Math.ceil(reply.length / length)).fill(length))
      const stream = saying(pieces)
      await CLIENTS[name](stream)
      const rest: Buffer[] = []
      for await (const chunk of stream) rest.push(chunk as Buffer)
      t.equal(Buffer.concat(rest).toString(), 'rest', `${name}, pieces of ${length}`)
    }
  }
})
