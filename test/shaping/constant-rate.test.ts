import fc from 'fast-check'
import t from 'tap'
import { EnigmError } from '../../src/errors.ts'
import { PACES } from '../../src/shaping/profiles.ts'
import { rig } from './paced-rig.ts'

const { lite, 'always-on': always } = PACES
/** Short enough for many runs. */
const brief = { ...lite, everyMs: 25, stepMs: 1000, idleMs: 300 }
const LONG = `${'a'.repeat(60)}.${'b'.repeat(60)}.example`
const LONGEST = `${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(40)}.example`

/**
 * The first multiple of the step at which a session may have closed: no query for the idle time
 * before it.
 */
function firstIdleStep(gaps: readonly (readonly [number, boolean])[]): number {
  let atMs = 0
  const times = [0]
  for (const [gapMs] of gaps) {
    atMs += gapMs
    times.push(atMs)
  }
  for (let stepMs = brief.stepMs; ; stepMs += brief.stepMs) {
    if (!times.some((ms) => ms > stepMs - brief.idleMs + brief.everyMs && ms < stepMs)) return stepMs
  }
}

t.test('noninterference: two workloads, one emission, until the first of them closes', async (t) => {
  const workload = fc.array(fc.tuple(fc.integer({ min: 0, max: 400 }), fc.boolean()), { minLength: 1, maxLength: 25 })
  let records = 0
  await fc.assert(
    fc.asyncProperty(workload, workload, fc.integer(), async (a, b, seed) => {
      const observed = async (gaps: readonly (readonly [number, boolean])[]) => {
        const r = rig(brief, { seed })
        const t0 = r.clock.nowMs()
        void r.ask()
        for (const [gapMs, long] of gaps) {
          await r.clock.advance(gapMs)
          void r.ask(long ? LONG : 'b.example')
        }
        await r.clock.advance(3000)
        return r.link.seen.map((s) => `${(s.atMs - t0).toFixed(3)} ${s.octets} ${s.what === 'dial' ? 'dial' : ''}`)
      }
      const [one, two] = [await observed(a), await observed(b)]
      records += one.length
      const endMs = Math.min(firstIdleStep(a), firstIdleStep(b))
      const before = (lines: readonly string[]) => lines.filter((line) => Number.parseFloat(line) < endMs)
      return before(one).length > 35 && before(one).join() === before(two).join()
    }),
    { numRuns: 120 },
  )
  t.ok(records > 120 * 40)
})

t.test('a real query uses a slot and no other time', async (t) => {
  const r = rig(lite)
  const t0 = r.clock.nowMs()
  void r.ask()
  await r.clock.advance(200)
  for (let i = 0; i < 5; i++) void r.ask()
  await r.clock.advance(1000)
  const phase = ((r.link.records[0]?.atMs ?? 0) - t0) % 50
  for (const { atMs } of r.link.records) t.ok(Math.abs(((atMs - t0 - phase) % 50) - 25) >= 23.9, 'on the grid')
  const real = r.link.records.filter((s) => s.purpose === 'client')
  t.equal(real.length, 6)
  t.equal(r.outcomes.filter((o) => o === 'answered').length, 6)
  t.ok(r.link.records.length >= 22 && r.link.records.length <= 24, `${r.link.records.length} cells in 1.2 s`)
  t.equal(r.link.seen.filter((s) => s.what === 'dial').length, 1)
})

t.test('queries beyond the slots wait; after the deadline they fail as deadline, and are never sent', async (t) => {
  const r = rig(lite)
  r.link.up = true
  const asked = Array.from({ length: 60 }, () => r.ask('a.example', { deadlineMs: 1000 }))
  await r.clock.advance(3000)
  await Promise.all(asked)
  const answered = r.outcomes.filter((o) => o === 'answered').length
  // Of 20 slots one belongs to a long cell, up to four pass at first, a few have large covers.
  t.ok(answered >= 12 && answered <= 19, `${answered} in a second`)
  t.equal(r.outcomes.filter((o) => o === 'deadline').length, 60 - answered)
  t.ok(r.link.records.filter((s) => s.purpose === 'client').length <= 20)
})

