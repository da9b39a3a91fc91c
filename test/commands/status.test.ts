import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import t from 'tap'
import { type StatusWorld, statusCommand, statusPlaces } from '../../src/commands/status.ts'
import { printable, printableJson, statusScreen } from '../../src/commands/status-screen.ts'
import type { Event } from '../../src/events.ts'
import type { StatusDocument } from '../../src/posture/document.ts'
import { judgeText, type StatusReading } from '../../src/posture/reader.ts'
import { report } from '../../src/posture/report.ts'
import { after, answered, at, failed, JITTER, started, up, verdictOn } from '../posture/evidence.ts'
import { FakeClock } from '../support/fake-clock.ts'

const COUNTS = { entries: 1234, bytes: 3_250_000, maxBytes: 33_554_432 }

function documentAfter(events: readonly (Event | number)[], wallMs?: number): StatusDocument {
  const { state, nowMs } = after(events, JITTER)
  return report(
    state,
    verdictOn(state, nowMs),
    { version: '0.1.0', pid: 42, processStart: 'boot:9', heartbeatS: 10 },
    COUNTS,
    wallMs ?? at(nowMs).wallMs,
  )
}
const GOOD = [started, up('a'), up('b'), answered('a'), answered('b', { rttMs: 31.4 })]
const WORN = [started, up('a'), answered('a', { bare: true }), failed('b', 'pin-mismatch')]
const DOWN = [started, up('a'), answered('a'), answered('b'), failed('a'), failed('b', 'connect-refused')]

const read = (d: object, isSame = true): StatusReading =>
  judgeText('/run/enigm-dns/status.json', JSON.stringify(d), { wallMs: at(9000).wallMs, isSame: () => isSame })
const plain = { colour: false, width: 80 }
const screenOf = (events: readonly (Event | number)[]) => statusScreen(read(documentAfter(events)), at(9000).wallMs, plain)

const EXPECTED_GOOD = `enigm-dns  PROTECTED
Authenticated, encrypted answers arrive now.

Secure name resolution  ok       for 4 s
Service                 ok       for 4 s
Protected network       unknown  This network is not assessed. Nothing to fix.
Policy compliance       off      No policy is configured. Nothing to fix.
VPN                     off      No VPN is configured. Nothing to fix.

resolver  state      via  proof    TLS  padded  p50/p99 ms  answer  failures
a         answering  dot  ca+spki  1.3  yes     12/12       5 s     0
b         answering  dot  ca+spki  1.3  yes     31/31       4 s     0
cipher TLS_AES_128_GCM_SHA256

shaping jitter in force; cache 1234 entries, 3.1/32.0 MiB; cleartext sent 0
version 0.1.0, process 42, up 9 s, written 4 s ago
file /run/enigm-dns/status.json
`

t.test('the screen of two healthy resolvers, word for word', (t) => {
  t.equal(screenOf(GOOD), EXPECTED_GOOD)
  t.end()
})

t.test('of many reasons of one kind, five are shown', (t) => {
  const document = documentAfter(GOOD)
  const down = (i: number) => ({ code: 'resolver-down', severity: 'warn', message: `r${i} does not answer (timeout).`, mend: 'Wait.' })
  const withReasons = (count: number) => {
    const secureNameResolution = {
      ...document.signals.secureNameResolution,
      reasons: Array.from({ length: count }, (_, i) => down(i)),
    }
    return statusScreen(read({ ...document, signals: { ...document.signals, secureNameResolution } }), at(9000).wallMs, plain)
  }
  const screen = withReasons(24)
  t.equal(screen.match(/does not answer/g)?.length, 5)
  t.match(screen, /\n {5}and more like these \[resolver-down\]: enigm-dns status --json\n/)
  t.equal(withReasons(6).match(/does not answer/g)?.length, 6, 'one more takes no more space than the line that counts it')
  t.end()
})

t.test('one of anything is singular', (t) => {
  const document = documentAfter(GOOD)
  const screen = statusScreen(read({ ...document, cache: { ...document.cache, entries: 1 } }), at(9000).wallMs, plain)
  t.match(screen, /cache 1 entry,/)
  t.end()
})

