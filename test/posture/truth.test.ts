import fc from 'fast-check'
import t from 'tap'
import * as v from 'valibot'
import { policySchema } from '../../src/config/policy.ts'
import type { ErrorCode } from '../../src/errors.ts'
import type { Event } from '../../src/events.ts'
import { reduce } from '../../src/posture/reduce.ts'
import { initialState, type PostureSetup } from '../../src/posture/state.ts'
import type { Verdict } from '../../src/posture/verdict.ts'
import { AUTHENTICATED, answered, at, covers, dial, down, failed, PACED, SETUP, started, up, verdictOn } from './evidence.ts'

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
t.test('property: never overstates the protection', (t) => {
  const OURS: readonly ErrorCode[] = ['overloaded', 'closed']
  let protectedSeen = 0
  fc.assert(
    fc.property(fc.array(fc.tuple(anyEvent, fc.integer({ min: 0, max: 400_000 })), { maxLength: 60 }), (steps) => {
      let state = reduce(initialState(SETUP, at(0)), started, 0, at(0).wallMs)
      // A model that is simpler than the reducer: the latest outcome of each resolver, and whether
      // an answer came since all had failed.
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
        const verdict = verdictOn(state, nowMs)
        if (verdict.state === 'protected') {
          protectedSeen++
          if (!provenSinceAllFailed || ![...latest.values()].includes('authenticated')) return false
          if (verdict.signals.secureNameResolution.state === 'bad' || verdict.signals.secureNameResolution.state === 'unknown') return false
        }
      }
      return true
    }),
    { numRuns: 1500 },
  )
  t.ok(protectedSeen > 500, `the property was not vacuous: protected ${protectedSeen} times`)
  t.end()
})
t.test('property: if the shape stays the same no verdict has changed', (t) => {
  const policy = v.parse(policySchema, {
    pins: 'required',
    minimumOperators: 2,
    padding: { replies: 'required' },
    shaping: 'lite',
    vpn: 'preferred',
  })
  const setup: PostureSetup = {
    ...PACED,
    ...{ usageProfile: 'opportunistic', policy, resolvers: PACED.resolvers.map((r) => ({ ...r, pins: 1 })) },
  }
  const seen = fc.oneof(
    fc.constantFrom<Event>(
      ...([0, 1] as const).map((n) => ({ type: 'seen.vpn', vpn: n, other: 1 - n, unknown: 0, unreachable: 0 }) as const),
      ...(['us', 'elsewhere'] as const).map((asks) => ({ type: 'seen.system', asks, by: 'resolv.conf' }) as const),
      ...([0, 2] as const).map((lost) => ({ type: 'audit', state: lost === 0 ? 'writing' : 'unwritable', entries: 1, lost }) as const),
      ...([undefined, 'cafe'] as const).map((named) => ({ type: 'seen.network', told: true, named }) as const),
      { type: 'network.changed', online: true },
    ),
    fc.tuple(ids, fc.constantFrom('flowing', 'refused')).map(([r, are]) => covers(r, are)),
    fc.tuple(ids, fc.boolean(), fc.integer({ min: 1, max: 40 })).map(([r, paddedReply, count]) => ({ ...answered(r), paddedReply, count })),
    ids.map((r) => ({ ...answered(r), protection: { ...AUTHENTICATED, by: 'ca' as const } })),
  )
  const said = (verdict: Verdict) =>
    JSON.stringify([
      verdict.state,
      verdict.closed,
      verdict.shaping,
      verdict.rules,
      Object.values(verdict.signals).map(({ since: _, ...s }) => s),
    ])
  let still = 0
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.oneof(anyEvent, seen), fc.oneof(fc.constant(20), fc.integer({ min: 0, max: 400_000 }))), { maxLength: 60 }),
      (steps) => {
        let state = reduce(initialState(setup, at(0)), started, 0, at(0).wallMs)
        let nowMs = 0
        for (const [event, waitMs] of steps) {
          nowMs += waitMs
          const next = reduce(state, event, nowMs, at(nowMs).wallMs)
          if (next.shape === state.shape) {
            still++
            if (said(verdictOn(state, nowMs)) !== said(verdictOn(next, nowMs))) return false
          }
          state = next
        }
        return true
      },
    ),
    { numRuns: 1500 },
  )
  t.ok(still > 2000, `the shape stood still ${still} times`)
  t.end()
})
