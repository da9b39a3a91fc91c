// Situations made for real, each with what the status said of it. UPDATE_DOCS=1 writes them to
// docs/situations.md; without it the file must say the same.
import { execFileSync, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer as createHttp } from 'node:http'
import { createServer as createTcp, type Server } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer as createTls } from 'node:tls'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { readOpt } from '../../src/dns/edns.ts'
import { startDoh } from '../support/doh-server.ts'
import { type DotServer, startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { CLI, cli, type DaemonSpec, RESOLVER_NAME, type RunningDaemon, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { insideNamespace, useNameserver } from '../support/real/namespace.ts'
import { addressRecord, replyTo, withOptions } from '../support/replies.ts'

interface Row {
  readonly what: string
  readonly made: string
  readonly state: string
  readonly signals: string
  readonly exit: number
}

const DAY_MS = 86_400_000
const PADDING = Uint8Array.of(0, 12, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0)
const SIGNALS = ['secureNameResolution', 'policyCompliance', 'vpn', 'protectedNetwork', 'service'] as const
/** Say nothing that a reader of the table would miss. */
const ORDINARY: ReadonlySet<string> = new Set([
  'not-assessed',
  'network-unknown',
  'network-untrusted',
  'system-unknown',
  'system-asks-elsewhere',
  'policy-met',
])

const rows: Row[] = []
/** What `status --redact` said in one of them. */
let handedOn = ''
const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' })

/** Notes what `status` says now, and checks it. `expected`: reason codes that must be there. */
async function note(
  what: string,
  made: string,
  args: readonly string[],
  expected: { state: string; exit: number; codes?: readonly string[] },
  also: readonly string[] = [],
) {
  const said = await cli('status', '--json', ...args)
  const d = JSON.parse(said.stdout)
  const codes = SIGNALS.flatMap((name) => {
    const signal = d.signals?.[name]
    const shown = (signal?.reasons ?? [])
      .map((r: { code: string }) => r.code)
      .filter((code: string) => also.includes(code) || !ORDINARY.has(code))
    return shown.length === 0 ? [] : [`${name} ${signal.state}: ${[...new Set(shown)].join(', ')}`]
  })
  const verdict = d.judgement === undefined ? '' : `reader: ${d.judgement.verdict}`
  const checked = d.verification === undefined || d.verification.verdict === 'valid' ? '' : `signature: ${d.verification.verdict}`
  const row = {
    what,
    made,
    state: d.state,
    signals: [verdict, checked, ...codes].filter((text) => text !== '').join('; '),
    exit: said.code,
  }
  rows.push(row)
  t.equal(row.state, expected.state, `${what}: state`)
  t.equal(row.exit, expected.exit, `${what}: exit code`)
  for (const code of expected.codes ?? []) t.ok(row.signals.includes(code), `${what}: ${code} in ${row.signals}`)
}

t.setTimeout(600_000)
const authority = await createAuthority()
const right = await authority.issue({ name: RESOLVER_NAME })
const open: { close(): Promise<unknown> }[] = []

interface ServerWish {
  readonly identity?: { readonly key: string; readonly cert: string }
  readonly bare?: true
  readonly host?: string
}
async function server(wish: ServerWish = {}): Promise<DotServer> {
  const made = await startDot({
    identity: wish.identity ?? right,
    ...(wish.host === undefined ? {} : { host: wish.host }),
    answer: (q) => (wish.bare ? replyTo(q, [addressRecord()]) : withOptions(replyTo(q, [addressRecord()]), PADDING)),
  })
  open.push(made)
  return made
}
const entry = (s: Pick<DotServer, 'port' | 'host'>, more: object = {}) => ({
  id: 'one',
  operator: 'Operator One',
  jurisdiction: 'CH',
  authenticationDomainName: RESOLVER_NAME,
  addresses: [s.host],
  transports: { dot: { port: s.port } },
  caFile: 'ca.pem',
  claims: { dnssec: true },
  ...more,
})

async function daemon(resolvers: readonly object[], config: Readonly<Record<string, unknown>> = {}, more: Partial<DaemonSpec> = {}) {
  const d = await startDaemon({ resolvers, ca: authority.certificate, config: { timeoutMs: 1500, ...config }, ...more })
  open.push({ close: () => d.stop() })
  return d
}
let asked = 0
/** RCODE and extended error of a name that was not asked before. */
async function ask(d: RunningDaemon) {
  const client = await udpClient(d.port)
  const reply = await client.ask(query({ name: `n${asked++}.zone.example`, opt: {} }))
  client.close()
  return { rcode: rcodeOf(reply), ede: readOpt(reply)?.ede?.code }
}
const told = (d: RunningDaemon) => JSON.stringify(d.status() ?? {})
/** Waits until the status holds a text, or no longer holds it; does `meanwhile` in between. */
async function until(d: RunningDaemon, text: string, there = true, meanwhile: () => Promise<unknown> = async () => {}) {
  for (let i = 0; i < 200 && told(d).includes(text) !== there; i++) {
    await meanwhile()
    await sleep(50)
  }
}
const file = (d: RunningDaemon) => ['--file', d.statusFile]
/** The heartbeat is a second: what was seen is on file after the next. */
const heartbeat = () => sleep(2200)
const clear = async () => {
  for (const one of open.splice(0).toReversed()) await one.close()
}

async function resolution() {
  const good = await server()
  let d = await daemon([entry(good)])
  await note('just started', 'nothing was asked yet', file(d), { state: 'offline', exit: 2, codes: ['not-proven-yet'] })
  t.equal((await ask(d)).rcode, 0)
  await note('answers flow', 'a resolver with the right certificate answered', file(d), { state: 'protected', exit: 0 })
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
    ['pin mismatch', 'its key is not among the pins', {}, { spkiPins: [Buffer.alloc(32, 7).toString('base64')] }, 'pin-mismatch'],
    [
      'certificate of another name',
      'its certificate is for another name',
      { identity: await authority.issue({ name: 'elsewhere.example' }) },
      {},
      'certificate-name',
    ],
    [
      'certificate of a stranger',
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
  await note('one resolver down', 'one of two is not there', file(d), { state: 'protected', exit: 0, codes: ['resolver-down'] })
  await b.close()
  open.splice(open.indexOf(absent), 1)
  open.splice(open.indexOf(b), 1)
  await until(d, 'all-failing', true, () => ask(d))
  await note('all resolvers down', 'the other one went, too', file(d), { state: 'offline', exit: 2, codes: ['all-failing'] })

  const bare = await server({ bare: true })
  d = await daemon([entry(bare)])
  await ask(d)
  await note('padding not returned', 'replies came back without padding', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['replies-unpadded'],
  })
  d = await daemon([entry(bare)], { policy: { padding: { replies: 'required' } } })
  await ask(d)
  await note('padding not returned, and required', 'the same, with policy.padding.replies', file(d), {
    state: 'degraded',
    exit: 1,
    codes: ['rule-reply-padding'],
  })
  d = await daemon([entry(await server({ identity: await authority.issue({ name: 'elsewhere.example' }) }))], {
    usageProfile: 'opportunistic',
  })
  t.equal((await ask(d)).rcode, 0)
  await note('somebody else answers', 'usageProfile opportunistic, certificate of another name', file(d), {
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
    'the same, but every connection to 853 and 443 is reset: nothing tells it from a block',
    file(cut),
    {
      state: 'offline',
      exit: 2,
      codes: ['all-failing', 'resolver-down'],
    },
  )
  t.notMatch(told(cut), 'portal-suspected', 'there is no evidence of one')
  t.same(login.cleartext, { packets: 0 })
}

async function policies() {
  const good = await server()
  let d = await daemon([entry(good)], { policy: { jurisdictions: ['CH'], claims: { dnssec: true, logging: false } } })
  await ask(d)
  await note('claims', 'rules that only operators can vouch for', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['policy-claimed', 'policy-unknown'],
  })
  const gone = await server()
  d = await daemon([entry(gone, { id: 'two', operator: 'Operator Two' }), entry(good)], { policy: { minimumOperators: 2 } })
  await gone.close()
  open.splice(open.indexOf(gone), 1)
  await until(d, 'resolver-down', true, () => ask(d))
  await note('too few operators', 'two are required, one is down', file(d), { state: 'degraded', exit: 1, codes: ['rule-operator-count'] })
  const before = good.counts.tcp
  d = await daemon([entry(good)], { policy: { vpn: 'required' } })
  t.same(await ask(d), { rcode: 2, ede: 15 }, 'fails closed, and says that it is a policy')
  t.equal(good.counts.tcp, before, 'nothing was dialled')
  await note('VPN required and absent', 'the resolver is reached without one; every query gets SERVFAIL with EDE 15', file(d), {
    state: 'offline',
    exit: 2,
    codes: ['rule-vpn', 'vpn-absent'],
  })
  d = await daemon([entry(good)], { policy: { vpn: 'preferred' } })
  await ask(d)
  await note('VPN preferred and absent', 'the same, with vpn: preferred', file(d), { state: 'protected', exit: 0, codes: ['vpn-absent'] })

  ip('link', 'add', 'tunnel0', 'type', 'veth', 'peer', 'name', 'far0')
  for (const name of ['tunnel0', 'far0']) ip('link', 'set', name, 'up')
  ip('addr', 'add', '10.9.0.1/32', 'dev', 'tunnel0')
  const behind = await server({ host: '10.9.0.1' })
  d = await daemon([entry(behind)], { policy: { vpn: 'required', vpnInterfaces: ['tunnel0'] } })
  t.same(await ask(d), { rcode: 0, ede: undefined })
  await note('VPN required and present', 'the way to the resolver leaves from the interface that the policy names', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['vpn-present'],
  })
  ip('addr', 'add', '10.9.0.1/32', 'dev', 'lo')
  ip('addr', 'del', '10.9.0.1/32', 'dev', 'tunnel0')
  const beganMs = performance.now()
  while (told(d).includes('vpn-present') && performance.now() - beganMs < 8000) await sleep(20)
  t.comment(`a VPN that went away was seen within ${Math.round(performance.now() - beganMs)} ms`)
  t.same(await ask(d), { rcode: 2, ede: 15 })
  await note('VPN went away', 'the address of that way was moved to another interface', file(d), {
    state: 'offline',
    exit: 2,
    codes: ['rule-vpn'],
  })
  ip('addr', 'add', '10.9.0.1/32', 'dev', 'tunnel0')
  ip('addr', 'del', '10.9.0.1/32', 'dev', 'lo')
  await until(d, 'vpn-absent', false)
  let again = await ask(d)
  for (let i = 0; i < 20 && again.rcode !== 0; i++) again = await ask(d)
  t.equal(again.rcode, 0)
  await note('VPN is back', 'and moved back', file(d), { state: 'protected', exit: 0, codes: ['vpn-present'] })

  ip('link', 'add', 'wan0', 'type', 'veth', 'peer', 'name', 'far1')
  for (const name of ['wan0', 'far1']) ip('link', 'set', name, 'up')
  ip('addr', 'add', '10.7.0.2/24', 'dev', 'wan0')
  ip('route', 'add', 'default', 'via', '10.7.0.1')
  const cafe = { name: 'cafe', match: { gateway: '10.7.0.99' }, vpn: 'required' }
  const office = { name: 'office', match: { gateway: '10.7.0.1', subnet: '10.7.0.0/24' } }
  d = await daemon([entry(good)], { policy: { networks: [office, cafe] } })
  await ask(d)
  await note('a network that the policy names', 'gateway and subnet match', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['network-named'],
  })
  ip('route', 'replace', 'default', 'via', '10.7.0.99')
  await until(d, 'rule-vpn')
  await note('network changed', 'to one where the policy requires a VPN', file(d), { state: 'offline', exit: 2, codes: ['rule-vpn'] })
  ip('route', 'replace', 'default', 'via', '10.7.0.50')
  await until(d, 'rule-vpn', false)
  let back = await ask(d)
  for (let i = 0; i < 20 && back.rcode !== 0; i++) back = await ask(d)
  await note(
    'network unknown',
    'to one that the policy does not name: the rules for all hold',
    file(d),
    { state: 'protected', exit: 0, codes: ['network-untrusted'] },
    ['network-untrusted'],
  )
}

