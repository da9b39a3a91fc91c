import fc from 'fast-check'
import t from 'tap'
import { compareNames, readDenial } from '../../src/dns/denial.ts'
import { labelsOf, nameFromText, textFromName } from '../../src/dns/name.ts'
import { RecordCursor } from '../../src/dns/records.ts'
import { synthesise } from '../../src/dns/response.ts'
import { EnigmError } from '../../src/errors.ts'
import { LocalProofs } from '../../src/local-names/local-proofs.ts'
import { specialNames } from '../../src/local-names/special-names.ts'
import { type Answer, type Ask, type Query, VIEW_OF_ALL } from '../../src/resolve.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { bytes, rr, soa, u16s } from '../support/messages.ts'
import { type Resolve, through } from '../support/stages.ts'

const [RRSIG, NSEC, NSEC3] = [46, 47, 50]

/** Enough of the real root to be as dense as it is where it is densest. */
const TLDS =
  `aaa abc ac academy ad ae arpa at au be box ca cab cafe com commbank community company compare computer condos coop corsica cz de dev
ma mba me med meet mlb mobi moe money my mz na nab nagoya name nba net new nl page pay pccw pe pet ph phone photo pics pl pr prime pro properties
sa se seat secure security seek select sener services seven sew sex th tv tw uk wow ws xn--p1ai xyz za zip zone zuerich zw`
    .trim()
    .split(/\s+/)

const top = (label: string) => bytes(label.length, [...Buffer.from(label, 'latin1')], 0)
const signature = (owner: string | Uint8Array, covered: number, ttlS: number) =>
  rr({ name: owner, type: RRSIG, ttlS, rdata: bytes(u16s(covered), 13, 1, new Uint8Array(14), 0, [9, 9, 9]) })

interface Spec {
  readonly tlds?: readonly string[]
  readonly ttlS?: number
  readonly signed?: boolean
  readonly nsec3?: boolean
}

/** A root that answers DS as the real one does, through a resolver. Notes what it was asked. */
function fakeRoot({ tlds = TLDS, ttlS = 3600, signed = true, nsec3 = false }: Spec = {}) {
  const chain = [Uint8Array.of(0), ...tlds.map(top)].toSorted(compareNames)
  const asked: string[] = []
  const gapOf = (name: Uint8Array): readonly Uint8Array[] => {
    const at = chain.findLastIndex((owner) => compareNames(owner, name) <= 0)
    const owner = chain[at] ?? Uint8Array.of(0)
    const next = chain[at + 1] ?? Uint8Array.of(0)
    const nsec = rr({ name: owner, type: nsec3 ? NSEC3 : NSEC, ttlS, rdata: bytes(next, 0, 1, 0x40) })
    return signed ? [nsec, signature(owner, nsec3 ? NSEC3 : NSEC, ttlS)] : [nsec]
  }
  const resolve: Resolve = async ({ question, edns, checkingDisabled }) => {
    const name = question.lower.slice(0, -4)
    asked.push(textFromName(name))
    if (edns?.dnssecOk !== true || checkingDisabled) throw new Error('not asked as it should be')
    const from = { upstream: 'u', transport: 'dot' } as const
    const last = top(labelsOf(name).at(-1) ?? '')
    if (chain.some((owner) => compareNames(owner, last) === 0))
      return { wire: synthesise(question, { rcode: 0 }), rcode: 0, storeS: ttlS, from }
    const [gap, wildcard] = [gapOf(last), gapOf(top('*'))]
    const authority = [
      soa({ zone: '.', ttlS }),
      ...(signed ? [signature('.', 6, ttlS)] : []),
      ...gap,
      ...(gap[0]?.[0] === 0 ? [] : wildcard),
    ]
    return { wire: synthesise(question, { rcode: 3, authority }), rcode: 3, storeS: ttlS, from }
  }
  return { asked, resolve }
}

function scene(next: Resolve) {
  const clock = new FakeClock()
  const kept: Query[] = []
  let generation = 0
  const proofs = new LocalProofs(clock, { generation: () => generation, keep: (query) => void kept.push(query) }, VIEW_OF_ALL)
  const resolve = through([specialNames(() => proofs)], next)
  return {
    clock,
    kept,
    proofs,
    reload: () => void generation++,
    ask(name: string | Uint8Array, type = 1, dnssecOk = true): Promise<Answer> {
      const lower = bytes(typeof name === 'string' ? nameFromText(name) : name, u16s(type, 1))
      const ask: Ask = { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }
      const edns = dnssecOk ? { udpSize: 1232, dnssecOk, wantsSource: false } : undefined
      const about = {
        id: 0,
        authenticData: true,
        checkingDisabled: false,
        client: { address: '127.0.0.1', transport: 'udp', view: VIEW_OF_ALL },
      } as const
      return resolve({ ...about, question: { lower, type, class: 1 }, edns }, ask)
    },
  }
}