t.test('the trend of round trips as bars: only if there is one, and within the width', (t) => {
  const reading = read(documentAfter(GOOD))
  const moved = (medians: readonly number[]) => {
    const { document } = reading
    const resolvers = document?.resolvers.map((r) => ({ ...r, rttMs: r.rttMs === null ? null : { ...r.rttMs, medians: [...medians] } }))
    return { ...reading, ...(document === undefined ? {} : { document: { ...document, resolvers: resolvers ?? [] } }) }
  }
  const screen = (medians: readonly number[]) => statusScreen(moved(medians), at(9000).wallMs, plain)
  t.match(screen([10, 80, 45]), /^median round trip over time: \S+ ▁█▅ 10 to 80 ms; \S+ ▁█▅ 10 to 80 ms$/m)
  t.notMatch(screen([10]), /over time/)
  const most = screen(Array.from({ length: 20 }, (_, i) => 1000 + i))
  for (const line of most.split('\n')) t.ok(line.length <= 80, line)
  t.ok(most.trimEnd().split('\n').length <= 24)
  t.end()
})

t.test('worst first, each reason with its fix, within 80 x 24', (t) => {
  for (const events of [[], GOOD, WORN, DOWN]) {
    const lines = screenOf(events).trimEnd().split('\n')
    t.ok(lines.length <= 24, `${lines.length} lines`)
    for (const line of lines) t.ok(line.length <= 80, line)
  }
  const text = screenOf(DOWN)
  t.ok(text.indexOf('all-failing') < text.indexOf('resolver-down'))
  t.ok(text.indexOf('Secure name resolution') < text.indexOf('Service'))
  t.equal(text.split('fix:').length, text.split(/\[[a-z-]+\]/).length, 'as many fixes as reasons')
  const worn = screenOf(WORN)
  t.ok(worn.indexOf('pin-mismatch') < worn.indexOf('replies-unpadded'))
  t.match(worn, /^b +failing/m)
  t.ok(worn.search(/^b +failing/m) < worn.search(/^a +answering/m), 'the failing resolver comes first')
  t.end()
})

t.test('a document that is not current is never shown as current', (t) => {
  const text = statusScreen(read(documentAfter(GOOD), false), at(9000).wallMs, plain)
  t.match(text, /NOT PROVEN/)
  t.match(text, /process 42, which wrote this file, has ended/)
  t.notMatch(text, /PROTECTED|arrive now/)
  t.end()
})

const HOSTILE = '\u001b]0;x\u0007\u009b31m\u202e\n\u2028'

t.test('text from the file does not control the terminal', (t) => {
  const d = documentAfter(WORN)
  const everywhere = JSON.parse(JSON.stringify(d), (key, value) =>
    ['id', 'operator', 'message', 'mend', 'code', 'profile', 'version', 'tlsVersion', 'cipher'].includes(key) ? HOSTILE + value : value,
  )
  const reading = read(everywhere)
  t.equal(reading.judgement, 'current', 'it is a document')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
  const raw = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e\u2028]/
  t.notMatch(statusScreen(reading, at(9000).wallMs, plain), raw)
  t.notMatch(statusScreen({ ...reading, judgement: 'stale', path: HOSTILE }, at(9000).wallMs, plain), raw)
  const json = printableJson(everywhere, 2)
  t.notMatch(json, raw)
  t.same(JSON.parse(json), everywhere, 'and the JSON still means the same')
  const tag = '\u{e0041}'
  t.equal(JSON.parse(printableJson(tag, 0)), tag)
  t.equal(printable('a\u001bb'), 'a\\u{1b}b')
  t.end()
})

function append(to: { out: string }, text: string): void {
  to.out += text
}

