import fc from 'fast-check'
import t from 'tap'
import { overloadReply } from '../../src/listen/in-flight.ts'
import { query } from './fake-responder.ts'

t.test('keeps ID, opcode, RD, CD and the question; drops the rest', (t) => {
  const packet = Buffer.concat([query(0xbeef), Buffer.of(0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0)])
  packet[2] = 0x7f
  packet[3] = 0xff
  packet[11] = 1
  const out = Buffer.alloc(300, 0xaa)
  const length = overloadReply(packet, out, 5)
  t.equal(length, query(0).length)
  t.same(out.subarray(5, 17), Buffer.of(0xbe, 0xef, 0xf9, 0x92, 0, 1, 0, 0, 0, 0, 0, 0))
  t.same(out.subarray(17, 5 + length), query(0).subarray(12))
  t.end()
})

t.test('any octets: a response or a fragment gets no reply, anything else one no longer than itself and than 271 octets', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (packet) => {
      const length = overloadReply(packet, new Uint8Array(271), 0)
      if (packet.length < 12 || (packet[2] ?? 0) >= 0x80) return length === 0
      return length >= 12 && length <= packet.length
    }),
  )
  t.end()
})
