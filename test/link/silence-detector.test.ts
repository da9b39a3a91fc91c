import t, { type Test } from 'tap'
import { EnigmError } from '../../src/errors.ts'
import { upScene } from '../support/on-demand-scene.ts'

const refused = () => new EnigmError('connect-refused', 'ECONNREFUSED')

/** A link whose resolver has answered so often, in `rttMs` each, that its p95 is known. */
async function knownScene(rttMs = 20, answers = 16) {
  const it = await upScene()
  for (let i = 0; i < answers; i++) {
    const outcome = it.ask()
    it.carrier.answer(rttMs)
    await outcome
  }
  return it
}

t.test('half-open: a probe is sent, then a second connection dialled; it answers, and later queries do not use the first', async (t) => {
  const { ask, dial, dials, clock, carrier, events } = await knownScene()
  const outcome = ask()
  await clock.advance(24)
  t.equal(carrier.probes, 0)
  await clock.advance(16)
  t.equal(carrier.probes, 1, 'PING after a little more than the p95')
  t.equal(dials.length, 1)
  await clock.advance(50)
  t.equal(dials.length, 2, 'no PONG')
  const late = ask()
  t.equal(carrier.inFlight, 2, 'until another is there, this is the one')
  const fresh = await dial(1).up()
  t.equal(fresh.inFlight, 2)
  const later = ask()
  t.equal(carrier.inFlight, 2)
  t.equal(fresh.inFlight, 3)
  for (let i = 0; i < 3; i++) fresh.answer()
  t.same(await Promise.all([outcome, late, later]), ['answered', 'answered', 'answered'])
  t.equal(carrier.probes, 1)
  await clock.advance(400)
  t.ok(carrier.destroyed)
  t.match(events.at(-1), { type: 'link.down', code: 'connection-lost' })
})

t.test('one at a time, and the first one does not end: unwritten queries behind it go elsewhere first', async (t) => {
  const { ask, dial, dials, clock, carrier } = await knownScene()
  Object.assign(carrier, { pings: false, oneByOne: true })
  const stuck = ask()
  const behind = Array.from({ length: 20 }, () => ask())
  await clock.advance(60)
  t.equal(dials.length, 2)
  const second = await dial(1).up()
  Object.assign(second, { pings: false, oneByOne: true })
  t.same([carrier.inFlight, second.inFlight], [1, 21])
  await clock.advance(60)
  t.equal(dials.length, 3, 'one that has come up just now is doubted, too, if others wait behind')
  const third = await dial(2).up()
  t.same([carrier.inFlight, second.inFlight], [1, 1])
  for (let i = 0; i < 19; i++) third.answer()
  t.same(new Set(await Promise.all(behind.slice(1))), new Set(['answered']))
  third.answer()
  third.answer()
  t.same([await stuck, await behind[0]], ['answered', 'answered'])
})

t.test('a PONG ends the dial, and a slow name may take its time', async (t) => {
  const { ask, dial, dials, clock, carrier } = await knownScene()
  const outcome = ask()
  await clock.advance(90)
  t.equal(dials.length, 2)
  carrier.speak()
  await clock.advance(0)
  t.ok(dial(1).signal.aborted)
  await clock.advance(1000)
  t.equal(dials.length, 2)
  carrier.answer()
  t.equal(await outcome, 'answered')
})

t.test('without a PING: 270 ms and the RTT, in every case', async (t) => {
  const { ask, dial, dials, clock, carrier } = await upScene()
  carrier.pings = false
  const outcome = ask()
  await clock.advance(190)
  t.equal(dials.length, 1)
  await clock.advance(20)
  t.equal(dials.length, 2, 'little is known of its times: 200 ms')
  await clock.advance(80)
  const later = ask()
  t.equal(carrier.inFlight, 1, 'suspect by now: the later query waits for the fresh one')
  const fresh = await dial(1).up()
  t.equal(fresh.inFlight, 2)
  fresh.answer()
  fresh.answer()
  t.same(await Promise.all([outcome, later]), ['answered', 'answered'])
})

