import t from 'tap'
import * as v from 'valibot'
import { policySchema } from '../../src/config/policy.ts'
import type { Event } from '../../src/events.ts'
import { REASONS, type ReasonCode } from '../../src/posture/reasons.ts'
import { ASLEEP_MS } from '../../src/posture/signals.ts'
import type { PostureSetup } from '../../src/posture/state.ts'
import { PROOF_OLD_MS, type VerdictContext } from '../../src/posture/verdict.ts'
import type { Protection } from '../../src/resolve.ts'
import { hop, path } from '../support/paths.ts'
import { after, answered, at, covers, dial, failed, PACED, SETUP, started, stopping, verdictOn } from './evidence.ts'

const DAY_MS = 86_400_000

interface Way {
  readonly events: readonly (Event | number)[]
  readonly policy?: object
  readonly setup?: Partial<PostureSetup>
  readonly more?: Partial<VerdictContext>
}

const bad = (code: Parameters<typeof dial>[1]) => [
  started,
  ...(['a', 'b'] as const).flatMap((id) => [dial(id, code), ...(id === 'a' ? [dial(id, code, 'doh')] : [])]),
]
const seen = (type: 'vpn' | 'other' | 'unknown'): Event => ({ type: 'seen.vpn', vpn: 0, other: 0, unknown: 0, unreachable: 0, [type]: 2 })
const network = (named: string | undefined, told = true): Event => ({ type: 'seen.network', told, named })
const system = (asks: 'us' | 'elsewhere'): Event => ({ type: 'seen.system', asks, by: 'resolv.conf' })
const canary = (outcome: 'returned' | 'lost'): Event => ({ type: 'seen.canary', outcome })
const takeover = (state: 'held' | 'taken', vpn?: boolean): Event => {
  const bypasses = vpn === undefined ? [] : [{ link: 'eth1', names: 'every name', vpn }]
  return { type: 'seen.takeover', state, by: 'NetworkManager', bypasses }
}
const audit = (state: 'writing' | 'unwritable'): Event => ({ type: 'audit', state, entries: 1, lost: 2 })

/**
 * How each reason comes about. A code that nothing leads to would be a claim to see what is not
 * seen.
 */
