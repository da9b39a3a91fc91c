import * as fs from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { auditCommand } from '../../src/commands/audit.ts'
import type { FileCalls } from '../../src/files/writing.ts'
import { asEntry, asHead, auditFiles, CHAIN_START, chained, headText, judgeChain, openAuditLog } from '../../src/posture/audit.ts'
import { FakeClock } from '../support/fake-clock.ts'

const linesOf = (dir: string) =>
  auditFiles(dir)
    .filter((file) => fs.existsSync(file))
    .flatMap((file) => fs.readFileSync(file, 'utf8').split('\n'))
    .filter((line) => line !== '')
const event = (i: number) => ({ what: 'state', detail: { from: 'protected', to: 'offline', i } })

t.test('entries chain across restarts, mode 0600', (t) => {
  const dir = join(t.testdir({}), 'state')
  const clock = new FakeClock()
  openAuditLog({ stateDir: dir, clock }).append(event(1), event(2))
  const second = openAuditLog({ stateDir: dir, clock })
  second.append(event(3))
  t.match(second.now, { state: 'writing', entries: 3, lost: 0 })
  t.match(judgeChain(linesOf(dir)), { consistent: true, first: { n: 1 }, head: { n: 3 }, gaps: 0 })
  t.equal(fs.statSync(join(dir, 'audit.jsonl')).mode & 0o777, 0o600)
  t.end()
})

t.test('an incomplete end is a known end of a crash or of a full disk, however often the write was tried', (t) => {
  const dir = join(t.testdir({}), 'state')
  const clock = new FakeClock()
  openAuditLog({ stateDir: dir, clock }).append(event(1), event(2))
  const file = join(dir, 'audit.jsonl')
  const whole = fs.readFileSync(file, 'utf8')
  const next = chained(asEntry(whole.split('\n')[1] ?? '') ?? CHAIN_START, 'now', 'x', {})
  const text = JSON.stringify(next)
  for (const rest of [
    text.slice(0, 3),
    text.slice(0, 60),
    `${text.slice(0, 60)}\n${text.slice(0, 9)}`,
    '\0\0\0',
    `${text.slice(0, 9)}\n`,
  ]) {
    fs.writeFileSync(file, whole + rest)
    t.match(judgeChain(linesOf(dir)), { consistent: true, torn: true, head: { n: 2 } }, JSON.stringify(rest))
    openAuditLog({ stateDir: dir, clock }).append(event(3))
    t.match(judgeChain(linesOf(dir)), { consistent: true, torn: false, head: { n: 4 }, gaps: 1 }, `continued: ${JSON.stringify(rest)}`)
  }
  fs.writeFileSync(file, whole + text)
  t.match(judgeChain(linesOf(dir)), { consistent: true, torn: false, head: { n: 3 } }, 'only the end of the line is missing')
  openAuditLog({ stateDir: dir, clock }).append(event(3))
  t.match(judgeChain(linesOf(dir)), { consistent: true, head: { n: 4 } }, 'and is added')
  for (const foreign of ['something else', '{"n":9}\nsomething else', 'x{"n":']) {
    fs.writeFileSync(file, whole + foreign)
    t.match(judgeChain(linesOf(dir)), { consistent: false }, foreign)
  }
  t.end()
})

t.test('property: a chain is valid, and any change of it is detected except a cut at an end', (t) => {
  const chain = fc.array(fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.oneof(fc.string({ maxLength: 20 }), fc.integer())), {
    minLength: 3,
    maxLength: 12,
  })
  fc.assert(
    fc.property(chain, fc.nat(), fc.nat(2), (details, at, kind) => {
      const lines: string[] = []
      let head = CHAIN_START
      for (const detail of details) {
        const e = chained(head, 'now', 'x', detail)
        lines.push(JSON.stringify(e))
        head = { n: e.n, hash: e.hash }
      }
      if (!judgeChain(lines, head).consistent || judgeChain(lines, head).holdsHead !== 'yes') return false
      const i = at % (lines.length - 1)
      const damaged =
        kind === 0
          ? lines.toSpliced(i, 1)
          : kind === 1
            ? lines.with(i, (lines[i] ?? '').replace('"what":"x"', '"what":"y"'))
            : lines.toSpliced(i, 0, lines[i] ?? '')
      const verdict = judgeChain(damaged, head)
      // As if it had been rotated away, which the verdict tells.
      if (i === 0 && kind === 0) return verdict.first?.n === 2
      return !verdict.consistent
    }),
    { numRuns: 300 },
  )
  t.end()
})

