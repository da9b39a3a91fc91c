import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { systemClock, systemRandom } from '../../../src/clock.ts'
import type { Event } from '../../../src/events.ts'
import { createLink } from '../../../src/link/create-link.ts'
import type { StrictEndpoint } from '../../../src/link/dial/endpoint.ts'
import { tlsSessions } from '../../../src/link/dial/sessions.ts'
import { placesOf } from '../../../src/link/dnscrypt/place.ts'
import { openScheduled } from '../../../src/link/transports.ts'
import { requestFor } from '../../shaping/paced-rig.ts'
import { type DnscryptAnswer, PROVIDER, Provider, startDnscrypt, startRelay } from '../../support/dnscrypt.ts'
import { codeOf, endpointAt, pause } from '../../support/link-rig.ts'
import { exchange } from '../../support/links.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'
import { freePace } from '../../support/rules.ts'

const provider = new Provider()
const answered: DnscryptAnswer = (q) => replyTo(q, [addressRecord()])

function linkTo(
  t: Test,
  port: number,
  through?: { readonly addresses: readonly string[]; readonly port: number },
  addresses: readonly string[] = ['127.0.0.1'],
) {
  const clock = systemClock()
  const events: Event[] = []
  const { dot: _dot, doh: _doh, ...bare } = endpointAt(port, { ca: '' })
  const dnscrypt = { providerName: PROVIDER, publicKey: provider.publicKey, port, ...(through === undefined ? {} : { through }) }
  const endpoint: StrictEndpoint = { ...bare, addresses, dnscrypt }
  const tools = {
    clock,
    dialPace: freePace(clock),
    sessions: tlsSessions(clock),
    random: systemRandom,
    emit: (event: Event) => void events.push(event),
  }
  const link = createLink(endpoint, 'dnscrypt', tools)
  t.teardown(() => link.close())
  const ask = (name: string, ms = 3000) => exchange(link, requestFor(name), { purpose: 'client', deadlineMs: clock.nowMs() + ms })
  const cleartext = () => events.filter(({ type }) => type === 'cleartext').length
  return { link, ask, events, cleartext, endpoint, tools }
}

async function server(
  t: Test,
  answer: DnscryptAnswer,
  certificates = [provider.certify()],
  more: { readonly cuts?: true; readonly marks?: true } = {},
) {
  const found = await startDnscrypt({ certificates, answer, ...more })
  t.teardown(() => found.close())
  return found
}

/** A reply of at least so many octets. */
const long =
  (octets: number): DnscryptAnswer =>
  (q) =>
    replyTo(
      q,
      Array.from({ length: Math.ceil(octets / 16) }, () => addressRecord()),
    )

t.test('one certificate in cleartext, then encrypted packets of one length; the protection says what proves it', async (t) => {
  const s = await server(t, answered)
  const { ask, events, cleartext } = linkTo(t, s.port)
  const { protection, wire } = await ask('www.example')
  for (const name of ['a.example', 'a-much-longer-name.of-several.labels.example']) await ask(name)
  t.ok(wire.length > 0)
  t.match(protection, { authenticated: true, by: 'provider-key', tlsVersion: null, cipher: 'XChaCha20-Poly1305', group: 'X25519' })
  t.equal(s.counts.certificates, 1)
  t.equal(cleartext(), 1, 'counted in the ledger')
  t.match(events[0], { type: 'cleartext', cause: 'dnscrypt-certificate' })
  t.equal(new Set(s.lengths.queries).size, 1)
})

t.test('a lost datagram is sent again', async (t) => {
  const s = await server(t, answered)
  const { ask } = linkTo(t, s.port)
  await ask('www.example')
  s.drop(1)
  const beganMs = performance.now()
  await ask('lost.example')
  t.ok(performance.now() - beganMs < 1000)
})

