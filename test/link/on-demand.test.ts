import t from 'tap'
import { EnigmError } from '../../src/errors.ts'
import { MAX_IN_FLIGHT } from '../../src/link/carriers/carrier.ts'
import { DialPace } from '../../src/link/dial/dial-pace.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { pause } from '../support/link-rig.ts'
import { query } from '../support/messages.ts'
import { scene, upScene } from '../support/on-demand-scene.ts'

const refused = () => new EnigmError('connect-refused', 'ECONNREFUSED')

t.test('dials at the first query, once for all that wait; when up, it takes the next queries at once', async (t) => {
  const { ask, dial, dials, events, clock } = scene()
  t.equal(dials.length, 0)
  const waiting = [ask(), ask(), ask()]
  t.equal(dials.length, 1)
  const carrier = await dial(0).up()
  t.equal(carrier.inFlight, 3)
  const fourth = ask()
  t.equal(carrier.inFlight, 4)
  for (let i = 0; i < 4; i++) carrier.answer()
  t.same(await Promise.all([...waiting, fourth]), Array(4).fill('answered'))
  t.equal(dials.length, 1)
  t.match(events, [{ type: 'link.up', resolver: 'test', transport: 'dot', address: '192.0.2.1', handshakeMs: 20 }])
  t.equal(clock.timers, 1)
})

t.test('a deadline is kept while dialling and in flight, to the tick; a passed one fails at once', async (t) => {
  const { ask, dial, clock } = scene()
  let code = ''
  const note = (c: string) => {
    code = c
  }
  ask(1000).then(note)
  await clock.advance(999)
  t.equal(code, '')
  await clock.advance(9)
  t.equal(code, 'connect-timeout')
  const carrier = await dial(0).up()
  t.equal(carrier.inFlight, 0, 'what ran out of time is not sent')
  code = ''
  ask(200).then(note)
  await clock.advance(208)
  t.equal(code, 'deadline')
  t.equal(carrier.inFlight, 0, 'taken back')
  t.equal(await ask(0), 'deadline')
})

t.test('no timer runs with nothing in flight and no idle connection; after 30 s idle it closes', async (t) => {
  const { ask, clock, carrier, events } = await upScene()
  await clock.advance(29_990)
  t.notOk(carrier.destroyed)
  await clock.advance(20)
  t.ok(carrier.destroyed)
  t.match(events.at(-1), { type: 'link.down', code: 'closed' })
  t.equal(clock.timers, 0)
  ask().catch(() => {})
  t.equal(clock.timers, 1)
})

t.test('use postpones the idle close', async (t) => {
  const { ask, clock, carrier } = await upScene()
  await clock.advance(14_000)
  const second = ask()
  carrier.answer()
  await second
  await clock.advance(29_000)
  t.notOk(carrier.destroyed)
  await clock.advance(1100)
  t.ok(carrier.destroyed)
})

t.test(
  'a server that goes away: retry at once, then after 100 ms doubling to 1 s, each query failing with the reason; then it returns',
  async (t) => {
    const { ask, clock, dials, dial, carrier, events } = await upScene()
    carrier.die()
    const gaps: number[] = []
    let lastMs = clock.nowMs()
    for (let n = 1; n <= 8; n++) {
      while (dials.length === n) {
        const outcome = ask()
        if (dials.length > n) break
        t.equal(await outcome, 'connect-refused', 'at once while backing off')
        await clock.advance(10)
      }
      gaps.push(clock.nowMs() - lastMs)
      lastMs = clock.nowMs()
      await dial(n).fail(refused())
    }
    const [first, second, ...rest] = gaps
    t.equal(first, 0, 'it had worked before: the first dial waits for nothing')
    t.equal(second, 0)
    for (const [i, most] of [100, 200, 400, 800, 1000, 1000].entries()) {
      t.ok((rest[i] ?? 0) >= most && (rest[i] ?? 0) <= most * 1.02 + 10, `gap ${rest[i]} of ${most}`)
    }
    t.equal(events.filter((e) => e.type === 'link.failed').length, 8)
    await clock.advance(1020)
    const answered = ask()
    const back = await dial(9).up()
    back.answer()
    t.equal(await answered, 'answered')
    back.die()
    ask()
    t.equal(dials.length, 11, 'all is forgiven: the next dial waits for nothing')
  },
)

