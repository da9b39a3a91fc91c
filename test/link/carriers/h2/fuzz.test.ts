import { Duplex } from 'node:stream'
import fc from 'fast-check'
import t from 'tap'
import { EnigmError } from '../../../../src/errors.ts'
import { FLAG, FRAME } from '../../../../src/link/carriers/h2/codes.ts'
import { leanH2Carrier } from '../../../../src/link/carriers/h2/connection.ts'
import { FakeClock, seededRandom } from '../../../support/fake-clock.ts'
import { endpointAt } from '../../../support/link-rig.ts'
import { query } from '../../../support/messages.ts'
import { replyTo } from '../../../support/replies.ts'
import { field, frame, GOOD, settings, u32 } from './rig.ts'

const REQUESTS = 4

/** A carrier on a stream that is none, with requests under way on streams 1 to 7. */
async function underWay() {
  const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  const watcher = { heard() {}, draining() {}, idle() {}, mismatch() {}, down() {} }
  const protection = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: '', resumed: false } as const
  const connection = { stream, address: '127.0.0.1', protection, handshakeMs: 1, protocol: 'h2', certificate: () => undefined }
  const carrier = leanH2Carrier(connection, endpointAt(1, { ca: '' }), { clock: new FakeClock(), random: seededRandom(1), watcher })
  const settled = new Array<number>(REQUESTS).fill(0)
  settled.forEach((_, i) => {
    const once = () => {
      settled[i] = (settled[i] ?? 0) + 1
    }
    carrier.send(query({ name: `n${i}.example` }), { answered: once, failed: once })
  })
  await new Promise((resolve) => setImmediate(resolve))
  return { stream, carrier, settled }
}

const bodies = Array.from({ length: REQUESTS }, (_, i) => replyTo(query({ name: `n${i}.example`, id: 0 })))
const streamId = fc.constantFrom(0, 1, 3, 5, 7, 9, 2)
const flags = fc.constantFrom(0, FLAG.endStream, FLAG.endHeaders, FLAG.endHeaders | FLAG.endStream, FLAG.endHeaders | FLAG.padded)
const likely = fc.oneof(
  fc.tuple(streamId, flags).map(([id, f]) => frame(FRAME.headers, f, id, GOOD)),
  fc
    .tuple(streamId, flags, fc.string({ maxLength: 5 }), fc.string({ maxLength: 5 }))
    .map(([id, f, n, v]) => frame(1, f, id, [0x88], field(n, v))),
  fc.tuple(streamId, flags, fc.nat(REQUESTS - 1)).map(([id, f, i]) => frame(FRAME.data, f, id, bodies[i] ?? [])),
  fc.tuple(streamId, fc.nat(13)).map(([id, code]) => frame(FRAME.rstStream, 0, id, u32(code))),
  fc.tuple(streamId, fc.constantFrom(0, 1, 0x7fffffff)).map(([id, n]) => frame(FRAME.windowUpdate, 0, id, u32(n))),
  fc.tuple(fc.nat(7), fc.constantFrom(0, 1, 10, 65_535, 0x7fffffff)).map(([id, value]) => settings([id, value])),
  fc.constantFrom(0, 1, 3, 7, 0x7fffffff).map((last) => frame(FRAME.goaway, 0, 0, u32(last), u32(0))),
  fc.tuple(fc.nat(11), fc.nat(255), streamId, fc.uint8Array({ maxLength: 20 })).map(([type, f, id, bytes]) => frame(type, f, id, bytes)),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
)

t.test('for any octets from a resolver: nothing throws, and every request is settled once', async (t) => {
  let answered = 0
  await fc.assert(
    fc.asyncProperty(fc.array(likely, { maxLength: 25 }), fc.nat(40), async (frames, cut) => {
      const { stream, carrier, settled } = await underWay()
      const octets = Buffer.concat([settings(), ...frames])
      stream.emit('data', octets.subarray(0, cut))
      stream.emit('data', octets.subarray(cut))
      answered += settled.filter((count) => count === 1).length
      if (settled.some((count) => count > 1) || carrier.inFlight > REQUESTS) return false
      carrier.destroy(new EnigmError('closed', 'the test is over'))
      return settled.every((count) => count === 1) && carrier.inFlight === 0
    }),
    { numRuns: 1000 },
  )
  t.ok(answered > 1000, `the frames are likely enough to reach something: ${answered}`)
})
