import t from 'tap'
import type { Event } from '../../src/events.ts'
import { initialState, reconfigured } from '../../src/posture/state.ts'
import { after, answered, at, covers, PACED, verdictOn } from './evidence.ts'

const bare = (resolver: string) => answered(resolver, { bare: true })
const force = (...events: readonly Event[]) => {
  const { state, nowMs } = after(events, PACED)
  return verdictOn(state, nowMs).shaping
}

t.test('no answers yet: unknown, for any state of covers', async (t) => {
  t.equal(force().inForce, 'unknown')
  t.equal(force(covers('a', 'claim')).inForce, 'unknown')
})

t.test('padded replies and covers: in force; a single unpadded error does not count', async (t) => {
  t.strictSame(force(...Array.from({ length: 20 }, (_, i) => (i % 4 === 0 ? bare('a') : answered('a')))), { inForce: 'yes' })
})

t.test('a resolver that does not pad: not in force, and it is named', async (t) => {
  t.match(force(answered('a'), bare('b')), { inForce: 'no', why: /^b does not pad/ })
  t.equal(force(answered('a'), bare('b'), ...Array.from({ length: 16 }, () => answered('b'))).inForce, 'yes')
  t.match(force(...Array.from({ length: 30 }, () => answered('a')), ...Array.from({ length: 9 }, () => bare('a'))), { inForce: 'no' })
})

t.test('a resolver that is no longer used does not count', async (t) => {
  t.strictSame(force(answered('a'), bare('gone')), { inForce: 'yes' })
})

t.test('covers that do not flow: not in force, with the reason; until they do', async (t) => {
  for (const [state, why] of [
    ['claim', /^a states that it wants no cover/],
    ['refused', /^a refuses/],
    ['used-up', /^a has received its daily limit/],
    ['slower', /^a answers cover traffic from its cache/],
    ['larger', /^a sends larger replies to real queries/],
  ] as const) {
    t.match(force(answered('a'), covers('a', state)), { inForce: 'no', why })
    t.equal(force(answered('a'), covers('a', state), covers('a', 'flowing')).inForce, 'yes')
  }
})

t.test('new configuration: forgotten', async (t) => {
  const { state, nowMs } = after([bare('a'), covers('b', 'refused')], PACED)
  const next = reconfigured(state, PACED, 'hold')
  t.equal(verdictOn(next, nowMs).shaping.inForce, 'unknown')
  t.equal(next.resolvers[0]?.paddedKnown, 1, 'what is known of the resolver itself is not')
})

t.test('a profile without a schedule is always in force', async (t) => {
  t.strictSame(verdictOn(initialState({ ...PACED, paced: false }, at(0)), 0).shaping, { inForce: 'yes' })
})
