// Words that others build on, against test/contracts.json: none goes, and none changes its meaning,
// without that file saying so in the same commit.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import ts from 'typescript'
import { serviceOf } from '../src/commands/service.ts'
import { loadConfig } from '../src/config/load.ts'
import type { Daemon } from '../src/daemon.ts'
import { clientView, type ErrorCode } from '../src/errors.ts'
import type { Event } from '../src/events.ts'
import { SelfCanary } from '../src/local-names/self-canary.ts'
import { createLog } from '../src/log.ts'
import { metricsText } from '../src/page/metrics.ts'
import { asEntry, auditRecorder, CHAIN_START, chained, openAuditLog } from '../src/posture/audit.ts'
import type { StatusDocument } from '../src/posture/document.ts'
import { REASONS } from '../src/posture/reasons.ts'
import { SIGNAL_NAMES, type Verdict } from '../src/posture/verdict.ts'
import { Feed } from '../src/system/control-socket.ts'
import { record } from './sim/record/record.ts'
import { FakeClock } from './support/fake-clock.ts'
import { PROJECT_ROOT } from './support/readme.ts'

const written = JSON.parse(readFileSync(join(PROJECT_ROOT, 'test/contracts.json'), 'utf8')) as Readonly<Record<string, unknown>>
const holds = (t: Test, part: string, now: unknown) =>
  t.strictSame(JSON.parse(JSON.stringify(now)), written[part], `${part}: what changed on purpose goes into test/contracts.json too`)

/** The types of a source, as the compiler sees them: they are there in no program that runs. */
function typesOf(file: string) {
  const path = join(PROJECT_ROOT, 'src', file)
  const options: ts.CompilerOptions = { strict: true, target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.NodeNext, types: [] }
  const program = ts.createProgram([path], { ...options, allowImportingTsExtensions: true, noEmit: true })
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(path)
  const module = source === undefined ? undefined : checker.getSymbolAtLocation(source)
  const exported = module === undefined ? [] : checker.getExportsOfModule(module)
  const membersOf = (name: string): readonly ts.Type[] => {
    const symbol = exported.find((one) => one.name === name)
    if (symbol === undefined) throw new Error(`src/${file} exports no ${name} any more: say here where it went`)
    const type = checker.getDeclaredTypeOfSymbol(symbol)
    return type.isUnion() ? type.types : [type]
  }
  return { checker, membersOf }
}

const literalOf = (type: ts.Type): string => (type.isStringLiteral() ? type.value : 'is no word')
const sorted = <T>(of: Readonly<Record<string, T>>) => Object.fromEntries(Object.entries(of).toSorted(([a], [b]) => (a < b ? -1 : 1)))

t.test('error codes, each with the RCODE and the extended error that a client gets; its text is the code', (t) => {
  const codes = typesOf('errors.ts').membersOf('ErrorCode').map(literalOf) as ErrorCode[]
  const rows = codes.map((code) => [code, clientView(code)] as const)
  for (const [code, { ede }] of rows) t.equal(ede.text, code)
  holds(t, 'errors', sorted(Object.fromEntries(rows.map(([code, { rcode, ede }]) => [code, { rcode, ede: ede.code }]))))
  t.end()
})

t.test('events and their fields', (t) => {
  const { checker, membersOf } = typesOf('events.ts')
  const rows = membersOf('Event').map((type) => {
    const property = type.getProperty('type')
    const name = property === undefined ? '' : literalOf(checker.getTypeOfSymbol(property))
    return [name, type.getProperties().map((p) => p.name).filter((field) => field !== 'type').toSorted()] as const // biome-ignore format: one row
  })
  holds(t, 'events', sorted(Object.fromEntries(rows)))
  t.end()
})