t.test('of many late queries, four are sent on the second connection; the first answer there moves the others', async (t) => {
  const { ask, dial, clock, carrier } = await knownScene()
  const outcomes = Array.from({ length: 100 }, () => ask())
  await clock.advance(100)
  const fresh = await dial(1).up()
  t.equal(fresh.inFlight, 4)
  fresh.answer()
  t.equal(fresh.inFlight, 99)
  while (fresh.inFlight > 0) fresh.answer()
  t.same(new Set(await Promise.all(outcomes)), new Set(['answered']))
  t.equal(carrier.inFlight, 0)
})

t.test('late queries without an answer on a second connection are sent there at 270 ms', async (t) => {
  const { ask, dial, clock } = await knownScene()
  for (let i = 0; i < 100; i++) ask()
  await clock.advance(100)
  const fresh = await dial(1).up()
  t.equal(fresh.inFlight, 4)
  await clock.advance(200)
  t.equal(fresh.inFlight, 100)
})

/** Names that each take `slowMs`, one after the other: how many second connections that costs. */
async function slowNames(t: Test, count: number, slowMs: (n: number) => number): Promise<number> {
  const { ask, dial, dials, clock, carrier } = await knownScene()
  carrier.pings = false
  let dialled = 0
  for (let n = 0; n < count; n++) {
    const outcome = ask()
    await clock.advance(slowMs(n))
    if (dials.length > dialled + 1) {
      dialled++
      carrier.speak()
      t.ok(dial(dialled).signal.aborted)
    }
    carrier.answer(20)
    t.equal(await outcome, 'answered')
  }
  return dialled
}

t.test('extra load is bounded for any delays: four second connections, then six per minute', async (t) => {
  const dialled = await slowNames(t, 200, (n) => 50 * 1.3 ** (n % 8))
  t.ok(dialled >= 4 && dialled <= 8, `${dialled} for 200 slow names`)
})

t.test('a tolerated silence is normal the next time: a link that has become slow costs few second connections', async (t) => {
  const dialled = await slowNames(t, 40, () => 250)
  t.ok(dialled >= 1 && dialled <= 6, `${dialled} for 40 slow names`)
})

t.test('a new connection is not doubted: its first name may be slow', async (t) => {
  const { ask, dial, dials, clock, carrier } = await knownScene()
  ask()
  await clock.advance(100)
  const fresh = await dial(1).up()
  fresh.pings = false
  carrier.pings = false
  await clock.advance(250)
  t.equal(dials.length, 2)
  await clock.advance(100)
  t.equal(dials.length, 3, 'but at 270 ms it is')
})

t.test('slow, not dead: the old connection may still answer, which ends the dial, and the next silence is tolerated longer', async (t) => {
  const { ask, dial, dials, clock, carrier } = await upScene()
  carrier.pings = false
  const outcome = ask()
  await clock.advance(320)
  t.equal(dials.length, 2)
  const waits = ask()
  t.equal(carrier.inFlight, 1, 'who asks meanwhile waits for the other one')
  carrier.answer()
  t.equal(await outcome, 'answered')
  t.ok(dial(1).signal.aborted, 'on a slow link a handshake would hold up the answers')
  t.equal(carrier.inFlight, 1, 'good again')
  carrier.answer()
  t.equal(await waits, 'answered')
  ask()
  await clock.advance(390)
  t.equal(dials.length, 2, 'nothing at 270 ms any more')
  await clock.advance(40)
  t.equal(dials.length, 3, 'a quarter more than was borne')
})

t.test('slow, not dead, and already replaced: it drains when no reply is pending', async (t) => {
  const { ask, dial, clock, carrier } = await upScene()
  carrier.pings = false
  const outcome = ask()
  await clock.advance(320)
  const fresh = await dial(1).up()
  carrier.answer()
  t.equal(await outcome, 'answered')
  t.ok(carrier.destroyed)
  t.notOk(fresh.destroyed)
})

t.test('a query unanswered among answered ones raises no suspicion', async (t) => {
  const { ask, dials, clock, carrier } = await upScene()
  const [first, second] = [ask(3000), ask(3000)]
  await clock.advance(100)
  carrier.answer()
  t.equal(await first, 'answered')
  await clock.advance(2000)
  t.equal(dials.length, 1)
  carrier.answer()
  t.equal(await second, 'answered')
})