async function audits() {
  const good = await server()
  const d = await daemon([entry(good)], { policy: { audit: 'required' } })
  await ask(d)
  await note('audit log required', 'it can be written', file(d), { state: 'protected', exit: 0 })
  const log = join(d.dir, 'state', 'audit.jsonl')
  renameSync(log, `${log}.aside`)
  mkdirSync(log)
  // Something to write: a refused reload changes the state of a signal.
  const config = readFileSync(join(d.dir, 'config.json'), 'utf8')
  writeFileSync(join(d.dir, 'config.json'), '{ broken', { mode: 0o600 })
  d.kill('SIGHUP')
  await until(d, 'rule-audit')
  t.same(await ask(d), { rcode: 2, ede: 15 })
  await note(
    'reload refused, and no audit log',
    "the configuration is broken and the log's file was replaced; the policy requires it",
    file(d),
    {
      state: 'offline',
      exit: 2,
      codes: ['rule-audit'],
    },
  )
  rmSync(log, { recursive: true })
  renameSync(`${log}.aside`, log)
  await until(d, 'rule-audit', false)
  t.equal((await ask(d)).rcode, 0)
  await note('audit log is back', 'with a gap on record; the configuration is still broken', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['reload-refused'],
  })
  writeFileSync(join(d.dir, 'config.json'), config)
  d.kill('SIGHUP')
  await until(d, 'reload-refused', false)
  await ask(d)
  await note('reload accepted', 'the configuration was mended', file(d), { state: 'protected', exit: 0 })
  t.match((await cli('audit', 'verify', '--dir', dirname(log))).stdout, /Internally consistent.*notes 1 gaps/)
  const head = (await cli('audit', 'head', '--dir', dirname(log))).stdout.trim()
  const text = readFileSync(log, 'utf8')
  t.notMatch(text, /zone\.example|127\.0\.0\.1/, 'no query name, no address')
  const audit = async (what: string, made: string, exit: number, said: RegExp, ...args: string[]) => {
    const got = await cli('audit', 'verify', '--dir', dirname(log), ...args)
    rows.push({ what, made, state: 'audit verify', signals: (said.exec(got.stdout)?.[0] ?? got.stdout).trim(), exit: got.code })
    t.equal(got.code, exit, what)
    t.match(got.stdout, said, what)
  }
  await audit('audit log as it was written', 'against a head that was kept elsewhere', 0, /Complete up to the head/, '--head', head)
  writeFileSync(log, text.replace('"to":"offline"', '"to":"protected"'))
  await audit('audit log edited', 'one word was changed', 1, /NOT consistent/)
  writeFileSync(log, text.split('\n').slice(0, -2).join('\n'))
  await audit('audit log cut off', 'the last entry was taken out', 1, /NOT the log that the head was taken of/, '--head', head)
}