t.test('a full queue refuses at once', async (t) => {
  const r = rig(lite)
  for (let i = 0; i < 400; i++) void r.ask()
  t.equal(await r.ask(), 'overloaded')
})

t.test('queries leave in random order; none waits twice as long as the queue is', async (t) => {
  const order: number[] = []
  const r = rig(lite)
  r.link.up = true
  for (let i = 0; i < 30; i++) void r.ask(`n${i}.example`).then(() => order.push(i))
  await r.clock.advance(3000)
  t.equal(order.length, 30)
  t.notSame(
    order,
    [...order].sort((a, b) => a - b),
    'the order of asking is not that of leaving',
  )
  const moved = order.reduce((sum, i, at) => sum + Math.abs(i - at), 0) / 30
  t.ok(moved > 5, `places moved by ${moved.toFixed(1)} on average`)
})

t.test('covers with large replies take the same share of slots, whether real queries wait or not', async (t) => {
  const share = async (waiting: number) => {
    const r = rig(always, { seed: 9 })
    r.link.up = true
    for (let slot = 0; slot < 2500; slot++) {
      for (let i = 0; i < waiting; i++) void r.ask()
      await r.clock.advance(50)
    }
    const large = r.link.seen.filter((s) => s.asksTxt === true).length
    return large / r.link.seen.filter((s) => s.what === 'record').length
  }
  const [busy, idle] = [await share(2), await share(0)]
  t.ok(idle > 0.04 && idle < 0.08, `idle: ${idle}`)
  t.ok(Math.abs(busy - idle) < 0.02, `busy: ${busy}`)
})

t.test('what gives way waits behind what does not, and leaves the last places in the queue to it; the slots are the same', async (t) => {
  const observed = async (givesWay: boolean) => {
    const r = rig(lite)
    r.link.up = true
    for (let i = 0; i < 360; i++) void r.ask('a.example', { ...(givesWay && { givesWay }) })
    if (givesWay) t.equal(await r.ask('a.example', { givesWay }), 'overloaded')
    await r.clock.advance(600)
    const askedMs = r.clock.nowMs()
    const light = Promise.all([r.ask(), r.ask(), r.ask()]).then(() => r.clock.nowMs() - askedMs)
    await r.clock.advance(6000)
    return { tookMs: await light, times: r.link.records.map(({ atMs }) => atMs.toFixed(3)) }
  }
  const [alike, behind] = [await observed(false), await observed(true)]
  t.ok(alike.tookMs > 3000)
  // A large cover may take a slot before each.
  t.ok(behind.tookMs <= 5 * 50 + 30, `${behind.tookMs} ms for three`)
  t.same(behind.times, alike.times)
})

t.test('a long query waits for a long cell, which comes in any case: records and replies are the same', async (t) => {
  const observed = async (names: readonly string[]) => {
    const r = rig(lite)
    r.link.up = true
    for (const name of names) void r.ask(name)
    await r.clock.advance(3000)
    const seen = r.link.records.map(({ what, atMs }) => `${what} ${atMs.toFixed(3)}`)
    return { seen, outcomes: r.outcomes, purposes: r.link.records.map((s) => s.purpose ?? s.what) }
  }
  const [short, long] = [await observed(['a.example']), await observed([LONGEST, LONG, 'a.example'])]
  t.same(long.seen, short.seen)
  t.strictSame(long.outcomes, ['answered', 'answered', 'answered'])
  t.ok(long.purposes.slice(0, 7).includes('client'), 'nobody waits behind a long one')
  t.strictSame(long.purposes.slice(10, 12), ['client', 'more'])
  t.strictSame(long.purposes.slice(30, 33), ['client', 'more', 'more'])
})

