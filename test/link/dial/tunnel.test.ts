import { once } from 'node:events'
import { SocksClient } from 'socks'
import t, { type Test } from 'tap'
import { systemClock } from '../../../src/clock.ts'
import { createAuthority } from '../../../src/demo/authority.ts'
import { asEnigmError } from '../../../src/errors.ts'
import type { DialHop } from '../../../src/link/dial/hops.ts'
import { tlsSessions } from '../../../src/link/dial/sessions.ts'
import { MOST_HOPS, type ProxyKind } from '../../../src/route.ts'
import { startDot } from '../../support/dot-server.ts'
import { codeOf, endpointAt, linkTo, NAME, pause } from '../../support/link-rig.ts'
import { query } from '../../support/messages.ts'
import { hopTo, type ProxyFault, type ProxySpec, type ScriptedProxy, startProxy } from '../../support/proxies.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'

const authority = await createAuthority()
const identity = await authority.issue({ name: NAME })
const proxyIdentity = await authority.issue({ name: 'proxy.test' })
const ca = authority.certificate
const KINDS: readonly ProxyKind[] = ['socks5', 'http-connect']
const TLS = { by: 'tls', authenticated: 'ca', authenticationDomainName: 'proxy.test' } as const

async function proxyFor(t: Test, spec: ProxySpec): Promise<ScriptedProxy> {
  const proxy = await startProxy(spec)
  t.teardown(() => proxy.close())
  return proxy
}
async function resolverFor(t: Test) {
  const server = await startDot({ identity, answer: (q) => replyTo(q, [addressRecord()]) })
  t.teardown(() => server.close())
  return server
}
/** One query over a link through `route`. */
async function asked(port: number, route: readonly DialHop[], more: object = {}, ms = 3500) {
  const { link, ask, events } = linkTo({ ...endpointAt(port, { ca, ...more }), route }, 'dot')
  const began = performance.now()
  const outcome = await ask(query(), ms).then(
    () => ({ code: 'answered', hop: undefined, message: '' }),
    (error: unknown) => asEnigmError(error),
  )
  await link.close()
  const { code, hop, message } = outcome
  return { code, hop, message, events, ms: performance.now() - began }
}

