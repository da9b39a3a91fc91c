import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock, systemRandom } from '../../src/clock.ts'
import { type CheckOptions, check } from '../../src/commands/check.ts'
import { type Authority, createAuthority, type ServerIdentity } from '../../src/demo/authority.ts'
import { withPaddedOpt } from '../../src/dns/edns.ts'
import { mayHaveHybrids } from '../../src/tls-groups.ts'
import { PROVIDER, Provider, startDnscrypt } from '../support/dnscrypt.ts'
import { startDoh } from '../support/doh-server.ts'
import { startDot } from '../support/dot-server.ts'
import { replyTo } from '../support/replies.ts'

const NAME = 'resolver.test'
const OTHER_PIN = Buffer.alloc(32, 7).toString('base64')
const DAY_MS = 86_400_000
const authority: Authority = await createAuthority()
const identity = await authority.issue({ name: NAME })

const padded = (query: Uint8Array) => withPaddedOpt(replyTo(query), { dnssecOk: false, block: 468, keepalive: false })

interface Setting {
  readonly identity?: ServerIdentity
  readonly pins?: readonly string[]
  readonly probe?: object
  readonly operator?: string
  readonly answer?: (query: Uint8Array) => Uint8Array
  readonly config?: Readonly<Record<string, unknown>>
  /** Text of config.json, whatever it is. */
  readonly configText?: string
  readonly env?: Readonly<Record<string, string>>
  /** More keys of the entry in the trusted set. */
  readonly entry?: object
}

/** Places of its own: as root, those of the machine are judged too. */
const basis = { resolvers: 'resolvers.json', timeoutMs: 2000, statusFile: 'status.json', stateDir: 'state' }

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
  readonly queries: number
  readonly handshakes: number
}

/** The interface that holds 127.0.0.1. */
const LOOPBACK = Object.entries(networkInterfaces()).find(([, list]) => list?.some(({ address }) => address === '127.0.0.1'))?.[0] ?? 'lo'

/** Runs `check` against one resolver on loopback, over DoT and DoH. */
async function run(t: Test, setting: Setting, options: CheckOptions = {}): Promise<Ran> {
  const directory = await mkdtemp(join(tmpdir(), 'enigm-check-'))
  const answer = setting.answer ?? padded
  const shown = setting.identity ?? identity
  const dot = await startDot({ identity: shown, answer })
  const doh = await startDoh({ identity: shown, answer })
  t.teardown(() => Promise.all([dot.close(), doh.close(), rm(directory, { recursive: true })]))
  const write = (name: string, text: string) => writeFile(join(directory, name), text, { mode: 0o600 })
  await write('ca.pem', authority.certificate)
  const resolver = {
    id: 'mine',
    ...(setting.operator === undefined ? {} : { operator: setting.operator }),
    authenticationDomainName: NAME,
    addresses: ['127.0.0.1'],
    transports: { dot: { port: dot.port }, doh: { port: doh.port } },
    spkiPins: setting.pins ?? [],
    caFile: 'ca.pem',
    ...(setting.probe === undefined ? {} : { probe: setting.probe }),
    ...setting.entry,
  }
  await write('resolvers.json', JSON.stringify({ version: 1, resolvers: [resolver] }))
  await write('config.json', setting.configText ?? JSON.stringify({ ...basis, ...setting.config }))
  let out = ''
  let err = ''
  const world = {
    out: { write: (text: string) => (out += text) },
    err: { write: (text: string) => (err += text) },
    env: setting.env ?? {},
    execArgv: [],
    clock: systemClock(),
    random: systemRandom,
    places: undefined,
    exit: () => {},
  }
  const code = await check({ config: join(directory, 'config.json'), ...options }, world)
  return { code, out, err, queries: dot.counts.queries + doh.counts.requests, handshakes: dot.counts.handshakes + doh.counts.connections }
}

