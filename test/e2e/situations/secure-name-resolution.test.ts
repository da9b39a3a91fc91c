import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createHttp } from 'node:http'
import { createServer as createTcp, type Server } from 'node:net'
import { createServer as createTls } from 'node:tls'
import t from 'tap'
import { startDoh } from '../../support/doh-server.ts'
import { startDot } from '../../support/dot-server.ts'
import { RESOLVER_NAME } from '../../support/real/daemon.ts'
import { addressRecord, replyTo, withOptions } from '../../support/replies.ts'
import {
  ask,
  authority,
  DAY_MS,
  daemon,
  entry,
  file,
  ip,
  note,
  open,
  PADDING,
  right,
  type ServerWish,
  server,
  situations,
  statusText,
  until,
} from '../../support/situations.ts'

async function resolution() {
  const good = await server()
  let d = await daemon([entry(good)])
  await note('just started', 'no query was sent yet', file(d), { state: 'offline', exit: 2, codes: ['not-proven-yet'] })
  t.equal((await ask(d)).rcode, 0)
  await note('answers arrive', 'a resolver with the right certificate answered', file(d), { state: 'protected', exit: 0 })
  const cases: readonly [string, string, ServerWish, object, string][] = [
    [
      'expired certificate',
      'its certificate ended yesterday',
      {
        identity: await authority.issue({
          name: RESOLVER_NAME,
          notBefore: new Date(Date.now() - 3 * DAY_MS),
          notAfter: new Date(Date.now() - DAY_MS),
        }),
      },
      {},
      'certificate-expired',
    ],
    ['pin mismatch', 'its key does not match a pin', {}, { spkiPins: [Buffer.alloc(32, 7).toString('base64')] }, 'pin-mismatch'],
    [
      'certificate for another name',
      'its certificate is for another name',
      { identity: await authority.issue({ name: 'elsewhere.example' }) },
      {},
      'certificate-name',
    ],
    [
      'self-signed certificate',
      'its certificate is self-signed',
      { identity: await authority.issue({ name: RESOLVER_NAME, selfSigned: true }) },
      {},
      'certificate-untrusted',
    ],
  ]
  for (const [what, made, wish, more, code] of cases) {
    d = await daemon([entry(await server(wish), more)])
    t.equal((await ask(d)).rcode, 2)
    await note(what, made, file(d), { state: 'offline', exit: 2, codes: [code, 'all-failing'] })
  }
  const future = await authority.issue({
    name: RESOLVER_NAME,
    notBefore: new Date(Date.now() + DAY_MS),
    notAfter: new Date(Date.now() + 2 * DAY_MS),
  })
  d = await daemon([entry(await server({ identity: future })), entry(await server({ identity: future }), { id: 'two' })])
  await until(d, 'clock-suspect', true, () => ask(d))
  await note('wrong clock', 'every certificate begins tomorrow, by the clock of this host', file(d), {
    state: 'offline',
    exit: 2,
    codes: ['clock-suspect'],
  })

  const [absent, b] = [await server(), await server()]
  await absent.close()
  d = await daemon([entry(absent), entry(b, { id: 'two', operator: 'Operator Two' })], { policy: { minimumOperators: 1 } })
  await until(d, 'resolver-down', true, () => ask(d))
  await note('one resolver down', 'one of two is not running', file(d), { state: 'protected', exit: 0, codes: ['resolver-down'] })
  await b.close()
  open.splice(open.indexOf(absent), 1)
  open.splice(open.indexOf(b), 1)
  await until(d, 'all-failing', true, () => ask(d))
  await note('all resolvers down', 'the other one failed as well', file(d), { state: 'offline', exit: 2, codes: ['all-failing'] })

  const bare = await server({ bare: true })
  d = await daemon([entry(bare)])
  await ask(d)
  await note('replies not padded', 'replies arrived without padding', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['replies-unpadded'],
  })
  d = await daemon([entry(bare)], { policy: { padding: { replies: 'required' } } })
  await ask(d)
  await note('replies not padded, but required', 'the same, with policy.padding.replies', file(d), {
    state: 'degraded',
    exit: 1,
    codes: ['rule-reply-padding'],
  })
  d = await daemon([entry(await server({ identity: await authority.issue({ name: 'elsewhere.example' }) }))], {
    usageProfile: 'opportunistic',
  })
  t.equal((await ask(d)).rcode, 0)
  await note('an impostor answers', 'usageProfile opportunistic, certificate for another name', file(d), {
    state: 'exposed',
    exit: 2,
    codes: ['unauthenticated-answers'],
  })
}