t.test('forged datagrams are counted and change nothing', async (t) => {
  let hold = true
  const s = await server(t, async (q) => {
    while (hold) await pause(5)
    return replyTo(q, [addressRecord()])
  })
  const { ask, events } = linkTo(t, s.port)
  const first = ask('www.example')
  while (s.counts.queries === 0) await pause(2)
  for (let i = 0; i < 20; i++) s.inject(i % 2 === 0 ? randomBytes(200) : Buffer.concat([Buffer.from('r6fnvWj8'), randomBytes(200)]))
  await pause(20)
  hold = false
  t.ok((await first).wire.length > 0)
  await pause(300)
  t.ok(events.some(({ type }) => type === 'link.mismatch'))
})

t.test('a truncated answer is asked for over TCP', async (t) => {
  const s = await server(t, long(1500))
  const { ask } = linkTo(t, s.port)
  const { wire } = await ask('big.example')
  t.ok(wire.length > 1500)
  t.equal((wire[2] ?? 0) & 2, 0)
  t.equal(s.counts.tcp, 1)
})

t.test('through a relay: the server sees its address, it sees no name, and a long answer costs padding, not TCP', async (t) => {
  const s = await server(t, long(1000))
  const relay = await startRelay()
  t.teardown(() => relay.close())
  const { ask, events, cleartext } = linkTo(t, s.port, { addresses: ['127.0.0.1'], port: relay.port })
  const { wire } = await ask('secret-name.example')
  t.ok(wire.length > 1000)
  t.equal((wire[2] ?? 0) & 2, 0)
  t.equal(s.counts.tcp, 0)
  t.equal(relay.counts.dropped, 0)
  t.ok(relay.counts.passed >= 3, 'the certificate, the query, and the query with more padding')
  t.notOk(Buffer.concat(relay.seen).includes('secret-name'))
  t.equal(cleartext(), 1)
  t.ok(events.some((event) => event.type === 'link.up'))
  const before = relay.counts.passed
  await ask('another-name.example')
  t.equal(relay.counts.passed, before + 1, 'the next one has that padding at once')
})

t.test('a certificate that can be used is used, although the reply is marked as cut', async (t) => {
  const s = await server(t, answered, undefined, { marks: true })
  const relay = await startRelay()
  t.teardown(() => relay.close())
  for (const through of [undefined, { addresses: ['127.0.0.1'], port: relay.port }]) {
    const { ask, cleartext } = linkTo(t, s.port, through)
    t.ok((await ask('www.example')).wire.length > 0)
    t.equal(cleartext(), 1, 'one query for certificates')
  }
  t.equal(s.counts.tcp, 0)
})

t.test('through a relay with one address, every address of the server is tried, and then the one that answered', async (t) => {
  const s = await server(t, answered)
  const relay = await startRelay()
  t.teardown(() => relay.close())
  const { ask } = linkTo(t, s.port, { addresses: ['127.0.0.1'], port: relay.port }, ['127.0.0.8', '127.0.0.9', '127.0.0.1'])
  await ask('www.example', 2500)
  t.equal(s.counts.queries, 1)
})

t.test('places through a relay: all pairs, each once, and soon every address of both', async (t) => {
  const { endpoint } = linkTo(t, 443, { addresses: ['10.1.0.1', '10.1.0.2'], port: 443 }, ['10.0.0.1', '10.0.0.2', 'fd00::1'])
  const places = [...placesOf(endpoint).values()]
  const tried = places.map(({ address, head }) => `${address} ${Buffer.from(head ?? []).toString('hex', 10, 26)}`)
  t.equal(places.length, 6)
  t.equal(new Set(tried).size, 6)
  t.equal(new Set(tried.slice(0, 3).map((one) => one.split(' ')[1])).size, 3)
})

t.test('several certificates behind a relay need a longer question, or it drops the reply', async (t) => {
  const s = await server(
    t,
    answered,
    Array.from({ length: 5 }, (_, i) => provider.certify({ serial: i + 1 })),
  )
  const relay = await startRelay()
  t.teardown(() => relay.close())
  const { ask } = linkTo(t, s.port, { addresses: ['127.0.0.1'], port: relay.port })
  t.ok((await ask('www.example')).wire.length > 0)
  t.ok(relay.counts.dropped > 0 && s.counts.certificates > 1)
})

