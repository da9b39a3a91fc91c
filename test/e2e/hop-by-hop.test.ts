import t from 'tap'
import { readOpt } from '../../src/dns/edns.ts'
import { RecordCursor } from '../../src/dns/records.ts'
import { bytes, query, rr, u16s } from '../support/messages.ts'
import { type Answer, beforeResolvers, PROTOCOLS } from '../support/real/before-resolvers.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

/** The types of the additional section; throws where the message is none. */
function additional(reply: Uint8Array): readonly number[] {
  const types: number[] = []
  const cursor = new RecordCursor(reply)
  while (cursor.next()) if (cursor.section === 3) types.push(cursor.type)
  if (cursor.malformed || cursor.end !== reply.length) throw new Error('a malformed reply')
  return types
}

const ROOT = Uint8Array.of(0)
const HOP = {
  TSIG: rr({ name: 'key.example', type: 250, class: 255, ttlS: 0, rdata: bytes(ROOT, new Uint8Array(16)) }),
  TKEY: rr({ name: 'key.example', type: 249, class: 255, ttlS: 0, rdata: bytes(ROOT, new Uint8Array(16)) }),
  'SIG(0)': rr({ name: ROOT, type: 24, class: 255, ttlS: 0, rdata: bytes(u16s(0), new Uint8Array(16), ROOT, [1, 2, 3]) }),
}
const GLUE = rr({ name: 'ns.example.com', rdata: bytes(192, 0, 2, 9) })

function withAdditional(reply: Uint8Array, records: readonly Uint8Array[]): Uint8Array {
  const whole = bytes(reply, ...records)
  whole[11] = records.length
  return whole
}

for (const protocol of PROTOCOLS)
  t.test(`${protocol}: TSIG, TKEY and SIG(0) of the resolver reach no client, from upstream or from the cache`, async (t) => {
    const answer: Answer = (q) => {
      const first = String.fromCharCode(...q.subarray(13, 13 + (q[12] ?? 0)))
      const kind = (Object.keys(HOP) as (keyof typeof HOP)[])[Number(first.slice(-1))] ?? 'TSIG'
      const records = first.startsWith('behind') ? [GLUE, HOP[kind]] : first.startsWith('before') ? [HOP[kind], GLUE] : [HOP[kind]]
      return withAdditional(replyTo(q, [addressRecord()]), records)
    }
    const { udp, tcp } = await beforeResolvers(t, protocol, [answer])
    for (const [i, kind] of Object.keys(HOP).entries()) {
      for (const where of ['alone', 'behind', 'before'])
        for (const opt of [undefined, {}])
          for (const [round, client] of [udp, tcp, udp].entries()) {
            const reply = await client.ask(
              query({ name: `${where}-${opt === undefined ? 'a' : 'b'}${i}.example.com`, ...(opt && { opt }) }),
            )
            const kept = [...(where === 'behind' ? [1] : []), ...(opt === undefined ? [] : [41])]
            t.same(additional(reply), kept, `${kind} ${where}, ${opt === undefined ? 'no OPT' : 'OPT'}, ${round}`)
            t.equal((reply[3] ?? 0) & 15, 0)
            t.equal(reply[7], 1, 'the answer is there')
            t.equal(readOpt(reply) === undefined, opt === undefined)
          }
    }
  })

/** The 12 bits: the upper eight go into an OPT. */
function saying(rcode: number, q: Uint8Array, withQuestion = true): Uint8Array {
  const opt = bytes(0, u16s(41, 1232), rcode >>> 4, 0, u16s(0, 0))
  const whole = withAdditional(withQuestion ? replyTo(q) : bytes(q.subarray(0, 12)), [opt])
  whole.set(u16s(0x8180 | (rcode & 15), withQuestion ? 1 : 0, 0, 0), 2)
  return whole
}
const good: Answer = (q) => replyTo(q, [addressRecord()])
/** BADVERS, BADCOOKIE, BADKEY, NOTAUTH (as TSIG errors have it), FORMERR, NOTIMP. */
const OF_HOP = [16, 23, 17, 9, 1, 4]
const rcodeOf = (reply: Uint8Array) => ((readOpt(reply)?.extendedRcode ?? 0) << 4) | ((reply[3] ?? 0) & 15)

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: an error of the hop: the next resolver answers`, async (t) => {
    let rcode = 0
    let told = 0
    const first: Answer = (q) => {
      told++
      return rcode === 0 ? good(q) : saying(rcode, q, told % 2 === 0)
    }
    const { udp } = await beforeResolvers(t, protocol, [first, good])
    t.equal(rcodeOf(await udp.ask(query({ name: 'first.example.com' }))), 0)
    for (rcode of OF_HOP)
      for (const opt of [undefined, {}]) {
        const reply = await udp.ask(query({ name: `${rcode}-${opt === undefined ? 'a' : 'b'}.example.com`, ...(opt && { opt }) }))
        t.equal(rcodeOf(reply), 0, `RCODE ${rcode}`)
        t.equal(reply[7], 1)
      }
  })

  t.test(`${protocol}: an error of the hop from the only resolver: SERVFAIL with an EDE, and the status says so`, async (t) => {
    let rcode = 0
    const { udp, tcp, daemon } = await beforeResolvers(t, protocol, [
      (q) => (rcode === 0 ? good(q) : saying(rcode, q, (q[13] ?? 0) !== 0x78)),
    ])
    t.equal(rcodeOf(await udp.ask(query({ name: 'first.example.com' }))), 0)
    await daemon.until('protected')
    for (rcode of OF_HOP)
      for (const first of ['x', 'y']) {
        const plain = await udp.ask(query({ name: `${first}${rcode}-a.example.com` }))
        t.same([rcodeOf(plain), readOpt(plain)], [2, undefined], `RCODE ${rcode} without an OPT`)
        const name = `${first}${rcode}-b.example.com`
        for (const client of [tcp, udp]) {
          const reply = await client.ask(query({ name, opt: {} }))
          t.same([rcodeOf(reply), readOpt(reply)?.ede?.code], [2, 23], `RCODE ${rcode} with an OPT`)
        }
      }
    await daemon.until('offline')
    rcode = 0
    t.equal(rcodeOf(await udp.ask(query({ name: 'last.example.com' }))), 0)
    await daemon.until('protected')
  })
}

t.test('a resolver that accepts no option except Padding still answers', async (t) => {
  let options: number[] = []
  const picky: Answer = (q) => {
    options = []
    const at = readOpt(q)?.at ?? q.length
    for (let i = at + 11; i + 4 <= q.length; i += 4 + ((q[i + 2] ?? 0) << 8) + (q[i + 3] ?? 0)) options.push(q[i + 1] ?? 0)
    return options.some((option) => option !== 12) ? saying(1, q, false) : good(q)
  }
  const { udp, daemon } = await beforeResolvers(t, 'dot', [picky])
  for (let i = 0; i < 3; i++) t.equal(rcodeOf(await udp.ask(query({ name: `n${i}.example.com`, opt: {} }))), 0)
  t.same(options, [12])
  await daemon.until('protected')
})

t.test('under a schedule the next resolver answers if one cannot read the query', async (t) => {
  const config = { shaping: { profile: 'balanced' } }
  const { udp } = await beforeResolvers(t, 'dot', [(q) => saying(1, q), good], config)
  for (let i = 0; i < 3; i++) t.equal(rcodeOf(await udp.ask(query({ name: `n${i}.example.com`, opt: {} }))), 0)
})