t.test('if the policy requires a VPN that is down, no resolver is dialled', async (t) => {
  const here = { name: 'anywhere', match: { gateway: '203.0.113.77' }, vpn: 'required' }
  const without = await run(t, { config: { policy: { vpn: 'required' } } })
  t.equal(without.code, 1)
  t.equal(without.handshakes, 0)
  t.equal(without.out.match(/FAILS: vpn-required/g)?.length, 2)
  t.equal((await run(t, { config: { policy: { vpn: 'required', vpnInterfaces: [LOOPBACK] } } })).code, 0)
  t.equal((await run(t, { config: { policy: { vpn: 'preferred', networks: [here] } } })).code, 0, 'a rule of another network')
})

t.test('a pin is not compared over DNSCrypt, which proves the key of the provider', async (t) => {
  const provider = new Provider()
  const server = await startDnscrypt({ certificates: [provider.certify()], answer: padded })
  t.teardown(() => server.close())
  const dnscrypt = { providerName: PROVIDER, publicKey: provider.publicKey, port: server.port }
  const config = { transports: ['dnscrypt'], usageProfile: 'strict', allowDnscryptCertificates: true, policy: { pins: 'required' } }
  const { code, out } = await run(t, { entry: { transports: { dnscrypt } }, pins: [OTHER_PIN], config })
  t.equal(code, 0)
  t.match(out, / ok .* none set/)
  t.notMatch(out, /differs/)
  t.match(out, /spkiPins and certHashes of "mine" in the trusted set are never compared/)
})

t.test('no problems: exit 0, the table and the policy', async (t) => {
  const { code, out, err } = await run(t, { pins: [identity.spkiPin] })
  t.equal(code, 0)
  t.equal(err, '')
  t.match(out, /^RESOLVER +OVER +RESULT +TLS +CERTIFICATE +PIN +PADDED REPLY +RTT +ADDRESS$/m)
  for (const over of ['dot', 'doh'])
    t.match(
      out,
      new RegExp(
        `^mine +${over} +ok +TLSv1\\.3 +resolver\\.test by a private authority, 1[34] days left +matches +yes +[0-9.]+ ms +127\\.0\\.0\\.1$`,
        'm',
      ),
    )
  t.match(out, '2 of 2 connections to a resolver work.')
  t.match(out, /usage profile +strict: authenticated or no answer/)
  t.match(out, /resolvers +mine$/m)
  t.match(out, /transports +dot, then doh$/m)
  t.match(out, /padding +queries to a multiple of 128 octets/)
  t.match(out, /shaping +jitter of at most 20 ms/)
  t.match(out, /cache +32 MiB, TTLs from 0 to 86400 s/)
  t.match(out, /timeout +2000 ms/)
  t.match(out, /listens on +127\.0\.0\.53:53/)
  t.match(out, /answers to +127\.0\.0\.0\/8, ::1\/128/)
  t.match(out, /read from .*config\.json, .*resolvers\.json, .*ca\.pem/)
})

t.test('the query is a padded root query, once per transport', async (t) => {
  const seen: Uint8Array[] = []
  const { code, queries } = await run(t, {
    answer: (query) => {
      seen.push(query.slice())
      return padded(query)
    },
  })
  t.equal(code, 0)
  t.equal(queries, 2)
  for (const query of seen) {
    t.equal(query.length % 128, 0)
    t.same([...query.subarray(12, 17)], [0, 0, 2, 0, 1])
  }
})

t.test('--json is one document with everything', async (t) => {
  const { code, out } = await run(t, {}, { json: true })
  t.equal(code, 0)
  const document = JSON.parse(out)
  t.match(document, { ok: true, problems: [], policy: { usageProfile: 'strict', use: ['mine'] } })
  t.match(document.resolvers, [
    {
      resolver: 'mine',
      transport: 'dot',
      ok: true,
      address: '127.0.0.1',
      tlsVersion: 'TLSv1.3',
      authenticatedBy: 'ca',
      certificate: { name: NAME, issuer: 'a private authority', spkiPin: identity.spkiPin },
      pin: 'none set',
      paddedReply: true,
    },
    { resolver: 'mine', transport: 'doh', ok: true },
  ])
  t.type(document.resolvers[0].rttMs, 'number')
})

