import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { nameFromText } from '../../src/dns/name.ts'
import { record, synthesise } from '../../src/dns/response.ts'
import { EnigmError } from '../../src/errors.ts'
import { Job, type Outcome, type Stage } from '../../src/job.ts'
import { type Answer, asView, type Client, hasMark, type Query, VIEW_OF_ALL, viewNumber } from '../../src/resolve.ts'
import { judgeByLists } from '../../src/rules/judge-lists.ts'
import { buildLists } from '../../src/rules/list-build.ts'
import type { BlockedReply } from '../../src/rules/list-kinds.ts'
import { ListsInForce } from '../../src/rules/lists-in-force.ts'
import { RulesVersion } from '../../src/rules-version.ts'

const RENEWAL: Client = { address: '', transport: 'udp', view: VIEW_OF_ALL }
const UPSTREAM = { upstream: 'a', transport: 'dot' } as const
const TYPE = { A: 1, CNAME: 5, AAAA: 28, HTTPS: 65 } as const

function query(name: string, type: number, client: Client = RENEWAL): Query {
  const lower = Buffer.concat([nameFromText(name), Buffer.of(0, type, 0, 1)])
  return { id: 1, question: { lower, type, class: 1 }, authenticData: false, checkingDisabled: false, edns: undefined, client }
}

type Records = readonly (readonly [owner: string, type: number, rdata: Uint8Array])[]

/** Lists in force, and what a question gets through them; `records` are what a server would say. */
function scene(t: Test, texts: Readonly<Record<string, string>>, reply?: BlockedReply) {
  const dir = t.testdir(texts)
  const specs = Object.keys(texts).map((id) => ({ id, path: join(dir, id), format: 'auto' as const, action: 'block' as const }))
  for (const [id, text] of Object.entries(texts)) writeFileSync(join(dir, id), text)
  const outcome = buildLists(specs, Buffer.alloc(8, 3))
  if ('faults' in outcome) throw new Error(JSON.stringify(outcome.faults))
  const lists = new ListsInForce(new RulesVersion())
  const plan = { lists: specs.map(({ id }) => ({ id, reply })), sets: [Uint8Array.from(specs, () => 1)] }
  let asked = 0
  const ask = (name: string, type: number, records: Records = [], from: Answer['from'] = UPSTREAM, client = RENEWAL) => {
    const server: Stage = {
      enter(job) {
        asked++
        const answers = records.map(([owner, kind, rdata]) => record(nameFromText(owner), kind, 60, rdata))
        job.outcome = { wire: synthesise(job.query.question, { rcode: 0, answers }), rcode: 0, storeS: 60, from }
        return 'answered'
      },
    }
    let outcome: Outcome | undefined
    new Job([judgeByLists(lists), server], query(name, type, client), { purpose: 'client', deadlineMs: 0 }, (one) => {
      outcome = one
    }).start()
    return outcome
  }
  return { lists, ask, put: () => lists.swap(outcome, plan), plan, asked: () => asked }
}

function shown(outcome: Outcome | undefined): string {
  if (outcome === undefined || outcome instanceof EnigmError) return String(outcome)
  const { wire, rcode, ede, storeS, from } = outcome
  return `${rcode} ${wire[7]} answers ${wire[9]} authority, EDE ${ede?.code} ${ede?.text}, ${storeS} s, ${typeof from === 'string' ? from : from.upstream}`
}

t.test('the null address is a lie that says so; other types have no data, with an SOA to keep that', (t) => {
  const { ask, put, lists, asked } = scene(t, { ads: 'ads.example' })
  put()
  const four = ask('www.ads.example', TYPE.A)
  t.equal(shown(four), '0 1 answers 0 authority, EDE 4 list ads, 60 s, policy')
  t.ok(!(four instanceof EnigmError) && four?.wire.subarray(-4).every((octet) => octet === 0))
  t.equal(shown(ask('www.ads.example', TYPE.AAAA)), '0 1 answers 0 authority, EDE 4 list ads, 60 s, policy')
  t.equal(shown(ask('www.ads.example', TYPE.HTTPS)), '0 0 answers 1 authority, EDE 4 list ads, 60 s, policy')
  t.equal(shown(ask('other.example', TYPE.A)), '0 0 answers 0 authority, EDE undefined undefined, 60 s, a')
  t.equal(asked(), 1, 'nobody is asked for a blocked name')
  t.equal(lists.blockedBy('ads'), 3)
  t.end()
})

t.test('NXDOMAIN and REFUSED are "blocked", each with an SOA', (t) => {
  for (const [reply, rcode] of [
    ['nxdomain', 3],
    ['refused', 5],
  ] as const) {
    const { ask, put } = scene(t, { ads: 'ads.example' }, reply)
    put()
    t.equal(shown(ask('ads.example', TYPE.A)), `${rcode} 0 answers 1 authority, EDE 15 list ads, 60 s, policy`)
  }
  t.end()
})

