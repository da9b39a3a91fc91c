import t from 'tap'
import * as v from 'valibot'
import { dns64Schema } from '../../src/config/dns64.ts'
import { HostsFile } from '../../src/config/hosts-file.ts'
import { nameFromText } from '../../src/dns/name.ts'
import { presentMessage } from '../../src/dns/presentation.ts'
import { ipv6Text } from '../../src/dns/rdata-text.ts'
import { typeFromText } from '../../src/dns/registries.ts'
import { synthesise } from '../../src/dns/response.ts'
import { EnigmError } from '../../src/errors.ts'
import { specialNames } from '../../src/local-names/special-names.ts'
import type { Answer, Query, Question } from '../../src/resolve.ts'
import { Dns64 } from '../../src/rules/dns64.ts'
import { questionFor } from '../../src/rules/own-answers.ts'
import { createOwnRules } from '../../src/rules/own-rules.ts'
import { rr, soa } from '../support/messages.ts'
import { view } from '../support/rules.ts'
import { type Resolve, through } from '../support/stages.ts'

const ASK = { purpose: 'client', deadlineMs: 0 } as const
const V4 = Uint8Array.of(192, 0, 2, 33)
const V6 = Uint8Array.from([32, 1, 13, 184, ...Array<number>(11).fill(0), 1])

const octetsOf = (text: string) => {
  const [head = '', tail] = text.split('::')
  const groups = (part: string | undefined) =>
    part === undefined || part === '' ? [] : part.split(':').map((one) => Number.parseInt(one, 16))
  const [before, after] = [groups(head), groups(tail)]
  const all = [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after]
  return Uint8Array.from(all.flatMap((one) => [one >> 8, one & 255]))
}

t.test('RFC 6052 section 2.4: an address in each prefix', async (t) => {
  for (const [prefix, expected] of [
    ['2001:db8::/32', '2001:db8:c000:221::'],
    ['2001:db8:100::/40', '2001:db8:1c0:2:21::'],
    ['2001:db8:122::/48', '2001:db8:122:c000:2:2100::'],
    ['2001:db8:122:300::/56', '2001:db8:122:3c0:0:221::'],
    ['2001:db8:122:344::/64', '2001:db8:122:344:c0:2:2100:0'],
    ['2001:db8:122:344::/96', '2001:db8:122:344::c000:221'],
    ['64:ff9b::/96', '64:ff9b::c000:221'],
  ] as const)
    t.equal(ipv6Text(new Dns64({ prefix, exclude: [] }).embed(V4)), ipv6Text(octetsOf(expected)), prefix)
})

t.test('a prefix that is none is refused with one sentence', async (t) => {
  for (const [prefix, says] of [
    ['64:ff9b::', /must be an IPv6 prefix/],
    ['192.0.2.0/24', /must be an IPv6 prefix/],
    ['2001:db8::/60', /its length must be one of 32, 40, 48, 56, 64, 96/],
    ['2001:db8::1/96', /bits after its length must be 0/],
    ['2001:db8:0:0:100::/96', /bits 64 to 71 must be 0/],
  ] as const) {
    const found = v.safeParse(dns64Schema, { prefix })
    t.match(found.issues?.[0]?.message, says, prefix)
  }
  t.ok(v.safeParse(dns64Schema, { prefix: '2001:db8:64::/96' }).success)
})

type Say = (name: string, type: number, question: Question) => Answer
const up = (
  question: Question,
  rcode: number,
  answers: readonly Uint8Array[],
  authority: readonly Uint8Array[] = [],
  storeS: number | 'no' = 100,
): Answer => ({
  wire: synthesise(question, { rcode, answers, authority }),
  rcode,
  storeS,
  from: { upstream: 'u', transport: 'dot' },
})