t.test('--offline sends nothing', async (t) => {
  const { code, out, handshakes } = await run(t, {}, { offline: true })
  t.equal(code, 0)
  t.equal(handshakes, 0)
  t.notMatch(out, 'RESOLVER')
  t.match(out, /^Settings$/m)
})

t.test('what a hosts file and answers contribute, and lines that are not used', async (t) => {
  const answers = [{ name: 'nas.example', type: 'A', data: '192.0.2.7' }]
  const found = await run(t, { config: { hosts: ['config.json'], answers } }, { offline: true })
  t.match(found.out, /^ *hosts file +.*config\.json: 0 names$/m)
  t.match(found.out, /^ *own answers +1 record$/m)
  t.match(found.out, /^warning: .*config\.json: line 1 does not begin with an address$/m)
})

t.test('reasons that would refuse a start: a missing user; as root, paths that are not for a service', async (t) => {
  const stranger = await run(t, { config: { user: 'no-such-user-here' } }, { offline: true })
  t.equal(stranger.code, 2)
  t.match(stranger.err, /user: there is no user "no-such-user-here" in \/etc\/passwd: add it/)
  const shared = await run(t, { config: { stateDir: '/tmp' } }, { offline: true })
  t.equal(shared.code, process.geteuid?.() === 0 ? 2 : 0)
  if (shared.code === 2) t.match(shared.err, /stateDir: \/tmp can be written by others; name a directory below it\./)
})

t.test('a peer that is not authenticated: exit 1, the reason, and no query', async (t) => {
  const nowMs = systemClock().wallMs()
  const cases: readonly (readonly [fault: string, setting: Setting, remark: RegExp])[] = [
    ['pin-mismatch', { pins: [OTHER_PIN] }, new RegExp(`has the pin ${identity.spkiPin.replaceAll(/[+/]/g, '\\$&')}`)],
    [
      'certificate-expired',
      { identity: await authority.issue({ name: NAME, notBefore: new Date(nowMs - 9 * DAY_MS), notAfter: new Date(nowMs - 2 * DAY_MS) }) },
      /its certificate expired on \d{4}-/,
    ],
    ['certificate-name', { identity: await authority.issue({ name: 'other.test' }) }, /other\.test by a private authority/],
    ['certificate-untrusted', { identity: await authority.issue({ name: NAME, selfSigned: true }) }, /0 of 2 connections/],
  ]
  for (const [fault, setting, remark] of cases) {
    for (const usageProfile of ['strict', 'opportunistic']) {
      const { code, out, queries } = await run(t, { ...setting, config: { usageProfile } })
      t.equal(code, 1, `${fault}, ${usageProfile}`)
      t.match(out, new RegExp(`^mine +dot +FAILS: ${fault} `, 'm'))
      t.match(out, new RegExp(`^mine +doh +FAILS: ${fault} `, 'm'))
      t.match(out, remark)
      t.equal(queries, 0, 'not one query was sent')
    }
  }
})

t.test('a certificate that no hash names: the result is not blamed on a pin that nobody set', async (t) => {
  const { code, out } = await run(t, { entry: { certHashes: [OTHER_PIN] } })
  t.equal(code, 1)
  t.match(out, /^mine +dot +FAILS: pin-mismatch .* none set/m)
  t.match(out, /^mine over dot: no certificate of its chain is among "certHashes" of the trusted set$/m)
})

t.test(
  'TLS groups that this Node does not have: refused with the reason',
  { skip: mayHaveHybrids() ? 'this Node has them' : false },
  async (t) => {
    const { code, err, handshakes } = await run(t, { entry: { tls: { groups: ['X25519MLKEM768'] } } })
    t.equal(code, 2)
    t.match(
      err,
      /resolvers: the "tls\.groups" of "mine" has only X25519MLKEM768, and Node .* has OpenSSL .*; use Node 24 or later, or add "X25519"/,
    )
    t.equal(handshakes, 0)
    t.equal((await run(t, { entry: { tls: { groups: ['X25519MLKEM768', 'X25519'] } } })).code, 0)
  },
)

