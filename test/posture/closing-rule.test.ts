// A policy that lets no query through is what a person reads first, everywhere: the resolvers are
// not asked, so they are not the cause.
import t from 'tap'
import * as v from 'valibot'
import { diagnose, type Symptoms } from '../../src/commands/diagnosis.ts'
import { inShort } from '../../src/commands/overview.ts'
import { statusScreen } from '../../src/commands/status-screen.ts'
import { policySchema } from '../../src/config/policy.ts'
import type { Event } from '../../src/events.ts'
import { pageHtml } from '../../src/page/html.ts'
import { metricsText } from '../../src/page/metrics.ts'
import { closingRule } from '../../src/posture/closing-rule.ts'
import { judgeText } from '../../src/posture/reader.ts'
import { report } from '../../src/posture/report.ts'
import { after, answered, at, failed, SETUP, started, verdictOn } from './evidence.ts'

const unwritable: Event = { type: 'audit', state: 'unwritable', entries: 0, lost: 1 }
const writing: Event = { type: 'audit', state: 'writing', entries: 1, lost: 0 }
const vpn = (other: number): Event => ({ type: 'seen.vpn', vpn: 2 - other, other, unknown: 0, unreachable: 0 })

function statusUnder(policy: object | undefined, events: readonly Event[]) {
  const { state, nowMs } = after(events, { ...SETUP, policy: policy === undefined ? undefined : v.parse(policySchema, policy) })
  const counts = { entries: 0, bytes: 0, maxBytes: 1 }
  const writer = { version: '0.1.0', pid: 42, processStart: 'boot:9', heartbeatS: 10 }
  return report(state, verdictOn(state, nowMs), writer, counts, at(nowMs).wallMs)
}
type Status = ReturnType<typeof statusUnder>

/** What each place shows first. */
async function headlines(document: Status) {
  const wallMs = Date.parse(document.updatedAt)
  const status = judgeText('/run/status.json', JSON.stringify(document), { wallMs, isSame: () => true })
  const running = { statusFile: '/run/status.json' } as Parameters<typeof inShort>[1]['running']
  const metrics = await metricsText(document, document)
  const symptoms = { status, connectivity: { ipv4: true, hosts: ['dns'] }, system: { asks: 'us', by: '' }, listeners: [], wallMs }
  return {
    screen: statusScreen(status, wallMs, { colour: false, width: 100 }).split('\n')[1] ?? '',
    overview: inShort(status, { running, installed: true, managed: true } as Parameters<typeof inShort>[1]).state,
    page: /<\/small><\/p>(.*)\n<h2>Signals/.exec(pageHtml(document, document, []))?.[1] ?? '',
    doctor: diagnose(symptoms as unknown as Symptoms).find(({ layer }) => layer === 'policy')?.message ?? '',
    metrics: metrics.split('\n').filter((line) => line.startsWith('enigm_dns_policy_closed')),
    reasons: document.signals.secureNameResolution.reasons.map(({ message }) => message),
  }
}

const CASES = {
  'an audit log that cannot be written': {
    policy: { audit: 'required' },
    events: [started, unwritable],
    rule: 'audit',
    requires: 'an audit log that can be written',
  },
  'a VPN that is missing': {
    policy: { vpn: 'required' },
    events: [started, vpn(1)],
    rule: 'vpn',
    requires: 'a VPN on every way to a resolver',
  },
  'a VPN that is not known yet': {
    policy: { vpn: 'required' },
    events: [started],
    rule: 'vpn',
    requires: 'a VPN on every way to a resolver',
  },
  'one operator that would know all': {
    policy: { separation: 'required' },
    events: [started],
    rule: 'separation',
    requires: 'that no operator knows both',
  },
} as const

for (const [what, { policy, events, rule, requires }] of Object.entries(CASES))
  t.test(`${what}: the policy is named first, whatever the resolvers did before`, async (t) => {
    for (const more of [[], [answered('a')], [failed('a'), failed('b')]]) {
      const document = statusUnder(policy, [...events, ...more])
      t.match(closingRule(document), { rule })
      const { screen, overview, page, doctor, metrics } = await headlines(document)
      for (const [where, text] of Object.entries({ screen, overview, page })) {
        t.match(text, `The policy allows no queries now: it requires ${requires}`, where)
        t.notMatch(text, /resolver is reachable|not proven yet|first query/i, where)
      }
      t.notMatch(doctor, /resolver answers|Not proven/i)
      t.match(doctor, /^The service says: (The policy allows no queries|Not met)/)
      t.strictSame(
        metrics.filter((line) => line.endsWith(' 1')),
        [`enigm_dns_policy_closed{rule="${rule}"} 1`],
      )
    }
    const { reasons } = await headlines(statusUnder(policy, events))
    t.match(reasons[0], /^No resolver is asked, because the policy allows no queries\.$/, 'and nobody is told to send a query')
  })

t.test('a policy that is met, or that closes nothing, is no headline', async (t) => {
  for (const [policy, events] of [
    [{ audit: 'required' }, [started, writing, failed('a'), failed('b')]],
    [{ vpn: 'required' }, [started, vpn(0)]],
    [{ minimumOperators: 2, vpn: 'preferred' }, [started, vpn(1), failed('a'), failed('b')]],
    [undefined, [started]],
    [{ audit: 'required' }, [started, writing, answered('a')]],
  ] as const) {
    const document = statusUnder(policy, events)
    t.equal(closingRule(document), undefined)
    const { page, metrics, screen } = await headlines(document)
    t.equal(page, '')
    t.notMatch(screen, /policy/)
    t.strictSame(
      metrics.filter((line) => line.endsWith(' 1')),
      [],
    )
    t.equal(metrics.length, 3)
  }
})