async function signatures() {
  const good = await server()
  const d = await daemon([entry(good)])
  await ask(d)
  const key = join(d.dir, 'state', 'status.pub')
  const verify = [...file(d), '--verify', '--key', key, '--seen', join(d.dir, 'seen.json')]
  await note('signed', 'status --verify --key status.pub', verify, { state: 'protected', exit: 0 })
  const all = ['', '.sig', '.pub']
  for (const end of all) copyFileSync(d.statusFile + end, join(d.dir, `old.json${end}`))
  await heartbeat()
  await cli('status', ...verify)
  // From here on nobody writes: the copies stand in its place.
  d.kill('SIGSTOP')
  for (const end of all) copyFileSync(join(d.dir, `old.json${end}`), d.statusFile + end)
  await note('replayed status', 'an older copy, signature and all, was put back', verify, {
    state: 'offline',
    exit: 4,
    codes: ['replayed'],
  })
  writeFileSync(d.statusFile, readFileSync(d.statusFile, 'utf8').replace('"heartbeatS": 1', '"heartbeatS": 3000'))
  await note('forged status', 'one figure of the document was changed', verify, { state: 'offline', exit: 4, codes: ['forged'] })
  rmSync(`${d.statusFile}.sig`)
  await note('unsigned status', 'the signature was taken away', verify, { state: 'offline', exit: 4, codes: ['unsigned'] })
  const other = await daemon([entry(good)])
  await ask(other)
  for (const end of all) copyFileSync(other.statusFile + end, d.statusFile + end)
  await note('status of another key', 'a whole set, public key and all, that somebody else signed', verify, {
    state: 'offline',
    exit: 4,
    codes: ['wrong-key'],
  })
  d.kill('SIGCONT')
}

