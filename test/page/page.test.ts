import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Client } from 'undici'
import { type PageOptions, servePage } from '../../src/page/page.ts'
import type { StatusDocument } from '../../src/posture/document.ts'
import { FakeClock } from '../support/fake-clock.ts'

const AT = '2026-11-21T10:00:00.000Z'
const signal = (state: 'ok' | 'bad' | 'unknown' | 'off', message = 'It is so.') =>
  ({ state, since: AT, reasons: [{ code: 'so', severity: 'info', message, mend: 'Nothing.' }] }) as const

function document(change: Partial<StatusDocument> = {}): StatusDocument {
  return {
    schema: 'enigm-dns/status/1',
    version: '0.1.0',
    pid: 1,
    startedAt: AT,
    updatedAt: AT,
    heartbeatS: 10,
    state: 'protected',
    signals: {
      secureNameResolution: signal('ok'),
      protectedNetwork: signal('unknown'),
      policyCompliance: signal('off'),
      vpn: signal('off'),
      service: signal('bad', '<script>alert("x")</script>'),
    },
    resolvers: [
      {
        id: 'mine<&',
        operator: 'Mine',
        state: 'answering',
        transport: 'dot',
        authenticated: 'ca+spki',
        tlsVersion: 'TLSv1.3',
        cipher: 'TLS_<AES>',
        resumed: false,
        padding: { sentBlock: 128, repliesPadded: 'yes' },
        lastHandshakeAt: AT,
        lastAnswerAt: AT,
        rttMs: { p50: 12, p90: 20, p99: 31, samples: 9 },
        failures: { deadline: 2 },
      },
    ],
    cache: { entries: 3, bytes: 900, maxBytes: 1000, hits: 5, misses: 4 },
    shaping: { profile: 'jitter', inForce: 'yes' },
    plaintext: { 'captive-portal': 0, 'split-dns': 0 },
    ...change,
  } as StatusDocument
}

interface Got {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: string
}

const explain: PageOptions['explain'] = async ({ client }) => ({
  name: 'a.example.',
  type: 'A',
  verdict: 'blocked',
  steps: [{ stage: 'lists', verdict: 'blocks', source: '/lists/<ads>', line: 7, rule: `||ads^ for ${client}` }],
})

/** By undici, whose parser is another than that of Node's own HTTP server and client. */
async function get(
  at: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  method: 'GET' | 'POST' = 'GET',
  form?: string,
): Promise<Got> {
  const client = at.startsWith('/') ? new Client('http://localhost', { socketPath: at }) : new Client(at)
  try {
    const {
      statusCode: status,
      headers: received,
      body,
    } = await client.request({ path, method, headers, ...(form === undefined ? {} : { body: form }) })
    return { status, headers: received, body: await body.text() }
  } finally {
    await client.close()
  }
}

async function scene(t: Test, listen: (directory: string) => string) {
  const directory = mkdtempSync(join(tmpdir(), 'enigm-page-'))
  const clock = new FakeClock()
  let current = document()
  const broken: Record<string, number> = {}
  const page = await servePage({
    explain,
    listen: listen(directory),
    stateDir: join(directory, 'state'),
    document: () => current,
    violations: () => broken,
    clock,
  })
  t.teardown(async () => {
    await page.close()
    rmSync(directory, { recursive: true })
  })
  return {
    page,
    clock,
    directory,
    broken,
    become: (next: StatusDocument) => (current = next),
    token: () => readFileSync(join(directory, 'state/page.token'), 'utf8').trim(),
  }
}

