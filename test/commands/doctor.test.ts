import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock, systemRandom } from '../../src/clock.ts'
import { diagnose, type Remark, type Symptoms } from '../../src/commands/diagnosis.ts'
import { type DoctorOptions, doctor } from '../../src/commands/doctor.ts'
import { nextCommand } from '../../src/commands/next-command.ts'
import type { Host, RunningService } from '../../src/commands/running-service.ts'
import { createAuthority } from '../../src/demo/authority.ts'
import { judgeText } from '../../src/posture/reader.ts'
import { report } from '../../src/posture/report.ts'
import type { Connectivity } from '../../src/system/network-view.ts'
import type { SystemResolver } from '../../src/system/system-resolver.ts'
import { after, at, dial, failed, started, verdictOn } from '../posture/evidence.ts'
import { startDoh } from '../support/doh-server.ts'
import { startDot } from '../support/dot-server.ts'
import { freePort } from '../support/real/server-process.ts'
import { replyTo } from '../support/replies.ts'

const NAME = 'resolver.test'
const DAY_MS = 86_400_000
const authority = await createAuthority()
const healthy: Connectivity = { ipv4: true, ipv6: true, mtu: 1500, hosts: ['files', 'dns'] }
const ours: SystemResolver = { asks: 'us', by: 'resolv.conf', stays: true }

interface Setting {
  readonly wayOut?: Partial<Connectivity>
  readonly system?: SystemResolver
  readonly dotPort?: number
  readonly notAfter?: Date
  readonly pins?: readonly string[]
  readonly config?: Readonly<Record<string, unknown>>
  readonly wallOffsetMs?: number
  readonly answer?: (query: Uint8Array) => Uint8Array
  readonly addresses?: readonly string[]
}

/** Runs the doctor against one resolver on loopback; no service listens. */
async function run(t: Test, setting: Setting, options: DoctorOptions = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'enigm-doctor-'))
  const dates = setting.notAfter === undefined ? {} : { notAfter: setting.notAfter }
  const identity = await authority.issue({ name: NAME, ...dates })
  const { answer = (q) => replyTo(q) } = setting
  const dot = await startDot({ identity, answer })
  const doh = await startDoh({ identity, answer })
  t.teardown(() => Promise.all([dot.close(), doh.close(), rm(directory, { recursive: true })]))
  const write = (name: string, text: string) => writeFile(join(directory, name), text, { mode: 0o600 })
  await write('ca.pem', authority.certificate)
  const resolver = {
    id: 'mine',
    authenticationDomainName: NAME,
    addresses: setting.addresses ?? ['127.0.0.1'],
    transports: { dot: { port: setting.dotPort ?? dot.port }, doh: { port: doh.port } },
    spkiPins: setting.pins ?? [],
    caFile: 'ca.pem',
  }
  await write('resolvers.json', JSON.stringify({ version: 1, resolvers: [resolver] }))
  const listen = [`127.0.0.1:${await freePort()}`]
  await write('config.json', JSON.stringify({ resolvers: 'resolvers.json', listen, statusFile: 'status.json', ...setting.config }))
  await chmod(directory, 0o700)
  let out = ''
  let err = ''
  const clock = systemClock()
  const code = await doctor(
    { config: join(directory, 'config.json'), ...options },
    {
      out: { write: (text) => (out += text) },
      err: { write: (text) => (err += text) },
      clock: { ...clock, wallMs: () => clock.wallMs() + (setting.wallOffsetMs ?? 0) },
      random: systemRandom,
      places: undefined,
      connectivity: () => ({ ...healthy, ...setting.wayOut }),
      system: () => setting.system ?? ours,
      exit: () => {},
    },
  )
  return { code, out, err }
}

async function remarks(t: Test, setting: Setting, options: DoctorOptions = {}): Promise<readonly Remark[]> {
  return JSON.parse((await run(t, setting, { ...options, json: true })).out) as readonly Remark[]
}
const about = (all: readonly Remark[], layer: Remark['layer']) => all.filter((r) => r.layer === layer)

t.test('no service runs: problems come first, each with its fix; the links are fine', async (t) => {
  const { code, out } = await run(t, {})
  t.equal(code, 2)
  t.match(out.split('\n')[0], /^!! listener/)
  t.match(out, /over UDP does not answer: Nothing listens there. Is enigm-dns running\?$/m)
  t.match(out, /fix: Start the service/)
  t.notMatch(out, /enigm-dns (start|restart|logs)\b/, 'only commands that there are')
  t.match(out, /\n\nNext: sudo enigm-dns service install --now\n$/, 'one command, for what comes first')
  t.match(out, /^ok links {8}mine over dot: authenticated \(ca\)/m)
  t.match(out, /^ok links {8}mine over doh/m)
})

const AFAR = ['192.0.2.1']
const behind = (address: string) => ({ proxies: { b: { type: 'socks5', address } }, via: ['b'] })