async function files() {
  const good = await server()
  const d = await daemon([entry(good)])
  await ask(d)
  const copy = join(d.dir, 'copy.json')
  const changed = (change: (text: string) => string) => writeFileSync(copy, change(readFileSync(d.statusFile, 'utf8')))
  const at = ['--file', copy]
  changed((text) => text.replace(/"updatedAt": "[^"]*"/, '"updatedAt": "2099-01-01T00:00:00.000Z"'))
  await note('status of the future', 'dated 2099', at, { state: 'offline', exit: 3, codes: ['future'] })
  changed(() => '{"schema":"something/1"}')
  await note('foreign file', 'JSON of another schema', at, { state: 'offline', exit: 3, codes: ['foreign-schema'] })
  changed(() => 'protected')
  await note('no JSON', 'a text', at, { state: 'offline', exit: 3, codes: ['not-json'] })
  rmSync(copy)
  await note('no file', 'nothing ran here', at, { state: 'offline', exit: 3, codes: ['not-found'] })
  symlinkSync(join(d.dir, 'state'), copy)
  await note('no plain file', 'a directory', at, { state: 'offline', exit: 3, codes: ['unreadable'] })
  d.kill('SIGSTOP')
  await sleep(3500)
  await note('daemon hung', 'SIGSTOP, and three heartbeats', file(d), { state: 'offline', exit: 3, codes: ['stale'] })
  d.kill('SIGCONT')
  d.kill('SIGKILL')
  await sleep(200)
  await note('daemon killed', 'SIGKILL', file(d), { state: 'offline', exit: 3, codes: ['not-running'] })
  await d.revive()
  await ask(d)
  await note('restarted after that', 'the same daemon again', file(d), { state: 'protected', exit: 0, codes: ['restarted'] })
}

async function system() {
  const good = await server()
  const on53 = { listen: '127.0.0.53:53' }
  let d = await daemon([entry(good)], {}, on53)
  const client = await udpClient(53, '127.0.0.53')
  t.teardown(() => client.close())
  const askHere = () => client.ask(query({ name: `s${asked++}.zone.example` }))
  await askHere()
  useNameserver(t, '198.51.100.53')
  await until(d, 'system-asks-elsewhere')
  await note(
    'resolv.conf points elsewhere',
    'it names another address',
    file(d),
    { state: 'protected', exit: 0, codes: ['system-asks-elsewhere'] },
    ['system-asks-elsewhere'],
  )
  await d.stop()
  d = await daemon([entry(good)], { policy: { systemResolver: 'required' } }, on53)
  await askHere()
  await note('resolv.conf points elsewhere, and must not', 'the same, with policy.systemResolver', file(d), {
    state: 'degraded',
    exit: 1,
    codes: ['rule-system-resolver'],
  })
  handedOn = (await cli('status', '--redact', ...file(d))).stdout
  useNameserver(t, '127.0.0.53')
  await until(d, 'system-asks-us')
  await note('the system asks us', 'resolv.conf names the listener, and a query through getaddrinfo came back through it', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['system-asks-us'],
  })
  const nsswitch = join(d.dir, 'nsswitch.conf')
  writeFileSync(nsswitch, 'hosts: files\n')
  execFileSync('mount', ['--bind', nsswitch, '/etc/nsswitch.conf'])
  await d.stop()
  d = await daemon([entry(good)], {}, on53)
  await askHere()
  await until(d, 'canary-lost')
  await note('the system says so, and asks nobody', 'nsswitch.conf leaves DNS out', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['canary-lost'],
  })
  execFileSync('umount', ['/etc/nsswitch.conf'])

  const past = createSocket('udp4')
  past.connect(53, '10.7.0.200')
  await new Promise((resolve) => past.once('connect', resolve))
  await until(d, 'past this service')
  await note('a program goes past us', 'a socket that is connected to port 53 elsewhere', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['bypassed'],
  })
  past.close()
  t.match(d.status(), { bypassed: { seen: 'yes' } })
}

