import fc from 'fast-check'
import t from 'tap'
import { FrameReader, framed } from '../../src/dns/framing.ts'

/** What stays in an array of an earlier read, after the octets of this one. */
const OLDER = Uint8Array.of(0, 12, 255, 255, 255)

function read(reader: FrameReader, chunks: readonly Uint8Array[]): { frames: number[][]; ok: boolean } {
  const frames: number[][] = []
  const ok = chunks.every((chunk) => reader.push(Buffer.concat([chunk, OLDER]), (frame) => frames.push([...frame]), chunk.length))
  return { frames, ok }
}

t.test('for any division of a stream, the same messages come out', async () => {
  const message = fc.uint8Array({ minLength: 12, maxLength: 700 })
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), fc.array(fc.nat(900), { maxLength: 20 }), (messages, cuts) => {
      const stream = Buffer.concat(messages.map(framed))
      const at = [...new Set([0, ...cuts.map((c) => c % (stream.length + 1)), stream.length])].sort((a, b) => a - b)
      const chunks = at.slice(1).map((end, i) => stream.subarray(at[i], end))
      const reader = new FrameReader()
      const { frames, ok } = read(reader, chunks)
      if (!ok || reader.pendingOctets !== 0) throw new Error('the stream was not read to its end')
      if (JSON.stringify(frames) !== JSON.stringify(messages.map((m) => [...m]))) throw new Error('messages differ')
    }),
    { numRuns: 1000 },
  )
})

for (const length of [0, 1, 11]) {
  t.test(`a length of ${length} ends the stream, also if it comes octet by octet`, async (t) => {
    t.equal(read(new FrameReader(), [Uint8Array.of(0, length)]).ok, false)
    t.equal(read(new FrameReader(), [Uint8Array.of(0), Uint8Array.of(length)]).ok, false)
  })
}
t.test('if short frames are allowed, they are delivered like any other', async () => {
  const message = fc.uint8Array({ maxLength: 20 })
  fc.assert(
    fc.property(fc.array(message, { maxLength: 12 }), fc.array(fc.nat(200), { maxLength: 20 }), (messages, cuts) => {
      const stream = Buffer.concat(messages.map(framed))
      const at = [...new Set([0, ...cuts.map((c) => c % (stream.length + 1)), stream.length])].sort((a, b) => a - b)
      const { frames, ok } = read(
        new FrameReader(65_535, 0),
        at.slice(1).map((end, i) => stream.subarray(at[i], end)),
      )
      return ok && JSON.stringify(frames) === JSON.stringify(messages.map((m) => [...m]))
    }),
    { numRuns: 1000 },
  )
})
t.test('a length over the limit ends the stream', async (t) => {
  t.equal(read(new FrameReader(512), [Uint8Array.of(2, 1)]).ok, false)
})
t.test('frames of 65,535 octets work', async (t) => {
  const { frames } = read(new FrameReader(), [framed(new Uint8Array(65535))])
  t.equal(frames[0]?.length, 65535)
})
