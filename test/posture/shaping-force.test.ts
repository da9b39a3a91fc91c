import t from 'tap'
import type { Event } from '../../src/events.ts'
import { ShapingForce } from '../../src/posture/shaping-force.ts'

const protection = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: 'x', resumed: false } as const
const answered = (resolver: string, paddedReply: boolean): Event => ({
  type: 'upstream.answered',
  resolver,
  transport: 'dot',
  rttMs: 1,
  protection,
  paddedReply,
})
const covers = (resolver: string, state: 'flowing' | 'claim' | 'refused' | 'used-up'): Event => ({
  type: 'shaping.covers',
  resolver,
  transport: 'dot',
  covers: state,
})

t.test('nothing answered yet: unknown, whatever is said of covers', async (t) => {
  const force = new ShapingForce()
  t.equal(force.verdict().inForce, 'unknown')
  force.take(covers('a', 'claim'))
  t.equal(force.verdict().inForce, 'unknown')
})

t.test('padded replies and covers: in force; an odd unpadded error does not count', async (t) => {
  const force = new ShapingForce()
  for (let i = 0; i < 20; i++) force.take(answered('a', i % 4 !== 0))
  t.strictSame(force.verdict(), { inForce: 'yes' })
})

t.test('a resolver that does not pad: not in force, and it says who', async (t) => {
  const force = new ShapingForce()
  force.take(answered('a', true))
  force.take(answered('b', false))
  t.match(force.verdict(), { inForce: 'no', why: /^b does not pad/ })
  for (let i = 0; i < 16; i++) force.take(answered('b', true))
  t.equal(force.verdict().inForce, 'yes')
})

t.test('covers that do not flow: not in force, and why; until they do', async (t) => {
  for (const [state, why] of [
    ['claim', /^a says that it wants no cover/],
    ['refused', /^a refuses/],
    ['used-up', /^a has had its share/],
  ] as const) {
    const force = new ShapingForce()
    force.take(answered('a', true))
    force.take(covers('a', state))
    t.match(force.verdict(), { inForce: 'no', why })
    force.take(covers('a', 'flowing'))
    t.equal(force.verdict().inForce, 'yes')
  }
})

t.test('another configuration: forgotten', async (t) => {
  const force = new ShapingForce()
  force.take(answered('a', false))
  force.forget()
  t.equal(force.verdict().inForce, 'unknown')
})