t.test('a dial that an unreachable network held for 3 s has waited already: the next one begins at once', async (t) => {
  const { ask, clock, dials, dial, carrier } = await upScene()
  carrier.die()
  for (let n = 1; n <= 6; n++) {
    ask()
    t.equal(dials.length, n + 1)
    await clock.advance(3000)
    await dial(n).fail(new EnigmError('connect-timeout', ''))
  }
})

t.test('identity errors need a manual fix: their dials are up to 5 s apart', async (t) => {
  const { ask, clock, dials, dial } = scene()
  for (let n = 0; n < 9; n++) {
    ask()
    await dial(n).fail(new EnigmError('certificate-expired', ''))
    await clock.advance(5100)
  }
  ask()
  await dial(9).fail(new EnigmError('certificate-expired', ''))
  await clock.advance(4400)
  t.equal(await ask(), 'certificate-expired')
  t.equal(dials.length, 10)
})

t.test('connections that come up and die without an answer back off too', async (t) => {
  const { ask, dials, dial, clock } = scene()
  const first = ask()
  ;(await dial(0).up()).die()
  await clock.advance(0)
  t.equal(dials.length, 2, 'once more, at once')
  ;(await dial(1).up()).die()
  t.equal(await first, 'connection-lost')
  t.equal(await ask(), 'connect-failed', 'it was not asked, so it is not remembered as one that went unanswered')
  t.equal(dials.length, 2)
})

t.test('a lost connection: retried once on a fresh one, first at the address that worked', async (t) => {
  const { ask, dial, carrier, clock } = await upScene()
  const outcome = ask()
  carrier.die()
  await clock.advance(0)
  t.equal(dial(1).first, '192.0.2.1')
  const second = await dial(1).up()
  t.equal(second.inFlight, 1)
  second.die()
  t.equal(await outcome, 'connection-lost')
})

/**
 * A link that was up, and `lost` queries whose connection died under them in their order; the lane
 * that is dialled for them is up and has shown that the resolver answers.
 */
async function quarantineScene(lost: number) {
  const it = await upScene()
  const outcomes = Array.from({ length: lost }, () => it.ask())
  it.carrier.die()
  await it.clock.advance(0)
  const lane = await it.dial(1).up()
  await it.clock.advance(30)
  return { ...it, outcomes, lane, proven: () => lane.answer(), onward: () => it.clock.advance(3) }
}

t.test(
  'its connection died under other queries too: each is retried alone on a separate connection, after a proof that the resolver answers',
  async (t) => {
    const { ask, dial, outcomes, lane, proven, onward } = await quarantineScene(3)
    t.equal(lane.inFlight, 1)
    t.equal(lane.tickets[0]?.request[12], 0, 'the root')
    const fresh = ask()
    const main = await dial(2).up()
    t.equal(main.inFlight, 1, 'who was never asked does not wait for them')
    main.answer()
    t.equal(await fresh, 'answered')
    proven()
    for (let i = 0; i < 3; i++) {
      await onward()
      t.equal(lane.inFlight, 1)
      lane.answer()
      t.equal(await outcomes[i], 'answered')
    }
    t.ok(lane.destroyed, 'it has done its work')
  },
)

t.test('a second death identifies the one that was alone, and the others have lost nothing', async (t) => {
  const { dial, outcomes, lane, proven, onward, dials, clock } = await quarantineScene(3)
  proven()
  await onward()
  lane.die()
  t.equal(await outcomes[0], 'connection-lost')
  const second = await dial(2).up()
  await clock.advance(30)
  second.answer()
  for (let i = 1; i < 3; i++) {
    await onward()
    second.answer()
    t.equal(await outcomes[i], 'answered')
  }
  t.equal(dials.length, 3)
})

t.test('a lane that is no longer needed becomes the current connection, if there is none', async (t) => {
  const { ask, outcomes, lane, proven, onward, dials } = await quarantineScene(2)
  proven()
  for (let i = 0; i < 2; i++) {
    await onward()
    lane.answer()
  }
  await Promise.all(outcomes)
  const next = ask()
  t.equal(lane.inFlight, 1)
  lane.answer()
  t.equal(await next, 'answered')
  t.equal(dials.length, 2)
})