t.test('an RPZ says its own reply, unless the configuration does', (t) => {
  const zone = '@ SOA a. b. 1 2 3 4 5\nx.example CNAME .\ny.example CNAME *.\nz.example A 0.0.0.0\n'
  const own = scene(t, { zone })
  own.put()
  t.match(shown(own.ask('x.example', TYPE.A)), /^3 0 answers 1 authority, EDE 15/)
  t.match(shown(own.ask('y.example', TYPE.A)), /^0 0 answers 1 authority, EDE 4/)
  t.match(shown(own.ask('z.example', TYPE.A)), /^0 1 answers/)
  const ours = scene(t, { zone }, 'refused')
  ours.put()
  for (const name of ['x', 'y', 'z']) t.match(shown(ours.ask(`${name}.example`, TYPE.A)), /^5 /)
  t.end()
})

t.test('answers that lead to a blocked name or address are blocked too', (t) => {
  const { ask, put, lists } = scene(t, { ads: 'tracker.example\n203.0.113.0/24\n@@||fine.example^' })
  put()
  const alias: Records = [['www.shop.example', TYPE.CNAME, nameFromText('X.Tracker.example')]]
  t.match(shown(ask('www.shop.example', TYPE.A, alias)), /EDE 4 list ads/)
  t.match(shown(ask('www.fine.example', TYPE.A, alias)), /, a$/, 'a name that is allowed may lead there')
  t.match(shown(ask('www.shop.example', TYPE.A, alias, 'policy')), /, policy$/, 'and so may an own answer')
  const service: Records = [['shop.example', TYPE.HTTPS, Buffer.concat([Buffer.of(0, 1), nameFromText('tracker.example')])]]
  t.match(shown(ask('shop.example', TYPE.HTTPS, service)), /EDE 4 list ads/)
  t.match(shown(ask('shop.example', TYPE.A, [['shop.example', TYPE.A, Buffer.of(203, 0, 113, 9)]])), /EDE 4 list ads/)
  t.match(shown(ask('shop.example', TYPE.A, [['shop.example', TYPE.A, Buffer.of(203, 0, 114, 9)]])), /, a$/)
  t.equal(lists.blockedBy('ads'), 3)
  t.end()
})

t.test('until the first lists are there a question waits, whatever becomes of it', (t) => {
  const { ask, put, lists, asked, plan } = scene(t, { ads: 'ads.example' })
  t.equal(ask('ads.example', TYPE.A), undefined)
  t.equal(ask('good.example', TYPE.A), undefined)
  t.equal(asked(), 0)
  put()
  t.equal(asked(), 1, 'the good one was asked, the other was not')
  lists.swap(undefined, { ...plan, lists: [], sets: [] })
  t.match(shown(ask('ads.example', TYPE.A)), /, a$/, 'without a table nothing is blocked')
  t.end()
})

t.test('stored answers are judged by their name, their aliases and their addresses', (t) => {
  const { lists, put } = scene(t, { ads: 'ads.example\n203.0.113.0/24' })
  put()
  const stored = (name: string, records: Records = []) => {
    const answers = records.map(([owner, kind, rdata]) => record(nameFromText(owner), kind, 60, rdata))
    return lists.allows(synthesise(query(name, TYPE.A).question, { rcode: 0, answers }), VIEW_OF_ALL)
  }
  t.ok(stored('good.example'))
  t.notOk(stored('ads.example'))
  t.notOk(stored('good.example', [['good.example', TYPE.CNAME, nameFromText('ads.example')]]))
  t.notOk(stored('good.example', [['good.example', TYPE.A, Buffer.of(203, 0, 113, 9)]]))
  t.end()
})

const CLIENT_ZONE = `@ SOA a. b. 1 2 3 4 5
bad.example CNAME .
32.7.2.0.192.rpz-client-ip CNAME rpz-passthru.
24.0.2.0.192.rpz-client-ip CNAME .
32.8.2.0.192.rpz-client-ip CNAME *.
64.zz.1.db8.2001.rpz-client-ip CNAME rpz-drop.
`