function scene(say: Say, o: { readonly prefix?: string; readonly hosts?: string; readonly alias?: string } = {}) {
  const { prefix = '2001:db8:64::/96' } = o
  const answers = o.alias === undefined ? [] : [{ name: 'alias.example', type: 'CNAME' as const, data: o.alias }]
  const hosts = o.hosts === undefined ? [] : [new HostsFile('/h', o.hosts)]
  const rules = createOwnRules({ answers, views: [], dns64: { prefix, exclude: ['::ffff:0:0/96'] } }, hosts)
  const sent: string[] = []
  const end: Resolve = async ({ question }) => {
    const shown = presentMessage(synthesise(question, { rcode: 0 }))?.question
    sent.push(`${shown?.name} ${shown?.type}`)
    return say(shown?.name ?? '', question.type, question)
  }
  const resolve = through([rules.stage, specialNames()], end)
  const ask = async (name: string, type = 'AAAA', flags: { readonly cd?: true; readonly do?: true } = {}) => {
    const query: Query = {
      id: 0,
      question: questionFor(nameFromText(name), typeFromText(type) ?? 0),
      authenticData: false,
      checkingDisabled: flags.cd === true,
      edns: { udpSize: 1232, dnssecOk: flags.do === true, wantsSource: false },
      client: { address: '127.0.0.1', transport: 'udp', view: view(0) },
    }
    const answer = await resolve(query, ASK)
    const shown = presentMessage(answer.wire)
    t.equal(shown?.malformed, false)
    const all = [...(shown?.answers ?? []), ...(shown?.authority ?? [])].map((one) => `${one.type} ${one.ttlS} ${one.data}`)
    return [shown?.status, ...all.filter((one) => !one.startsWith('SOA')), answer.storeS].join(' | ')
  }
  return { ask, sent }
}

const onlyV4: Say = (_name, type, q) => (type === 1 ? up(q, 0, [rr({ rdata: V4, ttlS: 300 })]) : up(q, 0, [], [soa()]))

t.test('a name without IPv6 addresses gets some, with the lower of the two lifetimes', async (t) => {
  const { ask, sent } = scene(onlyV4)
  t.equal(await ask('a.example'), 'NOERROR | AAAA 100 2001:db8:64::c000:221 | 100')
  t.strictSame(sent, ['a.example. AAAA', 'a.example. A'])
  t.equal(await ask('a.example', 'A'), 'NOERROR | A 300 192.0.2.33 | 100')
})

t.test('without a SOA: 600 s at most', async (t) => {
  const { ask } = scene((_n, type, q) => (type === 1 ? up(q, 0, [rr({ rdata: V4, ttlS: 9000 })], [], 9000) : up(q, 0, [], [], 'no')))
  t.equal(await ask('a.example'), 'NOERROR | AAAA 600 2001:db8:64::c000:221 | 600')
})

t.test('a name with IPv6 addresses, or that does not exist, stays as it is', async (t) => {
  const with6 = scene((_n, _t, q) => up(q, 0, [rr({ type: 28, rdata: V6 })]))
  t.equal(await with6.ask('a.example'), 'NOERROR | AAAA 300 2001:db8::1 | 100')
  t.strictSame(with6.sent, ['a.example. AAAA'])
  const gone = scene((_n, _t, q) => up(q, 3, [], [soa()]))
  t.equal(await gone.ask('a.example'), 'NXDOMAIN | 100')
  t.strictSame(gone.sent, ['a.example. AAAA'])
})

t.test('mapped addresses count as absent', async (t) => {
  const mapped = Uint8Array.from([...Array<number>(10).fill(0), 255, 255, 192, 0, 2, 33])
  const only = scene((n, type, q) => (type === 1 ? onlyV4(n, type, q) : up(q, 0, [rr({ type: 28, rdata: mapped })])))
  t.equal(await only.ask('a.example'), 'NOERROR | AAAA 100 2001:db8:64::c000:221 | 100')
  const both = scene((_n, _t, q) => up(q, 0, [rr({ type: 28, rdata: mapped }), rr({ type: 28, rdata: V6 })]))
  t.equal(await both.ask('a.example'), 'NOERROR | AAAA 300 2001:db8::1 | 100')
})

t.test('a chain of aliases is kept', async (t) => {
  const target = nameFromText('b.example')
  const chain = (q: Question, more: readonly Uint8Array[]) =>
    up(q, 0, [rr({ type: 5, rdata: target }), ...more], more.length === 0 ? [soa()] : [])
  const { ask } = scene((_n, type, q) => chain(q, type === 1 ? [rr({ name: target, rdata: V4 })] : []))
  t.equal(await ask('a.example'), 'NOERROR | CNAME 300 b.example. | AAAA 100 2001:db8:64::c000:221 | 100')
})