t.test(
  'connections that die in a row before they prove that the resolver answers blame no query: eight at once, then four per second',
  async (t) => {
    const { ask, dials, dial, carrier, clock } = await upScene()
    const outcomes = [ask(), ask()]
    carrier.die()
    await clock.advance(0)
    for (let n = 1; n <= 8; n++) {
      t.equal(dials.length, n + 1)
      ;(await dial(n).up()).die()
      await clock.advance(0)
    }
    t.equal(dials.length, 9, 'the ninth waits, and nobody fails because of that')
    const fresh = ask()
    await clock.advance(240)
    t.equal(dials.length, 9)
    await clock.advance(20)
    const lane = await dial(9).up()
    t.equal(lane.inFlight, 0, 'what others ask is about to show whether the resolver answers')
    t.equal(dials.length, 11)
    const main = await dial(10).up()
    main.answer()
    t.equal(await fresh, 'answered')
    for (const outcome of outcomes) {
      await clock.advance(3)
      lane.answer()
      t.equal(await outcome, 'answered')
    }
  },
)

t.test('a resolver that accepts connections and closes them for ten seconds is dialled like one that refuses them', async (t) => {
  const { ask, dials, dial, carrier, clock } = await upScene()
  carrier.die()
  let code = ''
  for (let n = 1, untilMs = clock.nowMs() + 30_000; clock.nowMs() < untilMs && code !== 'connect-failed'; ) {
    void ask().then((outcome) => {
      code = outcome
    })
    await clock.advance(50)
    for (; n < dials.length; n++) {
      const next = await dial(n).up()
      if (next.inFlight > 0) next.die()
    }
  }
  t.equal(code, 'connect-failed', 'at once from now on')
  t.ok(clock.nowMs() > 10_000 && dials.length < 60, `${dials.length} dials in ${clock.nowMs()} ms`)
})

t.test('a lane becomes silent before it proves that the resolver answers: another one replaces it', async (t) => {
  const { dial, outcomes, lane, clock } = await quarantineScene(2)
  await clock.advance(400)
  t.ok(lane.destroyed)
  const next = await dial(2).up()
  await clock.advance(30)
  next.answer()
  for (const outcome of outcomes) {
    await clock.advance(3)
    next.answer()
    t.equal(await outcome, 'answered')
  }
})

t.test('a question of the quarantine is late: the others get more lanes, up to eight; each has its own deadline', async (t) => {
  const { dial, dials, outcomes, lane, proven, onward, clock } = await quarantineScene(12)
  proven()
  await onward()
  for (let n = 2; n <= 8; n++) {
    await clock.advance(250)
    t.equal(dials.length, n + 1, `lane ${n}`)
    const next = await dial(n).up()
    next.answer()
    await onward()
    t.equal(next.inFlight, 1)
  }
  await clock.advance(1000)
  t.equal(dials.length, 9)
  await clock.advance(2000)
  const codes = await Promise.all(outcomes)
  t.same(codes.slice(8), Array(4).fill('connect-timeout'), 'not asked again: nothing to remember against their names')
  t.notOk(lane.destroyed && codes.includes('answered'))
})

t.test('no lane can be dialled: the current connection takes one question of the quarantine at a time', async (t) => {
  const { ask, dial, carrier, clock } = await upScene()
  const outcomes = [ask(), ask()]
  carrier.die()
  const fresh = ask()
  await clock.advance(0)
  const main = await dial(1).up()
  main.answer()
  t.equal(await fresh, 'answered')
  await dial(2).fail(refused())
  for (const outcome of outcomes) {
    await clock.advance(3)
    t.equal(main.inFlight, 1)
    main.answer()
    t.equal(await outcome, 'answered')
  }
})

t.test('a connection that dies under a flood: queries that do not give way are retried first', async (t) => {
  const { ask, carrier, dial, clock } = await upScene()
  const flood = Array.from({ length: 50 }, () => ask(4000, true))
  const light = ask()
  carrier.die()
  await clock.advance(0)
  const lanes = [await dial(1).up(), await dial(2).up(), await dial(3).up()]
  const fresh = ask()
  const main = await dial(4).up()
  main.answer()
  t.equal(await fresh, 'answered')
  lanes[0]?.answer()
  await clock.advance(3)
  lanes[0]?.answer()
  t.equal(await light, 'answered')
  for (let i = 0; i < 100; i++) {
    for (const lane of lanes) lane.answer()
    await clock.advance(3)
  }
  t.same(await Promise.all(flood), Array(50).fill('answered'))
})