function world(files: StatusWorld['files'], more: Partial<StatusWorld> = {}) {
  const seen = { out: '', exit: -1 }
  const clock = new FakeClock()
  clock.jumpWall(at(9000).wallMs - clock.wallMs())
  const made: StatusWorld = {
    out: { write: (s: string) => append(seen, s) },
    env: {},
    clock,
    isSame: () => true,
    files,
    exit: (code) => {
      seen.exit = code
    },
    stayAlive: () => {},
    bootId: 'boot',
    seenFile: join(tmpdir(), 'enigm-dns-test-nothing-seen.json'),
    pause: () => {},
    ...more,
  }
  const run = (...args: string[]) =>
    new Command()
      .addCommand(statusCommand(made))
      .exitOverride()
      .parse(['node', 'enigm-dns', 'status', ...args])
  return { seen, clock, run }
}

t.test('the command: places, --file, --json, exit codes', (t) => {
  const dir = t.testdir({ good: JSON.stringify(documentAfter(GOOD)), down: JSON.stringify(documentAfter(DOWN)) })
  const at = (name: string) => ({ path: join(dir, name) })
  const of = (files: readonly string[], ...args: string[]) => {
    const w = world(files.map(at))
    w.run(...args)
    return w.seen
  }
  t.match(of(['none', 'good']), { exit: 0, out: /PROTECTED/ })
  t.match(of(['down', 'good']), { exit: 2, out: /OFFLINE/ }, 'the first current one')
  t.match(of(['none']), { exit: 3, out: /There is no status file here/ })
  t.match(of(['none', 'nope']).out, /none,[\s\S]*nope/, 'it names every place where it looked')
  t.match(of(['good'], '--file', join(dir, 'down')), { exit: 2 })
  t.same(JSON.parse(of(['good'], '--json').out), documentAfter(GOOD))
  t.match(JSON.parse(of(['none'], '--json').out), { state: 'offline', judgement: { verdict: 'not-found' } })
  t.end()
})

t.test('colours only on a terminal, and not with NO_COLOR', (t) => {
  const dir = t.testdir({ good: JSON.stringify(documentAfter(GOOD)) })
  const coloured = (isTTY: boolean, env: Record<string, string>) => {
    const seen = { out: '' }
    const w = world([{ path: join(dir, 'good') }], { out: { write: (s: string) => append(seen, s), isTTY }, env })
    w.run()
    return seen.out.includes('\u001b[')
  }
  t.equal(coloured(true, {}), true)
  t.equal(coloured(true, { NO_COLOR: '' }), true, 'an empty NO_COLOR counts as none (no-color.org)')
  t.equal(coloured(true, { NO_COLOR: '1' }), false)
  t.equal(coloured(true, { TERM: 'dumb' }), false)
  t.equal(coloured(false, {}), false)
  t.end()
})

t.test('--watch prints again when the file changes, and when it goes stale, and only then', async (t) => {
  const path = join(t.testdir({ s: JSON.stringify(documentAfter(GOOD)) }), 's')
  const w = world([{ path }])
  w.run('--watch')
  const printed = () => w.seen.out.split('enigm-dns  ').length - 1
  t.equal(printed(), 1)
  await w.clock.advance(5000)
  t.equal(printed(), 1)
  writeFileSync(path, JSON.stringify(documentAfter(DOWN, w.clock.wallMs())))
  await w.clock.advance(1000)
  t.equal(printed(), 2)
  t.equal(w.seen.exit, 2)
  await w.clock.advance(40_000)
  t.equal(printed(), 3)
  t.match(w.seen.out, /Stale: written/)
  t.equal(w.seen.exit, 3)
})

t.test('the default places: the service, then this user', (t) => {
  const account = { uid: 1000, env: { XDG_RUNTIME_DIR: '/run/user/1000' }, home: '/home/u', tmp: '/tmp' }
  t.match(statusPlaces(account), [
    { path: '/run/enigm-dns/status.json', keyFile: '/var/lib/enigm-dns/status.pub' },
    { path: '/run/user/1000/enigm-dns/status.json', owner: 1000, keyFile: /\/enigm-dns\/status\.pub$/ },
  ])
  const root = statusPlaces({ ...account, uid: 0 }).map(({ path }) => path)
  t.same(root, ['/run/enigm-dns/status.json'], "root's own is the service's")
  t.end()
})