t.test('a cut at the end, and a rewritten chain, are detected with a stored head', (t) => {
  const dir = t.testdir({})
  const log = openAuditLog({ stateDir: dir, clock: new FakeClock() })
  log.append(event(1), event(2), event(3))
  const lines = linesOf(dir)
  const kept = judgeChain(lines).head
  if (kept === undefined) return t.fail()
  t.same(asHead(headText(kept)), kept)
  t.equal(asHead('1:xyz'), undefined)
  t.match(judgeChain(lines.slice(0, 2), kept), { consistent: true, holdsHead: 'no' })
  t.match(judgeChain(lines.slice(0, 2)), { consistent: true, holdsHead: undefined }, 'which nobody could tell without it')
  const anew = JSON.stringify(chained(CHAIN_START, 'now', 'state', {}))
  t.match(judgeChain([anew], kept), { consistent: true, holdsHead: 'no' })
  t.equal(asEntry('{"n":1}'), undefined)
  t.end()
})

t.test('bounded: rotated, the oldest is removed, and the rest records where it begins', async (t) => {
  const dir = t.testdir({})
  const clock = new FakeClock()
  const log = openAuditLog({ stateDir: dir, clock, maxOctets: 2000 })
  for (let i = 0; i < 120; i++) {
    log.append(event(i))
    await clock.advance(31_000)
  }
  const sizes = auditFiles(dir).map((file) => fs.statSync(file).size)
  t.equal(sizes.length, 5)
  for (const size of sizes) t.ok(size < 2500)
  const verdict = judgeChain(linesOf(dir), { n: 1, hash: '0'.repeat(64) })
  t.match(verdict, { consistent: true, head: { n: 120 }, holdsHead: 'rotated-away' })
  t.ok((verdict.first?.n ?? 0) > 1)
})

t.test('flapping cannot push history out of the log; omitted events are recorded', async (t) => {
  const dir = t.testdir({})
  const clock = new FakeClock()
  const log = openAuditLog({ stateDir: dir, clock })
  for (let i = 0; i < 1000; i++) log.append(event(i))
  t.equal(linesOf(dir).length, 40)
  t.equal(log.now.lost, 960)
  await clock.advance(31_000)
  log.append(event(1000))
  t.match(JSON.parse(linesOf(dir).at(-2) ?? ''), { what: 'gap', detail: { lost: 960 } })
  t.match(judgeChain(linesOf(dir)), { consistent: true, gaps: 1 })
})

for (const call of ['openSync', 'writeSync', 'fsyncSync', 'mkdirSync'] as const) {
  t.test(`${call} fails: a gap is recorded when it works again`, (t) => {
    const dir = join(t.testdir({}), 'state')
    const fault = { on: true }
    const broken = {
      ...fs,
      [call]: (...args: never[]) => {
        if (fault.on) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
        // biome-ignore lint/performance/noDynamicNamespaceImportAccess: the fault stands in for whichever call is named
        return Reflect.apply(fs[call], fs, args)
      },
    } as FileCalls
    const log = openAuditLog({ stateDir: dir, clock: new FakeClock(), fs: broken })
    log.append(event(1), event(2))
    t.match(log.now, { state: 'unwritable', lost: 2 })
    log.retry()
    t.match(log.now, { state: 'unwritable', lost: 2 })
    fault.on = false
    log.retry()
    t.match(log.now, { state: 'writing', lost: 2 })
    log.append(event(3))
    const verdict = judgeChain(linesOf(dir))
    t.ok(verdict.consistent)
    // What was written but not certain to be on the disk is noted as missing, too.
    t.ok(verdict.gaps === (call === 'fsyncSync' ? 2 : 1), `${verdict.gaps} gaps`)
    t.end()
  })
}

t.test('an incomplete line after a crash damages no other line, and is recorded', (t) => {
  const dir = t.testdir({})
  const clock = new FakeClock()
  openAuditLog({ stateDir: dir, clock }).append(event(1), event(2))
  fs.appendFileSync(join(dir, 'audit.jsonl'), '{"n":3,"at":"20')
  openAuditLog({ stateDir: dir, clock }).append(event(3))
  const lines = linesOf(dir)
  t.match(JSON.parse(lines.at(-2) ?? ''), { n: 3, what: 'gap', detail: { torn: true } })
  t.match(judgeChain(lines), { consistent: true, gaps: 1, head: { n: 4 } })
  t.match(judgeChain(lines.toSpliced(3, 1)), { consistent: false, fault: /line 3/ }, 'but only where it was noted')
  t.end()
})

const commandIn =
  (dir: string) =>
  async (...args: string[]) => {
    const seen = { out: '', code: -1 }
    const world = {
      out: {
        write: (text: string) => {
          seen.out += text
        },
      },
      exit: (code: number) => {
        seen.code = code
      },
      stateDir: async () => dir,
    }
    await auditCommand(world).parseAsync(args, { from: 'user' })
    return seen
  }