async function stranger() {
  const good = await server()
  const d = await daemon([entry(good)])
  await ask(d)
  const child = spawn('setpriv', [
    '--reuid',
    '65534',
    '--regid',
    '65534',
    '--clear-groups',
    process.execPath,
    CLI,
    'status',
    '--json',
    '--file',
    d.statusFile,
  ])
  let out = ''
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
  })
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  const said = out === '' ? undefined : JSON.parse(out)
  t.match(said, { state: 'offline', judgement: { verdict: 'permission-denied' } })
  rows.push({
    what: 'not for this user',
    made: 'another user, outside of the group',
    state: String(said?.state),
    signals: 'reader: permission-denied',
    exit: code ?? -1,
  })
}

function table(): string {
  const cell = (text: string) => text.replaceAll('|', '\\|')
  const lines = rows.map((r, i) => `| ${i + 1} | ${cell(r.what)} | ${cell(r.made)} | ${r.state} | ${cell(r.signals)} | ${r.exit} |`)
  return `# Situations, and what the status says of them

Each row was made for real by \`test/e2e/situations.test.ts\`: the built daemon and the built \`enigm-dns status\`, in a network namespace of
its own. The table is what came out; the test fails when it no longer does. Reasons that hold in every row (what is not assessed, the
network being unknown) are left out. Codes are explained in [status.md](status.md).

| | situation | how it was made | state | signals and reasons | exit code |
| --- | --- | --- | --- | --- | --- |
${lines.join('\n')}
`
}

