import t from 'tap'
import * as v from 'valibot'
import { policySchema } from '../../src/config/policy.ts'
import { counted } from '../../src/config/problems.ts'
import type { Event } from '../../src/events.ts'
import { answered, at, failed, JITTER, started, verdictAfter } from './evidence.ts'

const vpn = (over: Partial<Extract<Event, { type: 'seen.vpn' }>>): Event => ({
  type: 'seen.vpn',
  vpn: 0,
  other: 0,
  unknown: 0,
  unreachable: 0,
  ...over,
})
const net = (named?: string): Event => ({ type: 'seen.network', told: true, named })
const audit = (state: 'writing' | 'unwritable'): Event => ({ type: 'audit', state, entries: 3, lost: state === 'writing' ? 0 : 2 })
const sys = (asks: 'us' | 'elsewhere' | 'partly' | 'unknown'): Event => ({ type: 'seen.system', asks, by: 'resolv.conf' })
const canary = (outcome: 'returned' | 'lost' | 'not-sent'): Event => ({ type: 'seen.canary', outcome })

function setup(policy: object) {
  const resolvers = JITTER.resolvers.map((r) => ({ ...r, pins: 1, jurisdiction: 'CH', claims: { dnssec: true } }))
  return { ...JITTER, resolvers, policy: v.parse(policySchema, policy) }
}
const rules = (policy: object, ...events: readonly Event[]) =>
  Object.fromEntries(verdictAfter([started, ...events], setup(policy)).rules.map((r) => [r.rule, r.verdict]))

t.test('each rule is met, not met, claimed, or unknown', (t) => {
  t.same(rules({}), {}, 'what is not asked for is not judged')
  t.same(rules({ minimumUsageProfile: 'strict' }), { minimumUsageProfile: 'met' })
  t.same(rules({ transports: ['dot', 'doh'] }), { transports: 'met' })
  t.same(rules({ transports: ['dot'] }), { transports: 'not-met' })
  t.same(rules({ padding: { queryBlock: 128 } }), { 'padding.queryBlock': 'met' })
  t.same(rules({ padding: { queryBlock: 256 } }), { 'padding.queryBlock': 'not-met' })
  const padded = { padding: { replies: 'required' } }
  t.same(rules(padded), { 'padding.replies': 'cannot-tell' })
  t.same(rules(padded, answered('a')), { 'padding.replies': 'met' })
  t.same(rules(padded, answered('a'), answered('b', { bare: true })), { 'padding.replies': 'not-met' })
  t.same(rules({ shaping: 'jitter' }), { shaping: 'met' })
  t.same(rules({ shaping: 'balanced' }), { shaping: 'not-met' })
  t.same(rules({ operators: ['Operator A', 'Operator B'] }), { operators: 'met' })
  t.same(rules({ operators: ['Operator A'] }), { operators: 'not-met' })
  const unnamed = setup({ operators: ['Operator A', 'Operator B'], minimumOperators: 2 })
  const asOne = { ...unnamed, resolvers: unnamed.resolvers.map((one) => ({ ...one, unnamed: 'a' })) }
  t.match(
    verdictAfter([started, answered('a'), answered('b')], asOne).rules.map(({ rule, verdict }) => [rule, verdict]),
    [
      ['operators', 'not-met'],
      ['minimumOperators', 'not-met'],
    ],
    'nobody named an operator, and both count as one',
  )
  t.same(rules({ jurisdictions: ['CH'] }), { jurisdictions: 'claimed' }, 'never met: it is what somebody says')
  t.same(rules({ jurisdictions: ['SE'] }), { jurisdictions: 'not-met' })
  t.same(rules({ claims: { dnssec: true } }), { claims: 'claimed' })
  t.same(rules({ claims: { dnssec: false } }), { claims: 'not-met' })
  t.same(rules({ claims: { logging: false } }), { claims: 'cannot-tell' })
  t.same(rules({ pins: 'required' }, answered('a')), { pins: 'met' })
  t.same(rules({ pins: 'required' }, answered('a', { plain: true })), { pins: 'not-met' })
  const two = { minimumOperators: 2 }
  t.same(rules(two), { minimumOperators: 'cannot-tell' })
  t.same(rules(two, answered('a'), answered('b')), { minimumOperators: 'met' })
  t.same(rules(two, answered('a'), failed('b')), { minimumOperators: 'not-met' })
  const required = { systemResolver: 'required' }
  t.same(rules(required), { systemResolver: 'cannot-tell' })
  t.same(rules(required, sys('us')), { systemResolver: 'met' })
  t.same(rules(required, sys('us'), canary('lost')), { systemResolver: 'not-met' })
  t.same(rules(required, sys('partly')), { systemResolver: 'not-met' })
  t.same(rules(required, sys('unknown')), { systemResolver: 'cannot-tell' })
  t.same(rules({ audit: 'required' }, audit('writing')), { audit: 'met' })
  t.same(rules({ audit: 'required' }, audit('unwritable')), { audit: 'not-met' })
  t.equal(counted(0, 'event is', 'events are'), '0 events are')
  t.equal(counted(1, 'event is', 'events are'), '1 event is')
  t.equal(counted(2, 'gap'), '2 gaps')
  t.end()
})