t.test('a certificate outside its dates: the clock is in doubt, too', async (t) => {
  const nowMs = systemClock().wallMs()
  const expired = await authority.issue({ name: NAME, notBefore: new Date(nowMs - 9 * DAY_MS), notAfter: new Date(nowMs - 2 * DAY_MS) })
  const { out } = await run(t, { identity: expired })
  t.match(out, /^warning: A certificate is not valid on \d{4}-\d\d-\d\d: the certificate or this clock is wrong\. Compare/m)
  const { warnings } = JSON.parse((await run(t, { identity: expired }, { json: true })).out)
  t.match(warnings, [/is not valid on/])
})

t.test('a certificate that expires within a week is reported, and no failure', async (t) => {
  const soon = await authority.issue({ name: NAME, notAfter: new Date(systemClock().wallMs() + 3 * DAY_MS) })
  const { code, out } = await run(t, { identity: soon })
  t.equal(code, 0)
  t.match(out, /mine over dot: its certificate expires on \d{4}-\d\d-\d\d/)
})

t.test('unpadded replies are reported; a failing resolver fails', async (t) => {
  const bare = await run(t, { answer: (query) => replyTo(query) })
  t.equal(bare.code, 0)
  t.match(bare.out, /mine over doh: replies are not padded/)
  for (const [rcode, text] of [
    [1, 'FORMERR'],
    [2, 'SERVFAIL'],
    [3, 'NXDOMAIN'],
    [4, 'NOTIMP'],
  ] as const) {
    const failing = await run(t, { answer: (query) => replyTo(query, [], 0x8180 | rcode) })
    t.equal(failing.code, 1)
    t.match(failing.out, `FAILS: ${text}`)
  }
})

t.test('a resolver that refuses root queries passes, with a hint; with a probe named, the reply to it counts', async (t) => {
  const rootOnly = (query: Uint8Array) => replyTo(query, [], query[12] === 0 ? 0x8185 : 0x8180)
  const hinted = await run(t, { answer: rootOnly })
  t.equal(hinted.code, 0)
  t.match(hinted.out, /^mine +dot +ok /m)
  t.match(hinted.out, 'mine over doh: answers REFUSED for the root: configure a probe in its entry of the trusted set, as in "probe": {')
  t.match(JSON.parse((await run(t, { answer: rootOnly }, { json: true })).out).resolvers, [{ ok: true, refusesRoot: true }, { ok: true }])
  const seen: Uint8Array[] = []
  const noted = (rcode: number) => (query: Uint8Array) => {
    seen.push(query.slice())
    return replyTo(query, [], 0x8180 | rcode)
  }
  const probe = { name: 'Corp.Example.', type: 'SOA' }
  for (const [rcode, code] of [
    [0, 0],
    [3, 0],
    [2, 1],
    [5, 1],
  ] as const) {
    const named = await run(t, { probe, answer: noted(rcode) })
    t.equal(named.code, code, `RCODE ${rcode}`)
    t.notMatch(named.out, 'configure a probe')
  }
  t.equal(seen.length, 8)
  for (const query of seen) {
    t.equal(query.length % 128, 0)
    t.equal(Buffer.from(query.subarray(12, 30)).toString('latin1'), '\x04corp\x07example\0\0\x06\0\x01')
  }
  const explicit = await run(t, { probe: { name: '.', type: 'NS' }, answer: rootOnly })
  t.equal(explicit.code, 1, 'the root is what was named')
})

t.test('a resolver that answers BADVERS, which is NOERROR in the header, fails', async (t) => {
  const opt = Uint8Array.of(0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0)
  const badvers = (query: Uint8Array) => {
    const whole = Buffer.concat([replyTo(query), opt])
    whole[11] = 1
    return whole
  }
  const { code, out } = await run(t, { answer: badvers })
  t.equal(code, 1)
  t.match(out, /FAILS: BADVERS/)
})

t.test('a resolver that cannot read the keepalive option is asked without it, as run does', async (t) => {
  // The option, empty, is 0 11 0 0, and nothing else in these queries is.
  const picky = (query: Uint8Array) => (Buffer.from(query).includes(Buffer.of(0, 11, 0, 0)) ? replyTo(query, [], 0x8181) : padded(query))
  const { code, out } = await run(t, { answer: picky })
  t.equal(code, 0, out)
})