t.test('a server with a new key: the certificate is asked for again, and queries go on', async (t) => {
  const s = await server(t, answered)
  const { ask, cleartext } = linkTo(t, s.port)
  await ask('www.example')
  s.present(provider.certify({ serial: 2 }))
  const beganMs = performance.now()
  await ask('after.example')
  t.ok(performance.now() - beganMs < 1500, `${Math.round(performance.now() - beganMs)} ms`)
  t.equal(cleartext(), 2)
})

t.test('the same when round trips are known, and a second connection is dialled sooner', async (t) => {
  const s = await server(t, answered)
  const { ask } = linkTo(t, s.port)
  for (let i = 0; i < 100; i++) await ask(`n${i}.example`)
  await pause(250)
  s.present(provider.certify())
  const beganMs = performance.now()
  await ask('after.example')
  t.ok(performance.now() - beganMs < 1500, `${Math.round(performance.now() - beganMs)} ms`)
})

t.test('a server that comes back with a new key: no query waits until its deadline', async (t) => {
  const s = await server(t, answered)
  const { ask, cleartext } = linkTo(t, s.port)
  await ask('www.example')
  await s.close()
  // Nothing of the link keeps this process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  t.equal(await codeOf(ask('down.example')), 'connection-lost')
  const back = await startDnscrypt({ certificates: [provider.certify()], answer: answered, port: s.port })
  t.teardown(() => back.close())
  await pause(300)
  const beganMs = performance.now()
  await ask('after.example')
  t.ok(performance.now() - beganMs < 1500, `${Math.round(performance.now() - beganMs)} ms`)
  t.equal(cleartext(), 2)
})

t.test('another network: another port and another key, and no second question in cleartext', async (t) => {
  const s = await server(t, answered)
  const { ask, link, cleartext } = linkTo(t, s.port)
  await ask('www.example')
  link.renew(true)
  await ask('www.example')
  t.equal(s.from.size, 2)
  t.equal(cleartext(), 1)
})

t.test('what is not signed by the provider is refused before a query leaves', async (t) => {
  const s = await server(t, answered, [new Provider().certify()])
  const { ask, events } = linkTo(t, s.port)
  t.equal(await codeOf(ask('www.example')), 'pin-mismatch')
  t.match(
    events.find(({ type }) => type === 'link.failed'),
    { code: 'pin-mismatch' },
  )
  t.equal(s.counts.packets, s.counts.certificates)
})

t.test('no certificate comes: the error says so', async (t) => {
  const s = await server(t, answered, [])
  const relay = await startRelay()
  await s.close()
  t.teardown(() => relay.close())
  const { ask } = linkTo(t, s.port, { addresses: ['127.0.0.1'], port: relay.port })
  await t.rejects(ask('www.example', 5000), { code: 'connect-timeout', message: /no certificate in time/ })
})

t.test('a key of low order in the certificate fails the dial, and not the process', async (t) => {
  const s = await server(t, answered, [provider.certify({ serverKey: new Uint8Array(32) })])
  const { ask, events } = linkTo(t, s.port)
  t.equal(await codeOf(ask('www.example')), 'tls-failed')
  t.match(
    events.find(({ type }) => type === 'link.failed'),
    { code: 'tls-failed', detail: /the key in the certificate/ },
  )
  t.equal(s.counts.packets, s.counts.certificates)
})

t.test('a reply that was cut is asked for again with a longer query, with and without a relay', async (t) => {
  const certificates = Array.from({ length: 5 }, (_, i) => provider.certify({ serial: i + 1 }))
  const s = await server(t, answered, certificates, { cuts: true })
  const relay = await startRelay()
  t.teardown(() => relay.close())
  for (const through of [undefined, { addresses: ['127.0.0.1'], port: relay.port }])
    t.equal(await codeOf(linkTo(t, s.port, through).ask('www.example')), 'answered', through === undefined ? 'directly' : 'relayed')
})

t.test('the sentence for a schedule', async (t) => {
  const { endpoint } = linkTo(t, 1)
  const clock = systemClock()
  const opened = openScheduled(endpoint, 'dnscrypt', { clock, sessions: tlsSessions(clock), pace: freePace(clock) })
  await t.rejects(opened, { code: 'alpn-missing', message: 'DNSCrypt has no records of one size, so it keeps no schedule' })
})