t.test('over a Unix socket: facts as HTML and as metrics, nothing to load, nothing to run', async (t) => {
  const { page } = await scene(t, (directory) => join(directory, 'page.sock'))
  t.equal(statSync(page.at).mode & 0o777, 0o600)
  const html = await get(page.at, '/')
  t.equal(html.status, 200)
  t.match(html.headers['content-security-policy'], /^default-src 'none'; style-src 'sha256-/)
  t.match(html.headers['cache-control'], 'no-store')
  t.match(html.body, /<h1>enigm-dns: <span class="protected">protected/)
  t.notMatch(html.body, /<script|src=|href=|url\(/, 'no script, no asset')
  t.match(html.body, /&lt;script&gt;/)
  t.match(html.body, /mine&lt;&amp;/)
  t.match(html.body, /TLSv1\.3 TLS_&lt;AES&gt;/)
  const metrics = await get(page.at, '/metrics')
  t.match(metrics.headers['content-type'], /^text\/plain; version=0\.0\.4/)
  for (const line of [
    /^enigm_dns_state\{state="protected"\} 1$/m,
    /^enigm_dns_signal\{signal="service",state="bad"\} 1$/m,
    /^enigm_dns_cache_hits_total 5$/m,
    /^enigm_dns_resolver_rtt_seconds\{resolver="mine<&",quantile="0.5"\} 0.012$/m,
    /^enigm_dns_resolver_failures_total\{resolver="mine<&",code="deadline"\} 2$/m,
    /^enigm_dns_plaintext_total\{cause="captive-portal"\} 0$/m,
  ])
    t.match(metrics.body, line)
  t.equal((await get(page.at, '/other')).status, 404)
  t.equal((await get(page.at, '/', {}, 'POST')).status, 405)
})

t.test('the box explains a name; what is typed and what rules say is text', async (t) => {
  const { page } = await scene(t, (directory) => join(directory, 'page.sock'))
  t.match((await get(page.at, '/')).body, /<form method="post" action="\/explain">/)
  const got = await get(page.at, '/explain', {}, 'POST', 'name=A.example&type=&client=192.0.2.1')
  t.match(got, { status: 200, body: /a\.example\. A: would be blocked/ })
  t.match(got.body, '<td>lists</td><td>blocks</td><td>/lists/&lt;ads&gt; line 7</td><td>||ads^ for 192.0.2.1</td>')
  t.match(
    (await get(page.at, '/explain', {}, 'POST', 'name=<b>..')).body,
    /value="&lt;b&gt;\.\.".*not a domain name: it has an empty label/,
  )
  t.match((await get(page.at, '/explain', {}, 'POST', 'name=a&client=me')).body, /not an address: me/)
  t.equal((await get(page.at, '/explain', {}, 'POST', `name=${'a'.repeat(5000)}`)).status, 413)
  t.equal((await get(page.at, '/explain')).status, 404)
})

t.test('over TCP: the token, as a header or once in the address for a cookie; no other Host', async (t) => {
  const { page, token, directory } = await scene(t, () => '127.0.0.1:0')
  t.equal(statSync(join(directory, 'state/page.token')).mode & 0o777, 0o600)
  t.match(await get(page.at, '/'), { status: 401, body: /page\.token/ })
  t.equal((await get(page.at, '/', { authorization: `Bearer ${token()}x` })).status, 401)
  t.equal((await get(page.at, '/metrics', { authorization: `Bearer ${token()}` })).status, 200)
  const welcome = await get(page.at, `/?token=${token()}`)
  t.match(welcome, { status: 303, headers: { location: '/' } })
  const [cookie = ''] = String(welcome.headers['set-cookie']).split(';')
  t.match(String(welcome.headers['set-cookie']), /HttpOnly; SameSite=Strict/)
  t.equal((await get(page.at, '/', { cookie })).status, 200)
  t.equal((await get(page.at, '/', { cookie, host: 'attacker.example' })).status, 421, 'a name elsewhere that points here')
})

t.test('states are current, counts change once a minute', async (t) => {
  const { page, clock, become } = await scene(t, (directory) => join(directory, 'page.sock'))
  become(document({ state: 'offline', cache: { entries: 9, bytes: 900, maxBytes: 1000, hits: 50, misses: 40 } }))
  const soon = (await get(page.at, '/metrics')).body
  t.match(soon, /^enigm_dns_state\{state="offline"\} 1$/m)
  t.match(soon, /^enigm_dns_cache_hits_total 5$/m)
  await clock.advance(60_000)
  t.match((await get(page.at, '/metrics')).body, /^enigm_dns_cache_hits_total 50$/m)
  await clock.advance(60_000)
  t.match((await get(page.at, '/')).body, /median round trip, 2 minutes: now 12 ms/)
})

t.test('events: states, violations and failures by code, each once, by minute, and bounded', async (t) => {
  const { page, clock, become, broken } = await scene(t, (directory) => join(directory, 'page.sock'))
  const events = async () => ((await get(page.at, '/')).body.split('<h2>Events</h2>')[1] ?? '').replaceAll(/<[^>]*>/g, ' ')
  t.match(await events(), /None yet/)
  const [resolver] = document().resolvers
  if (resolver === undefined) return
  const failing = (failures: Record<string, number>) => document({ state: 'offline', resolvers: [{ ...resolver, failures }] })
  become(failing({ deadline: 4, 'connect-timeout': 1, '<b>': 1 }))
  broken['rule-vpn'] = 1
  t.match(await events(), /None yet/, 'not before the minute is over')
  await clock.advance(60_000)
  const first = await events()
  for (const one of [
    /state became +offline/,
    /violated: rule-vpn/,
    /failed: deadline, 2 x/,
    /failed: connect-timeout, 1 x/,
    /failed: &lt;b&gt;, 1 x/,
  ])
    t.match(first, one)
  await clock.advance(60_000)
  t.equal(await events(), first, 'a quiet minute adds nothing')
  for (let minute = 0; minute < 60; minute++) {
    become(document({ state: minute % 2 === 0 ? 'protected' : 'offline' }))
    await clock.advance(60_000)
  }
  t.equal((await events()).match(/state became/g)?.length, 40)
  t.notMatch(await events(), /rule-vpn/, 'the oldest went')
})

t.test('if the status omits hits and misses, the page does too', async (t) => {
  const { page, become, clock } = await scene(t, (directory) => join(directory, 'page.sock'))
  become(document({ cache: { entries: 9, bytes: 900, maxBytes: 1000 }, shaping: { profile: 'lite', inForce: 'yes', jitterMs: 0 } }))
  await clock.advance(60_000)
  t.notMatch((await get(page.at, '/metrics')).body, /cache_hits|cache_misses/)
  t.match((await get(page.at, '/')).body, /not shown under a profile with cover traffic/)
})

t.test('the token survives a restart; a leftover socket is replaced, a file is not', async (t) => {
  const { page, token, directory } = await scene(t, () => '127.0.0.1:0')
  const before = token()
  await page.close()
  const again = await servePage({
    explain,
    listen: '127.0.0.1:0',
    stateDir: join(directory, 'state'),
    document,
    violations: () => ({}),
    clock: new FakeClock(),
  })
  t.equal(token(), before)
  await again.close()
  await t.rejects(
    servePage({
      explain,
      listen: join(directory, 'state/page.token'),
      stateDir: directory,
      document,
      violations: () => ({}),
      clock: new FakeClock(),
    }),
    {
      code: 'listen',
    },
  )
})

/**
 * Sends octets as they are, where `request` would refuse them, and resolves to all that comes back.
 */
async function raw(at: string, text: string): Promise<string> {
  const { hostname, port } = new URL(at)
  const socket = connect(Number(port), hostname)
  socket.end(text)
  let said = ''
  for await (const chunk of socket.setEncoding('utf8')) said += chunk
  return said
}

async function login(at: string, token: string, path = '/'): Promise<{ readonly cookie: string; readonly location: string }> {
  const { headers } = await get(at, `${path}?token=${token}`)
  return { cookie: String(headers['set-cookie']).split(';')[0] ?? '', location: String(headers.location) }
}

t.test('the cookie is a session, not the token: it opens the page, reveals nothing of the token, and ends', async (t) => {
  const { page, token, clock } = await scene(t, () => '127.0.0.1:0')
  const welcome = await get(page.at, `/?token=${token()}`)
  const set = String(welcome.headers['set-cookie'])
  t.notMatch(set, token(), 'the token never leaves again')
  t.match(set, /HttpOnly; SameSite=Strict; Path=\/; Max-Age=\d+$/)
  const first = await login(page.at, token())
  const second = await login(page.at, token())
  t.not(first.cookie, second.cookie)
  t.match(first.cookie, /^enigm-dns=[\w-]{43}$/)
  t.equal((await get(page.at, '/', { cookie: `enigm-dns=${token()}` })).status, 401, 'the token is no session')
  t.equal((await get(page.at, '/', { authorization: `Bearer ${first.cookie.split('=')[1]}` })).status, 401, 'a session is no token')
  t.equal((await get(page.at, '/', { cookie: first.cookie })).status, 200)
  t.equal((await get(page.at, '/', { cookie: `other=1; ${second.cookie}; more=2` })).status, 200)
  await clock.advance(13 * 3_600_000)
  t.equal((await get(page.at, '/', { cookie: first.cookie })).status, 401, 'half a day later it is over')
})

t.test('sessions are bounded: the oldest one ends', async (t) => {
  const { page, token } = await scene(t, () => '127.0.0.1:0')
  const first = await login(page.at, token())
  let last = first
  for (let i = 0; i < 32; i++) last = await login(page.at, token())
  t.equal((await get(page.at, '/', { cookie: first.cookie })).status, 401)
  t.equal((await get(page.at, '/', { cookie: last.cookie })).status, 200)
})

t.test('after a login the browser is redirected to a page of ours, for any request', async (t) => {
  const { page, token } = await scene(t, () => '127.0.0.1:0')
  t.equal((await login(page.at, token(), '/metrics')).location, '/metrics')
  for (const path of [
    '//evil.test',
    '//evil.test/metrics',
    '/.//evil.test',
    '/..//evil.test',
    '/%2f%2fevil.test',
    '/%5cevil.test',
    '/x/..//evil.test',
    '/@evil.test',
  ])
    t.equal((await login(page.at, token(), path)).location, '/', path)
  const lines = [
    '/\\evil.test',
    '\\\\evil.test',
    '/\tevil.test',
    '//',
    '///evil.test',
    'http://evil.test/',
    'http:evil.test',
    'javascript:1',
    '*',
    '/\u0001',
  ]
  for (const path of lines) {
    const said = await raw(page.at, `GET ${path}?token=${token()} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`)
    t.match(said, /^HTTP\/1\.1 (303|400|421) /, path)
    t.notMatch(said, /^location: (?!\/\r$)/im, path)
  }
  const absolute = `GET ${page.at}/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: bearer ${token()}\r\nConnection: close\r\n\r\n`
  t.match(await raw(page.at, absolute), /^HTTP\/1\.1 200 /, 'the absolute form (RFC 9112 section 3.2.2)')
})

t.test('silent connections and slow ones are closed first: a scrape is answered within a second', async (t) => {
  const { page, token } = await scene(t, () => '127.0.0.1:0')
  const { hostname, port } = new URL(page.at)
  const held: Socket[] = []
  t.teardown(() => held.forEach((socket) => void socket.destroy()))
  const hold = async (said: string, count = 40) => {
    for (let i = 0; i < count; i++) {
      const socket = connect(Number(port), hostname).on('error', () => {})
      held.push(socket)
      await once(socket, 'connect')
      if (said !== '') socket.write(said)
    }
  }
  const scrape = async () => {
    const begunMs = performance.now()
    t.equal((await get(page.at, '/metrics', { authorization: `Bearer ${token()}` })).status, 200)
    return performance.now() - begunMs
  }
  await scrape()
  for (const said of [
    '',
    'GET /metrics HTTP/1.1\r\nHost: 127',
    'POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
  ]) {
    await hold(said)
    t.ok((await scrape()) < 1000, said)
  }
})

t.test('a silent connection is closed after five seconds, over a Unix socket too', async (t) => {
  const { page, clock } = await scene(t, (directory) => join(directory, 'page.sock'))
  for (const said of ['', 'GET / HT']) {
    const socket = connect(page.at)
    await once(socket, 'connect')
    socket.write(said)
    await get(page.at, '/')
    const cut = once(
      socket.resume().on('error', () => {}),
      'close',
    )
    await clock.advance(5000)
    await cut
  }
  t.equal((await get(page.at, '/')).status, 200)
})