/** Types of the authority section. */
function authority(answer: Answer): readonly number[] {
  const types: number[] = []
  const cursor = new RecordCursor(answer.wire)
  while (cursor.next()) if (cursor.section === 2) types.push(cursor.type)
  return types
}
const proven = (answer: Answer) => answer.rcode === 3 && readDenial(answer.wire) !== undefined

t.test('a zone of the list is proven by its own DS, asked once', async (t) => {
  const root = fakeRoot()
  const s = scene(root.resolve)
  for (const name of ['printer.local', 'local', 'a.b.local']) {
    const answer = await s.ask(name)
    t.ok(proven(answer), name)
    t.equal(answer.from, 'policy')
    t.equal((answer.wire[3] ?? 0) & 0x20, 0, 'AD is clear: nobody has validated it')
    t.same(answer.ede, { code: 29 })
  }
  t.ok(proven(await s.ask('local', 43)), 'its DS')
  t.same(root.asked, ['local.'])
  t.equal(s.kept.length, 1, 'kept for the validator, which asks the same')
})

t.test('no proof, and no query, without DO, for localhost and for data', async (t) => {
  const root = fakeRoot()
  const s = scene(root.resolve)
  for (const name of ['printer.local', 'myhost', '10.0.0.1', 'nas.home.arpa']) t.same(authority(await s.ask(name, 1, false)), [6], name)
  t.equal((await s.ask('localhost')).rcode, 0)
  t.equal((await s.ask('localhost', 15)).rcode, 0)
  t.equal((await s.ask('1.0.0.127.in-addr.arpa', 12)).rcode, 0)
  t.same(root.asked, [])
})

t.test('a zone that is delegated unsigned needs no proof', async (t) => {
  const root = fakeRoot()
  const s = scene(root.resolve)
  for (let i = 0; i < 3; i++) {
    const answer = await s.ask('nas.home.arpa')
    t.same(authority(answer), [6])
    t.equal(answer.storeS, 10_800, 'and is kept as ever')
  }
  t.same(root.asked, ['home.arpa.'])
})

t.test('private labels: proven, and never queried', async (t) => {
  const root = fakeRoot()
  const s = scene(root.resolve)
  for (const label of [
    'myhost',
    'server',
    'printer',
    'nas',
    'pc',
    'pi',
    'q',
    'a',
    'zz',
    'computers',
    'wpad',
    '_x',
    '-',
    '{',
    '\\255abc',
    'xn--x',
  ])
    t.ok(proven(await s.ask(label)), label)
  t.notOk(
    root.asked.some((name) => /myhost|server|printer|nas|^pc\.|^pi\.|^q\.|zz\.$.*zz|computers|wpad|_x/.test(name)),
    root.asked.join(' '),
  )
  const before = root.asked.length
  for (const label of ['mymac', 'myhost2', 'servers', 'printers']) t.ok(proven(await s.ask(label)), `${label} lies in a gap that is known`)
  t.equal(root.asked.length, before)
  t.equal((await s.ask('myhost', 43)).rcode, 3, 'its DS is not forwarded either')
  t.equal(root.asked.length, before)
})

t.test('numbers are proven by the gap before the first letter, for any number', async (t) => {
  const root = fakeRoot()
  const s = scene(root.resolve)
  for (const name of ['192.168.1.1', '10.0.0.7', '10.0x7f']) t.ok(proven(await s.ask(name)), name)
  t.same(root.asked, ['0.'])
})

t.test('a top-level domain is not private: it is forwarded', async (t) => {
  const root = fakeRoot()
  const s = scene(root.resolve)
  const answer = await s.ask('box')
  t.equal(answer.rcode, 0)
  t.equal(root.asked.at(-1), 'box.')
})

t.test('any label in any root: proven unless it exists, and the queries reveal little of it', async () => {
  const tld = fc.stringMatching(/^[a-z]{2,6}$/)
  const odd = fc.string({ unit: fc.constantFrom(...'0123456789-_ !"%*,:@`{~\x01\x7f'), minLength: 1, maxLength: 9 })
  const label = fc.oneof(fc.stringMatching(/^[a-z][a-z0-9-]{0,11}$/), odd)
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(tld, { minLength: 1, maxLength: 60 }), label, async (tlds, text) => {
      const root = fakeRoot({ tlds })
      const s = scene(root.resolve)
      const answer = await s.ask(top(text))
      const exists = tlds.includes(text)
      const asked = exists ? root.asked.slice(0, -1) : root.asked
      if (exists ? answer.rcode !== 0 : /^([0-9]+|0x[0-9a-f]*)$/.test(text) ? false : !proven(answer)) return false
      return asked.every(
        (name) =>
          ['0.', '~.'].includes(name) ||
          (name !== textFromName(top(text)) && (name.length <= 7 || tlds.some((one) => name === `${one}-.`))),
      )
    }),
    { numRuns: 400 },
  )
})