t.test('draining: pending replies are awaited, new queries go elsewhere', async (t) => {
  const { ask, dial, carrier } = await upScene()
  const owed = ask()
  carrier.watcher.draining()
  const next = ask()
  const fresh = await dial(1).up()
  t.equal(carrier.inFlight, 1)
  carrier.answer()
  t.equal(await owed, 'answered')
  t.ok(carrier.destroyed)
  fresh.answer()
  t.equal(await next, 'answered')
})

t.test(
  'renew: connections and sessions are dropped, queries in flight move on, a dial in progress restarts, no backoff remains',
  async (t) => {
    const { ask, dial, dials, carrier, link, clock, forgotten, events } = await upScene()
    const outcome = ask()
    link.renew(true)
    t.equal(forgotten.times, 1)
    t.ok(carrier.destroyed)
    t.match(events.at(-1), { type: 'link.down', code: 'connection-lost' })
    t.equal(dial(1).first, undefined)
    link.renew(true)
    t.ok(dial(1).signal.aborted)
    const fresh = await dial(2).up()
    fresh.answer()
    t.equal(await outcome, 'answered')
    fresh.die()
    for (let n = 3; n < 6; n++) {
      ask()
      if (dials.length > n) await dial(n).fail(refused())
    }
    t.equal(await ask(), 'connect-refused')
    const before = dials.length
    link.renew(false)
    await clock.advance(1000)
    t.equal(dials.length, before, 'there is no network: nothing is dialled that nobody waits for')
    link.renew(true)
    await clock.advance(150)
    t.equal(dials.length, before + 1, 'it was in use: dialled before anybody asks, within 150 ms')
    ask()
    t.equal(dials.length, before + 1)
  },
)

t.test('renew: a link that was not used for long is not dialled', async (t) => {
  const { dials, link, clock, carrier } = await upScene()
  await clock.advance(30_010)
  t.ok(carrier.destroyed)
  link.renew(true)
  await clock.advance(1000)
  t.equal(dials.length, 1)
})

t.test('a change of the wall clock ends the wait after a certificate that was not yet valid', async (t) => {
  const { ask, link, dials, dial } = scene()
  ask()
  await dial(0).fail(new EnigmError('certificate-not-yet-valid', ''))
  t.equal(await ask(), 'certificate-not-yet-valid')
  t.equal(dials.length, 1)
  link.reconsider()
  ask()
  t.equal(dials.length, 2)
})

t.test('close: queries in flight may finish, new ones are refused, nothing is left running', async (t) => {
  const { ask, link, carrier, clock } = await upScene()
  const outcome = ask()
  let closed = false
  const closing = link.close().then(() => {
    closed = true
  })
  t.equal(await ask(), 'closed')
  await clock.advance(100)
  t.notOk(closed)
  carrier.answer()
  t.equal(await outcome, 'answered')
  await closing
  t.ok(carrier.destroyed)
  t.equal(clock.timers, 0)
  await link.close()
})

t.test('close during a dial without waiting queries: the dial is ended', async (t) => {
  const { ask, link, dial, clock, forgotten } = scene()
  const outcome = ask(100)
  await clock.advance(110)
  t.equal(await outcome, 'connect-timeout')
  await link.close()
  t.ok(dial(0).signal.aborted)
  t.equal(forgotten.sockets, 0)
  t.equal(clock.timers, 0)
})

t.test('thousands wait for a dial, and a limit', async (t) => {
  const { ask, dial } = scene()
  const waiting = Array.from({ length: MAX_IN_FLIGHT }, () => ask())
  t.equal(await ask(), 'overloaded')
  await dial(0).fail(refused())
  t.same(new Set(await Promise.all(waiting)), new Set(['connect-refused']))
})