for (const kind of KINDS) {
  t.test(`${kind}: to an IPv4 address, with and without credentials, with and without TLS to the proxy`, async (t) => {
    const server = await resolverFor(t)
    const login = { username: 'anna', password: 'p:\u00e4ss' }
    for (const withLogin of [false, true])
      for (const withTls of [false, true]) {
        const proxy = await proxyFor(t, { kind, ...(withLogin ? { login } : {}), ...(withTls ? { tls: proxyIdentity } : {}) })
        const hop = hopTo(proxy, {
          ...(withLogin ? { login: () => login, credentials: 'fixed' } : {}),
          ...(withTls ? { protection: TLS, ca } : {}),
        })
        const { code } = await asked(server.port, [hop])
        t.equal(code, 'answered', `credentials: ${withLogin}, TLS: ${withTls}`)
        t.match(proxy.requests, [{ host: '127.0.0.1', port: server.port }])
        t.strictSame(proxy.requests[0]?.login, withLogin ? login : undefined)
        t.equal(proxy.counts.tcp, 1)
      }
  })

  t.test(`${kind}: one that needs no credentials takes them all the same, and one that has none is told`, async (t) => {
    const server = await resolverFor(t)
    const open = await proxyFor(t, { kind })
    const login = { username: 'u', password: 'p' }
    t.equal((await asked(server.port, [hopTo(open, { login: () => login, credentials: 'fixed' })])).code, 'answered')
    const shut = await proxyFor(t, { kind, login })
    t.match(await asked(server.port, [hopTo(shut)]), { code: 'hop-credentials', hop: 'hop', message: /requires a user name/ })
    const wrong = { username: 'u', password: 'x' }
    const refused = await asked(server.port, [hopTo(shut, { login: () => wrong, credentials: 'fixed' })])
    t.match(refused, { code: 'hop-credentials', hop: 'hop', message: /the proxy "hop" refused the user name or the password/ })
    t.match(refused.events, [{ type: 'link.failed', code: 'hop-credentials', hop: 'hop' }])
    t.notMatch(JSON.stringify(refused), /"x"/)
  })

  const FAULTS: readonly (readonly [ProxyFault, code: string, hop: string | undefined, says: RegExp])[] = [
    ['silent', 'connect-timeout', 'hop', /the proxy "hop" has not answered in time/],
    ['half-silent', 'connect-timeout', 'hop', /the proxy "hop" has not answered in time/],
    ['resets', 'hop-failed', 'hop', /closed the connection/],
    ['refuses-rules', 'hop-refused', 'hop', kind === 'socks5' ? /not allowed by its rules/ : /status 403/],
    [
      'cannot-reach',
      kind === 'socks5' ? 'connect-refused' : 'connect-failed',
      undefined,
      kind === 'socks5' ? /connection refused/ : /status 502/,
    ],
    ['garbage', 'hop-failed', 'hop', kind === 'socks5' ? /does not speak SOCKS5/ : /does not speak HTTP/],
    ['talks', 'hop-failed', 'hop', /data that nobody asked for|malformed|chose a method|does not speak/],
    ...(kind === 'http-connect' ? [['endless', 'hop-failed', 'hop', /does not end/] as const] : []),
  ]
  for (const [fault, code, hop, says] of FAULTS) {
    t.test(`${kind} that ${fault}: the error names it, and nothing is dialled around it`, async (t) => {
      const server = await resolverFor(t)
      const proxy = await proxyFor(t, { kind })
      proxy.behave(fault)
      const found = await asked(server.port, [hopTo(proxy)], {}, 700)
      t.match(found, { code, message: says })
      t.equal(found.hop, hop)
      t.ok(found.ms < 1500, `${Math.round(found.ms)} ms`)
      t.equal(server.counts.handshakes, 0, 'the resolver hears nothing')
    })
  }

  t.test(`${kind} that is silent to the end of the dial`, async (t) => {
    const server = await resolverFor(t)
    const proxy = await proxyFor(t, { kind })
    proxy.behave('silent')
    const { link, ask, events } = linkTo({ ...endpointAt(server.port, { ca }), route: [hopTo(proxy)] }, 'dot')
    t.equal(await codeOf(ask(query(), 6000)), 'hop-unreachable')
    t.match(events, [{ type: 'link.failed', code: 'hop-unreachable', hop: 'hop', detail: 'the proxy "hop" has not answered in time' }])
    await link.close()
  })

  t.test(`${kind} that trickles, dies and comes back`, async (t) => {
    const server = await resolverFor(t)
    const proxy = await proxyFor(t, { kind })
    proxy.behave('trickles')
    t.equal((await asked(server.port, [hopTo(proxy)])).code, 'answered', 'slow is not wrong')
    proxy.behave(undefined)
    await proxy.die()
    t.match(await asked(server.port, [hopTo(proxy)]), { code: 'hop-unreachable', hop: 'hop', message: /cannot be reached: ECONNREFUSED/ })
    const { link, ask } = linkTo({ ...endpointAt(server.port, { ca }), route: [hopTo(proxy)] }, 'dot')
    t.equal(await codeOf(ask(query())), 'hop-unreachable')
    await proxy.comeBack()
    await pause(150)
    t.equal(await codeOf(ask(query())), 'answered')
    await link.close()
  })

  t.test(`${kind} with TLS: its certificate, name and pin are checked before it is told anything`, async (t) => {
    const server = await resolverFor(t)
    const other = await createAuthority()
    const login = () => ({ username: 'u', password: 'p' })
    const cases: readonly (readonly [what: string, tls: typeof proxyIdentity | undefined, more: object, code: string])[] = [
      ['another name', await authority.issue({ name: 'other.test' }), {}, 'hop-untrusted'],
      ['another authority', await other.issue({ name: 'proxy.test' }), {}, 'hop-untrusted'],
      [
        'expired',
        await authority.issue({ name: 'proxy.test', notBefore: new Date(0), notAfter: new Date(86_400_000) }),
        {},
        'hop-untrusted',
      ],
      ['another pin', proxyIdentity, { spkiPins: [identity.spkiPin] }, 'hop-untrusted'],
      ['the pin', proxyIdentity, { spkiPins: [proxyIdentity.spkiPin] }, 'answered'],
    ]
    for (const [what, tls, more, code] of cases) {
      const proxy = await proxyFor(t, { kind, anyLogin: true, ...(tls === undefined ? {} : { tls }) })
      const hop = hopTo(proxy, { protection: TLS, ca, login, credentials: 'fixed', ...more })
      const found = await asked(server.port, [hop])
      t.equal(found.code, code, what)
      if (code === 'answered') continue
      t.equal(found.hop, 'hop', what)
      t.strictSame(proxy.requests, [], `${what}: it was told nothing`)
    }
  })
}

