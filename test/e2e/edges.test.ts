import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { readOpt } from '../../src/dns/edns.ts'
import { FrameReader, framed } from '../../src/dns/framing.ts'
import { bytes, query, rr, soa, u16s } from '../support/messages.ts'
import { type Answer, beforeResolvers, PROTOCOLS, type Protocol } from '../support/real/before-resolvers.ts'
import { isTruncated, rcodeOf } from '../support/real/dns-client.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const scene = (t: Test, protocol: Protocol, answer: Answer, config: Readonly<Record<string, unknown>> = {}) =>
  beforeResolvers(t, protocol, [answer], config)

const labelOf = (q: Uint8Array) => String.fromCharCode(...q.subarray(13, 13 + (q[12] ?? 0)))

/** A TXT answer of exactly so many octets, without an OPT. */
function ofLength(q: Uint8Array, octets: number): Uint8Array {
  const bare = replyTo(q, [rr({ type: 16, rdata: bytes() })]).length
  const rdata = new Uint8Array(octets - bare)
  for (let at = 0; at < rdata.length; at += 256) rdata[at] = Math.min(255, rdata.length - at - 1)
  return replyTo(q, [rr({ type: 16, rdata })])
}

for (const protocol of PROTOCOLS)
  for (const workers of protocol === 'dot' ? [1, 2] : [1])
    t.test(
      `${protocol}, ${workers} workers: answers of up to 65,535 octets are whole over TCP, from upstream and from the cache`,
      async (t) => {
        const { tcp, udp } = await scene(t, protocol, (q) => ofLength(q, Number(labelOf(q).slice(1)) || 100), { workers })
        for (const octets of [60_000, 65_524, 65_525, 65_530, 65_535])
          for (const [first, opt] of [
            ['a', undefined],
            ['b', { dnssecOk: true }],
          ] as const) {
            const asked = query({ name: `${first}${octets}.example.com`, type: 16, ...(opt && { opt }) })
            for (const round of ['asked', 'kept']) {
              const reply = await tcp.ask(asked)
              const hasOpt = opt !== undefined && octets + 11 <= 65_535
              t.match(
                [rcodeOf(reply), isTruncated(reply), reply.length],
                [0, false, octets + (hasOpt ? 11 : 0)],
                `${octets} ${first} ${round}`,
              )
              t.equal(readOpt(reply) !== undefined, hasOpt)
            }
            t.ok(isTruncated(await udp.ask(asked)))
          }
      },
    )

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: a reply without its question fails its query at once`, async (t) => {
    const { udp } = await scene(t, protocol, (q) => {
      const header = (flags: number) => bytes(q.subarray(0, 2), u16s(flags, Number(labelOf(q).slice(-1)), 0, 0, 0))
      const name = labelOf(q)
      if (name.startsWith('bare')) return header(0x8180)
      return name.startsWith('rcode') ? header(0x8180 | Number(name[5])) : replyTo(q, [addressRecord()])
    })
    t.equal(rcodeOf(await udp.ask(query({ name: 'good.example.com' }))), 0)
    for (const questions of [0, 1]) {
      const startedMs = performance.now()
      const reply = await udp.ask(query({ name: `bare-${questions}.example.com`, opt: {} }))
      t.match([rcodeOf(reply), readOpt(reply)?.ede?.text], [2, 'reply-mismatch'])
      t.ok(performance.now() - startedMs < 1500, 'not at the deadline')
      t.equal(rcodeOf(await udp.ask(query({ name: `good${questions}.example.com` }))), 0, 'the next is answered')
      for (const [rcode, told] of [
        [1, 2],
        [2, 2],
        [4, 2],
        [5, 5],
      ]) {
        const startedMs = performance.now()
        const reply = await udp.ask(query({ name: `rcode${rcode}-${questions}.example.com` }))
        t.equal(rcodeOf(reply), told, `RCODE ${rcode}, ${questions} questions counted`)
        t.same([...reply.subarray(4, 6)], [0, 1], 'with the question')
        t.ok(performance.now() - startedMs < 3000, 'not at the deadline')
      }
    }
  })

  t.test(`${protocol}: names in SRV and NAPTR: valid ones are delivered unchanged, invalid ones never`, async (t) => {
    const srv = (target: Uint8Array) => rr({ type: 33, rdata: bytes(u16s(1, 2, 443), target) })
    const { udp } = await scene(t, protocol, (q) => {
      const rdataAt = q.subarray(12).indexOf(0) + 12 + 5 + 12
      const name = labelOf(q)
      if (name === 'loop-srv') return replyTo(q, [srv(u16s(0xc000 | (rdataAt + 6)))])
      if (name === 'out-srv') return replyTo(q, [srv(u16s(0xffff))])
      if (name === 'loop-naptr') return replyTo(q, [rr({ type: 35, rdata: bytes(u16s(1, 2), 1, 115, 0, 0, u16s(0xc000 | (rdataAt + 8))) })])
      return replyTo(q, [srv(bytes(3, 115, 114, 118, 0xc0, 12))])
    })
    for (const name of ['loop-srv', 'out-srv', 'loop-naptr']) {
      const asked = query({ name: `${name}.example.com`, type: name === 'loop-naptr' ? 35 : 33, opt: {} })
      const reply = await udp.ask(asked)
      t.match([rcodeOf(reply), reply[7], readOpt(reply)?.ede?.text], [2, 0, 'reply-malformed'], name)
    }
    const asked = query({ name: 'good.example.com', type: 33 })
    for (const round of ['asked', 'kept']) {
      const reply = await udp.ask(asked)
      t.same([rcodeOf(reply), [...reply.subarray(-6)]], [0, [3, 115, 114, 118, 0xc0, 12]], round)
    }
  })
}

t.test('IXFR is REFUSED over UDP and TCP, with and without its SOA, and is not forwarded', async (t) => {
  const types: number[] = []
  const { udp, tcp } = await scene(t, 'dot', (q) => {
    types.push(Buffer.from(q).readUInt16BE(q.subarray(12).indexOf(0) + 13))
    return replyTo(q, [addressRecord()])
  })
  const question = query({ type: 251 }).subarray(12)
  for (const client of [udp, tcp])
    for (const asked of [
      query({ type: 251 }),
      bytes(u16s(1, 0x100, 1, 0, 1, 0), question, soa()),
      query({ type: 252 }),
      query({ type: 255, class: 255 }),
    ])
      t.equal(rcodeOf(await client.ask(asked)), 5)
  const nxname = await udp.ask(query({ type: 128, opt: {} }))
  t.match([rcodeOf(nxname), readOpt(nxname)?.ede?.code], [1, 30])
  t.notOk(
    types.some((type) => type > 127),
    'the resolver heard of none',
  )
})

t.test('TCP: whole messages before an invalid frame are answered, then the connection ends', async (t) => {
  const { daemon } = await scene(t, 'dot', (q) => replyTo(q, [addressRecord()]))
  const socket = connect({ port: daemon.port, host: '127.0.0.1' })
  t.teardown(() => void socket.destroy())
  const replies: Uint8Array[] = []
  const reader = new FrameReader()
  socket.on('data', (chunk) => reader.push(chunk, (frame) => replies.push(Uint8Array.from(frame))))
  socket.write(
    bytes(framed(query({ name: 'one.example.com', id: 1 })), framed(query({ name: 'two.example.com', id: 2 })), [0, 4, 1, 2, 3, 4]),
  )
  await once(socket, 'end')
  t.same(replies.map((reply) => reply[1]).sort(), [1, 2])
  t.same(replies.map(rcodeOf), [0, 0])
})