if (insideNamespace(t, import.meta.url)) {
  execFileSync('mount', ['-t', 'sysfs', 'sysfs', '/sys'])
  for (const [name, part] of Object.entries({ resolution, portals, policies, audits, signatures, files, stranger, system })) {
    t.test(name, { timeout: 600_000 }, async () => {
      try {
        await part()
      } finally {
        await clear()
      }
    })
  }
  t.test('the table in the docs is what came out', async (t) => {
    t.ok(rows.length >= 25, `${rows.length} situations`)
    let root = dirname(fileURLToPath(import.meta.url))
    while (!existsSync(join(root, 'package.json'))) root = dirname(root)
    const doc = join(root, 'docs', 'situations.md')
    if (process.env.UPDATE_DOCS === '1') writeFileSync(doc, table())
    t.equal(table(), readFileSync(doc, 'utf8'), 'else run this test with UPDATE_DOCS=1')
    const status = join(root, 'docs', 'status.md')
    const begin = '<!-- redacted: written by test/e2e/situations.test.ts -->\n'
    const [before = '', rest = ''] = readFileSync(status, 'utf8').split(begin)
    const wanted = `${before}${begin}\`\`\`json\n${handedOn}\`\`\`\n${rest.slice(rest.indexOf('<!-- /redacted -->'))}`
    if (process.env.UPDATE_DOCS === '1') writeFileSync(status, wanted)
    t.equal(readFileSync(status, 'utf8'), wanted, 'else run this test with UPDATE_DOCS=1')
  })
}
