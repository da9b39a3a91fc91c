// The reply to a blocked question as octets: at once from its packet, and by the stages.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decode } from 'dns-packet'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { copyLower } from '../../src/dns/octets.ts'
import { newScan, scanQuery } from '../../src/dns/query-scan.ts'
import { writeReply } from '../../src/dns/reply.ts'
import { type Client, markedView, VIEW_OF_ALL } from '../../src/resolve.ts'
import { createResponder } from '../../src/responder.ts'
import { blockedAnswer, blockedEde, blockedSource } from '../../src/rules/blocked.ts'
import { blockedAtOnce, judgeByLists } from '../../src/rules/judge-lists.ts'
import { buildLists } from '../../src/rules/list-build.ts'
import type { BlockedReply } from '../../src/rules/list-kinds.ts'
import { ListsInForce } from '../../src/rules/lists-in-force.ts'
import { createOwnRules } from '../../src/rules/own-rules.ts'
import { RulesVersion } from '../../src/rules-version.ts'
import { cacheOf } from '../support/caches.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { query } from '../support/messages.ts'
import { openGate } from '../support/rules.ts'
import { endsIn, repliesTo } from '../support/stages.ts'

const CLIENT: Client = { address: '127.0.0.1', transport: 'udp', view: VIEW_OF_ALL }

/** A responder with a list; what it cannot answer at once is counted. */
function scene(t: Test, text: string, own = createOwnRules({ answers: [], views: [] }, [])) {
  const path = join(t.testdir(), 'list')
  writeFileSync(path, text)
  const built = buildLists([{ id: 'ads', path, format: 'auto', action: 'block' }], Buffer.alloc(8, 3))
  if ('faults' in built) throw new Error(JSON.stringify(built.faults))
  const lists = new ListsInForce(new RulesVersion())
  const counts = { hits: 0, misses: 0 }
  let asked = 0
  const ending = endsIn(async () => {
    asked++
    throw new Error('not blocked')
  })
  const current = { stages: [judgeByLists(lists), ending], timeoutMs: 4000, blockedAtOnce: blockedAtOnce(lists, own) }
  const parts = { gate: openGate(), cache: cacheOf(1 << 20), clock: new FakeClock(), emit: () => {}, counts }
  const responder = createResponder({ ...parts, current: () => current })
  const out = Buffer.alloc(70_000)
  return {
    lists,
    counts,
    swap: () => lists.swap(built, { lists: [{ id: 'ads', reply: undefined }], sets: [Uint8Array.of(1)] }),
    now: (packet: Uint8Array, view = VIEW_OF_ALL, limit = 1232) =>
      Buffer.from(out.subarray(0, responder.now(packet, 0, packet.length, out, 0, limit, view))),
    later: (packet: Uint8Array, client = CLIENT) => repliesTo(responder, packet, client),
    asked: () => asked,
  }
}

t.test('a name that a list blocks is answered from its packet, without a copy of it, a job or a stage', async (t) => {
  const s = scene(t, 'ads.example')
  t.equal(s.now(query({ name: 'ads.example' })).length, 0, 'before the lists are read')
  s.swap()
  const reply = s.now(query({ name: 'WWW.Ads.Example', id: 77, opt: {} }))
  t.equal(reply.readUInt16BE(0), 77)
  t.equal(reply.subarray(13, 24).toString('latin1'), 'WWW\x03Ads\x07Exa', 'the case that was asked')
  t.match(decode(reply), { answers: [{ name: 'WWW.Ads.Example', type: 'A', ttl: 60, data: '0.0.0.0' }], authorities: [] })
  t.match(reply.subarray(-10).toString('latin1'), '\x00\x04list ads', 'the EDE')
  t.match(decode(s.now(query({ name: 'ads.example', type: 28 }))), { answers: [{ type: 'AAAA', data: '::' }], additionals: [] })
  t.match(decode(s.now(query({ name: 'ads.example', type: 16 }))), {
    answers: [],
    authorities: [{ name: 'ads.example', type: 'SOA', ttl: 60, data: { mname: 'ads.example', rname: 'nobody.invalid', minimum: 60 } }],
  })
  t.strictSame([s.lists.blockedBy('ads'), s.counts, s.asked()], [3, { hits: 0, misses: 3 }, 0])
  t.equal(s.now(query({ name: 'good.example' })).length, 0)
  t.equal(s.now(query({ name: 'ads.example' }), markedView(VIEW_OF_ALL, 'unshared')).length, 0, 'a client that is judged by its address')
})

