import { createServer } from 'node:net'
import t from 'tap'
import { systemClock } from '../../../src/clock.ts'
import { type CertificateOptions, COMMON_NAME, createAuthority, type ServerIdentity } from '../../../src/demo/authority.ts'
import { connect } from '../../../src/link/dial/connect.ts'
import type { Endpoint } from '../../../src/link/dial/endpoint.ts'
import { tlsSessions } from '../../../src/link/dial/sessions.ts'
import { type DotServer, startDot } from '../../support/dot-server.ts'
import { codeOf, endpointAt, linkTo, NAME, pause } from '../../support/link-rig.ts'
import { query } from '../../support/messages.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'
import { freePace } from '../../support/rules.ts'

const DAY_MS = 86_400_000
const clock = systemClock()
const pace = freePace(clock)
const authority = await createAuthority()
const good = await authority.issue({ name: NAME })
const ca = authority.certificate

const serve = (identity: ServerIdentity, more: { host?: string; port?: number } = {}): Promise<DotServer> =>
  startDot({ identity, answer: (q) => replyTo(q, [addressRecord()]), ...more })

t.test('a certificate error ends the dial with its code, before the server has one octet of DNS', async (t) => {
  const from = (days: number) => new Date(Date.now() + days * DAY_MS)
  const faults: [string, CertificateOptions, Partial<Endpoint>, string][] = [
    ['expired', { name: NAME, notBefore: from(-3), notAfter: from(-1) }, {}, 'certificate-expired'],
    ['not yet valid', { name: NAME, notBefore: from(1), notAfter: from(3) }, {}, 'certificate-not-yet-valid'],
    ['another name', { name: 'other.test' }, {}, 'certificate-name'],
    ['the name as common name only', { name: '192.0.2.1' }, { authenticationDomainName: COMMON_NAME }, 'certificate-name'],
    ['self-signed', { name: NAME, selfSigned: true }, {}, 'certificate-untrusted'],
    ['a root that Node does not know', { name: NAME }, { ca: undefined }, 'certificate-untrusted'],
    ['another private authority', { name: NAME }, { ca: (await createAuthority()).certificate }, 'certificate-untrusted'],
    ['another IP', { name: '192.0.2.7' }, { authenticationDomainName: '192.0.2.8' }, 'certificate-name'],
    ['an IP where a name is wanted', { name: '127.0.0.1' }, {}, 'certificate-name'],
    ['a name where an IP is wanted', { name: NAME }, { authenticationDomainName: '127.0.0.1' }, 'certificate-name'],
    ['another key than the pinned', { name: NAME }, { spkiPins: [good.spkiPin] }, 'pin-mismatch'],
    [
      'the pinned key, expired',
      { name: NAME, keyOf: good, notBefore: from(-3), notAfter: from(-1) },
      { spkiPins: [good.spkiPin] },
      'certificate-expired',
    ],
    ['the pinned key, self-signed', { name: NAME, keyOf: good, selfSigned: true }, { spkiPins: [good.spkiPin] }, 'certificate-untrusted'],
    ['the pinned key, another name', { name: 'other.test', keyOf: good }, { spkiPins: [good.spkiPin] }, 'certificate-name'],
  ]
  for (const [what, wish, more, code] of faults) {
    const server = await serve(await authority.issue(wish))
    const { link, ask, events, sessions } = linkTo({ ...endpointAt(server.port, { ca }), ...more, usageProfile: 'strict' }, 'dot')
    t.equal(await codeOf(ask(query())), code, what)
    t.match(events, [{ type: 'link.failed', code }], `${what}: reported`)
    t.equal(sessions.size, 0, `${what}: no session kept`)
    await link.close()
    await pause(20)
    t.equal(server.counts.applicationOctets, 0, `${what}: not an octet was written`)
    await server.close()
  }
})

t.test('a valid certificate: by name, by IP, by pin', async (t) => {
  const byIp = await authority.issue({ name: '127.0.0.1', alsoNames: ['2001:db8::1'] })
  const cases: [ServerIdentity, Partial<Endpoint>, 'ca' | 'ca+spki'][] = [
    [good, {}, 'ca'],
    [byIp, { authenticationDomainName: '127.0.0.1' }, 'ca'],
    [byIp, { authenticationDomainName: '2001:db8:0::1' }, 'ca'],
    [good, { spkiPins: ['AAAA', good.spkiPin] }, 'ca+spki'],
    [await authority.issue({ name: NAME, keyOf: good }), { spkiPins: [good.spkiPin] }, 'ca+spki'],
    [await authority.issue({ name: '*.test.example' }), { authenticationDomainName: 'a.test.example' }, 'ca'],
  ]
  for (const [identity, more, by] of cases) {
    const server = await serve(identity)
    const endpoint = { ...endpointAt(server.port, { ca }), ...more, usageProfile: 'strict' as const }
    const { stream, protocol, protection } = await connect(endpoint, 'dot', { clock, sessions: tlsSessions(clock), pace })
    t.match(protection, { authenticated: true, by, resumed: false, tlsVersion: 'TLSv1.3' })
    t.equal(protocol, 'dot')
    stream.destroy()
    await server.close()
  }
})

