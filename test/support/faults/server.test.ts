import { once } from 'node:events'
import { connect } from 'node:net'
import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { createAuthority } from '../../../src/demo/authority.ts'
import { idOf } from '../../../src/dns/message.ts'
import { codeOf, linkTo, pause } from '../link-rig.ts'
import { addressOf, judge, nameIn, POISONED, rightAnswer } from './answers.ts'
import { askOnce, properQuery, type Seen } from './clients.ts'
import { FAULTS, type Fault, type FaultKind, isPossible, type Protocol } from './fault.ts'
import { seeded } from './seeded.ts'
import { FAULT_SERVER_NAME, type FaultServer, startFaultServer } from './server.ts'

const authority = await createAuthority()
const ca = authority.certificate
const NAME = 'www.faults.example'

async function serverOf(t: Test, protocol: Protocol, unexpected?: (what: string) => void): Promise<FaultServer> {
  const server = await startFaultServer({ authority, protocol, chance: seeded(1), ...(unexpected ? { unexpected } : {}) })
  t.teardown(() => server.close())
  return server
}

const isRight = (seen: Seen) => seen.messages.length === 1 && judge(NAME, seen.messages[0] ?? new Uint8Array(12)).right
const first = (seen: Seen) => seen.messages[0] ?? new Uint8Array(12)

/** What each fault looks like to a client of Node's own: true where it is as it should be. */
const LOOKS: Readonly<Record<FaultKind, (seen: Seen, over: Protocol) => boolean>> = {
  blackhole: (s) => s.messages.length === 0 && s.tookMs >= 290,
  away: (s) => s.ended === 'ECONNREFUSED',
  'half-open': isRight, // what is new works; see below for what is not
  cut: isRight,
  latency: (s) => isRight(s) && s.tookMs >= 100,
  loss: (s) => s.messages.length === 0 || s.tookMs > 199,
  rate: (s) => s.messages.length === 0,
  'slow-handshake': (s) => s.messages.length === 0,
  expired: (s) => s.ended === 'CERT_HAS_EXPIRED',
  'wrong-name': (s) => s.ended === 'ERR_TLS_CERT_ALTNAME_INVALID',
  'self-signed': (s) => s.ended === 'DEPTH_ZERO_SELF_SIGNED_CERT' || s.ended === 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  stall: (s, over) => s.messages.length === 0 && (over === 'dot' ? s.ended === undefined : s.ended === 'late'),
  slow: (s) => s.messages.length === 0,
  reset: (s) => s.messages.length === 0 && (s.ended === 'ECONNRESET' || s.ended === 'reset 8' || s.ended === 'reset 2'),
  goaway: (s, over) =>
    over === 'dot' ? isRight(s) && s.ended === 'FIN' : over === 'h2' ? s.ended === 'goaway 0 1' || isRight(s) : isRight(s),
  'goaway-0': (s) => s.messages.length === 0 && s.ended === 'goaway 0 0',
  'refused-stream': (s) => s.ended === 'reset 7',
  'max-streams': isRight,
  'wrong-id': (s, over) => idOf(first(s)) !== (over === 'dot' ? 7 : 0) && s.messages.length === (over === 'dot' ? 2 : 1),
  'wrong-question': (s, over) => nameIn(first(s)) !== NAME && s.messages.length === (over === 'dot' ? 2 : 1),
  'wrong-case': (s) => isRight(s) && nameIn(first(s)) !== NAME && nameIn(first(s)).toLowerCase() === NAME,
  'extra-records': (s) => judge(NAME, first(s)).right && Buffer.from(first(s)).includes('poisoned'),
  truncated: (s) => ((first(s)[2] ?? 0) & 2) !== 0,
  short: (s) => first(s).length === rightAnswer(properQuery(NAME)).length - 7,
  servfail: (s) => judge(NAME, first(s)).rcode === 2,
  oversize: (s, over) => (over === 'dot' ? isRight(s) && first(s).length > 60_000 : first(s).length === 65_536),
  'wrong-type': (s) => s.headers?.['content-type'] === 'text/html',
  redirect: (s) => s.status === 302,
  gzip: (s) => judge(NAME, gunzipSync(first(s))).right,
  status: (s) => s.status === 503,
  trickle: (s, over) => (over === 'dot' ? s.messages.length === 0 : first(s).length > 0 && first(s).length < 10),
  'out-of-order': isRight,
}
const MEASURES: Partial<Record<FaultKind, Omit<Fault, 'kind'>>> = {
  latency: { ms: 50 },
  loss: { perMille: 1000, ms: 200 },
  trickle: { ms: 100 },
}
/** Of these nothing, or not all, is heard for a while. */
const SILENT: readonly FaultKind[] = ['blackhole', 'rate', 'slow-handshake', 'stall', 'slow', 'trickle']
/** A reply ends the wait; this is for a busy machine. */
const PATIENCE_MS = 5000
const kinds = Object.keys(FAULTS).filter((kind): kind is FaultKind => kind in FAULTS)