t.test('a required VPN: every path, or closed; unknown is no permission', (t) => {
  const cases: readonly [readonly Event[], string, string | undefined][] = [
    [[], 'cannot-tell', 'vpn-required'],
    [[vpn({ vpn: 3 })], 'met', undefined],
    [[vpn({ vpn: 3, unreachable: 2 })], 'met', undefined],
    [[vpn({ vpn: 3, other: 1 })], 'not-met', 'vpn-required'],
    [[vpn({ vpn: 3, unknown: 1 })], 'cannot-tell', 'vpn-required'],
    [[vpn({ unreachable: 3 })], 'not-met', 'vpn-required'],
    [[vpn({ vpn: 3 }), vpn({ other: 3 })], 'not-met', 'vpn-required'],
  ]
  for (const [events, verdict, closed] of cases) {
    t.same(rules({ vpn: 'required' }, ...events), { vpn: verdict })
    t.equal(verdictAfter([started, answered('a'), ...events], setup({ vpn: 'required' })).closed, closed)
    t.equal(
      verdictAfter([started, answered('a'), ...events], setup({ vpn: 'required' })).state,
      closed === undefined ? 'protected' : 'offline',
    )
  }
  t.equal(verdictAfter([started, vpn({ other: 1 })], setup({ vpn: 'preferred' })).closed, undefined, 'preferred closes nothing')
  t.end()
})

t.test('a network that the policy names makes rules stricter; any other, or a forged one, does not weaken them', (t) => {
  const policy = { vpn: 'preferred', networks: [{ name: 'cafe', match: { gateway: '10.0.0.1' }, vpn: 'required' }] }
  const closed = (...events: readonly Event[]) => verdictAfter([started, vpn({ other: 1 }), ...events], setup(policy)).closed
  t.equal(closed(), 'vpn-required', 'nobody has looked yet which network this is: it may be that one')
  t.equal(closed(net()), undefined)
  t.equal(closed(net('cafe')), 'vpn-required')
  t.equal(closed(net('cafe'), net()), undefined)
  t.equal(
    closed(net(), vpn({ vpn: 1 }), { type: 'network.changed', online: true }),
    'vpn-required',
    'another network: what was seen of the last one is nothing',
  )
  t.equal(closed(net(), { type: 'network.changed', online: true }, vpn({ vpn: 3 })), undefined, 'with a VPN it may be any of them')
  const strict = { vpn: 'required', networks: [{ name: 'home', match: { gateway: '10.0.0.1' } }] }
  t.equal(verdictAfter([vpn({ other: 1 }), net('home')], setup(strict)).closed, 'vpn-required', 'naming a network is no way out')
  t.end()
})

t.test('a violation degrades; an unknown or claimed rule does not', (t) => {
  const state = (policy: object, ...events: readonly Event[]) => verdictAfter([started, answered('a'), ...events], setup(policy))
  t.equal(state({ jurisdictions: ['CH'], claims: { logging: false } }).state, 'protected')
  t.match(state({ claims: { logging: false } }).signals.policyCompliance, { state: 'unknown', reasons: [{ code: 'policy-unknown' }] })
  t.match(state({ jurisdictions: ['CH'] }).signals.policyCompliance, {
    state: 'ok',
    reasons: [{ code: 'policy-claimed', message: /not proven/ }],
  })
  t.match(state({ minimumOperators: 2 }, failed('b')), { state: 'degraded', signals: { policyCompliance: { state: 'bad' } } })
  t.match(state({ systemResolver: 'required' }, sys('elsewhere')), { state: 'degraded' })
  t.match(
    state({}, sys('elsewhere')),
    { state: 'protected', signals: { protectedNetwork: { state: 'warn' } } },
    'a remark where nobody asked',
  )
  t.match(state({ audit: 'required' }, audit('unwritable')), { state: 'offline' })
  t.match(state({ audit: 'on' }, audit('unwritable')), { state: 'protected' })
  t.end()
})

t.test('the network, the system and the canary, with the age of the proof', (t) => {
  const signal = (...events: readonly (Event | number)[]) => verdictAfter([started, ...events]).signals.protectedNetwork
  t.match(signal(), { state: 'unknown', reasons: [{ code: 'not-assessed' }] })
  t.match(signal(net()), { state: 'unknown', reasons: [{ code: 'network-untrusted' }] })
  t.match(signal({ type: 'seen.network', told: false, named: undefined }), { reasons: [{ code: 'network-unknown' }] })
  t.match(signal(net('office')), { state: 'ok', reasons: [{ code: 'network-named', message: /"office".*imitated/ }] })
  const beside = { ...setup({}), policy: { ...v.parse(policySchema, {}), unsignedNetworks: ['home'] } }
  t.match(
    verdictAfter([started, net('home')], beside).signals.protectedNetwork,
    {
      state: 'unknown',
      reasons: [{ code: 'network-untrusted', message: /calls this network "home"\. The signed policy does not name it/ }],
    },
    'a name in the configuration does not count beside a signed policy',
  )
  t.match(verdictAfter([started, net('office')], beside).signals.protectedNetwork, { state: 'ok' })
  t.match(signal(net('office'), sys('elsewhere')), {
    state: 'warn',
    reasons: [{ code: 'system-asks-elsewhere' }, { code: 'network-named' }],
  })
  t.match(signal(net(), sys('us'), canary('lost')), { state: 'warn', reasons: [{ code: 'canary-lost' }, {}] })
  t.match(signal(net(), sys('us'), canary('returned')).reasons[1], { code: 'system-asks-us', message: /less than a minute ago/ })
  t.match(signal(net(), sys('us'), canary('returned'), 600_000).reasons[1], { message: /10 min ago/ }, 'evidence ages')
  t.match(signal(net(), sys('us'), canary('not-sent')).reasons[1], { code: 'system-unknown', message: /not proven/ })
  t.match(signal(net(), { type: 'seen.bypass', flows: 2, through: ['sockets'] }, { type: 'seen.bypass', flows: 0, through: ['sockets'] }), {
    state: 'warn',
    reasons: [{ code: 'bypassed', message: /at least 2 flows/ }, {}],
  })
  t.equal(at(0).ms, 0)
  t.end()
})
