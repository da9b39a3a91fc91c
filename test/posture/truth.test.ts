import fc from 'fast-check'
import t from 'tap'
import type { ErrorCode } from '../../src/errors.ts'
import type { Event } from '../../src/events.ts'
import { reduce } from '../../src/posture/reduce.ts'
import { judge } from '../../src/posture/signals.ts'
import { initialState } from '../../src/posture/state.ts'
import { answered, at, dial, down, failed, SETUP, started, up } from './evidence.ts'

const ids = fc.constantFrom('a', 'b', 'unknown')
const transports = fc.constantFrom('dot', 'doh')
const codes = fc.constantFrom<ErrorCode>(
  'deadline',
  'connect-refused',
  'pin-mismatch',
  'certificate-expired',
  'connection-lost',
  'overloaded',
  'closed',
)
const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(ids, transports, fc.boolean())
      .map(([r, transport, plain]) => answered(r, { transport, ...(plain ? { plain } : {}) })),
  },
  { weight: 4, arbitrary: fc.tuple(ids, codes).map(([r, c]) => failed(r, c)) },
  { weight: 2, arbitrary: fc.tuple(ids, transports).map(([r, transport]) => up(r, transport)) },
  { weight: 1, arbitrary: fc.tuple(ids, transports, codes).map(([r, transport, c]) => down(r, transport, c)) },
  { weight: 1, arbitrary: fc.tuple(ids, codes, transports).map(([r, c, transport]) => dial(r, c, transport)) },
  { weight: 1, arbitrary: fc.constantFrom<Event>(started, { type: 'fault', where: 'x' }, { type: 'reload.refused', message: 'x' }) },
)
t.test('property: never better than the truth', (t) => {
  const OURS: readonly ErrorCode[] = ['overloaded', 'closed']
  let protectedSeen = 0
  fc.assert(
    fc.property(fc.array(fc.tuple(anyEvent, fc.integer({ min: 0, max: 400_000 })), { maxLength: 60 }), (steps) => {
      let state = reduce(initialState(SETUP, at(0)), started, 0, at(0).wallMs)
      // A model that is simpler than the reducer: the latest outcome of each resolver, and whether an answer came since all had failed.
      const latest = new Map<string, 'authenticated' | 'unauthenticated' | 'failed'>()
      let provenSinceAllFailed = false
      let nowMs = 0
      for (const [event, waitMs] of steps) {
        nowMs += waitMs
        state = reduce(state, event, nowMs, at(nowMs).wallMs)
        if (event.type === 'upstream.answered' && event.resolver !== 'unknown') {
          latest.set(event.resolver, event.protection.authenticated ? 'authenticated' : 'unauthenticated')
          if (event.protection.authenticated) provenSinceAllFailed = true
        }
        if (event.type === 'upstream.failed' && event.resolver !== 'unknown' && !OURS.includes(event.code))
          latest.set(event.resolver, 'failed')
        if (latest.get('a') === 'failed' && latest.get('b') === 'failed') provenSinceAllFailed = false
        const v = judge(state, { now: at(nowMs), shaping: { profile: 'off', inForce: 'unknown' }, heartbeatLateMs: 0 })
        if (v.state === 'protected') {
          protectedSeen++
          if (!provenSinceAllFailed || ![...latest.values()].includes('authenticated')) return false
          if (v.signals.secureNameResolution.state === 'bad' || v.signals.secureNameResolution.state === 'unknown') return false
        }
      }
      return true
    }),
    { numRuns: 1500 },
  )
  t.ok(protectedSeen > 500, `the property was not vacuous: protected ${protectedSeen} times`)
  t.end()
})