t.test('rules about clients: all their questions are blocked, or none; the smallest block decides', (t) => {
  const { ask, put, lists, asked } = scene(t, { zone: CLIENT_ZONE, more: '@@||fine.example^\nworse.example' })
  const views = lists.views(() => VIEW_OF_ALL)
  put()
  const from = (address: string, name: string) => {
    const view = views(address)
    return shown(ask(name, TYPE.A, [], UPSTREAM, { address, transport: 'udp', view }))
  }
  t.equal(from('192.0.2.1', 'good.example'), '3 0 answers 1 authority, EDE 15 list zone, no s, policy')
  t.match(from('192.0.2.1', 'fine.example'), /^3 /, 'a client comes before a name')
  t.match(from('192.0.2.8', 'good.example'), /^0 0 answers 1 authority, EDE 4 list zone/)
  t.match(from('2001:db8:1::9', 'good.example'), /^0 1 answers 0 authority, EDE 4 list zone/)
  t.match(from('::ffff:192.0.2.1', 'good.example'), /^3 /, 'a mapped address')
  t.equal(asked(), 0)
  for (const name of ['good.example', 'bad.example', 'worse.example']) t.match(from('192.0.2.7', name), /, a$/, 'exempt from all lists')
  t.match(from('198.51.100.1', 'good.example'), /, a$/)
  t.match(from('198.51.100.1', 'bad.example'), /^3 .* 60 s/)
  t.equal(lists.blockedBy('zone'), 6)
  t.end()
})

t.test('rules about clients: an answer to a blocked client is not for others, nor one to an exempt client', (t) => {
  const { lists, put, plan } = scene(t, { zone: CLIENT_ZONE, other: 'bad.example' })
  const views = lists.views((address) => asView(address === '192.0.2.8' ? 1 : 0))
  t.equal(views('192.0.2.1'), VIEW_OF_ALL, 'before the lists are read')
  put()
  const kinds = (address: string) => {
    const view = views(address)
    return `${viewNumber(view)}${hasMark(view, 'exempt') ? ' exempt' : ''}${hasMark(view, 'unshared') ? ' unshared' : ''}`
  }
  const all = () => ['192.0.2.1', '192.0.2.7', '192.0.2.8', '198.51.100.1'].map(kinds)
  t.strictSame(all(), ['0 unshared', '0 exempt', '1 unshared', '0'])
  const stored = synthesise(query('bad.example', TYPE.A).question, { rcode: 0 })
  t.strictSame([lists.allows(stored, views('192.0.2.7')), lists.allows(stored, views('198.51.100.1'))], [true, false])
  lists.replan({ ...plan, sets: [Uint8Array.of(1, 1), Uint8Array.of(0, 1)] })
  t.strictSame(all(), ['0 unshared', '0 exempt', '1', '0'], 'a list that the view does not have')
  lists.replan({ ...plan, sets: [Uint8Array.of(0, 1)] })
  t.strictSame(all(), ['0', '0', '1', '0'], 'a pause')
  t.equal(lists.ofClient({ address: '192.0.2.1', transport: 'udp', view: VIEW_OF_ALL }), undefined)
  t.equal(lists.clientRanges.length, 4)
  t.end()
})

t.test('rules about clients: worker threads get the ranges before they can see that the rules changed', (t) => {
  const version = new RulesVersion()
  const seen: string[] = []
  const lists = new ListsInForce(version, (ranges) => seen.push(`${ranges.length} at ${version.current}`))
  const built = buildLists(
    [{ id: 'zone', path: join(t.testdir({ zone: CLIENT_ZONE }), 'zone'), format: 'auto', action: 'block' }],
    Buffer.alloc(8, 3),
  )
  if ('faults' in built) throw new Error(JSON.stringify(built.faults))
  const plan = { lists: [{ id: 'zone', reply: undefined }], sets: [Uint8Array.of(1)] }
  lists.swap(built, plan)
  lists.replan(plan)
  lists.swap(undefined, { lists: [], sets: [] })
  lists.swap(undefined, { lists: [], sets: [] })
  t.strictSame(seen, ['4 at 0', '0 at 2'])
  t.equal(version.current, 4)
  t.end()
})

t.test('rules of an RPZ about addresses of answers: of both families, with their own replies, and exceptions', (t) => {
  const { ask, put } = scene(t, {
    zone: `@ SOA a. b. 1 2 3 4 5
24.0.113.0.203.rpz-ip CNAME .
32.7.113.0.203.rpz-ip CNAME rpz-passthru.
48.zz.1.db8.2001.rpz-ip CNAME *.
fine.example CNAME rpz-passthru.
`,
  })
  put()
  const four = (last: number, name = 'shop.example') => shown(ask(name, TYPE.A, [[name, TYPE.A, Buffer.of(203, 0, 113, last)]]))
  t.match(four(9), /^3 0 answers 1 authority, EDE 15 list zone/)
  t.match(four(7), /, a$/, 'an address that is excepted')
  t.match(four(9, 'fine.example'), /, a$/, 'a name that is allowed')
  const six = Buffer.from('20010db8000100000000000000000005', 'hex')
  t.match(shown(ask('shop.example', TYPE.AAAA, [['shop.example', TYPE.AAAA, six]])), /^0 0 answers 1 authority, EDE 4 list zone/)
  t.end()
})
