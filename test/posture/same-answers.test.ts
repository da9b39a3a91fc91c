import t from 'tap'
import type { Event } from '../../src/events.ts'
import { reduce, repeatedAnswers } from '../../src/posture/reduce.ts'
import { initialState, PADDING_WINDOW, type PostureSetup } from '../../src/posture/state.ts'
import { SETUP } from './evidence.ts'

const protection = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: 'c', resumed: false } as const
const answered = (change: Partial<Extract<Event, { type: 'upstream.answered' }>> = {}) =>
  ({ type: 'upstream.answered', resolver: 'a', transport: 'dot', rttMs: 5, protection, paddedReply: true, ...change }) as const

function scene(more: Partial<PostureSetup> = {}) {
  const same = repeatedAnswers()
  const resolvers = ['a', 'b'].map((id) => ({ id, operator: id, transports: ['dot'] as const }))
  let state = initialState({ ...SETUP, resolvers, ...more }, { ms: 0, wallMs: 0 })
  const take = (event: Event, nowMs: number) => {
    if (event.type === 'upstream.answered' && same.isRepeat(event, nowMs)) return 'again'
    state = reduce(state, event, nowMs, nowMs)
    same.reduced(event, state, nowMs)
    return 'reduced'
  }
  return { same, take, samples: () => state.resolvers[0]?.rtt.filled }
}

t.test('the first replies all count; then equal ones are only timed, for 50 ms', async (t) => {
  const { take, samples } = scene()
  for (let i = 0; i < PADDING_WINDOW; i++) t.equal(take(answered(), 0), 'reduced')
  t.equal(take(answered({ rttMs: 7 }), 49), 'again')
  t.equal(samples(), PADDING_WINDOW + 1, 'its round trip is noted')
  t.equal(take(answered(), 50), 'reduced')
  t.equal(take(answered(), 60), 'again')
})

t.test('any difference, and any answer after another event, is reduced', async (t) => {
  for (const other of [
    answered({ resolver: 'b' }),
    answered({ transport: 'doh' }),
    answered({ protection: { ...protection } }),
    answered({ paddedReply: false }),
    { type: 'upstream.failed', resolver: 'a', transport: 'dot', code: 'deadline' },
    { type: 'link.down', resolver: 'a', transport: 'dot', code: 'closed' },
  ] satisfies Event[]) {
    const { take } = scene()
    for (let i = 0; i <= PADDING_WINDOW; i++) take(answered(), 0)
    t.equal(take(other, 1), 'reduced', JSON.stringify(other))
    t.equal(take(answered(), 2), 'reduced', 'the one after it too')
  }
  const { same, take } = scene()
  for (let i = 0; i <= PADDING_WINDOW; i++) take(answered(), 0)
  same.reset()
  t.equal(take(answered(), 1), 'reduced')
})

t.test('under a schedule each reply counts until the latest were all equal', async (t) => {
  const { take } = scene({ paced: true })
  for (let i = 0; i < PADDING_WINDOW; i++) take(answered({ paddedReply: i > 0 }), 0)
  t.equal(take(answered(), 1), 'reduced', 'the first is still among them, and every one moves it on')
  t.equal(take(answered(), 2), 'again')
})