t.test('chains of up to three, of every kind, over names; the hop that fails is named', async (t) => {
  const server = await resolverFor(t)
  const last = await proxyFor(t, { kind: 'socks5', anyLogin: true })
  const middle = await proxyFor(t, { kind: 'http-connect', tls: proxyIdentity, names: { 'last.test': last.port } })
  const first = await proxyFor(t, { kind: 'socks5', names: { 'middle.test': middle.port } })
  const route = [
    hopTo(first, { name: 'first' }),
    hopTo(middle, { name: 'middle', host: 'middle.test', protection: TLS, ca }),
    hopTo(last, { name: 'last', host: 'last.test', login: () => ({ username: 'a', password: 'b' }), credentials: 'per-operator' }),
  ]
  t.equal(route.length, MOST_HOPS)
  t.equal((await asked(server.port, route)).code, 'answered')
  t.match(first.requests, [{ host: 'middle.test', port: middle.port }])
  t.match(middle.requests, [{ host: 'last.test', port: last.port }])
  t.match(last.requests, [{ host: '127.0.0.1', port: server.port, login: { username: 'a' } }])

  for (const [i, proxy] of [first, middle, last].entries()) {
    const name = route[i]?.hop.name
    proxy.behave('refuses-rules')
    t.match(await asked(server.port, route), { code: 'hop-refused', hop: name })
    proxy.behave('garbage')
    t.match(await asked(server.port, route), { code: 'hop-failed', hop: name })
    proxy.behave(undefined)
  }
  first.behave('cannot-reach')
  t.match(await asked(server.port, route), {
    code: 'hop-unreachable',
    hop: 'middle',
    message: /the proxy "middle" cannot be reached: the proxy "first" answers: connection refused/,
  })
  first.behave(undefined)
  await last.die()
  t.match(await asked(server.port, route), { code: 'hop-unreachable', hop: 'last' })
  t.equal(server.counts.tcp, 1, 'and nothing reached the resolver but the first')
})

t.test('a proxy that must keep operators apart, and does not ask who they are, is not used', async (t) => {
  const server = await resolverFor(t)
  const proxy = await proxyFor(t, { kind: 'socks5' })
  const login = () => ({ username: 'a', password: 'b' })
  t.match(await asked(server.port, [hopTo(proxy, { login, credentials: 'per-operator' })]), { code: 'hop-credentials', hop: 'hop' })
  t.equal(server.counts.tcp, 0)
})

t.test('an IPv6 address and the name of an onion service reach the proxy as they are', async (t) => {
  const server = await resolverFor(t)
  const onion = 'duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion'
  for (const kind of KINDS) {
    const proxy = await proxyFor(t, { kind, names: { [onion]: server.port } })
    t.equal((await asked(server.port, [hopTo(proxy)], { addresses: [onion] })).code, 'answered', 'with the name check as ever')
    t.match(proxy.requests, [{ host: onion, port: server.port }])
    await asked(server.port, [hopTo(proxy)], { addresses: ['2001:db8::7'] })
    t.match(proxy.requests[1]?.host, /^2001:0?db8:.*7$/)
  }
})

t.test('the name of the first hop is never looked up', async (t) => {
  const proxy = await proxyFor(t, { kind: 'socks5' })
  t.equal((await asked(853, [hopTo(proxy, { host: 'localhost' })])).code, 'internal')
  t.equal(proxy.counts.tcp, 0)
})

t.test('a TLS session is resumed on its route, and on no other', async (t) => {
  const server = await resolverFor(t)
  const proxy = await proxyFor(t, { kind: 'socks5' })
  const other = await proxyFor(t, { kind: 'socks5' })
  const sessions = tlsSessions(systemClock())
  const resumed = async (route: readonly DialHop[]) => {
    const { link, ask } = linkTo({ ...endpointAt(server.port, { ca }), route }, 'dot', { sessions })
    const { protection } = await ask(query())
    await pause(30) // tickets come after the handshake
    await link.close()
    return protection.resumed
  }
  t.equal(await resumed([hopTo(proxy)]), false)
  t.equal(await resumed([hopTo(proxy)]), true)
  t.equal(await resumed([]), false, 'a ticket of the route would join it to this address')
  t.equal(await resumed([hopTo(other)]), false)
  t.equal(await resumed([hopTo(proxy), hopTo(other, { name: 'second' })]), false)
  t.equal(await resumed([]), true)
})

t.test('an abandoned dial leaves no connection, at any step', async (t) => {
  const server = await resolverFor(t)
  for (const fault of ['silent', 'half-silent', undefined] as const) {
    const proxy = await proxyFor(t, { kind: 'socks5' })
    proxy.behave(fault)
    const { link, ask } = linkTo({ ...endpointAt(server.port, { ca }), route: [hopTo(proxy)] }, 'dot')
    const pending = codeOf(ask(query(), 100))
    await pause(20)
    await link.close()
    await pending
    await pause(50)
    t.ok(await empty(proxy), String(fault))
  }
})

async function empty(proxy: ScriptedProxy): Promise<boolean> {
  const closed = proxy.die()
  return await Promise.race([closed.then(() => true), pause(1000).then(() => false)])
}

t.test('the reference client agrees with the proxy of these tests', async (t) => {
  const server = await resolverFor(t)
  const login = { username: 'u', password: 'p' }
  const proxy = await proxyFor(t, { kind: 'socks5', login })
  const { socket } = await SocksClient.createConnection({
    proxy: { host: '127.0.0.1', port: proxy.port, type: 5, userId: 'u', password: 'p' },
    command: 'connect',
    destination: { host: '127.0.0.1', port: server.port },
  })
  t.match(proxy.requests, [{ host: '127.0.0.1', port: server.port, login }])
  socket.destroy()
  await once(socket, 'close')
})