const WAYS: Readonly<Record<ReasonCode, Way>> = {
  'captive-portal': { events: [started, { type: 'portal', untilWallMs: at(60_000).wallMs }] },
  'zone-loop': { events: [started, { type: 'forward.loop', zone: 'corp.example', found: true }] },
  'split-dns': { events: [started], setup: { splitDns: [{ zone: 'corp.example', server: '10.0.0.53:53' }] } },
  'all-failing': { events: [started, failed('a'), failed('b')] },
  'none-answering': { events: [started, answered('a'), failed('a')] },
  'not-proven-yet': { events: [started] },
  'proof-old': { events: [started, answered('a'), PROOF_OLD_MS + 1000] },
  'clock-suspect': { events: bad('certificate-expired') },
  'portal-suspected': { events: bad('certificate-name') },
  'hop-down': {
    events: [
      started,
      ...(['a', 'b'] as const).flatMap((id) =>
        (['dot', 'dot', 'doh', 'doh'] as const).map((over) => dial(id, 'hop-unreachable', over, 'tor')),
      ),
    ],
  },
  'resolver-down': { events: [started, answered('a'), failed('b')] },
  'pin-mismatch': { events: bad('pin-mismatch') },
  'certificate-expired': { events: bad('certificate-expired') },
  'certificate-not-yet-valid': { events: bad('certificate-not-yet-valid') },
  'certificate-name': { events: bad('certificate-name') },
  'certificate-untrusted': { events: bad('certificate-untrusted') },
  'certificate-expires': { events: [started, withProtection({ validity: { notBeforeMs: 0, notAfterMs: at(14 * DAY_MS).wallMs } })] },
  'group-forced': { events: [started, withProtection({ groupForced: true })] },
  'replies-unpadded': { events: [started, answered('a', { bare: true })] },
  'shaping-not-in-force': { events: [started, answered('a'), covers('a', 'claim')], setup: PACED },
  'shaping-beacon': {
    events: [started, answered('a'), { type: 'shaping.beacon', resolver: 'a', transport: 'dot', found: true }],
    setup: PACED,
  },
  'shaping-over-doh': { events: [started, answered('a', { transport: 'doh' })], setup: PACED },
  'unauthenticated-answers': { events: [started, answered('a', { plain: true })], setup: { usageProfile: 'opportunistic' } },
  'profile-opportunistic': { events: [started], setup: { usageProfile: 'opportunistic' } },
  starting: { events: [] },
  stopping: { events: [started, stopping] },
  stopped: { events: [started] },
  'reload-refused': { events: [started, { type: 'reload.refused', message: 'x' }] },
  'restart-needed': { events: [started, { type: 'reload.waiting', settings: ['workers'] }] },
  'list-missing': { events: [started, { type: 'lists', faults: [{ id: 'ads', missing: true, why: 'x' }] }] },
  'list-outdated': { events: [started, { type: 'lists', faults: [{ id: 'ads', missing: false, why: 'x' }] }] },
  'internal-fault': { events: [started, { type: 'fault', where: 'x' }] },
  'was-asleep': { events: [started], more: { heartbeatLateMs: ASLEEP_MS + 1 } },
  'event-loop-late': { events: [started], more: { heartbeatLateMs: 1000 } },
  restarted: { events: [started, { type: 'restarts', count: 1, clean: false }] },
  'status-unsigned': { events: [started, { type: 'unsigned', why: 'x' }] },
  'list-changes': {
    events: [
      started,
      {
        type: 'seen.sources',
        sources: [{ id: 'public', state: 'current', changes: [{ id: 'a', what: ['addresses'], from: '{}', to: '{}' }] }],
      },
    ],
  },
  'list-refused': { events: [started, { type: 'seen.sources', sources: [{ id: 'public', state: 'old', why: 'is older', changes: [] }] }] },
  'query-trace': { events: [started, { type: 'trace', untilWallMs: at(60_000).wallMs }] },
  'audit-gap': { events: [started, audit('writing')] },
  'not-assessed': { events: [started] },
  'network-untrusted': { events: [started, network(undefined)] },
  'network-named': { events: [started, network('office')] },
  'network-unknown': { events: [started, network(undefined, false)] },
  'system-asks-us': { events: [started, system('us'), canary('returned')] },
  'system-asks-elsewhere': { events: [started, system('elsewhere')] },
  'system-unknown': { events: [started, system('us')] },
  'system-taken-over': { events: [started, takeover('taken')] },
  'system-bypasses': { events: [started, takeover('held', true)] },
  'canary-lost': { events: [started, system('us'), canary('lost')] },
  bypassed: { events: [started, system('us'), { type: 'seen.bypass', flows: 1, through: ['sockets'] }] },
  'vpn-present': { events: [started, seen('vpn')], policy: { vpn: 'required' } },
  'vpn-absent': { events: [started, seen('other')], policy: { vpn: 'required' } },
  'vpn-unknown': { events: [started], policy: { vpn: 'required' } },
  'policy-met': { events: [started], policy: { transports: ['dot', 'doh'] } },
  'policy-claimed': { events: [started], policy: { jurisdictions: ['CH'] }, setup: { resolvers: [inSwitzerland()] } },
  'policy-unknown': { events: [started], policy: { minimumOperators: 1 } },
  'rule-usage-profile': { events: [started], policy: { minimumUsageProfile: 'strict' }, setup: { usageProfile: 'opportunistic' } },
  'rule-transports': { events: [started], policy: { transports: ['doh'] } },
  'rule-query-padding': { events: [started], policy: { padding: { queryBlock: 256 } } },
  'rule-reply-padding': { events: [started, answered('a', { bare: true })], policy: { padding: { replies: 'required' } } },
  'rule-shaping': { events: [started], policy: { shaping: 'jitter' } },
  'rule-operators': { events: [started], policy: { operators: ['Operator A'] } },
  'rule-jurisdictions': { events: [started], policy: { jurisdictions: ['CH'] } },
  'rule-operator-count': { events: [started, failed('a'), failed('b')], policy: { minimumOperators: 2 } },
  'rule-pins': { events: [started], policy: { pins: 'required' } },
  'rule-claims': {
    events: [started],
    policy: { claims: { logging: false } },
    setup: { resolvers: [{ ...inSwitzerland(), claims: { logging: true } }] },
  },
  'rule-vpn': { events: [started, seen('other')], policy: { vpn: 'required' } },
  'rule-separation': { events: [started], policy: { separation: 'required' } },
  'rule-operator-share': { events: [started], policy: { maxShareOfOperator: 0.5 } },
  'rule-allowed-proxies': { events: [started], policy: { allowedProxies: [] }, setup: { paths: [path([hop('socks5', 'p')])] } },
  'rule-diversity': {
    events: [started],
    policy: { diversity: 'operators' },
    setup: { paths: [path([hop('socks5', 'p', { operator: 'Operator A' })])] },
  },
  separated: { events: [started], setup: { paths: [path([hop('socks5', 'p')])] } },
  'not-separated': { events: [started], setup: { paths: [path([hop('socks5', 'p')]), path([], { resolver: 'b' })] } },
  'hop-on-this-host': { events: [started], setup: { paths: [path([hop('socks5', 'p', { host: '127.0.0.1' })])] } },
  'rule-audit': { events: [started, audit('unwritable')], policy: { audit: 'required' } },
  'rule-cleartext': {
    events: [started],
    setup: { splitDns: [{ zone: 'corp.example', server: 'link' }] },
    policy: { allowCleartext: [] },
  },
  'rule-system-resolver': { events: [started, system('elsewhere')], policy: { systemResolver: 'required' } },
}