t.test('each step from the application down has its own word', async (t) => {
  const cases: readonly [Setting, Remark['layer'], Remark['state'], RegExp][] = [
    [{ wayOut: { hosts: ['files'] } }, 'nsswitch', 'bad', /never use DNS/],
    [{ wayOut: { hosts: undefined } }, 'nsswitch', 'ok', /C library reads resolv.conf/],
    [{ system: { asks: 'elsewhere', by: 'resolv.conf', stays: false } }, 'resolv.conf', 'bad', /another DNS server/],
    [{ system: { asks: 'partly', by: 'systemd-resolved', stays: false } }, 'resolv.conf', 'warn', /others as well \(systemd-resolved\)/],
    [{ system: { asks: 'unknown', by: 'no resolv.conf', stays: false } }, 'resolv.conf', 'unknown', /Cannot tell which/],
    [{ wayOut: { ipv4: false, ipv6: false }, addresses: AFAR }, 'network', 'bad', /no default route/],
    [{ wayOut: { ipv4: false }, addresses: AFAR }, 'network', 'bad', /IPv6 only/],
    [{ wayOut: { ipv4: false } }, 'network', 'ok', /^No default route is needed/],
    [
      { wayOut: { ipv4: false, ipv6: false }, addresses: AFAR, config: behind('127.0.0.1:9') },
      'network',
      'ok',
      /^No default route is needed/,
    ],
    [{ wayOut: { ipv4: false, ipv6: false }, config: behind('192.0.2.9:9') }, 'network', 'bad', /no default route/],
    [{ wayOut: { ipv4: false }, addresses: AFAR, config: behind('[2001:db8::9]:9') }, 'network', 'ok', /Default routes: IPv6/],
    [{ wayOut: { ipv4: undefined, ipv6: undefined } }, 'network', 'unknown', /cannot be read/],
    [{ wayOut: { mtu: 1200 } }, 'network', 'warn', /MTU is 1200/],
    [{ wallOffsetMs: -20 * 365 * DAY_MS }, 'clock', 'bad', /The clock is wrong/],
  ]
  for (const [setting, layer, state, message] of cases) {
    const found = about(await remarks(t, setting, { offline: true }), layer)
    t.ok(
      found.some((r) => r.state === state && message.test(r.message)),
      `${layer}: ${message.source}`,
    )
    for (const r of found) if (r.state === 'bad' || r.state === 'warn') t.not(r.mend, '', 'it says what to do')
  }
})

t.test('without a default route, resolvers that are reached are no fault of the network', async (t) => {
  const [network] = about(await remarks(t, { wayOut: { ipv4: false, ipv6: false } }), 'network')
  t.match(network, { state: 'ok', message: 'There is no default route, and none is needed: a resolver is reached without one.' })
})

t.test('a proxy on this host is down: the network is no fault, with no default route', async (t) => {
  const all = await remarks(t, { wayOut: { ipv4: false, ipv6: false }, config: behind(`127.0.0.1:${await freePort()}`) })
  t.match(about(all, 'network'), [{ state: 'ok' }])
  for (const link of about(all, 'links')) t.match(link, { state: 'bad', message: /proxy "b" cannot be reached/, mend: /^Start that proxy/ })
})

t.test('a proxy is down: it is named instead of the resolvers that fail because of it', async (t) => {
  const ids = ['a', 'b'] as const
  const dials = ids.flatMap((id) => (['dot', 'dot', 'doh', 'doh'] as const).map((over) => dial(id, 'hop-unreachable', over, 'tor')))
  const { state, nowMs } = after([started, ...ids.map((id) => failed(id, 'hop-unreachable')), ...dials])
  const writer = { version: '0.1.0', pid: 42, processStart: 'boot:9', heartbeatS: 10 }
  const { wallMs } = at(nowMs)
  const document = report(state, verdictOn(state, nowMs), writer, { entries: 0, bytes: 0, maxBytes: 1 }, wallMs)
  const codes = Object.values(document.signals).flatMap(({ reasons }) => reasons.map(({ code }) => code))
  t.ok(codes.indexOf('all-failing') < codes.indexOf('hop-down'), codes.join(' '))
  const status = judgeText('/run/status.json', JSON.stringify(document), { wallMs, isSame: () => true })
  const symptoms = { status, connectivity: healthy, system: ours, listeners: [], wallMs } as unknown as Symptoms
  const [policy] = about(diagnose(symptoms), 'policy')
  t.match(policy, { state: 'bad', code: 'hop-down', message: /The proxy "tor" cannot be reached/, mend: /^Start it/ })
})

