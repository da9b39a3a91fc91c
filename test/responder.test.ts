import t from 'tap'
import { coalesce } from '../src/cache/coalesce.ts'
import { remember } from '../src/cache/memory.ts'
import { readOpt } from '../src/dns/edns.ts'
import { EnigmError } from '../src/errors.ts'
import type { Answer, Client, Query } from '../src/resolve.ts'
import { createResponder } from '../src/responder.ts'
import { cacheOf } from './support/caches.ts'
import { FakeClock, seededRandom } from './support/fake-clock.ts'
import { decodedFlags } from './support/flags.ts'
import { bytes, query, type ResponseSpec, response, rr, soa, u16s } from './support/messages.ts'
import { openGate, view } from './support/rules.ts'
import { endsIn, type Resolve, repliesTo } from './support/stages.ts'

const UDP: Client = { address: '127.0.0.1', transport: 'udp', view: view(0) }
const TCP: Client = { address: '127.0.0.1', transport: 'tcp', view: view(0) }

function answerOf(spec: ResponseSpec = {}, more: Partial<Answer> = {}): Answer {
  return {
    wire: response({ answers: [rr({ ttlS: 300 })], ...spec }),
    rcode: 0,
    storeS: 300,
    from: { upstream: 'one', transport: 'dot' },
    ...more,
  }
}

function house(end: Resolve) {
  const clock = new FakeClock()
  const cache = cacheOf(1 << 20)
  const asked: Query[] = []
  const coalescing = coalesce((asked) => cache.hashOf(asked), seededRandom(1), undefined, { questions: 2, waitersPerQuestion: 1 })
  const ending = endsIn((q, ask) => {
    asked.push(q)
    return end(q, ask)
  })
  const faults: string[] = []
  const responder = createResponder({
    gate: openGate(),
    cache,
    clock,
    emit: (event) => event.type === 'fault' && faults.push(event.where),
    counts: { hits: 0, misses: 0 },
    current: () => ({ stages: [coalescing, remember(cache, clock), ending], timeoutMs: 4000 }),
  })
  const out = Buffer.alloc(70_000)
  const hit = (packet: Uint8Array, limit = 1232) => out.subarray(0, responder.now(packet, 0, packet.length, out, 0, limit, view(0)))
  const miss = async (packet: Uint8Array, client = UDP) => Buffer.from((await repliesTo(responder, packet, client)) ?? [])
  return { clock, cache, asked, faults, hit, miss, responder }
}
const house1 = () => house(async () => answerOf())