t.test('without an upstream the answer is as usual, is not stored, and no client waits twice', async (t) => {
  let asked = 0
  const s = scene(async () => {
    asked++
    throw new EnigmError('deadline', 'nobody')
  })
  for (const name of ['printer.local', 'myhost', 'nas.internal']) {
    const answer = await s.ask(name)
    t.equal(answer.rcode, 3)
    t.same(authority(answer), [6])
    t.equal(answer.storeS, 'no')
  }
  t.equal(asked, 1)
  await s.clock.advance(5001)
  await s.ask('printer.local')
  t.equal(asked, 2)
})

t.test('a slow upstream delays no client by more than 2 s; its answer serves the next one', async (t) => {
  const root = fakeRoot()
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const s = scene((query, ask) => held.then(() => root.resolve(query, ask)))
  const first = s.ask('printer.local')
  const second = s.ask('other.local')
  await s.clock.advance(2001)
  t.same(authority(await first), [6])
  t.same(authority(await second), [6])
  release()
  await held
  await new Promise(setImmediate)
  t.ok(proven(await s.ask('printer.local')))
  t.same(root.asked, ['local.'], 'asked once for all')
})

t.test('a proof ends with its time, and with the configuration', async (t) => {
  const root = fakeRoot({ ttlS: 100 })
  const s = scene(root.resolve)
  t.equal((await s.ask('printer.local')).storeS, 100)
  await s.clock.advance(60_000)
  const answer = await s.ask('other.local')
  t.equal(answer.storeS, 40, 'kept as long as the proof is good')
  const cursor = new RecordCursor(answer.wire)
  while (cursor.next()) t.equal(cursor.ttlS, 40)
  await s.clock.advance(41_000)
  await s.ask('printer.local')
  t.equal(root.asked.length, 2, 'refreshed')
  s.reload()
  t.notOk(s.proofs.denies(top('local')), 'forgotten')
  await s.ask('printer.local')
  t.equal(root.asked.length, 3)
})

t.test('a root with NSEC3 proves the zones; an unsigned one nothing', async (t) => {
  const hashed = fakeRoot({ nsec3: true })
  const s = scene(hashed.resolve)
  t.ok(proven(await s.ask('printer.local')))
  t.same(authority(await s.ask('myhost')), [6], 'what a hash covers cannot be told without the name')
  const unsigned = fakeRoot({ signed: false })
  const u = scene(unsigned.resolve)
  for (let i = 0; i < 5; i++) for (const name of ['printer.local', 'myhost']) t.same(authority(await u.ask(name)), [6])
  t.ok(unsigned.asked.length <= 2, `${unsigned.asked.length} questions in a minute`)
})

t.test('searches at the same time are bounded', async (t) => {
  let asked = 0
  const s = scene(() => {
    asked++
    return new Promise(() => {})
  })
  const all = Array.from({ length: 100 }, (_, i) => s.ask(`host${i}`))
  t.ok(asked <= 16, `${asked} of 100`)
  await s.clock.advance(2001)
  for (const answer of await Promise.all(all)) t.equal(answer.rcode, 3)
})

t.test('responses that are no denial', (t) => {
  const question = { lower: bytes(top('local'), u16s(43, 1)), type: 43, class: 1 }
  const nsec = rr({ name: '.', type: NSEC, rdata: bytes(top('aaa'), 0, 1, 0x40) })
  const sets = [soa({ zone: '.' }), signature('.', 6, 300), nsec, signature('.', NSEC, 300)]
  t.ok(readDenial(synthesise(question, { rcode: 3, authority: sets })))
  t.notOk(readDenial(synthesise(question, { rcode: 0, authority: sets })), 'NODATA')
  t.notOk(readDenial(synthesise(question, { rcode: 3, authority: sets.slice(2) })), 'no SOA')
  t.notOk(readDenial(synthesise(question, { rcode: 3, authority: sets.slice(0, 2) })), 'no proof')
  t.notOk(readDenial(synthesise(question, { rcode: 3, authority: sets.slice(0, 3) })), 'a proof without a signature')
  t.notOk(readDenial(synthesise(question, { rcode: 3, answers: [rr()], authority: sets })), 'behind an alias')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(400), (octets, at) => {
      const wire = synthesise(question, { rcode: 3, authority: sets })
      wire.set(octets.subarray(0, Math.max(0, wire.length - at)), Math.min(at, wire.length))
      readDenial(wire)
      readDenial(octets)
    }),
    { numRuns: 3000 },
  )
  t.end()
})

t.test('the order of names is that of RFC 4034 section 6.1', (t) => {
  const sorted = [
    'example',
    'a.example',
    'yljkjljk.a.example',
    'z.a.example',
    'zabc.a.example',
    'z.example',
    '\\001.z.example',
    '*.z.example',
    '\\200.z.example',
  ]
  const names = sorted.map(nameFromText)
  t.same([...names].reverse().toSorted(compareNames).map(textFromName), names.map(textFromName))
  t.end()
})