t.test('a file that this command cannot use is a fault only if the service refused it', (t) => {
  const { wallMs } = at(2000)
  const writer = { version: '0.1.0', pid: 42, processStart: 'boot:9', heartbeatS: 10 }
  for (const [more, state, message] of [
    [
      [],
      'warn',
      /^This command cannot use the configuration file, but the service reports no refused reload: transports: needs Node 24\.$/,
    ],
    [[{ type: 'reload.refused', message: 'x' }], 'bad', /^The configuration file is not valid, and the service keeps its earlier settings/],
  ] as const) {
    const seen = after([started, ...more])
    const document = report(seen.state, verdictOn(seen.state, 2000), writer, { entries: 0, bytes: 0, maxBytes: 1 }, wallMs)
    const status = judgeText('/run/status.json', JSON.stringify(document), { wallMs, isSame: () => true })
    const invalid = 'transports: needs Node 24.'
    const symptoms = { status, invalid, connectivity: healthy, system: ours, listeners: [], wallMs } as unknown as Symptoms
    const found = about(diagnose(symptoms), 'service').find((one) => one.message.includes(invalid))
    t.match(found, { state, message, mend: /enigm-dns check shows each fault/ })
  }
  t.end()
})

t.test('port 853 closed and DoH open: the network blocks DoT', async (t) => {
  const links = about(await remarks(t, { dotPort: await freePort() }), 'links')
  t.ok(links.some((r) => r.state === 'warn' && /seems blocked/.test(r.message)))
  t.ok(links.some((r) => r.state === 'ok' && /doh/.test(r.message)))
})

t.test('a resolver that refuses root queries passes, and the doctor says how to check more', async (t) => {
  const links = about(await remarks(t, { answer: (query) => replyTo(query, [], 0x8185) }), 'links')
  t.equal(links.length, 2)
  for (const { state, message, mend } of links)
    t.match({ state, message, mend }, { state: 'ok', message: /REFUSED for the root/, mend: /"probe": \{/ })
})

t.test('certificates: expiring soon, expired, another key', async (t) => {
  const soon = about(await remarks(t, { notAfter: new Date(Date.now() + 3 * DAY_MS) }), 'certificates')
  t.match(soon[0], { state: 'warn', message: /ends in [23] days/ })
  const all = await remarks(t, { notAfter: new Date(Date.now() - 3 * DAY_MS) })
  t.match(about(all, 'certificates')[0], { state: 'bad', message: /ended on/ })
  t.match(about(all, 'clock')[0], { state: 'warn', message: /is not valid on/ })
  const pinned = about(await remarks(t, { pins: [Buffer.alloc(32, 7).toString('base64')] }), 'certificates')
  t.match(pinned[0], { state: 'bad', message: /does not match the pin/ })
})

t.test('a running service with a file that is no longer valid: that is one line, and the other steps are checked', async (t) => {
  const directory = t.testdir({ 'config.json': '{ "timeoutMs": 1, "use": 3 }' })
  const service: RunningService = {
    ...{ pid: process.pid, processStart: undefined, namespace: undefined, listenOption: undefined, uid: process.geteuid?.() },
    ...{ config: join(directory, 'config.json'), listen: [`127.0.0.1:${await freePort()}`] },
    ...{ statusFile: join(directory, 'status.json'), stateDir: directory },
  }
  const host: Host = { services: () => [service], likely: () => [], namespace: () => undefined, uid: service.uid, statusFiles: [] }
  const said = { out: '', err: '' }
  const world = {
    ...{ out: { write: (text: string) => (said.out += text) }, err: { write: (text: string) => (said.err += text) } },
    ...{ clock: systemClock(), random: systemRandom, places: undefined, host, exit: () => {} },
    ...{ connectivity: () => healthy, system: () => ours },
  }
  for (const options of [{}, { config: join(directory, 'config.json') }]) {
    said.out = ''
    t.equal(await doctor({ ...options, json: true }, world), 2)
    const all = JSON.parse(said.out) as readonly Remark[]
    const fault = about(all, 'service').find(({ message }) => message.includes('is not valid'))
    t.match(fault, {
      state: 'bad',
      message: /^The configuration file is not valid: .*: .* \(and 1 other fault\)\.$/,
      mend: /enigm-dns reload$/,
    })
    t.equal(about(all, 'listener').length, 2, 'the listeners of the service were asked')
    t.match(about(all, 'links'), [{ state: 'unknown', message: /cannot use the configuration file/ }])
    t.equal(about(all, 'network').length, 1)
    t.equal(nextCommand(fault === undefined ? [] : [fault], { running: undefined, installed: true, managed: true }), 'enigm-dns check')
  }
})

t.test('offline sends nothing to resolvers; a bad configuration is 2 and named', async (t) => {
  t.match(about(await remarks(t, {}, { offline: true }), 'links')[0], { state: 'unknown' })
  const { code, err } = await run(t, { config: { timeoutMs: 1 } })
  t.equal(code, 2)
  t.match(err, /timeoutMs/)
})