t.test('the command says "rotated away" only if a rotation removed a file', async (t) => {
  const dir = t.testdir({})
  const run = commandIn(dir)
  const clock = new FakeClock()
  const log = openAuditLog({ stateDir: dir, clock, maxOctets: 100 })
  for (let i = 0; i < 3; i++) log.append(event(i))
  const head = `1:${'0'.repeat(64)}`
  fs.rmSync(join(dir, 'audit.2.jsonl'))
  t.match(await run('verify'), { code: 0, out: /entries 2 to 3\. Older ones were rotated away or removed\./ })
  t.match(await run('verify', '--head', head), { code: 1, out: /the entry of that head was rotated away or removed\./ })
  for (let i = 0; i < 9; i++) log.append(event(i))
  t.match(await run('verify'), { code: 0, out: /entries 8 to 12\. Older ones were rotated away\./ })
  t.match(await run('verify', '--head', head), { code: 1, out: /the entry of that head was rotated away\./ })
})

t.test('the command: verify, head, exit codes', async (t) => {
  const dir = t.testdir({})
  openAuditLog({ stateDir: dir, clock: new FakeClock() }).append(event(1), event(2))
  const run = commandIn(dir)
  t.match(await run('verify'), { code: 0, out: /Internally consistent: entries 1 to 2\.\nWithout a head that was kept elsewhere/ })
  const { out: head } = await run('head')
  t.match(head, /^2:[0-9a-f]{64}\n$/)
  t.match(await run('verify', '--head', head.trim()), { code: 0, out: /Complete up to the head/ })
  t.match(await run('verify', '--head', 'x'), { code: 2 })
  t.match(await run('verify', '--dir', join(dir, 'none')), { code: 3, out: /no audit log/ })
  const file = join(dir, 'audit.jsonl')
  const text = fs.readFileSync(file, 'utf8')
  fs.writeFileSync(file, `${text.split('\n')[0]}\n`)
  t.match(await run('verify', '--head', head.trim()), { code: 1, out: /cut off or rewritten/ })
  fs.writeFileSync(file, text.replace('protected', 'degraded'))
  t.match(await run('verify'), { code: 1, out: /NOT consistent: line 1: the entry was changed/ })
})

t.test('a log that is removed while it is written: the new chain begins with the gap, and the status counts it', (t) => {
  for (const [what, damage, gone] of [
    ['the newest file is removed', (dir: string) => fs.rmSync(join(dir, 'audit.jsonl')), 2],
    ['the whole directory is removed', (dir: string) => fs.rmSync(dir, { recursive: true }), 2],
    ['the file is emptied', (dir: string) => fs.truncateSync(join(dir, 'audit.jsonl')), 2],
    ['its end is cut off', (dir: string) => fs.writeFileSync(join(dir, 'audit.jsonl'), `${linesOf(dir)[0]}\n`), 1],
  ] as const) {
    const dir = join(t.testdir({}), 'state')
    const log = openAuditLog({ stateDir: dir, clock: new FakeClock() })
    log.append(event(1), event(2))
    damage(dir)
    log.retry()
    t.match(log.now, { state: 'writing', lost: gone, entries: 3 - gone }, what)
    t.match(JSON.parse(linesOf(dir).at(-1) ?? ''), { n: 3 - gone, what: 'gap', detail: { lost: gone, torn: false } }, what)
    log.append(event(3))
    log.retry()
    t.match(log.now, { lost: gone, entries: 4 - gone }, `${what}: counted once`)
    t.match(judgeChain(linesOf(dir)), { consistent: true, gaps: 1, head: { n: 4 - gone } }, what)
    fs.rmSync(dir, { recursive: true })
  }
  t.end()
})

t.test('a log that is removed and cannot be made again is unwritable; what was lost is counted once', (t) => {
  const dir = join(t.testdir({}), 'state')
  const log = openAuditLog({ stateDir: dir, clock: new FakeClock() })
  log.append(event(1), event(2))
  fs.rmSync(dir, { recursive: true })
  fs.writeFileSync(dir, '')
  log.retry()
  t.match(log.now, { state: 'unwritable' })
  fs.rmSync(dir)
  fs.mkdirSync(dir)
  fs.writeFileSync(join(dir, 'audit.jsonl'), 'notes of somebody\n')
  log.retry()
  t.match(log.now, { state: 'unwritable' }, 'a foreign file in its place')
  fs.rmSync(join(dir, 'audit.jsonl'))
  log.retry()
  log.retry()
  t.match(log.now, { state: 'writing', lost: 2, entries: 1 })
  t.end()
})

t.test('a log that another process continues stays one chain; a log moved back unchanged has no gap', (t) => {
  const dir = t.testdir({})
  const file = join(dir, 'audit.jsonl')
  const logs = [openAuditLog({ stateDir: dir, clock: new FakeClock() }), openAuditLog({ stateDir: dir, clock: new FakeClock() })]
  for (let i = 0; i < 3; i++) for (const log of logs) log.append(event(i))
  t.match(judgeChain(linesOf(dir)), { consistent: true, gaps: 0, head: { n: 6 } })
  fs.copyFileSync(file, `${file}.copy`)
  fs.renameSync(`${file}.copy`, file)
  for (const log of logs) log.retry()
  t.match(judgeChain(linesOf(dir)), { consistent: true, gaps: 0, head: { n: 6 } })
  t.end()
})
