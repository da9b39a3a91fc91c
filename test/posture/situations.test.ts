import t from 'tap'
import type { Event } from '../../src/events.ts'
import type { PostureSetup } from '../../src/posture/state.ts'
import { PROOF_OLD_MS, type SignalState, type TopState } from '../../src/posture/verdict.ts'
import { answered, covers, dial, down, failed, PACED, SETUP, started, stopping, up, verdictAfter } from './evidence.ts'

interface Situation {
  readonly name: string
  readonly events: readonly (Event | number)[]
  readonly state: TopState
  readonly secure: SignalState
  /** Every reason of secureNameResolution, in order: what a person must do first. */
  readonly reasons: readonly string[]
  readonly setup?: Partial<PostureSetup>
}
const late = PROOF_OLD_MS + 1000

const SITUATIONS: readonly Situation[] = [
  { name: 'just started', events: [started], state: 'offline', secure: 'unknown', reasons: ['not-proven-yet'] },
  { name: 'a handshake proves no answer', events: [started, up('a')], state: 'offline', secure: 'unknown', reasons: ['not-proven-yet'] },
  { name: 'a first authenticated answer', events: [started, up('a'), answered('a')], state: 'protected', secure: 'ok', reasons: [] },
  { name: 'answers before the listeners are bound', events: [up('a'), answered('a')], state: 'offline', secure: 'ok', reasons: [] },
  {
    name: 'one of two down',
    events: [started, answered('a'), failed('b')],
    state: 'protected',
    secure: 'warn',
    reasons: ['resolver-down'],
  },
  {
    name: 'the one in use fails, the other is untried',
    events: [started, answered('a'), failed('a')],
    state: 'offline',
    secure: 'bad',
    reasons: ['none-answering', 'resolver-down'],
  },
  {
    name: 'failover',
    events: [started, answered('a'), failed('a', 'connect-refused'), answered('b')],
    state: 'protected',
    secure: 'warn',
    reasons: ['resolver-down'],
  },
  {
    name: 'all down',
    events: [started, answered('a'), answered('b'), failed('a'), failed('b')],
    state: 'offline',
    secure: 'bad',
    reasons: ['all-failing', 'resolver-down', 'resolver-down'],
  },
  {
    name: 'all down, then one link up: not proven again by that',
    events: [started, answered('a'), failed('a'), failed('b'), up('a')],
    state: 'offline',
    secure: 'bad',
    reasons: ['all-failing', 'resolver-down', 'resolver-down'],
  },
  {
    name: 'all down, then recovery',
    events: [started, failed('a'), failed('b'), answered('a'), answered('b')],
    state: 'protected',
    secure: 'ok',
    reasons: [],
  },
  {
    name: 'our own overload says nothing about a resolver',
    events: [started, answered('a'), failed('a', 'overloaded'), failed('b', 'internal')],
    state: 'protected',
    secure: 'ok',
    reasons: [],
  },
  {
    name: 'one name runs out of time while others are answered',
    events: [started, answered('a'), failed('a', 'deadline', 4000)],
    state: 'protected',
    secure: 'ok',
    reasons: [],
  },
  {
    name: 'three in a row do count',
    events: [started, answered('a'), failed('a', 'deadline', 4000), failed('a', 'deadline', 4000), failed('a', 'deadline', 4000)],
    state: 'offline',
    secure: 'bad',
    reasons: ['none-answering', 'resolver-down'],
  },
  {
    name: 'a timeout that began after the last answer counts at once',
    events: [started, answered('a'), 5000, failed('a', 'deadline', 4000)],
    state: 'offline',
    secure: 'bad',
    reasons: ['none-answering', 'resolver-down'],
  },
  {
    name: 'a pin mismatch on one resolver',
    events: [started, answered('a'), dial('b', 'pin-mismatch')],
    state: 'protected',
    secure: 'warn',
    reasons: ['pin-mismatch'],
  },
  {
    name: 'a wrong name on one transport of two',
    events: [started, dial('a', 'certificate-name'), answered('a', { transport: 'doh' })],
    state: 'protected',
    secure: 'warn',
    reasons: ['certificate-name'],
  },
  {
    name: 'pins wrong everywhere: fails closed',
    events: [started, dial('a', 'pin-mismatch'), dial('a', 'pin-mismatch', 'doh'), dial('b', 'pin-mismatch')],
    state: 'offline',
    secure: 'bad',
    reasons: ['pin-mismatch', 'pin-mismatch', 'pin-mismatch', 'all-failing'],
  },
  {
    name: 'the clock is wrong',
    events: [started, failed('a', 'certificate-not-yet-valid'), failed('b', 'certificate-expired')],
    state: 'offline',
    secure: 'bad',
    reasons: ['clock-suspect', 'certificate-expired', 'certificate-not-yet-valid', 'all-failing'],
  },
  {
    name: 'one expired certificate is not the clock',
    events: [started, answered('a'), failed('b', 'certificate-expired')],
    state: 'protected',
    secure: 'warn',
    reasons: ['certificate-expired'],
  },
  {
    name: 'one failed dial is chance, two are not',
    events: [started, answered('a'), answered('b'), dial('b', 'connect-refused'), dial('b', 'connect-refused')],
    state: 'protected',
    secure: 'warn',
    reasons: ['resolver-down'],
  },
  {
    name: 'bare replies are a remark',
    events: [started, answered('a', { bare: true })],
    state: 'protected',
    secure: 'ok',
    reasons: ['replies-unpadded'],
  },
  {
    name: 'shaping not in force',
    events: [started, answered('a'), covers('a', 'refused')],
    setup: PACED,
    state: 'degraded',
    secure: 'warn',
    reasons: ['shaping-not-in-force'],
  },
  {
    name: 'opportunistic, and nobody proved who it is',
    events: [started, answered('a', { plain: true })],
    setup: { usageProfile: 'opportunistic' },
    state: 'exposed',
    secure: 'bad',
    reasons: ['unauthenticated-answers', 'profile-opportunistic'],
  },
  {
    name: 'opportunistic, one proved and one not',
    events: [started, answered('a'), answered('b', { plain: true })],
    setup: { usageProfile: 'opportunistic' },
    state: 'exposed',
    secure: 'bad',
    reasons: ['unauthenticated-answers', 'profile-opportunistic'],
  },
  {
    name: 'an idle hour with the link closed',
    events: [started, up('a'), answered('a'), down('a'), late],
    state: 'protected',
    secure: 'ok',
    reasons: ['proof-old'],
  },
  {
    name: 'an old proof and a dead link',
    events: [started, answered('b'), late, dial('b', 'connect-timeout')],
    state: 'offline',
    secure: 'bad',
    reasons: ['none-answering'],
  },
  {
    name: 'a fresh proof and one failed dial',
    events: [started, answered('b'), dial('b', 'connect-timeout')],
    state: 'protected',
    secure: 'ok',
    reasons: [],
  },
  {
    name: 'somebody else in place of every resolver',
    events: [started, dial('a', 'certificate-untrusted'), failed('a', 'certificate-untrusted'), dial('b', 'certificate-name')],
    state: 'offline',
    secure: 'bad',
    reasons: ['portal-suspected', 'certificate-name', 'certificate-untrusted', 'all-failing'],
  },
  {
    name: 'somebody else in place of one, and the other silent',
    events: [started, dial('b', 'certificate-name'), failed('a')],
    state: 'offline',
    secure: 'bad',
    reasons: ['certificate-name', 'all-failing', 'resolver-down'],
  },
  {
    name: 'the right one again where somebody else was, and no answer yet',
    events: [started, dial('a', 'certificate-name'), failed('a', 'certificate-name'), dial('b', 'certificate-name'), up('b')],
    state: 'offline',
    secure: 'bad',
    reasons: ['certificate-name', 'certificate-name', 'all-failing'],
  },
  {
    name: 'a pin that is wrong on the one in use, and the other untried: the cause first',
    events: [started, answered('b'), failed('b', 'pin-mismatch')],
    state: 'offline',
    secure: 'bad',
    reasons: ['pin-mismatch', 'none-answering'],
  },
  {
    name: 'one with a wrong pin, one silent: what does not mend itself first',
    events: [started, failed('a'), failed('b', 'pin-mismatch')],
    state: 'offline',
    secure: 'bad',
    reasons: ['pin-mismatch', 'all-failing', 'resolver-down'],
  },
  {
    name: 'one silent, one with a wrong pin, and another answers',
    events: [started, failed('a'), failed('b', 'pin-mismatch'), answered('c')],
    setup: { resolvers: [...SETUP.resolvers, { id: 'c', operator: 'C', transports: ['dot'] }] },
    state: 'protected',
    secure: 'warn',
    reasons: ['pin-mismatch', 'resolver-down'],
  },
  { name: 'stopping', events: [started, answered('a'), stopping], state: 'offline', secure: 'ok', reasons: [] },
]