for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
  t.test(`${version}: a resumed session keeps its proof, and is not offered under another pin set, CA or name`, async (t) => {
    const server = await startDot({ identity: good, answer: (q) => replyTo(q), tls: { minVersion: version, maxVersion: version } })
    const sessions = tlsSessions(clock)
    const endpoint = endpointAt(server.port, { ca, spkiPins: [good.spkiPin] })
    const talk = async (to: Endpoint) => {
      const { link, ask } = linkTo({ ...to, usageProfile: 'strict' }, 'dot', { sessions })
      const outcome = await ask(query()).then(
        ({ protection }) => ({ ...protection }),
        (error: unknown) => error,
      )
      await pause(30) // tickets come after the handshake
      await link.close()
      return outcome
    }
    t.match(await talk(endpoint), { authenticated: true, by: 'ca+spki', resumed: false, tlsVersion: version })
    t.ok(sessions.size > 0)
    t.match(await talk(endpoint), { authenticated: true, by: 'ca+spki', resumed: true })
    t.equal(server.counts.resumed, 1)

    const octets = server.counts.applicationOctets
    t.match(await talk({ ...endpoint, spkiPins: ['AAAA'] }), { code: 'pin-mismatch' }, 'a changed pin set meets no old session')
    t.match(await talk({ ...endpoint, ca: (await createAuthority()).certificate }), { code: 'certificate-untrusted' })
    t.match(await talk({ ...endpoint, authenticationDomainName: 'other.test' }), { code: 'certificate-name' })
    t.equal(server.counts.applicationOctets, octets)
    t.match(await talk({ ...endpoint, spkiPins: [] }), { by: 'ca', resumed: false })

    sessions.flush('test')
    t.equal(sessions.size, 0)
    t.match(await talk(endpoint), { resumed: false }, 'after a flush the handshake is a full one')
    await server.close()
  })
}

t.test('a server that changes its key is detected at the next full handshake', async (t) => {
  const server = await serve(good)
  const sessions = tlsSessions(clock)
  const endpoint = endpointAt(server.port, { ca, spkiPins: [good.spkiPin] })
  const { stream } = await connect(endpoint, 'dot', { clock, sessions, pace })
  await pause(30)
  stream.destroy()
  server.present(await authority.issue({ name: NAME }))
  sessions.flush()
  t.equal(await codeOf(connect(endpoint, 'dot', { clock, sessions, pace })), 'pin-mismatch')
  await server.close()
})

t.test('opportunistic: connects in any case and reports the missing proof', async (t) => {
  const cases: [CertificateOptions, Partial<Endpoint>, object][] = [
    [{ name: 'other.test' }, {}, { authenticated: false, why: 'certificate-name' }],
    [{ name: NAME, selfSigned: true }, {}, { authenticated: false, why: 'certificate-untrusted' }],
    [{ name: NAME, notBefore: new Date(0), notAfter: new Date(DAY_MS) }, {}, { authenticated: false, why: 'certificate-expired' }],
    [{ name: NAME }, { spkiPins: ['AAAA'] }, { authenticated: false, why: 'pin-mismatch' }],
    [{ name: NAME }, {}, { authenticated: true, by: 'ca' }],
  ]
  for (const [wish, more, expected] of cases) {
    const server = await serve(await authority.issue(wish))
    const sessions = tlsSessions(clock)
    const endpoint: Endpoint = { ...endpointAt(server.port, { ca }), ...more, usageProfile: 'opportunistic' }
    const { stream, protection } = await connect(endpoint, 'dot', { clock, sessions, pace })
    t.match(protection, expected)
    await pause(30)
    t.equal(sessions.size > 0, protection.authenticated, 'only a verified handshake leaves sessions behind')
    stream.destroy()
    await server.close()
  }
})