t.test('no resolver reachable: exit 1', async (t) => {
  const gone = await startDot({ identity, answer: padded })
  const { port } = gone
  await gone.close()
  const directory = await mkdtemp(join(tmpdir(), 'enigm-check-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const set = { id: 'gone', authenticationDomainName: NAME, addresses: ['127.0.0.1'], transports: { dot: { port } } }
  await writeFile(join(directory, 'resolvers.json'), JSON.stringify({ version: 1, resolvers: [set] }), { mode: 0o600 })
  const { code, out } = await run(t, { config: { resolvers: join(directory, 'resolvers.json') } })
  t.equal(code, 1)
  t.match(out, /^gone +dot +FAILS: connect-refused +- +- +none set +- +- +-$/m)
})

t.test('a bad configuration: exit 2, every fault with its path, and nothing is sent', async (t) => {
  const setting = { configText: '{ "listen": ["localhost"], "timeoutMs": 1, "colour": "\\u001b[31m" }' }
  const { code, out, err, handshakes } = await run(t, setting)
  t.equal(code, 2)
  t.equal(out, '')
  t.equal(handshakes, 0)
  for (const path of ['listen[0]', 'timeoutMs', 'colour']) t.ok(err.includes(`config.json: ${path}: `), `${path} <- ${err}`)
  t.match(err, /^[ -~\n]*$/, 'nothing that a terminal would act on')
  const json = await run(t, setting, { json: true })
  t.equal(json.code, 2)
  t.match(JSON.parse(json.out), { ok: false, problems: [{ path: /./ }, { path: /./ }, { path: /./ }] })
})

t.test('a configuration that others can write: exit 2', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'enigm-check-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const file = join(directory, 'open.json')
  await writeFile(file, '{}')
  await chmod(file, 0o666)
  t.match(await run(t, {}, { config: file }), { code: 2, err: /writable by group or others/ })
})

t.test('an environment that weakens TLS: exit 2', async (t) => {
  const { code, err, handshakes } = await run(t, { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } })
  t.equal(code, 2)
  t.match(err, /^environment: NODE_TLS_REJECT_UNAUTHORIZED is set/)
  t.equal(handshakes, 0)
})

t.test('every rule of the policy is shown, on named networks too; so is a missing policy', async (t) => {
  const rules = {
    minimumUsageProfile: 'strict',
    transports: ['dot', 'doh'],
    padding: { queryBlock: 128, replies: 'required' },
    shaping: 'jitter',
    operators: ['Mine Ltd'],
    minimumOperators: 1,
    claims: { logging: false },
    vpn: 'preferred',
    systemResolver: 'required',
  }
  const home = { name: 'home', match: { gateway: '192.168.1.1' }, vpn: 'required' }
  const policy = { ...rules, vpnInterfaces: ['wg0'], audit: 'required', networks: [home] }
  const { code, out, err } = await run(t, { operator: 'Mine Ltd', config: { policy } }, { offline: true })
  t.equal(code, 0, err)
  for (const line of [
    /^Rules of the policy$/m,
    /^ {2}usage profile, at least +strict$/m,
    /^ {2}transports, only +dot, doh$/m,
    /^ {2}padding +queryBlock 128, replies required$/m,
    /^ {2}shaping, at least +jitter$/m,
    /^ {2}operators, only +Mine Ltd$/m,
    /^ {2}operators, at least +1$/m,
    /^ {2}claims of operators +logging no$/m,
    /^ {2}VPN +preferred$/m,
    /^ {2}the system uses this service +required$/m,
    /^ {2}interfaces that count as VPN +wg0$/m,
    /^ {2}audit log +required$/m,
    /^On the network "home" \(gateway 192\.168\.1\.1\), also\n {2}VPN +required$/m,
  ])
    t.match(out, line)
  t.match(await run(t, {}, { offline: true }), { out: /^Rules: none \(no "policy" is configured\)$/m })
})