t.test('situations', (t) => {
  for (const s of SITUATIONS) {
    const v = verdictAfter(s.events, { ...SETUP, ...s.setup })
    const signal = v.signals.secureNameResolution
    t.equal(v.state, s.state, `${s.name}: state`)
    t.equal(signal.state, s.secure, `${s.name}: signal`)
    t.same(
      signal.reasons.map((r) => r.code),
      s.reasons,
      `${s.name}: reasons`,
    )
    for (const r of signal.reasons) t.ok(r.message.length > 10 && r.mend.length > 10, `${s.name}: ${r.code} says what and what to do`)
  }
  t.end()
})

t.test('reasons are bounded: those about many resolvers are dropped, single ones never', (t) => {
  const resolvers = Array.from({ length: 30 }, (_, i) => ({ id: `r${i}`, operator: 'O', transports: ['dot', 'doh'] as const }))
  const events = resolvers.flatMap(({ id }) => [dial(id, 'pin-mismatch'), dial(id, 'pin-mismatch', 'doh')])
  const { reasons } = verdictAfter([started, ...events, failed('r0'), failed('r1', 'pin-mismatch')], { ...SETUP, resolvers }).signals
    .secureNameResolution
  t.equal(reasons.length, 24)
  t.same(
    reasons.map(({ code }) => code),
    [...Array.from({ length: 23 }, () => 'pin-mismatch'), 'all-failing'],
  )
  t.end()
})