function withProtection(more: Partial<Protection>): Event {
  const event = answered('a')
  return event.type === 'upstream.answered' ? { ...event, protection: { ...event.protection, ...more } as Protection } : event
}

function inSwitzerland() {
  return { id: 'a', operator: 'Operator A', transports: ['dot', 'doh'], jurisdiction: 'CH', pins: 0 } as const
}

t.test('every reason can occur', (t) => {
  t.same(Object.keys(WAYS).toSorted(), Object.keys(REASONS).toSorted())
  for (const [code, { events, policy, setup, more }] of Object.entries(WAYS)) {
    const asked = policy === undefined ? undefined : v.parse(policySchema, policy)
    const { state, nowMs } = after(events, { ...SETUP, ...setup, policy: asked })
    const phase = code === 'stopped' ? 'stopped' : state.phase
    const { signals } = verdictOn({ ...state, phase }, nowMs, more)
    const codes = Object.values(signals).flatMap(({ reasons }) => reasons.map((reason) => reason.code as string))
    t.ok(codes.includes(code), `${code} among ${codes.join(', ')}`)
  }
  t.end()
})

t.test('the audit log: missing entries are reported while it cannot be written, and afterwards as a remark', (t) => {
  const told = (...events: readonly Event[]) => {
    const { state, nowMs } = after([started, ...events])
    return verdictOn(state, nowMs).signals.service
  }
  t.match(told(audit('unwritable')), { state: 'warn', reasons: [{ code: 'audit-gap', severity: 'warn', message: /missing in it: 2/ }] })
  t.match(told(audit('unwritable'), audit('writing')), { state: 'ok', reasons: [{ code: 'audit-gap', severity: 'info' }] })
  t.match(told({ type: 'audit', state: 'writing', entries: 9, lost: 0 }), { state: 'ok', reasons: [] })
  t.end()
})