t.test('a miss, then a hit: the same reply, with its own ID, case and TTL', async (t) => {
  const h = house1()
  const first = await h.miss(query({ name: 'WWW.Example.com', id: 7 }))
  await h.clock.advance(10_000)
  const second = h.hit(query({ name: 'wwW.exAmple.com', id: 8 }))
  t.equal(h.asked.length, 1)
  t.equal(first.readUInt16BE(0), 7)
  t.equal(first.subarray(13, 16).toString(), 'WWW', 'the case that was asked, on a miss too')
  t.equal(second.readUInt16BE(0), 8)
  t.equal(second.subarray(13, 16).toString(), 'wwW')
  t.equal(first.readUInt32BE(first.length - 10), 300)
  t.equal(second.readUInt32BE(second.length - 10), 290)
})
t.test('an OPT if and only if the query had one', async (t) => {
  const h = house1()
  t.equal(readOpt(await h.miss(query())), undefined)
  t.match(readOpt(h.hit(query({ opt: {} }))), { udpSize: 1232, dnssecOk: false, padded: false })
  t.match(readOpt(await h.miss(query({ opt: { dnssecOk: true } }))), { dnssecOk: true })
  t.equal(h.asked.length, 2, 'DO is a question of its own')
})
t.test('AD only for a client that set AD or DO; CD comes back; AA is clear, RA set', async (t) => {
  const h = house(async () => answerOf({ flags: 0x20 }))
  t.match(decodedFlags(await h.miss(query())), { ad: false, cd: false, aa: false, ra: true, rd: true, qr: true })
  t.match(decodedFlags(h.hit(query({ flags: 0x0120 }))), { ad: true })
  t.match(decodedFlags(await h.miss(query({ flags: 0x0110 }))), { cd: true })
})
t.test('an answer larger than the client accepts becomes header, question and OPT with TC', async (t) => {
  const big = house(async () => answerOf({ answers: [rr({ type: 16, rdata: new Uint8Array(900) })] }))
  const cut = await big.miss(query())
  t.match(decodedFlags(cut), { tc: true })
  t.equal(cut.length, query().length)
  t.equal(cut.readUInt32BE(6), 0)
  t.equal(decodedFlags(big.hit(query({ opt: { size: 1232 } }))).tc, false)
  t.equal(decodedFlags(big.hit(query({ opt: { size: 100 } }))).tc, true, 'a size under 512 means 512')
  t.equal(big.hit(query({ opt: { size: 800 } })).length, query().length + 11)
  t.equal(decodedFlags(await big.miss(query(), TCP)).tc, false)
  t.equal(decodedFlags(big.hit(query(), 65535)).tc, false)
})
t.test('an answer of up to 65,535 octets is whole over TCP: without an OPT if there is no room for one', async (t) => {
  const bare = response({ answers: [rr({ type: 16, rdata: new Uint8Array(0) })] }).length
  for (const octets of [65_500, 65_524, 65_525, 65_530, 65_534, 65_535]) {
    const h = house(async () => answerOf({ answers: [rr({ type: 16, rdata: new Uint8Array(octets - bare) })] }))
    const fits = octets + 11 <= 65_535
    const told = async (packet: Uint8Array) => [await h.miss(packet, TCP), h.hit(packet, 65_535)]
    for (const reply of await told(query())) t.equal(reply.length, octets)
    for (const reply of await told(query({ opt: { dnssecOk: true } }))) {
      t.match([reply.length, decodedFlags(reply).tc, reply.readUInt16BE(6)], [fits ? octets + 11 : octets, false, 1], `${octets} octets`)
      t.equal(readOpt(reply) !== undefined, fits)
      t.equal(reply[11], fits ? 1 : 0)
    }
    t.equal(decodedFlags(await h.miss(query({ opt: { size: 4096 } }))).tc, true, 'over UDP it is cut')
  }
})
t.test('an extended RCODE without an OPT in the query becomes SERVFAIL', async (t) => {
  const h = house(async () => answerOf({ rcode: 7, answers: [] }, { rcode: 23 }))
  t.equal((await h.miss(query()))[3]! & 15, 2)
  t.equal(readOpt(await h.miss(query({ opt: {} })))?.extendedRcode, 1)
})
t.test('EDE is sent to EDNS clients, and dropped first if space is short', async (t) => {
  const h = house(async () => answerOf({ answers: [rr({ rdata: new Uint8Array(440) })] }, { ede: { code: 6, text: 'x'.repeat(40) } }))
  t.equal(readOpt(await h.miss(query())), undefined)
  t.match(readOpt(await h.miss(query({ opt: { size: 1232 } }))), { ede: { code: 6, text: 'x'.repeat(40) } })
  const tight = await h.miss(query({ opt: { size: 512 } }))
  t.match(readOpt(tight)?.ede, { code: 6, text: undefined })
  t.equal(decodedFlags(tight).tc, false)
})
t.test('identical questions in flight share one upstream query; too many waiters fail at once', async (t) => {
  let release = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  const h = house(async () => gate.then(() => answerOf()))
  const replies = [h.miss(query({ id: 1 })), h.miss(query({ id: 2, name: 'WWW.EXAMPLE.COM' })), h.miss(query({ id: 3, opt: {} }))]
  const third = await replies[2]!
  t.equal(third[3]! & 15, 2)
  t.match(readOpt(third)?.ede, { text: 'overloaded' })
  release()
  t.equal((await replies[0]!)[3]! & 15, 0)
  t.equal((await replies[1]!).readUInt16BE(0), 2)
  t.equal(h.asked.length, 1)
})
t.test('an internal failure is a SERVFAIL with an EDE, and is never kept for the question', async (t) => {
  const h = house(async () => {
    throw new EnigmError('pin-mismatch', 'no pin matches')
  })
  const reply = await h.miss(query({ opt: {} }))
  t.equal(reply[3]! & 15, 2)
  t.match(readOpt(reply)?.ede, { code: 23, text: 'pin-mismatch' })
  t.equal(h.cache.entries, 0)
  t.same(h.faults, [])
})
t.test('a bug in the pipeline is a SERVFAIL and a recorded fault', async (t) => {
  const h = house(async () => {
    throw new TypeError('x is undefined')
  })
  t.equal((await h.miss(query()))[3]! & 15, 2)
  t.same(h.faults, ['resolve'])
})
t.test('our option reports the source of an answer to the client that asks', async (t) => {
  const h = house1()
  const withOption = query({ opt: { options: u16s(65280, 0) } })
  const told = async () => (await h.miss(withOption)).toString('latin1')
  t.match(await told(), /one\/dot$/)
  t.equal(h.hit(withOption).length, 0, 'left to the slow path')
  t.match(await told(), /cache$/)
})
const refused: [string, Uint8Array, number][] = [
  ['FORMERR for two questions', bytes(u16s(9, 0x100, 2, 0, 0, 0), query().subarray(12), query().subarray(12)), 1],
  ['FORMERR for none', u16s(9, 0x100, 0, 0, 0, 0), 1],
  ['NOTIMP for UPDATE', query({ id: 9, flags: 0x2800 }), 4],
  ['REFUSED for RD=0', query({ id: 9, flags: 0 }), 5],
  ['REFUSED for AXFR', query({ id: 9, type: 252 }), 5],
  ['REFUSED for IXFR', bytes(u16s(9, 0x100, 1, 0, 1, 0), query({ type: 251 }).subarray(12), soa()), 5],
  ['FORMERR for NXNAME', query({ id: 9, type: 128 }), 1],
]
for (const [what, packet, rcode] of refused) {
  t.test(what, async (t) => {
    const reply = await house1().miss(packet)
    t.equal(reply.readUInt16BE(0), 9)
    t.equal(reply[3]! & 15, rcode)
    t.equal(reply[2]! & 0x80, 0x80)
  })
}
t.test('RFC 6891 section 6.1.1: an OPT is answered with an OPT, with NOTIMP too', async (t) => {
  t.ok(readOpt(await house1().miss(query({ flags: 0x2000, opt: {} }))))
  t.equal(readOpt(await house1().miss(query({ flags: 0x2000 }))), undefined)
})
t.test('RFC 9824 section 3.5: EDNS clients get an error for a type that cannot be queried', async (t) => {
  t.match(readOpt(await house1().miss(query({ type: 128, opt: {} })))?.ede, { code: 30, text: undefined })
})
t.test('BADVERS for EDNS version 1, in the upper bits', async (t) => {
  const reply = await house1().miss(query({ opt: { version: 1 } }))
  t.match(readOpt(reply), { extendedRcode: 1, version: 0 })
  t.equal(reply[3]! & 15, 0)
})
t.test('no reply to a response and to less than a header', async (t) => {
  t.equal((await house1().miss(response())).length, 0)
  t.equal((await house1().miss(bytes(1, 2))).length, 0)
})