t.test('cells of several records that were never answered get no real query that fits in one', async (t) => {
  const purposes = async (answersLong: boolean) => {
    const r = rig(lite)
    r.link.up = true
    r.link.silentWhenLong = !answersLong
    void r.ask()
    await r.clock.advance(3000)
    for (let i = 0; i < 80; i++) void r.ask()
    await r.clock.advance(3000)
    const begun = r.link.records.map(({ purpose, what }, at) =>
      r.link.records[at + 1]?.what === 'more' && what === 'record' ? purpose : undefined,
    )
    return begun.filter((purpose) => purpose !== undefined).slice(-2)
  }
  t.strictSame(await purposes(false), ['cover', 'cover'])
  t.strictSame(await purposes(true), ['client', 'client'])
})

t.test('only a client opens a session; a probe and a refresh use an open one', async (t) => {
  const r = rig(lite)
  t.equal(await r.ask('a.example', { purpose: 'probe' }), 'overloaded')
  t.equal(await r.ask('a.example', { purpose: 'refresh' }), 'overloaded')
  t.equal(r.link.seen.length, 0)
  void r.ask()
  const probe = r.ask('a.example', { purpose: 'probe' })
  await r.clock.advance(500)
  t.equal(await probe, 'answered')
  await r.clock.advance(lite.stepMs)
  const before = r.link.seen.length
  await r.clock.advance(60_000)
  t.equal(r.link.seen.length, before, 'closed, though a probe went by')
  t.equal(before, 520, 'one step of cells but the one that was dialled over, a dial and ... no more')
})

t.test('a lost connection: retried in a slot, once; the schedule continues', async (t) => {
  const r = rig(lite)
  r.link.up = true
  r.link.lose = true
  const asked = r.ask()
  await r.clock.advance(75)
  r.link.lose = false
  r.link.up = false
  t.equal(await Promise.race([asked, Promise.resolve('waits')]), 'waits')
  await r.clock.advance(300)
  t.equal(await asked, 'answered')
  t.equal(r.link.seen.filter((s) => s.what === 'dial').length, 1, 'dialled in a slot, asked or not')
  r.link.lose = true
  const twice = r.ask()
  await r.clock.advance(500)
  t.equal(await twice, 'connection-lost')
})

t.test('a question that ends the connection: the others on it are retried one at a time, in slots, and answered; it fails', async (t) => {
  const r = rig(lite)
  r.link.rttMs = 400
  r.link.poison = 'poison'
  r.link.up = true
  const before = r.ask('before.example')
  await r.clock.advance(1000)
  t.equal(await before, 'answered')
  const asked = ['one.example', 'poison.example', 'two.example', 'three.example'].map((name) => r.ask(name))
  await r.clock.advance(1)
  const fresh = [1, 2, 3].map((n) => r.clock.advance(500).then(() => r.ask(`fresh${n}.example`)))
  await r.clock.advance(6000)
  t.strictSame(await Promise.all(asked), ['answered', 'connection-lost', 'answered', 'answered'])
  t.strictSame(await Promise.all(fresh), ['answered', 'answered', 'answered'])
})

t.test('a failed dial fails the waiting queries, with its code; a slow one does too, and continues', async (t) => {
  const failing = rig(lite)
  failing.link.dialError = new EnigmError('certificate-expired', 'no')
  const asked = failing.ask()
  await failing.clock.advance(100)
  t.equal(await asked, 'certificate-expired')

  const slow = rig(lite)
  slow.link.dialMs = 2500
  const waits = slow.ask()
  await slow.clock.advance(1700)
  t.equal(await waits, 'connect-timeout')
  const meanwhile = slow.ask()
  await slow.clock.advance(200)
  t.equal(await meanwhile, 'connect-timeout', 'at once, while that dial lasts')
  await slow.clock.advance(1000)
  const later = slow.ask()
  await slow.clock.advance(200)
  t.equal(await later, 'answered')
  t.equal(slow.link.seen.filter((s) => s.what === 'dial').length, 1)
})