const LINK = { resolver: 'a', transport: 'dot' } as const
const PROTECTION = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: 'c', resumed: false } as const
/** One of each event, so that each line of the log is written. */
const SAMPLES: { readonly [T in Event['type']]: Extract<Event, { readonly type: T }> } = {
  'link.up': { type: 'link.up', ...LINK, address: '192.0.2.1', protection: PROTECTION, handshakeMs: 1 },
  'link.down': { type: 'link.down', ...LINK, code: 'closed' },
  'link.failed': { type: 'link.failed', ...LINK, code: 'closed', detail: '' },
  'link.mismatch': { type: 'link.mismatch', ...LINK },
  'upstream.answered': { type: 'upstream.answered', ...LINK, rttMs: 1, protection: PROTECTION, paddedReply: true },
  'upstream.failed': { type: 'upstream.failed', ...LINK, code: 'deadline' },
  'network.changed': { type: 'network.changed', online: true },
  woke: { type: 'woke', awayMs: 1 },
  'clock.moved': { type: 'clock.moved', byMs: 1 },
  'shaping.beacon': { type: 'shaping.beacon', ...LINK, found: true },
  'shaping.covers': { type: 'shaping.covers', ...LINK, covers: 'flowing' },
  trace: { type: 'trace', untilWallMs: 1 },
  portal: { type: 'portal', untilWallMs: 1 },
  cleartext: { type: 'cleartext', cause: 'captive-portal' },
  'forward.loop': { type: 'forward.loop', zone: 'corp.example', found: true },
  'service.started': { type: 'service.started' },
  'service.stopping': { type: 'service.stopping' },
  'reload.refused': { type: 'reload.refused', message: '' },
  'reload.waiting': { type: 'reload.waiting', settings: [] },
  fault: { type: 'fault', where: '' },
  'seen.network': { type: 'seen.network', told: true, named: undefined },
  'seen.vpn': { type: 'seen.vpn', vpn: 1, other: 0, unknown: 0, unreachable: 0 },
  'seen.system': { type: 'seen.system', asks: 'us', by: '' },
  'seen.canary': { type: 'seen.canary', outcome: 'returned' },
  'seen.takeover': { type: 'seen.takeover', state: 'taken', by: '', bypasses: [] },
  'seen.sources': { type: 'seen.sources', sources: [{ id: 'a', state: 'old', why: 'b', changes: [] }] },
  'seen.bypass': { type: 'seen.bypass', flows: 0, through: [] },
  lists: { type: 'lists', faults: [{ id: 'a', missing: true, why: '' }] },
  audit: { type: 'audit', state: 'writing', entries: 0, lost: 0 },
  unsigned: { type: 'unsigned', why: '' },
  restarts: { type: 'restarts', count: 0, clean: true },
}

t.test('lines of the log: for each event its level, text and fields, or none', (t) => {
  const lineOf = (event: Event) => {
    let line: Record<string, unknown> | undefined
    createLog('trace', (text) => {
      line = JSON.parse(text) as Record<string, unknown>
    }).event(event)
    if (line === undefined) return null
    const { level, msg, ...fields } = line
    return { level, msg, fields: Object.keys(fields).toSorted() }
  }
  const rows = Object.values(SAMPLES).map((event) => [event.type, lineOf(event)] as const)
  holds(t, 'log', {
    ...sorted(Object.fromEntries(rows)),
    'trace over': lineOf({ type: 'trace', untilWallMs: undefined }),
    'portal over': lineOf({ type: 'portal', untilWallMs: undefined }),
  })
  t.end()
})

t.test('orders of the control socket, and the fields of what they answer', async (t) => {
  const dir = t.testdir({ 'config.json': '{}' })
  const loaded = await loadConfig(join(dir, 'config.json'))
  const daemon: Daemon = {
    listeners: [],
    trace: { begin: () => ({ drained() {}, gone() {} }), end() {} },
    portal: { begin: () => ({ drained() {}, gone() {} }), end() {} },
    canary: new SelfCanary(),
    held: () => ({ leftS: 1, rcode: 0 }),
    watchSystem: async () => {},
    pause: (_forMs, list) => (list === undefined ? ['ads'] : undefined),
    report() {},
    reload: async () => [],
    adoptHosts() {},
    forget: async () => ({ entries: 0, sessions: 0, files: [] }),
    refuseReload() {},
    stop: async () => {},
  }
  const quiet = createLog('silent', () => {})
  let load = async () => loaded
  const parts = { loaded, loadedAtMs: 0, load: () => load(), log: quiet, clock: new FakeClock(), reloaded() {} }
  const service = serviceOf(daemon, parts)
  const fields = (reply: unknown) => (reply instanceof Feed ? 'lines' : reply === undefined ? 'no such order' : Object.keys(Object(reply)))
  const told: Record<string, unknown> = {}
  const token = '0123456789abcdef'.repeat(2)
  const named = { [`await ${token}`]: 'await TOKEN', [`arrived ${token}`]: 'arrived TOKEN' }
  const orders = [
    'forget',
    'reload',
    'trace 1000',
    'trace',
    'portal 1000 192.0.2.53:53',
    'portal 1000',
    'portal',
    'status',
    '',
    'pause 1000',
    'pause 1000 ads',
    'pause',
    'watch',
    'await me',
    'cached A example.com 127.0.0.1',
    'cached A example.com me',
    'arrived me',
  ]
  for (const order of [...orders, ...Object.keys(named)]) told[named[order] ?? order] = fields(await service.obey(order))
  load = () => Promise.reject(new Error('it will not do'))
  told['reload, refused'] = fields(await service.obey('reload'))
  // It ends the process, and for that it must not be this one.
  const { exit } = process
  const { setTimeout } = globalThis
  const ended = new Promise<void>((resolve) => {
    process.exit = (() => resolve()) as typeof process.exit
  })
  globalThis.setTimeout = (() => {}) as unknown as typeof setTimeout
  try {
    told.stop = fields(await service.obey('stop'))
    await ended
  } finally {
    Object.assign(process, { exit })
    Object.assign(globalThis, { setTimeout })
  }
  holds(t, 'control', told)
})