t.test('an alias that is written here, to a name with IPv4 only', async (t) => {
  const { ask, sent } = scene(onlyV4, { alias: 'far.example' })
  t.equal(await ask('alias.example'), 'NOERROR | CNAME 300 far.example. | AAAA 100 2001:db8:64::c000:221 | 100')
  t.strictSame(sent, ['far.example. AAAA', 'far.example. A'])
})

t.test('what fails: SERVFAIL for AAAA asks for A; a final failure and a failed A do not invent anything', async (t) => {
  const broken = scene((n, type, q) => (type === 1 ? onlyV4(n, type, q) : up(q, 2, [])))
  t.match(await broken.ask('a.example'), /^NOERROR \| AAAA 300 2001:db8:64::c000:221/)
  const bogus = scene((n, type, q) => (type === 1 ? onlyV4(n, type, q) : { ...up(q, 2, []), ede: { code: 6 } }))
  t.match(await bogus.ask('a.example'), /^SERVFAIL/)
  t.strictSame(bogus.sent, ['a.example. AAAA'])
  const noA = scene((_n, type, q) => (type === 1 ? up(q, 2, []) : up(q, 0, [], [soa()])))
  t.match(await noA.ask('a.example'), /^SERVFAIL/)
  const neither = scene((_n, _t, q) => up(q, 0, [], [soa()]))
  t.equal(await neither.ask('a.example'), 'NOERROR | 100')
  const late = scene((n, type, q) => {
    if (type === 1) throw new EnigmError('deadline', 'late')
    return onlyV4(n, type, q)
  })
  await t.rejects(late.ask('a.example'), { code: 'deadline' })
})

t.test('who validates gets what is signed', async (t) => {
  const { ask, sent } = scene(onlyV4)
  t.match(await ask('a.example', 'AAAA', { cd: true, do: true }), /^NOERROR \| 100/)
  t.strictSame(sent, ['a.example. AAAA'])
  t.match(await ask('a.example', 'AAAA', { do: true }), /AAAA/)
})

t.test('the well-known prefix stands for public addresses only', async (t) => {
  const local: Say = (_n, type, q) =>
    type === 1 ? up(q, 0, [rr({ rdata: Uint8Array.of(10, 0, 0, 1) }), rr({ rdata: V4 })]) : up(q, 0, [], [soa()])
  t.equal(await scene(local, { prefix: '64:ff9b::/96' }).ask('a.example'), 'NOERROR | AAAA 100 64:ff9b::c000:221 | 100')
  t.match(await scene(local).ask('a.example'), /2001:db8:64::a00:1/)
})

t.test('local and own names get nothing made up', async (t) => {
  const { ask, sent } = scene(onlyV4, { hosts: '192.168.1.5 nas.lan\n' })
  t.match(await ask('nas.lan'), /^NOERROR \| 300/)
  t.match(await ask('a.test'), /^NXDOMAIN/)
  t.strictSame(sent, [])
})

t.test('the reverse name of a made address leads to that of its IPv4 address', async (t) => {
  const { ask, sent } = scene(
    (_n, type, q) => (type === 12 ? up(q, 0, [rr({ type: 12, rdata: nameFromText('host.example') })]) : onlyV4('', type, q)),
    {
      hosts: '1.2.3.7 seven.example\n',
    },
  )
  const reverse = (text: string) =>
    `${[...octetsOf(text)]
      .reverse()
      .flatMap((o) => [(o & 15).toString(16), (o >> 4).toString(16)])
      .join('.')}.ip6.arpa`
  t.equal(await ask(reverse('2001:db8:64::102:308'), 'PTR'), 'NOERROR | CNAME 300 8.3.2.1.in-addr.arpa. | PTR 300 host.example. | 100')
  t.equal(await ask(reverse('2001:db8:64::102:307'), 'PTR'), 'NOERROR | CNAME 300 7.3.2.1.in-addr.arpa. | PTR 300 seven.example. | 300')
  t.strictSame(sent, ['8.3.2.1.in-addr.arpa. PTR'])
})