t.test('the source of an answer is reported only to clients of this host: others would learn what somebody else asked', async (t) => {
  const h = house1()
  const curious = () => query({ opt: { options: u16s(65280, 0) } })
  const sources = (reply: Uint8Array) => Buffer.from(reply).includes('one/dot') || Buffer.from(reply).includes('cache')
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) {
    for (const transport of ['udp', 'tcp'] as const) t.ok(sources(await h.miss(curious(), { address, transport, view: view(0) })), address)
  }
  for (const address of ['192.168.1.7', '10.0.0.1', 'fe80::1%eth0', 'fd00::1', '::ffff:192.168.1.7', '']) {
    for (const transport of ['udp', 'tcp'] as const) {
      const reply = await h.miss(curious(), { address, transport, view: view(0) })
      t.notOk(sources(reply), address)
      t.equal(reply.readUInt16BE(6), 1, 'the answer itself is for everybody')
    }
  }
})

t.test('a view has its own answers, in both methods of the responder', async (t) => {
  const h = house1()
  const [seven, eight] = [view(7), view(8)]
  const packet = query()
  const out = Buffer.alloc(2000)
  const now = (of: typeof seven) => h.responder.now(packet, 0, packet.length, out, 0, 1232, of)
  await h.miss(packet, { ...UDP, view: seven })
  t.ok(now(seven) > 0, 'what was asked under one view is found under it')
  t.equal(now(eight), 0)
  t.equal(now(view(0)), 0)
  await h.miss(packet, { ...UDP, view: seven })
  t.equal(h.asked.length, 1)
  await h.miss(packet, { ...TCP, view: eight })
  t.same(
    h.asked.map(({ client }) => client.view),
    [7, 8],
  )
  t.ok(now(eight) > 0)
})