t.test('entries of the audit log: their kinds and fields, and the hash that chains them', (t) => {
  const kinds = new Map<string, readonly string[]>()
  const note = (what: string, detail: object) => {
    kinds.set(what, [...new Set([...(kinds.get(what) ?? []), ...Object.keys(detail)])].toSorted())
  }
  const log = { append: (...events: { what: string; detail: object }[]) => events.forEach((e) => void note(e.what, e.detail)), retry() {} }
  const recorder = auditRecorder({ ...log, now: { state: 'writing', entries: 0, lost: 0 }, fault: undefined }, '1')
  const signals = Object.fromEntries(SIGNAL_NAMES.map((name) => [name, { state: 'ok', since: '', reasons: [] }]))
  const verdict = { state: 'protected', signals } as unknown as Verdict
  for (const said of ['met', 'not-met', 'cannot-tell', 'claimed'] as const)
    recorder.judged({ ...verdict, rules: [{ rule: `rule ${said}`, verdict: said, detail: '', code: 'rule-pins' }] })
  recorder.reloaded()
  recorder.stopped()
  const dir = t.testdir({ state: { 'audit.jsonl': '{"n":1,' } })
  openAuditLog({ stateDir: join(dir, 'state'), clock: new FakeClock() }).append({ what: 'start', detail: {} })
  const lines = readFileSync(join(dir, 'state', 'audit.jsonl'), 'utf8').split('\n').flatMap((line) => asEntry(line) ?? []) // biome-ignore format: one row
  for (const { what, detail } of lines) note(what, detail)
  const example = chained(CHAIN_START, '2026-01-01T00:00:00.000Z', 'state', { to: 'protected', from: 'offline' })
  holds(t, 'audit', { kinds: sorted(Object.fromEntries(kinds)), example })
  t.end()
})

t.test('reasons, signals, and the names and labels of metrics', { timeout: 60_000 }, async (t) => {
  holds(t, 'reasons', Object.keys(REASONS).toSorted())
  const alsoErrors = Object.keys(REASONS).filter((code) => Object.hasOwn(Object(written.errors), code))
  const certificate = ['expired', 'name', 'not-yet-valid', 'untrusted'].map((what) => `certificate-${what}`)
  t.same(alsoErrors.toSorted(), [...certificate, 'clock-suspect', 'pin-mismatch', 'portal-suspected'], 'each reports exactly this error')
  holds(t, 'signals', SIGNAL_NAMES)
  const text = await record(5)
  const documents = [...text.matchAll(/^\S+ status (.*)$/gm)].map(([, json = '']) => JSON.parse(json) as StatusDocument)
  const document = documents.findLast(({ resolvers }) =>
    resolvers.some(({ failures, rttMs }) => rttMs !== null && Object.keys(failures).length > 0),
  )
  if (document === undefined) throw new Error('no status of the seed has round trips and failures')
  const lines = (await metricsText(document, document)).split('\n')
  const typeOf = new Map(
    lines.flatMap((line) => [...line.matchAll(/^# TYPE (\S+) (\S+)$/g)].map(([, name = '', type = '']) => [name, type])),
  )
  const metrics: Record<string, unknown> = {}
  for (const [name, type] of typeOf) {
    const sample = lines.find((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `)) ?? ''
    metrics[name] = { type, labels: [...sample.matchAll(/(\w+)="/g)].map(([, label]) => label) }
  }
  holds(t, 'metrics', sorted(metrics))
  const codes = lines.flatMap((line) => /^enigm_dns_resolver_failures_total\{.*code="([^"]+)"/.exec(line)?.[1] ?? [])
  t.ok(codes.length > 0 && codes.every((code) => Object.hasOwn(Object(written.errors), code)), 'failures are counted by error code')
})