for (const protocol of ['dot', 'h2', 'h1'] as const) {
  t.test(`${protocol}: in order, it answers a link of ours correctly`, async (t) => {
    const server = await serverOf(t, protocol)
    const at = { port: server.port, path: '/dns-query' }
    const rig = linkTo(
      {
        resolver: 'fault',
        addresses: ['127.0.0.1'],
        authenticationDomainName: FAULT_SERVER_NAME,
        spkiPins: [],
        ca,
        usageProfile: 'strict',
        dot: at,
        doh: at,
      },
      protocol === 'dot' ? 'dot' : 'doh',
    )
    t.teardown(() => rig.link.close())
    for (const name of [NAME, `nx-a.${NAME}`, `t5-a.${NAME}`]) t.ok(judge(name, (await rig.ask(properQuery(name, 9))).wire).right, name)
    t.equal(server.asked.get(NAME), 1)
    t.equal(server.path.counts.cleartext, 0)
    server.begin({ kind: 'out-of-order', ms: 20 })
    const many = await Promise.all(Array.from({ length: 20 }, (_, i) => rig.ask(properQuery(`n${i}.${NAME}`, i))))
    t.ok(
      many.every(({ wire }, i) => judge(`n${i}.${NAME}`, wire).right),
      'each its own answer, in whatever order',
    )
    server.begin({ kind: 'half-open' })
    const octets = server.path.strand()
    t.equal(await codeOf(rig.ask(properQuery(`after.${NAME}`))), 'answered', 'a new connection works')
    t.ok(octets() >= 0)
  })

  t.test(`${protocol}: every fault looks as described, and ends when it is cleared`, async (t) => {
    const server = await serverOf(t, protocol, () => {})
    const asked = properQuery(NAME, protocol === 'dot' ? 7 : 0)
    for (const kind of kinds) {
      if (!isPossible(kind, protocol)) {
        t.throws(() => server.begin({ kind }), `${kind} is refused`)
        continue
      }
      server.begin({ kind, ...MEASURES[kind] })
      const seen = await askOnce(server, ca, asked, SILENT.includes(kind) ? 300 : PATIENCE_MS)
      t.ok(
        LOOKS[kind](seen, protocol),
        `${kind}: ${seen.messages.length} messages, ${seen.status ?? ''} ${seen.ended ?? ''} after ${seen.tookMs.toFixed(0)} ms`,
      )
      server.clear()
      await pause(5)
      t.ok(isRight(await askOnce(server, ca, asked, PATIENCE_MS)), `${kind}: over`)
    }
  })
}

t.test('every Nth, and only victims', async (t) => {
  const server = await serverOf(t, 'dot')
  server.begin({ kind: 'servfail', every: 3 })
  const rcodes: number[] = []
  for (let i = 0; i < 6; i++) rcodes.push(judge(NAME, first(await askOnce(server, ca, properQuery(NAME), PATIENCE_MS))).rcode)
  t.strictSame(rcodes, [0, 0, 2, 0, 0, 2])
  server.begin({ kind: 'servfail', victims: true })
  t.equal(judge(NAME, first(await askOnce(server, ca, properQuery(NAME), PATIENCE_MS))).rcode, 0)
  t.equal(judge(NAME, first(await askOnce(server, ca, properQuery(`victim1.${NAME}`), PATIENCE_MS))).rcode, 2)
})

t.test('requests that our stub never sends are reported at once', async (t) => {
  const said: string[] = []
  const server = await startFaultServer({ authority, protocol: 'dot', chance: seeded(1), unexpected: (what) => said.push(what) })
  const odd: [string, Uint8Array][] = [
    ['a capital letter', properQuery('Www.faults.example')],
    ['not padded', properQuery(NAME).subarray(0, -1)],
    ['no OPT', properQuery(NAME).slice(0, 36).fill(0, 10, 12)],
  ]
  for (const [what, message] of odd) {
    said.length = 0
    await askOnce(server, ca, message, PATIENCE_MS)
    t.equal(said.length, 1, `${what}: ${said}`)
  }
  const plain = connect(server.port, '127.0.0.1')
  plain.on('error', () => {})
  plain.write('\0\x0cin the clear')
  await once(plain, 'close')
  said.length = 0
  await server.close()
  t.match(said, [/cleartext/])
})

t.test('the correct answers: distinguished by name, judged', async (t) => {
  t.not(addressOf('a.example'), addressOf('b.example'))
  t.equal(addressOf('WWW.example.'), addressOf('www.example'))
  t.equal(judge(POISONED, rightAnswer(properQuery(NAME))).wrong, true, 'an answer to another question is a wrong one')
  t.equal(judge(NAME, rightAnswer(properQuery(NAME))).wrong, false)
  t.equal(judge(`t7-${NAME}`, rightAnswer(properQuery(`t7-${NAME}`))).ttlS, 7)
})
