import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { servePage } from '../../src/page/page.ts'
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
    plaintext: { 'captive-portal': 0, 'user-exception': 0 },
    ...change,
  } as StatusDocument
}

interface Got {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: string
}

async function get(at: string, path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET'): Promise<Got> {
  const asked = at.startsWith('/') ? request({ socketPath: at, path, method, headers }) : request(`${at}${path}`, { method, headers })
  asked.end()
  const [response] = await once(asked, 'response')
  let body = ''
  for await (const chunk of response.setEncoding('utf8')) body += chunk
  return { status: response.statusCode, headers: response.headers, body }
}

async function scene(t: Test, listen: (directory: string) => string) {
  const directory = mkdtempSync(join(tmpdir(), 'enigm-page-'))
  const clock = new FakeClock()
  let current = document()
  const broken: string[] = []
  const page = await servePage({
    listen: listen(directory),
    stateDir: join(directory, 'state'),
    document: () => current,
    violations: () => broken.splice(0),
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

t.test('states are live, counts move once a minute', async (t) => {
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

t.test('events: states, violations and failures by code, each once, by the minute, and no more than fit', async (t) => {
  const { page, clock, become, broken } = await scene(t, (directory) => join(directory, 'page.sock'))
  const events = async () => ((await get(page.at, '/')).body.split('<h2>Events</h2>')[1] ?? '').replaceAll(/<[^>]*>/g, ' ')
  t.match(await events(), /None yet/)
  const [resolver] = document().resolvers
  if (resolver === undefined) return
  const failing = (failures: Record<string, number>) => document({ state: 'offline', resolvers: [{ ...resolver, failures }] })
  become(failing({ deadline: 4, 'connect-timeout': 1, '<b>': 1 }))
  broken.push('rule-vpn')
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

t.test('where the status does not tell hits and misses, the page does not either', async (t) => {
  const { page, become, clock } = await scene(t, (directory) => join(directory, 'page.sock'))
  become(document({ cache: { entries: 9, bytes: 900, maxBytes: 1000 }, shaping: { profile: 'lite', inForce: 'yes', jitterMs: 0 } }))
  await clock.advance(60_000)
  t.notMatch((await get(page.at, '/metrics')).body, /cache_hits|cache_misses/)
  t.match((await get(page.at, '/')).body, /not told under a profile with cover traffic/)
})

t.test('the token outlives a restart; a socket left behind is no obstacle, a file is', async (t) => {
  const { page, token, directory } = await scene(t, () => '127.0.0.1:0')
  const before = token()
  await page.close()
  const again = await servePage({
    listen: '127.0.0.1:0',
    stateDir: join(directory, 'state'),
    document,
    violations: () => [],
    clock: new FakeClock(),
  })
  t.equal(token(), before)
  await again.close()
  await t.rejects(
    servePage({ listen: join(directory, 'state/page.token'), stateDir: directory, document, violations: () => [], clock: new FakeClock() }),
    {
      code: 'listen',
    },
  )
})