/**
 * A network whose login page answers in place of everybody: on 853 and 443 with `tls`, on 80 with a
 * redirect. `cleartext` counts what came in unencrypted.
 */
async function portal(hosts: readonly string[], tls: () => Server) {
  const cleartext = { packets: 0 }
  const count = () => void cleartext.packets++
  const parts: { close(done: () => void): unknown }[] = []
  for (const host of hosts) {
    const redirect = createHttp((_request, response) => response.writeHead(302, { location: 'http://login.example/' }).end())
    const tcp53 = createTcp()
    for (const [server, port] of [
      [tls(), 853],
      [tls(), 443],
      [redirect.on('connection', count), 80],
      [tcp53.on('connection', count), 53],
    ] as const) {
      await once(server.listen(port, host), 'listening')
      parts.push(server)
    }
    const udp53 = createSocket('udp4').on('message', count)
    udp53.bind(53, host)
    await once(udp53, 'listening')
    parts.push(udp53)
  }
  return {
    cleartext,
    close: () => Promise.all(parts.splice(0).map((part) => new Promise((done) => void part.close(() => done(undefined))))),
  }
}

async function portals() {
  const hosts = ['10.66.0.1', '10.66.0.2']
  for (const host of hosts) ip('addr', 'add', `${host}/32`, 'dev', 'lo')
  const [one = '', two = ''] = hosts
  const both = [
    entry({ host: one, port: 853 }),
    entry({ host: two, port: 443 }, { id: 'two', transports: { doh: { port: 443, path: '/dns-query' } } }),
  ]
  const stranger = await authority.issue({ name: 'login.example', selfSigned: true })
  let octets = 0
  const swallow = () =>
    createTls({ ...stranger, ALPNProtocols: ['dot', 'h2', 'http/1.1'] }, (socket) => {
      socket
        .on('error', () => {})
        .on('data', (chunk) => {
          octets += chunk.length
        })
    }).on('tlsClientError', () => {})
  let login = await portal(hosts, swallow)
  open.push(login)
  const d = await daemon(both)
  await until(d, 'portal-suspected', true, () => ask(d))
  t.same(await ask(d), { rcode: 2, ede: 23 })
  await note(
    'captive portal',
    'a login page answers in place of both resolvers: its own certificate on 853 and 443, a redirect on 80',
    file(d),
    {
      state: 'offline',
      exit: 2,
      codes: ['portal-suspected', 'all-failing'],
    },
  )
  t.same({ ...login.cleartext, octets }, { packets: 0, octets: 0 }, 'nothing in cleartext, and nothing to whom the portal is')
  await login.close()
  const right_ = { identity: right, answer: (q: Uint8Array) => withOptions(replyTo(q, [addressRecord()]), PADDING) }
  const real = [await startDot({ ...right_, host: one, port: 853 }), await startDoh({ ...right_, host: two, port: 443 })]
  await until(d, '"state":"protected"', true, () => ask(d))
  await until(d, 'certificate-untrusted', false, () => ask(d))
  await note('past the login page', 'the resolvers themselves can be reached again', file(d), { state: 'protected', exit: 0 })
  await d.stop()
  for (const server of real) await server.close()

  login = await portal(hosts, () => createTcp((socket) => void socket.on('error', () => {}).resetAndDestroy()))
  open.push(login)
  const cut = await daemon(both)
  await until(cut, 'all-failing', true, () => ask(cut))
  t.equal((await ask(cut)).rcode, 2)
  await note(
    'captive portal that cuts TLS',
    'the same, but every connection to 853 and 443 is reset: this cannot be distinguished from a block',
    file(cut),
    {
      state: 'offline',
      exit: 2,
      codes: ['all-failing', 'resolver-down'],
    },
  )
  t.notMatch(statusText(cut), 'portal-suspected', 'there is no evidence of one')
  t.same(login.cleartext, { packets: 0 })
}

situations(import.meta.url, 'secureNameResolution', { resolution, portals })
