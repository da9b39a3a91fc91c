import { spawnSync } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import type { StatusDocument } from '../../src/posture/document.ts'
import { type HostFacts, judgedDocument, judgeText, mostRelevant, readStatus } from '../../src/posture/reader.ts'
import { report } from '../../src/posture/report.ts'
import { after, answered, at, started, verdictOn } from './evidence.ts'

const NOW = at(2000).wallMs
const living = { wallMs: NOW, isSame: () => true }
const { state } = after([started, answered('a')])
const GOOD: StatusDocument = report(
  state,
  verdictOn(state, 2000),
  { version: '0.1.0', pid: 42, processStart: 'boot:99', heartbeatS: 10 },
  { entries: 0, bytes: 0, maxBytes: 1 },
  NOW,
)
const judged = (d: object, witness: HostFacts = living) => {
  const r = judgeText('f', JSON.stringify(d), witness)
  return [r.judgement, r.exitCode]
}

t.test('the exit code follows the state', (t) => {
  t.same(judged(GOOD), ['current', 0])
  t.same(judged({ ...GOOD, state: 'degraded' }), ['current', 1])
  t.same(judged({ ...GOOD, state: 'exposed' }), ['current', 2])
  t.same(judged({ ...GOOD, state: 'offline' }), ['current', 2])
  t.end()
})

t.test('age: three heartbeats are accepted, more is stale, the future is no age', (t) => {
  t.same(judged(GOOD, { ...living, wallMs: NOW + 30_000 }), ['current', 0])
  t.same(judged(GOOD, { ...living, wallMs: NOW + 30_001 }), ['stale', 3])
  t.same(judged(GOOD, { ...living, wallMs: NOW - 10_000 }), ['current', 0], 'a clock set back by a heartbeat')
  t.same(judged(GOOD, { ...living, wallMs: NOW - 10_001 }), ['future', 3])
  t.end()
})

t.test('the process: ended or reused', (t) => {
  const asked: unknown[] = []
  const isSame = (pid: number, start: string | undefined) => {
    asked.push([pid, start])
    return false
  }
  t.same(judged(GOOD, { ...living, isSame }), ['not-running', 3])
  t.same(judged(GOOD, { ...living, isSame: () => undefined }), ['current', 0], 'where it cannot be told, the age decides')
  t.same(asked, [[42, 'boot:99']])
  t.end()
})

t.test('texts that are no status document', (t) => {
  t.equal(judgeText('f', '', living).judgement, 'not-json')
  t.equal(judgeText('f', JSON.stringify(GOOD).slice(0, -9), living).judgement, 'not-json')
  for (const foreign of ['null', '[]', '"x"', '{}', JSON.stringify({ ...GOOD, schema: 'enigm-dns/status/2' })]) {
    t.match(judgeText('f', foreign, living), { judgement: 'foreign-schema', exitCode: 3, document: undefined })
  }
  t.same(judged({ ...GOOD, state: 'splendid' }), ['malformed', 3])
  t.same(judged({ ...GOOD, signals: {} }), ['malformed', 3])
  t.same(judged({ ...GOOD, sequence: 7 }), ['current', 0], 'a later version may add keys')
  t.end()
})

t.test('files', (t) => {
  const dir = t.testdir({ good: JSON.stringify(GOOD), huge: ' '.repeat(2 ** 20 + 1) })
  const of = (name: string, owner?: number) => readStatus(join(dir, name), living, owner).judgement
  t.equal(of('good'), 'current')
  t.equal(of('none'), 'not-found')
  t.equal(of('good/deeper'), 'not-found')
  t.equal(of('.'), 'unreadable', 'a directory')
  t.equal(of('huge'), 'unreadable')
  const uid = process.getuid?.() ?? 0
  t.equal(of('good', uid), 'current')
  t.equal(of('good', uid + 1), 'unreadable', "another user's file")
  if (spawnSync('mkfifo', [join(dir, 'fifo')]).status === 0) t.equal(of('fifo'), 'unreadable', 'a FIFO does not hang it')
  t.equal(readStatus(join(dir, 'none'), living).exitCode, 3)
  t.end()
})

t.test('permission denied', { skip: process.getuid?.() === undefined ? 'no users here' : false }, (t) => {
  const path = join(t.testdir({ closed: '{}' }), 'closed')
  chmodSync(path, 0)
  const root = process.getuid?.() === 0
  // Root reads everything: become nobody for the moment.
  if (root) process.seteuid?.(65534)
  const reading = readStatus(path, living)
  if (root) process.seteuid?.(0)
  t.match(reading, { judgement: 'permission-denied', exitCode: 3 })
  t.end()
})

t.test('of several places the most informative one', (t) => {
  const dir = t.testdir({ bad: 'x', old: JSON.stringify({ ...GOOD, updatedAt: '2020-01-01T00:00:00.000Z' }), good: JSON.stringify(GOOD) })
  const best = (...names: string[]) => mostRelevant(names.map((n) => readStatus(join(dir, n), living)))?.path.slice(dir.length + 1)
  t.equal(best('none', 'bad', 'old', 'good'), 'good')
  t.equal(best('none', 'bad', 'old'), 'old')
  t.equal(best('none', 'bad'), 'bad')
  t.equal(best('none', 'none2'), 'none')
  t.equal(mostRelevant([]), undefined)
  t.end()
})

t.test('for programs: a document that is not current never has the state protected', (t) => {
  t.same(judgedDocument(judgeText('f', JSON.stringify(GOOD), living)), JSON.parse(JSON.stringify(GOOD)), 'current: as it stands')
  const stale = judgedDocument(judgeText('f', JSON.stringify(GOOD), { ...living, wallMs: NOW + 60_000 }))
  t.match(stale, { state: 'offline', judgement: { verdict: 'stale' }, signals: { secureNameResolution: { state: 'unknown' } } })
  t.match(judgedDocument(judgeText('f', 'x', living)), { state: 'offline', judgement: { verdict: 'not-json' } })
  t.end()
})

t.test('property: any text is judged, and only a complete document is current', (t) => {
  const text = JSON.stringify(GOOD)
  const path = join(t.testdir({ f: '' }), 'f')
  let judgedCount = 0
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.nat(text.length - 1).map((n) => text.slice(0, n)),
      ),
      (s) => {
        judgedCount++
        writeFileSync(path, s)
        const r = readStatus(path, living)
        return r.judgement !== 'current' && r.exitCode === 3 && r.message !== ''
      },
    ),
    { numRuns: 300 },
  )
  t.equal(judgedCount, 300)
  t.end()
})