t.test('ALPN: a DoT server may support none; one that insists on another protocol, and a DoH server that accepts none, fail', async (t) => {
  const silent = await startDot({ identity: good, answer: (q) => replyTo(q), tls: { ALPNProtocols: [] } })
  const other = await startDot({ identity: good, answer: (q) => replyTo(q), tls: { ALPNProtocols: ['http/1.1'] } })
  const options = { clock, sessions: tlsSessions(clock), pace }
  const { stream } = await connect(endpointAt(silent.port, { ca }), 'dot', options)
  stream.destroy()
  t.equal(await codeOf(connect(endpointAt(other.port, { ca }), 'dot', options)), 'alpn-missing')
  t.equal(await codeOf(connect(endpointAt(silent.port, { ca }), 'doh', options)), 'alpn-missing')
  await silent.close()
  await other.close()
})

t.test('errors of the path: refused, closed in the handshake, not TLS, TLS 1.1, no address, a transport not offered', async (t) => {
  const options = { clock, sessions: tlsSessions(clock), pace }
  const plain = async (talk: string | undefined) => {
    const server = createServer((socket) => (talk === undefined ? socket.destroy() : socket.end(talk)))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    return { server, port: typeof address === 'object' ? (address?.port ?? 0) : 0 }
  }
  const closing = await plain(undefined)
  t.equal(await codeOf(connect(endpointAt(closing.port, { ca }), 'dot', options)), 'tls-failed')
  closing.server.close()
  const text = await plain('220 mail.test ESMTP\r\n')
  t.equal(await codeOf(connect(endpointAt(text.port, { ca }), 'dot', options)), 'tls-failed')
  text.server.close()
  t.equal(await codeOf(connect(endpointAt(text.port, { ca }), 'dot', options)), 'connect-refused')
  const old = await startDot({
    identity: good,
    answer: (q) => replyTo(q),
    tls: { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
  })
  t.equal(await codeOf(connect(endpointAt(old.port, { ca }), 'dot', options)), 'tls-failed')
  await old.close()
  t.equal(await codeOf(connect(endpointAt(1, { ca, addresses: [] }), 'dot', options)), 'connect-failed')
  t.equal(
    await codeOf(connect(endpointAt(1, { ca, addresses: ['resolver.test'] }), 'dot', options)),
    'internal',
    'a name is never looked up',
  )
  const { dot: _dot, ...dohOnly } = endpointAt(1, { ca })
  t.equal(await codeOf(connect(dohOnly, 'dot', options)), 'connect-failed')
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
  t.not(await codeOf(connect(endpointAt(1, { ca: broken }), 'dot', options)), 'not an EnigmError')
})

t.test('happy eyeballs: a refused address costs nothing, a silent one the delay', async (t) => {
  const server = await serve(good)
  const sessions = tlsSessions(clock)
  const refused = await connect(endpointAt(server.port, { ca, addresses: ['::1', '127.0.0.1'] }), 'dot', { clock, sessions, pace })
  t.equal(refused.address, '127.0.0.1')
  t.ok(refused.handshakeMs < 200, `${refused.handshakeMs} ms`)
  refused.stream.destroy()

  const dark = createServer(() => {}) // takes TCP, says nothing: only a race to the end of TLS gets past it
  await new Promise<void>((resolve) => dark.listen(server.port, '127.0.0.2', resolve))
  const open = new Set<{ destroy(): unknown }>()
  dark.on('connection', (socket) => open.add(socket))
  const silent = await connect(endpointAt(server.port, { ca, addresses: ['127.0.0.2', '127.0.0.1'] }), 'dot', { clock, sessions, pace })
  t.equal(silent.address, '127.0.0.1')
  t.ok(silent.handshakeMs >= 240 && silent.handshakeMs < 600, `${silent.handshakeMs} ms`)
  silent.stream.destroy()
  const first = await connect(endpointAt(server.port, { ca, addresses: ['127.0.0.2', '127.0.0.1'] }), 'dot', {
    clock,
    pace,
    sessions,
    first: '127.0.0.1',
  })
  t.ok(first.handshakeMs < 200, 'the address that worked last goes first')
  first.stream.destroy()

  const wrong = await startDot({
    identity: await authority.issue({ name: 'other.test' }),
    answer: (q) => replyTo(q),
    host: '127.0.0.3',
    port: server.port,
  })
  const right = await connect(endpointAt(server.port, { ca, addresses: ['127.0.0.3', '127.0.0.1'] }), 'dot', { clock, sessions, pace })
  t.equal(right.address, '127.0.0.1', 'an address with a wrong certificate does not decide for the others')
  right.stream.destroy()
  const none = endpointAt(server.port, { ca, addresses: ['127.0.0.4', '127.0.0.3'] })
  t.equal(await codeOf(connect(none, 'dot', { clock, sessions, pace })), 'certificate-name', 'the fault worth telling')
  t.equal(wrong.counts.applicationOctets, 0)
  await wrong.close()
  dark.close()
  for (const socket of open) socket.destroy()
  await server.close()
})
