import t from 'tap'
import { HostsFile } from '../../src/config/hosts-file.ts'
import type { OwnAnswer } from '../../src/config/own-answers.ts'
import { nameFromText } from '../../src/dns/name.ts'
import { presentMessage } from '../../src/dns/presentation.ts'
import { typeFromText } from '../../src/dns/registries.ts'
import { synthesise } from '../../src/dns/response.ts'
import { EnigmError } from '../../src/errors.ts'
import { specialNames } from '../../src/local-names/special-names.ts'
import type { Answer, Query, Question } from '../../src/resolve.ts'
import { blockedAnswer } from '../../src/rules/blocked.ts'
import { questionFor } from '../../src/rules/own-answers.ts'
import { createOwnRules } from '../../src/rules/own-rules.ts'
import { rr, soa } from '../support/messages.ts'
import { view } from '../support/rules.ts'
import { type Resolve, through } from '../support/stages.ts'

const ASK = { purpose: 'client', deadlineMs: 0 } as const
const typeOf = (type: string) => typeFromText(type) ?? 0

function queryOf(name: string, type: string): Query {
  const question = questionFor(nameFromText(name.toLowerCase()), typeOf(type))
  const client = { address: '127.0.0.1', transport: 'udp', view: view(0) } as const
  return { id: 0, question, authenticData: false, checkingDisabled: false, edns: undefined, client }
}

const fromUpstream = (
  question: Question,
  rcode: number,
  answers: readonly Uint8Array[],
  authority: readonly Uint8Array[] = [],
): Answer => ({
  wire: synthesise(question, { rcode, answers, authority }),
  rcode,
  storeS: 200,
  from: { upstream: 'u', transport: 'dot' },
})

interface Scene {
  readonly answers?: readonly OwnAnswer[]
  readonly hosts?: string
  readonly upstream?: (name: string, type: number, question: Question) => Answer
}

/** Asks, and gives what the client sees as one text, and the questions that went on. */
function scene({ answers = [], hosts, upstream = (_name, _type, q) => fromUpstream(q, 3, [], [soa()]) }: Scene) {
  const rules = createOwnRules({ answers, views: [], dns64: undefined }, hosts === undefined ? [] : [new HostsFile('/h', hosts)])
  const sent: string[] = []
  const end: Resolve = async (query) => {
    const shown = presentMessage(synthesise(query.question, { rcode: 0 }))?.question
    sent.push(`${shown?.name} ${shown?.type}`)
    return upstream(shown?.name ?? '', query.question.type, query.question)
  }
  const resolve = through([rules.stage, specialNames()], end)
  const ask = async (name: string, type: string) => {
    const answer = await resolve(queryOf(name, type), ASK)
    const shown = presentMessage(answer.wire)
    if (shown === undefined || shown.malformed) throw new EnigmError('reply-malformed', 'malformed')
    const data = shown.answers.map((one) => `${one.type} ${one.data}`).join(', ')
    const denial = shown.authority.map((one) => `${one.type} ${one.name} ${one.ttlS}`).join(', ')
    return `${shown.status}${data === '' ? '' : `: ${data}`}${denial === '' ? '' : ` [${denial}]`}`
  }
  return { ask, sent, rules, resolve }
}

const nas: readonly OwnAnswer[] = [{ name: 'nas.example', type: 'A', data: '192.0.2.7', ttlS: 60 }]

t.test('an address that is written answers; what would lead a client past it has no data', async (t) => {
  const { ask, sent } = scene({ answers: nas })
  t.equal(await ask('nas.example', 'A'), 'NOERROR: A 192.0.2.7')
  for (const type of ['AAAA', 'HTTPS', 'SVCB']) t.equal(await ask('nas.example', type), 'NOERROR [SOA nas.example. 60]', type)
  for (const name of ['_443._https.nas.example', '_8443._https.nas.example', '_https.nas.example', '_dns.nas.example'])
    for (const type of ['HTTPS', 'SVCB']) t.equal(await ask(name, type), 'NOERROR [SOA nas.example. 60]', `${name} ${type}`)
  t.strictSame(sent, [], 'nothing was sent')
  t.equal(await ask('nas.example', 'ANY'), 'NOERROR: A 192.0.2.7')
})

t.test('other names and types go on, and a written name exists', async (t) => {
  const { ask, sent } = scene({ answers: [...nas, { name: 'a.b.lan.example', type: 'AAAA', data: '2001:db8::1' }] })
  t.equal(await ask('nas.example', 'MX'), 'NOERROR [SOA nas.example. 200]', 'not "no such name"')
  t.equal(await ask('b.lan.example', 'A'), 'NOERROR [SOA b.lan.example. 200]', 'a name above a written one exists')
  t.match(await ask('x.b.lan.example', 'A'), /^NXDOMAIN/)
  t.match(await ask('_smtp._tcp.nas.example', 'SRV'), /^NXDOMAIN/)
  t.match(await ask('www.nas.example', 'HTTPS'), /^NXDOMAIN/)
  t.strictSame(sent, ['nas.example. MX', 'b.lan.example. A', 'x.b.lan.example. A', '_smtp._tcp.nas.example. SRV', 'www.nas.example. HTTPS'])
})