t.test('refused unprocessed, it moves on; a limited number of times', async (t) => {
  const { ask, carrier } = await upScene()
  let times = 0
  const outcome = ask()
  for (let entry = carrier.tickets.shift(); entry !== undefined; entry = carrier.tickets.shift()) {
    times++
    entry.ticket.failed(new EnigmError('connection-lost', ''), 'refused')
  }
  t.equal(await outcome, 'connection-lost')
  t.equal(times, 17)
})

t.test('a network change noticed only at a dial: sessions are forgotten first, and one dial is made', async (t) => {
  let change = () => {}
  const { ask, link, dials, dial, forgotten } = scene({ beforeDial: () => change() })
  change = () => {
    change = () => {}
    link.renew(true)
  }
  const outcome = ask()
  t.equal(dials.length, 1)
  t.equal(forgotten.times, 1)
  const carrier = await dial(0).up()
  carrier.answer()
  t.equal(await outcome, 'answered')
})

t.test('a network change noticed by a retry after a failed dial: moved queries do not fail with that dial', async (t) => {
  let change = () => {}
  const { ask, link, dial, clock } = scene({ beforeDial: () => change() })
  const first = ask()
  const carrier = await dial(0).up()
  carrier.answer()
  await first
  const within = { purpose: 'client', deadlineMs: clock.nowMs() + 4000 } as const
  const again = new Promise<string>((resolve) => {
    const to = { carried: () => resolve('answered'), failed: ({ code }: EnigmError) => resolve(code) }
    link.send(query(), within, { carried: to.carried, failed: () => link.send(query(), within, to) })
  })
  const other = ask()
  carrier.watcher.draining()
  carrier.tickets.shift()?.ticket.failed(new EnigmError('connection-lost', 'the stream was reset'), 'lost')
  change = () => {
    change = () => {}
    link.renew(true)
  }
  await dial(1).fail(refused())
  const next = await dial(2).up()
  while (next.inFlight > 0) next.answer()
  t.equal(await other, 'answered')
  t.equal(await again, 'answered')
})

t.test('queries moved away from behind a silent question of the quarantine are no longer pending on that lane', async (t) => {
  const { ask, dial, dials, outcomes, lane, onward, clock } = await quarantineScene(40)
  lane.oneByOne = true
  lane.answer(8000)
  await onward()
  t.equal(lane.inFlight, 3, 'forty of a second each: three at once')
  await clock.advance(2500)
  const fresh = ask()
  const current = await dial(dials.length - 1).up()
  t.equal(lane.inFlight, 1)
  while (current.inFlight > 0) {
    current.answer()
    await onward()
  }
  t.equal(await fresh, 'answered')
  lane.answer()
  await onward()
  t.ok(lane.inFlight > 0, 'it goes on with those that wait')
  for (let i = 0; i < 40; i++) {
    lane.answer()
    await onward()
  }
  t.ok(lane.destroyed, 'it has done its work')
  t.same(await Promise.all(outcomes), Array(40).fill('answered'))
})

t.test('the policy closes while queries wait for a dial: they fail at once', async (t) => {
  const clock = new FakeClock()
  let refusal: EnigmError | undefined
  const { ask, link, dials } = scene({ dialPace: new DialPace(clock, () => refusal) })
  const outcome = ask()
  refusal = new EnigmError('vpn-required', 'the policy lets nothing through now')
  link.renew(false)
  t.equal(await Promise.race([outcome, pause(50)]), 'vpn-required')
  t.ok(dials[0]?.signal.aborted)
  t.equal(dials.length, 1)
})

t.test('unmatched replies are reported at once, and then together, at most 100 events per second', async (t) => {
  const { clock, carrier, events, link } = await upScene()
  const counts = () => events.flatMap((e) => (e.type === 'link.mismatch' ? [e.count ?? 1] : []))
  const timers = clock.timers
  for (let i = 0; i < 1000; i++) carrier.watcher.mismatch()
  t.same(counts(), [1], 'the first one at once')
  await clock.advance(10)
  t.same(counts(), [1, 999])
  carrier.watcher.mismatch()
  await clock.advance(10)
  t.same(counts(), [1, 999, 1])
  t.equal(clock.timers, timers, 'no timer runs while there is none')
  for (let i = 0; i < 3; i++) carrier.watcher.mismatch()
  await link.close()
  t.same(counts(), [1, 999, 1, 3], 'none is lost with the link')
})