t.test('names that are written here come first, others are blocked at once', async (t) => {
  const own = createOwnRules({ answers: [{ name: 'own.ads.example', type: 'A', data: '192.0.2.1' }], views: [] }, [])
  const s = scene(t, 'ads.example', own)
  s.swap()
  for (const type of [1, 28, 65]) t.equal(s.now(query({ name: 'own.ads.example', type })).length, 0)
  for (const [name, type] of [
    ['own.ads.example', 15],
    ['www.ads.example', 1],
  ] as const)
    t.ok(s.now(query({ name, type })).length > 0, name)
})

t.test('with DNS64 the types that it makes are left to the stages', async (t) => {
  const dns64 = { prefix: '64:ff9b::/96', exclude: ['::ffff:0:0/96'] }
  const s = scene(t, 'ads.example', createOwnRules({ answers: [], views: [], dns64 }, []))
  s.swap()
  t.strictSame(
    [1, 28, 12].map((type) => s.now(query({ name: 'ads.example', type })).length > 0),
    [true, false, false],
  )
})

const REPLIES: readonly BlockedReply[] = ['null-address', 'nodata', 'nxdomain', 'refused']

t.test('both ways give the same reply, for every name, type and reply, and within every limit', async () => {
  const label = fc.uint8Array({ minLength: 1, maxLength: 63 })
  const name = fc
    .array(label, { maxLength: 4 })
    .map((labels) => Uint8Array.from([...labels.flatMap((octets) => [octets.length, ...octets]), 0]))
    .filter((octets) => octets.length <= 255)
  const options = { type: fc.constantFrom(1, 28, 6, 12, 16, 65), hasOpt: fc.boolean(), reply: fc.constantFrom(...REPLIES) }
  fc.assert(
    fc.property(fc.record({ name, ...options, list: fc.string({ unit: 'grapheme', maxLength: 30 }), limit: fc.nat(600) }), (o) => {
      const packet = query({ name: o.name, type: o.type, ...(o.hasOpt ? { opt: {} } : {}) })
      const scan = newScan()
      if (scanQuery(packet, 0, packet.length, scan) !== 0) return
      const lower = packet.slice(12, scan.questionEnd)
      copyLower(packet, 12, lower.length - 4, lower, 0)
      const { wire, rcode, ede } = blockedAnswer({ lower, type: o.type, class: 1 }, o.reply, o.list)
      const [one, other] = [Buffer.alloc(2000), Buffer.alloc(2000)]
      const limit = Math.max(o.limit, packet.length + 11)
      const byStages = { octets: wire, at: 0, length: wire.length, ttlCount: 0, rcode, ede }
      const expected = one.subarray(0, writeReply(one, 0, limit, byStages, packet, scan, 0, undefined))
      const atOnce = blockedSource(lower.length, o.type, o.reply, blockedEde(o.reply, o.list))
      const found = other.subarray(0, writeReply(other, 0, limit, atOnce, packet, scan, 0, undefined))
      if (!found.equals(expected)) throw new Error(`${found.toString('hex')} is not ${expected.toString('hex')}`)
      if (found.length > limit) throw new Error('over the limit')
      decode(found)
    }),
  )
})

t.test('a blocked client is answered by its address, also where names are answered at once', async (t) => {
  const s = scene(t, '@ SOA a. b. 1 2 3 4 5\nads.example CNAME .\n24.0.2.0.192.rpz-client-ip CNAME .\n')
  s.swap()
  const client: Client = { address: '192.0.2.9', transport: 'udp', view: markedView(VIEW_OF_ALL, 'unshared') }
  t.match(decode((await s.later(query({ name: 'good.example' }), client)) ?? Buffer.alloc(0)), { flags: 0x180 | 3 })
  t.equal(s.asked(), 0)
})