t.test('the dial for a suspect fails: its queries wait on it, and it is reinstated when it sends data', async (t) => {
  const { ask, dial, clock, carrier } = await upScene()
  const outcome = ask()
  await clock.advance(320)
  await dial(1).fail(refused())
  carrier.answer()
  t.equal(await outcome, 'answered')
  const next = ask()
  carrier.answer()
  t.equal(await next, 'answered')
})

t.test('held up on two connections in a row, each is retried alone when a third one answers, and only once', async (t) => {
  const { ask, dial, dials, clock, carrier } = await upScene()
  carrier.pings = false
  carrier.replyUnfinished = true
  const [trickled, behind] = [ask(), ask()]
  await clock.advance(300)
  const second = await dial(1).up()
  second.pings = false
  second.replyUnfinished = true
  t.equal(second.inFlight, 2, 'retried together')
  await clock.advance(300)
  const other = ask()
  const third = await dial(2).up()
  t.equal(third.inFlight, 1, 'a third connection is not held up too')
  t.equal(dials.length, 3)
  third.answer()
  t.equal(await other, 'answered')
  await clock.advance(1)
  const lane = await dial(3).up()
  t.equal(lane.inFlight, 1, 'alone')
  await clock.advance(300)
  const nextLane = await dial(4).up()
  nextLane.answer()
  await clock.advance(5)
  t.equal(nextLane.inFlight, 1, 'alone too, after the resolver was shown to answer there')
  nextLane.answer()
  t.equal(await behind, 'answered')
  for (let i = 0; i < 3; i++) {
    const more = ask()
    third.answer()
    t.equal(await more, 'answered')
    await clock.advance(100)
  }
  t.equal(dials.length, 5)
  await clock.advance(3000)
  t.not(await trickled, 'answered')
})

t.test('queries held up twice are retried alone only within the budget of second connections', async (t) => {
  const { ask, dial, dials, clock, carrier } = await upScene()
  carrier.pings = false
  carrier.replyUnfinished = true
  let lanes = 0
  for (let round = 0; round < 6; round++) {
    const silent = ask(1500)
    const at = dials.length
    await clock.advance(300)
    if (dials.length === at) break
    const second = await dial(at).up()
    second.pings = false
    second.replyUnfinished = true
    await clock.advance(300)
    if (dials.length === at + 1) break
    const current = await dial(at + 1).up()
    current.pings = false
    current.replyUnfinished = true
    const other = ask()
    current.answer()
    await other
    await clock.advance(1)
    if (dials.length === at + 3) {
      lanes++
      await dial(at + 2).up()
    }
    await clock.advance(1000)
    await silent
  }
  t.ok(lanes > 0 && lanes < 4, `${lanes} lanes`)
})

t.test('a lane dies under a query that was held up twice: it is not sent a fourth time', async (t) => {
  const { ask, dial, dials, clock, carrier } = await upScene()
  carrier.pings = false
  carrier.replyUnfinished = true
  const heldUp = ask(20_000)
  await clock.advance(300)
  const second = await dial(1).up()
  second.pings = false
  second.replyUnfinished = true
  await clock.advance(300)
  const other = ask()
  const third = await dial(2).up()
  third.answer()
  t.equal(await other, 'answered')
  await clock.advance(1)
  const lane = await dial(3).up()
  t.equal(lane.inFlight, 1)
  lane.die()
  third.die()
  for (let i = 0; i < 5; i++) {
    await clock.advance(1000)
    const more = ask()
    const next = await dial(dials.length - 1).up()
    t.equal(next.inFlight, 1, 'the later query alone')
    next.answer()
    t.equal(await more, 'answered')
    await clock.advance(1)
    t.equal(dials.length, 5 + i, 'no lane is dialled')
    next.die()
  }
  await clock.advance(20_000)
  t.not(await heldUp, 'answered')
})

t.test('silent between replies on two connections: the name may be slow, and no third one is asked', async (t) => {
  const { ask, dial, dials, clock, carrier } = await upScene()
  carrier.pings = false
  const silent = ask(3000)
  await clock.advance(300)
  const second = await dial(1).up()
  second.pings = false
  await clock.advance(300)
  const other = ask()
  const third = await dial(2).up()
  third.answer()
  t.equal(await other, 'answered')
  await clock.advance(100)
  t.equal(dials.length, 3)
  await clock.advance(3000)
  t.not(await silent, 'answered')
})
