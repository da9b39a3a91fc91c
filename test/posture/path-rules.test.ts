import t from 'tap'
import * as v from 'valibot'
import { policySchema } from '../../src/config/policy.ts'
import type { Event } from '../../src/events.ts'
import type { PostureSetup } from '../../src/posture/state.ts'
import { hop, path } from '../support/paths.ts'
import { answered, failed, SETUP, started, verdictAfter } from './evidence.ts'

const TWO = [path([hop('socks5', 'p')], { resolver: 'a' }), path([hop('socks5', 'p')], { resolver: 'b', operator: 'Operator B' })]
const PROXY = hop('socks5', 'p', { operator: 'Proxy Ltd' })
const APART = [path([PROXY], { resolver: 'a' }), path([PROXY], { resolver: 'b', operator: 'Operator B' })]
const vpn = (over: object): Event => ({ type: 'seen.vpn', vpn: 0, other: 0, unknown: 0, unreachable: 0, ...over })
const judged = (policy: object, over: Partial<PostureSetup>, ...events: readonly Event[]) =>
  verdictAfter([started, answered('a'), ...events], { ...SETUP, ...over, policy: v.parse(policySchema, policy) })
const rule = (policy: object, over: Partial<PostureSetup>, ...events: readonly Event[]) => judged(policy, over, ...events).rules[0]

t.test('separation: met by construction only, and lookups fail otherwise', (t) => {
  const required = { separation: 'required' }
  t.match(judged(required, { paths: APART }), { closed: undefined, state: 'protected', rules: [{ rule: 'separation', verdict: 'met' }] })
  t.match(judged(required, {}), {
    closed: 'separation-required',
    state: 'offline',
    rules: [{ rule: 'separation', verdict: 'not-met', detail: 'no hop on the route to a over DoT, DoH; b over DoT.' }],
    signals: { policyCompliance: { reasons: [{ code: 'rule-separation', severity: 'bad' }] } },
  })
  t.match(
    judged(required, { paths: TWO }),
    { closed: 'separation-required', rules: [{ verdict: 'cannot-tell', detail: 'Nothing says who runs proxy p.' }] },
    'who runs the first hop may run the resolver, or connect directly',
  )
  const relay = hop('odoh-relay', 'r', { operator: 'Relay Ltd' })
  t.equal(judged(required, { paths: [path([relay], { seal: 'hpke', proof: 'key' })] }).closed, undefined)
  t.equal(judged(required, { paths: [path([relay], { keyFetchedDirectly: true })] }).closed, 'separation-required', 'claimed is not met')
  t.equal(
    judged(required, { paths: [path([relay], { operator: 'Relay Ltd' })] }).closed,
    'separation-required',
    'one operator at both ends',
  )
  t.equal(judged(required, { paths: APART, splitDns: [{ zone: 'lan.', server: '192.0.2.1' }] }).closed, 'separation-required', 'cleartext')
  t.equal(judged(required, { paths: [...APART, path([], { resolver: 'c' })] }).closed, 'separation-required', 'one direct route is enough')
  t.end()
})

t.test('separation that one network requires: required until the network is known', (t) => {
  const policy = { networks: [{ name: 'cafe', match: { gateway: '10.0.0.1' }, separation: 'required' }] }
  const net = (named?: string): Event => ({ type: 'seen.network', told: true, named })
  t.equal(judged(policy, {}).closed, 'separation-required')
  t.equal(judged(policy, {}, net()).closed, undefined)
  t.equal(judged(policy, {}, net('cafe')).closed, 'separation-required')
  t.end()
})

t.test('a proxy never satisfies a required VPN, nor a VPN a required separation', (t) => {
  t.equal(judged({ vpn: 'required' }, { paths: APART }, vpn({ other: 1 })).closed, 'vpn-required')
  t.equal(judged({ separation: 'required' }, {}, vpn({ vpn: 2 })).closed, 'separation-required')
  const both = { vpn: 'required', separation: 'required' }
  t.equal(judged(both, { paths: APART }, vpn({ vpn: 1 })).closed, undefined)
  t.equal(judged(both, { paths: APART }).closed, 'vpn-required')
  t.end()
})

t.test('the share of an operator, by those that work', (t) => {
  const half = { maxShareOfOperator: 0.5 }
  t.match(rule(half, { split: 'by-site' }), { verdict: 'met', detail: 'An operator gets about 50 % of the sites, and 50 % are allowed.' })
  t.match(rule(half, { split: 'none' }), { verdict: 'not-met', detail: /^An operator gets at most 100 %/ })
  t.match(rule(half, { split: 'rotate' }), { verdict: 'not-met' }, 'in time every operator gets every site')
  t.match(rule(half, { split: 'by-site' }, failed('b')), { verdict: 'not-met' }, 'the sites of one that fails go to the others')
  t.match(rule(half, { split: 'by-site', generalSides: [['a']] }), { verdict: 'not-met' }, 'one for zones only gets no general names')
  t.match(rule(half, { split: 'by-site', generalSides: [['a', 'b'], ['b']] }), { verdict: 'not-met' }, 'a view with one operator')
  t.equal(judged(half, { split: 'none' }).closed, undefined, 'it degrades, and closes nothing')
  t.end()
})

t.test('allowed proxies and diversity', (t) => {
  t.match(rule({ allowedProxies: ['p'] }, { paths: TWO }), { verdict: 'met' })
  t.match(rule({ allowedProxies: ['q'] }, { paths: TWO }), { verdict: 'not-met', detail: 'Not allowed: proxy p.' })
  const odd = [path([hop('odoh-relay', 'r', { operator: 'R', jurisdiction: 'CH' })], { jurisdiction: 'CH' })]
  t.match(rule({ diversity: 'operators' }, { paths: odd }), { verdict: 'claimed' })
  t.match(rule({ diversity: 'jurisdictions' }, { paths: odd }), {
    verdict: 'not-met',
    detail: /^Relay r and resolver a have the same jurisdiction/,
  })
  t.match(rule({ diversity: 'operators' }, { paths: TWO }), {
    verdict: 'cannot-tell',
    detail: /^The operator of proxy p is not configured/,
  })
  t.match(rule({ diversity: 'operators' }, {}), { verdict: 'claimed' }, 'a direct route has one party')
  t.end()
})

t.test('what the routes mean is said where there are hops', (t) => {
  const reasons = (over: Partial<PostureSetup>) =>
    verdictAfter([started, answered('a')], { ...SETUP, ...over }).signals.secureNameResolution.reasons.map(({ code, message }) => [
      code,
      message,
    ])
  t.same(reasons({}), [], 'nothing for direct routes')
  t.same(reasons({ paths: TWO }), [
    [
      'separated',
      'No single operator is given both: your address goes to proxy p, the names go to resolver a, resolver b. The configuration does not name the operator of proxy p.',
    ],
  ])
  t.same(reasons({ paths: [path([hop('socks5', 'tor', { host: '127.0.0.1', operator: 'Tor' })])] }).flat(), [
    'separated',
    'No single operator is given both: your address goes to proxy tor, the names go to resolver a.',
    'hop-on-this-host',
    'proxy tor: a program on this host. What lies behind it is not seen from here.',
  ])
  t.match(reasons({ paths: [...TWO, path([], { resolver: 'c' })] }), [['not-separated', /no hop on the route to c over DoT\.$/]])
  t.end()
})
