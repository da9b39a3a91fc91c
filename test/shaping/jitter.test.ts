import fc from 'fast-check'
import t from 'tap'
import type { Clock } from '../../src/clock.ts'
import { EnigmError } from '../../src/errors.ts'
import type { Ask, Carried, Link, Protection, Receiver } from '../../src/resolve.ts'
import { jitter } from '../../src/shaping/jitter.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'
import { exchange } from '../support/links.ts'

const PROTECTION: Protection = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: 'x', resumed: false }

class FakeLink implements Link {
  readonly id = 'quad9'
  readonly transport = 'doh'
  readonly sent: { readonly n: number; readonly atMs: number; readonly ask: Ask }[] = []
  closedAt: number | undefined
  readonly #clock: Clock
  constructor(clock: Clock) {
    this.#clock = clock
  }
  send(request: Uint8Array, ask: Ask, to: Receiver<Protection>): void {
    this.#answer(request, ask).then(
      (carried) => to.carried(carried),
      (error: EnigmError) => to.failed(error),
    )
  }
  async #answer(request: Uint8Array, ask: Ask): Promise<Carried> {
    if (this.closedAt !== undefined) throw new Error('a request after the close')
    this.sent.push({ n: request[0]!, atMs: this.#clock.nowMs(), ask })
    if (request[0] === 255) throw new EnigmError('connection-lost', 'as the test asked')
    return { wire: request, rttMs: 1, protection: PROTECTION }
  }
  async close(): Promise<void> {
    if (this.closedAt !== undefined) return
    this.closedAt = this.sent.length
  }
}

function setUp(maxMs: number, seed = 1) {
  const clock = new FakeClock()
  const link = new FakeLink(clock)
  const shaped = jitter(maxMs, { clock, random: seededRandom(seed) })(link)
  const ask = (budgetMs = 4000, purpose: Ask['purpose'] = 'client'): Ask => ({ purpose, deadlineMs: clock.nowMs() + budgetMs })
  return { clock, link, shaped, ask }
}

/** How long each of 10,000 requests that came at once waited, in whole ms of the clock. */
async function draws(maxMs: number, seed: number): Promise<readonly number[]> {
  const { clock, link, shaped, ask } = setUp(maxMs, seed)
  const startMs = clock.nowMs()
  const asks = Array.from({ length: 10_000 }, () => ask(60_000))
  for (const one of asks) void exchange(shaped, Uint8Array.of(1), one)
  await clock.advance(maxMs)
  const waits = new Map(link.sent.map((sent) => [sent.ask, sent.atMs - startMs]))
  return asks.map((one) => waits.get(one) ?? Number.NaN)
}

t.test('delays are uniform from 0 to the maximum, and never longer', async (t) => {
  for (const [maxMs, seed] of [
    [20, 1],
    [20, 2],
    [40, 3],
    [260, 4],
  ] as const) {
    const waits = await draws(maxMs, seed)
    t.ok(waits.every((waitMs) => waitMs >= 0 && waitMs <= maxMs))
    const bins = new Array<number>(20).fill(0)
    for (const waitMs of waits) bins[Math.max(0, Math.ceil((waitMs / maxMs) * 20) - 1)]!++
    const chiSquare = bins.reduce((sum, count) => sum + (count - 500) ** 2 / 500, 0)
    t.ok(chiSquare < 43.8, `chi-square ${chiSquare.toFixed(1)} of 19 degrees, p > 0.001`)
    const sequential = waits.slice(1).reduce((sum, waitMs, i) => sum + (waitMs - maxMs / 2) * (waits[i]! - maxMs / 2), 0)
    t.ok(Math.abs(sequential / 10_000 / (maxMs ** 2 / 12)) < 0.04, 'one wait says nothing of the next')
  }
})

t.test('delays that end in one millisecond use one timer', async (t) => {
  const { clock, shaped, ask } = setUp(20)
  for (let i = 0; i < 1000; i++) void exchange(shaped, Uint8Array.of(1), ask())
  t.equal(clock.timers, 1)
  await clock.advance(20)
  t.equal(clock.timers, 0)
})

t.test('requests are unchanged, and their order changes', async (t) => {
  const { clock, link, shaped, ask } = setUp(20)
  const given = ask()
  const results = Array.from({ length: 50 }, (_, n) => exchange(shaped, Uint8Array.of(n), given))
  t.equal(link.sent.length, 0)
  await clock.advance(20)
  t.same(
    (await Promise.all(results)).map((carried) => carried.wire[0]),
    [...Array(50).keys()],
    'each gets its own answer',
  )
  const order = link.sent.map((s) => s.n)
  t.same(
    order.toSorted((a, b) => a - b),
    [...Array(50).keys()],
  )
  t.notSame(order, [...Array(50).keys()])
  t.ok(link.sent.every((s) => s.ask === given))
  t.equal(clock.timers, 0)
})

t.test('probes, refreshes and cover are delayed like the rest', async (t) => {
  for (const purpose of ['refresh', 'probe', 'cover'] as const) {
    const { clock, link, shaped, ask } = setUp(20)
    const done = exchange(shaped, Uint8Array.of(1), ask(4000, purpose))
    t.equal(link.sent.length, 0, purpose)
    await clock.advance(20)
    await done
  }
})

t.test('a delay leaves half a second of the deadline; with less than that there is none', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 900 }), fc.integer({ min: 1, max: 600 }), fc.integer(), async (budgetMs, maxMs, seed) => {
      const { clock, link, shaped, ask } = setUp(maxMs, seed)
      const startMs = clock.nowMs()
      const done = exchange(shaped, Uint8Array.of(1), ask(budgetMs))
      await clock.advance(maxMs)
      await done
      const waitedMs = link.sent[0]!.atMs - startMs
      return waitedMs <= Math.max(0, budgetMs - 500) && waitedMs <= maxMs && clock.timers === 0
    }),
    { numRuns: 200, seed: 11 },
  )
  const { link, shaped, ask } = setUp(500)
  void exchange(shaped, Uint8Array.of(1), ask(500))
  t.equal(link.sent.length, 1, 'at once')
})

t.test('a failure of the link is passed on', async (t) => {
  const { clock, shaped, ask } = setUp(20)
  const done = exchange(shaped, Uint8Array.of(255), ask())
  const seen = t.rejects(done, { code: 'connection-lost' })
  await clock.advance(20)
  await seen
})

t.test('close sends delayed requests, then closes the link; later calls reject and send nothing', async (t) => {
  const { clock, link, shaped, ask } = setUp(200)
  const results = Array.from({ length: 10 }, (_, n) => exchange(shaped, Uint8Array.of(n), ask()))
  const closing = shaped.close()
  t.equal(clock.timers, 0)
  const late = t.rejects(exchange(shaped, Uint8Array.of(1), ask()), { code: 'closed' })
  await closing
  await late
  t.equal(link.closedAt, 10)
  t.equal((await Promise.all(results)).length, 10)
  await shaped.close()
  await clock.advance(200)
  t.equal(link.sent.length, 10)
})

t.test('maximum 0 is no shaper; else the wrapper has the id and transport of its link', async (t) => {
  const clock = new FakeClock()
  const link = new FakeLink(clock)
  t.equal(jitter(0, { clock, random: seededRandom(1) })(link), link)
  const shaped = jitter(5, { clock, random: seededRandom(1) })(link)
  t.same([shaped.id, shaped.transport], ['quad9', 'doh'])
})