t.test('written types win over the rule, in both families and for services', async (t) => {
  const { ask, sent } = scene({
    answers: [
      ...nas,
      { name: 'nas.example', type: 'AAAA', data: '2001:DB8::7' },
      { name: 'nas.example', type: 'HTTPS', data: '1 . alpn=h2,h3 ipv4hint=192.0.2.7' },
      { name: '_8443._https.nas.example', type: 'HTTPS', data: '1 nas.example port=8443' },
      { name: 'NAS.Example.', type: 'TXT', data: 'a text with spaces' },
    ],
  })
  t.equal(await ask('nas.example', 'AAAA'), 'NOERROR: AAAA 2001:db8::7')
  t.equal(await ask('NAS.example', 'HTTPS'), 'NOERROR: HTTPS 1 . alpn="h2,h3" ipv4hint=192.0.2.7')
  t.equal(await ask('_8443._https.nas.example', 'HTTPS'), 'NOERROR: HTTPS 1 nas.example. port=8443')
  t.match(await ask('_443._https.nas.example', 'HTTPS'), /^NOERROR \[SOA nas/)
  t.equal(await ask('nas.example', 'TXT'), 'NOERROR: TXT "a text with spaces"')
  t.strictSame(sent, [])
})

t.test('a text alone does not override addresses', async (t) => {
  const { ask, sent } = scene({ answers: [{ name: 'nas.example', type: 'TXT', data: 'x' }] })
  await ask('nas.example', 'A')
  await ask('nas.example', 'HTTPS')
  t.strictSame(sent, ['nas.example. A', 'nas.example. HTTPS'])
})

t.test('a wildcard answers everything below, the nearest one first, and not the name itself', async (t) => {
  const { ask, sent } = scene({
    answers: [
      { name: '*.dev.example', type: 'A', data: '192.0.2.1' },
      { name: '*.deep.dev.example', type: 'A', data: '192.0.2.2' },
      { name: 'own.dev.example', type: 'AAAA', data: '2001:db8::3' },
    ],
  })
  t.equal(await ask('a.dev.example', 'A'), 'NOERROR: A 192.0.2.1')
  t.equal(await ask('b.a.dev.example', 'A'), 'NOERROR: A 192.0.2.1')
  t.equal(await ask('x.y.deep.dev.example', 'A'), 'NOERROR: A 192.0.2.2')
  t.equal(await ask('own.dev.example', 'A'), 'NOERROR [SOA own.dev.example. 300]', 'the name itself wins')
  t.match(await ask('_443._https.own.dev.example', 'HTTPS'), /SOA own\.dev/)
  t.match(await ask('_443._https.a.dev.example', 'HTTPS'), /^NOERROR \[SOA dev/)
  t.match(await ask('a.dev.example', 'AAAA'), /^NOERROR \[SOA dev\.example\. 300/)
  t.strictSame(sent, [])
  t.match(await ask('dev.example', 'A'), /^NOERROR \[SOA/, 'it exists, without an address')
  t.strictSame(sent, ['dev.example. A'])
})

t.test('an alias is followed: here, and by the stages below', async (t) => {
  const { ask, sent } = scene({
    answers: [
      { name: 'search.example', type: 'CNAME', data: 'safe.search.test.example', ttlS: 30 },
      { name: 'first.example', type: 'CNAME', data: 'second.example' },
      { name: 'second.example', type: 'CNAME', data: 'nas.example' },
      { name: 'home.example', type: 'CNAME', data: 'localhost' },
      { name: '*.all.example', type: 'CNAME', data: 'nas.example' },
      ...nas,
    ],
    upstream: (name, type, q) => {
      if (type === 28) return fromUpstream(q, 0, [], [soa()])
      if (name === 'safe.search.test.example.') {
        const target = nameFromText('x.cdn.example')
        return fromUpstream(q, 0, [
          rr({ type: 5, rdata: target, ttlS: 200 }),
          rr({ name: target, rdata: Uint8Array.of(198, 51, 100, 4), ttlS: 200 }),
        ])
      }
      return fromUpstream(q, 3, [], [soa()])
    },
  })
  t.equal(await ask('search.example', 'A'), 'NOERROR: CNAME safe.search.test.example., CNAME x.cdn.example., A 198.51.100.4')
  t.equal(await ask('search.example', 'AAAA'), 'NOERROR: CNAME safe.search.test.example. [SOA example.com. 3600]')
  t.equal(await ask('search.example', 'CNAME'), 'NOERROR: CNAME safe.search.test.example.')
  t.equal(await ask('first.example', 'A'), 'NOERROR: CNAME second.example., CNAME nas.example., A 192.0.2.7')
  t.equal(await ask('first.example', 'HTTPS'), 'NOERROR: CNAME second.example., CNAME nas.example. [SOA nas.example. 60]')
  t.equal(await ask('home.example', 'A'), 'NOERROR: CNAME localhost., A 127.0.0.1')
  t.equal(await ask('any.all.example', 'AAAA'), 'NOERROR: CNAME nas.example. [SOA nas.example. 60]')
  t.match(await ask('_443._https.search.example', 'HTTPS'), /^NOERROR \[SOA search\.example\. 30/)
  t.strictSame(sent, ['safe.search.test.example. A', 'safe.search.test.example. AAAA'])
})

t.test('an alias to a name that does not exist, or whose resolvers fail', async (t) => {
  const { ask, resolve } = scene({
    answers: [{ name: 'a.example', type: 'CNAME', data: 'gone.example' }],
    upstream: (_name, type, q) => {
      if (type === 16) throw new EnigmError('deadline', 'late')
      return fromUpstream(q, 3, [], [soa()])
    },
  })
  t.equal(await ask('a.example', 'A'), 'NXDOMAIN: CNAME gone.example. [SOA example.com. 3600]')
  await t.rejects(resolve(queryOf('a.example', 'TXT'), ASK), { code: 'deadline' })
})

t.test('how long an alias is kept', async (t) => {
  const { resolve } = scene({
    answers: [{ name: 'a.example', type: 'CNAME', data: 'b.example', ttlS: 30 }],
    upstream: (_n, _t, q) => fromUpstream(q, 0, [rr()]),
  })
  t.equal((await resolve(queryOf('a.example', 'A'), ASK)).storeS, 30)
})

t.test('hosts files: both families, several names, reverse names', async (t) => {
  const { ask, sent } = scene({
    hosts: `\uFEFF127.0.0.1 localhost\r
::1 localhost ip6-localhost # comment
192.168.1.5\tnas.lan NAS nas-alias
fd00::5 nas.lan
# 192.0.2.9 commented.example
192.168.1.6 nas.lan printer
0.0.0.0 ads.example
127.0.0.1 tracker.example
`,
    answers: [{ name: 'printer', type: 'A', data: '192.0.2.99' }],
  })
  t.equal(await ask('nas.lan', 'A'), 'NOERROR: A 192.168.1.5, A 192.168.1.6')
  t.equal(await ask('nas.lan', 'AAAA'), 'NOERROR: AAAA fd00::5')
  t.equal(await ask('nas', 'A'), 'NOERROR: A 192.168.1.5')
  t.match(await ask('nas', 'AAAA'), /^NOERROR \[SOA nas\. 300/)
  t.equal(await ask('printer', 'A'), 'NOERROR: A 192.0.2.99', 'answers win over hosts files')
  t.equal(await ask('ads.example', 'A'), 'NOERROR: A 0.0.0.0')
  t.equal(await ask('5.1.168.192.in-addr.arpa', 'PTR'), 'NOERROR: PTR nas.lan.')
  t.equal(await ask(`5.${'0.'.repeat(29)}d.f.ip6.arpa`, 'PTR'), 'NOERROR: PTR nas.lan.')
  t.equal(await ask('1.0.0.127.in-addr.arpa', 'PTR'), 'NOERROR: PTR localhost.')
  t.equal(await ask('localhost', 'A'), 'NOERROR: A 127.0.0.1')
  t.match(await ask('nas', 'MX'), /^NOERROR \[SOA nas\./, 'a single label that is written exists')
  t.strictSame(sent, [])
  t.match(await ask('commented.example', 'A'), /^NXDOMAIN/)
})

t.test('without a match nothing changes', async (t) => {
  const answer = fromUpstream(questionFor(nameFromText('x.example'), 1), 0, [rr()])
  const { resolve } = scene({ answers: nas, upstream: () => answer })
  t.equal(await resolve(queryOf('x.example', 'A'), ASK), answer)
})

t.test('the denial of a list stays as it is for a name that has own records too', async (t) => {
  const { resolve } = scene({ answers: nas, upstream: (_name, _type, question) => blockedAnswer(question, 'nxdomain', 'ads') })
  const answer = await resolve(queryOf('nas.example', 'MX'), ASK)
  t.match(answer, { rcode: 3, ede: { code: 15, text: 'list ads' } })
})