t.test('an operator that wants no cover gets none, and the status reports it', async (t) => {
  const r = rig(lite, { coverWanted: false })
  t.strictSame(r.events, [{ type: 'shaping.covers', resolver: 'test', transport: 'dot', covers: 'claim' }])
  void r.ask()
  await r.clock.advance(20_000)
  t.equal(r.link.records.length, 1)
})

t.test('REFUSED changes the content, then covers pause at the step; real queries stay in slots', async (t) => {
  const r = rig(lite)
  r.link.up = true
  r.link.rcode = 5
  void r.ask()
  await r.clock.advance(19_000)
  const covers = r.events.filter((e) => e.type === 'shaping.covers')
  t.strictSame(covers, [{ type: 'shaping.covers', resolver: 'test', transport: 'dot', covers: 'refused' }])
  const sent = r.link.records.length
  t.ok(sent < 40, `${sent} cells before it gave in`)
  void r.ask()
  await r.clock.advance(100)
  t.equal(r.link.records.length, sent + 1)
  await r.clock.advance(60_000)
  r.link.rcode = 0
  await r.clock.advance(700_000)
  void r.ask()
  await r.clock.advance(1000)
  t.equal(r.events.filter((e) => e.type === 'shaping.covers').at(-1)?.covers, 'flowing', 'ten minutes later it is tried again')
})

t.test('refusals after a session apply to the next one from its first cover', async (t) => {
  const r = rig(brief)
  r.link.up = true
  r.link.rcode = 5
  r.link.rttMs = 1500
  void r.ask()
  await r.clock.advance(3000)
  t.equal(r.events.filter((e) => e.type === 'shaping.covers').length, 0, 'told once somebody would send one')
  const covers = () => r.link.records.filter((s) => s.purpose === 'cover').length
  const before = covers()
  t.ok(before > 30)
  void r.ask()
  await r.clock.advance(3000)
  t.equal(covers(), before)
})

t.test('the daily budget', async (t) => {
  const r = rig({ ...brief, coversADay: 50 })
  r.link.up = true
  for (let i = 0; i < 6; i++) {
    void r.ask()
    await r.clock.advance(2000)
  }
  t.equal(r.link.records.filter((s) => s.purpose === 'cover').length, 50)
  t.equal(r.link.records.filter((s) => s.purpose === 'client').length, 6)
  await r.clock.advance(86_400_000)
  void r.ask()
  await r.clock.advance(1000)
  t.ok(r.link.records.filter((s) => s.purpose === 'cover').length > 80)
})

t.test('always-on: cells from the start, and no timer but its own', async (t) => {
  const r = rig(always)
  await r.clock.advance(10_000)
  t.ok(Math.abs(r.link.records.length - 199) <= 1, `${r.link.records.length}`)
  t.ok(r.link.records.every((s) => s.purpose === 'cover' || s.what === 'more'))
})

t.test('idle: no timer once the session is over', async (t) => {
  const r = rig(lite)
  void r.ask()
  await r.clock.advance(30_000)
  t.equal(r.clock.timers, 0)
})

t.test('close: waiting queries are sent on schedule, then the link closes; later calls are refused', async (t) => {
  const r = rig(lite)
  const asked = [r.ask(), r.ask(), r.ask()]
  const closing = r.shaped.close()
  await r.clock.advance(50)
  t.notOk(r.link.closed)
  await r.clock.advance(400)
  await closing
  t.strictSame(await Promise.all(asked), ['answered', 'answered', 'answered'])
  t.ok(r.link.closed)
  t.equal(await r.ask(), 'closed')
  const { length } = r.link.records
  await r.clock.advance(5000)
  t.equal(r.link.records.length, length)
})
