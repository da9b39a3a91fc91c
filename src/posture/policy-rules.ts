import { type PolicyRules, rulesAt, SHAPING_PROFILES, strictestVpn } from '../config/policy.ts'
import { counted } from '../config/problems.ts'
import type { ErrorCode } from '../errors.ts'
import { operatorKey } from '../route.ts'
import { allowedProxies, diversity, operatorShare, separation } from './path-rules.ts'
import { type Reason, type RuleCode, reason, worstFirst } from './reasons.ts'
import type { SplitZone } from './state.ts'
import type { ResolverInput, RuleVerdict, ShapingForce, SignalState, VerdictInput } from './verdict.ts'

type RuleFinding = Pick<RuleVerdict, 'verdict' | 'detail'>
type RuleCheck = (rules: PolicyRules, input: VerdictInput, force: ShapingForce) => RuleFinding | undefined

const met = (detail: string): RuleFinding => ({ verdict: 'met', detail })
const notMet = (detail: string): RuleFinding => ({ verdict: 'not-met', detail })
const claimed = (detail: string): RuleFinding => ({ verdict: 'claimed', detail })
const cannotTell = (detail: string): RuleFinding => ({ verdict: 'cannot-tell', detail })
const ids = (resolvers: readonly ResolverInput[]) => resolvers.map((r) => r.setup.id).join(', ')

/**
 * The verdicts on all rules in force on this network, in the order of the schema. Empty: no policy
 * is configured.
 */
export function ruleVerdicts(input: VerdictInput, force: ShapingForce): readonly RuleVerdict[] {
  const { policy } = input.setup
  if (policy === undefined) return []
  const rules = rulesAt(policy, input.network?.named)
  const found = RULES.flatMap(([rule, code, judge]) => {
    const judged = judge(rules, input, force)
    return judged === undefined ? [] : [{ rule, code, ...judged }]
  })
  const audit = policy.audit === 'required' ? [{ rule: 'audit', code: 'rule-audit', ...auditRule(input) } as const] : []
  const cleartext =
    policy.allowCleartext === undefined ? [] : [{ rule: 'allowCleartext', code: 'rule-cleartext', ...cleartextRule(input) } as const]
  return [...found, ...cleartext, ...audit]
}

/**
 * The error code if the policy allows no queries now. Undefined: queries are allowed. A rule that
 * cannot be evaluated counts as not met.
 */
export function failClosed(rules: readonly RuleVerdict[]): ErrorCode | undefined {
  const unmet = (wanted: RuleCode) => rules.some(({ code, verdict }) => code === wanted && verdict !== 'met')
  if (unmet('rule-vpn')) return 'vpn-required'
  if (unmet('rule-separation')) return 'separation-required'
  return unmet('rule-audit') ? 'audit-required' : undefined
}

/**
 * The requirement of the policy for a VPN on this network. Until the network is identified, the
 * strictest requirement for any network applies, so that nothing is allowed too early.
 */
export function vpnAsked({ setup: { policy }, network }: VerdictInput): NonNullable<PolicyRules['vpn']> {
  if (policy === undefined) return 'off'
  return (network === undefined ? strictestVpn(policy) : rulesAt(policy, network.named).vpn) ?? 'off'
}

/**
 * The verdict on whether every path to a resolver uses a VPN interface. The source address for each
 * pinned address shows the interface.
 */
export function vpnPaths({ vpn }: VerdictInput): RuleFinding {
  return vpn === undefined ? cannotTell('This was not checked yet.') : egressVerdict(vpn)
}

/**
 * The same for one check: how many addresses are reached from a VPN interface, from another one,
 * and from one of unknown kind.
 */
export function egressVerdict(vpn: { readonly vpn: number; readonly other: number; readonly unknown: number }): RuleFinding {
  const all = vpn.vpn + vpn.other + vpn.unknown
  if (vpn.other > 0) return notMet(`${vpn.other} of ${all} addresses of resolvers are reached without a VPN.`)
  if (vpn.unknown > 0) return cannotTell('The kind of the interface cannot be determined on this system.')
  if (all === 0) return notMet('No address of a resolver can be reached at all.')
  return met(`All reachable addresses of resolvers (${all}) are reached from a VPN interface.`)
}

const RULES: readonly (readonly [rule: string, code: RuleCode, judge: RuleCheck])[] = [
  [
    'minimumUsageProfile',
    'rule-usage-profile',
    (rules, { setup }) =>
      rules.minimumUsageProfile === undefined
        ? undefined
        : rules.minimumUsageProfile === 'strict' && setup.usageProfile !== 'strict'
          ? notMet(`It is ${setup.usageProfile}.`)
          : met(`It is ${setup.usageProfile}.`),
  ],
  ['transports', 'rule-transports', transports],
  ['padding.queryBlock', 'rule-query-padding', queryPadding],
  ['padding.replies', 'rule-reply-padding', replyPadding],
  ['shaping', 'rule-shaping', shapingRule],
  ['operators', 'rule-operators', operators],
  ['jurisdictions', 'rule-jurisdictions', jurisdictions],
  ['minimumOperators', 'rule-operator-count', operatorCount],
  ['pins', 'rule-pins', pins],
  ['claims', 'rule-claims', claims],
  ['vpn', 'rule-vpn', (_rules, input) => (vpnAsked(input) === 'required' ? vpnPaths(input) : undefined)],
  ['separation', 'rule-separation', separation],
  ['maxShareOfOperator', 'rule-operator-share', operatorShare],
  ['allowedProxies', 'rule-allowed-proxies', allowedProxies],
  ['diversity', 'rule-diversity', diversity],
  ['systemResolver', 'rule-system-resolver', systemResolver],
]

function transports(rules: PolicyRules, { resolvers }: VerdictInput): RuleFinding | undefined {
  const { transports } = rules
  if (transports === undefined) return undefined
  const wrong = resolvers.filter((r) => r.setup.transports.some((t) => !transports.includes(t)))
  return wrong.length > 0 ? notMet(`Other transports are enabled for: ${ids(wrong)}.`) : met(`Only ${transports.join(', ')}.`)
}

function queryPadding(rules: PolicyRules, { setup }: VerdictInput): RuleFinding | undefined {
  const wanted = rules.padding?.queryBlock
  if (wanted === undefined) return undefined
  return setup.queryBlock >= wanted ? met(`To ${setup.queryBlock} octets.`) : notMet(`To ${setup.queryBlock} octets, not ${wanted}.`)
}

function replyPadding(rules: PolicyRules, { resolvers }: VerdictInput): RuleFinding | undefined {
  if (rules.padding?.replies === undefined) return undefined
  const bare = resolvers.filter((r) => ['no', 'mixed'].includes(r.padded))
  if (bare.length > 0) return notMet(`These do not pad every reply: ${ids(bare)}.`)
  return resolvers.some((r) => r.padded === 'yes') ? met('All recent replies were padded.') : cannotTell('No reply has arrived yet.')
}

function shapingRule(rules: PolicyRules, { setup: { shaping } }: VerdictInput, { inForce }: ShapingForce): RuleFinding | undefined {
  if (rules.shaping === undefined) return undefined
  const rank = (profile: string) => SHAPING_PROFILES.indexOf(profile as (typeof SHAPING_PROFILES)[number])
  if (rank(shaping.profile) < rank(rules.shaping)) return notMet(`The profile is ${shaping.profile}, not ${rules.shaping}.`)
  if (shaping.profile === 'off' || inForce === 'yes') return met(`${shaping.profile} is in force.`)
  return inForce === 'no'
    ? notMet(`${shaping.profile} is not in force.`)
    : cannotTell(`It is not known whether ${shaping.profile} is in force.`)
}

function operators(rules: PolicyRules, { resolvers }: VerdictInput): RuleFinding | undefined {
  const { operators } = rules
  if (operators === undefined) return undefined
  const allowed = operators.map(operatorKey)
  const wrong = resolvers.filter(({ setup }) => setup.unnamed !== undefined || !allowed.includes(operatorKey(setup.operator)))
  return wrong.length > 0 ? notMet(`Not allowed: ${ids(wrong)}.`) : met('The trusted set holds no other operator.')
}

function jurisdictions(rules: PolicyRules, { resolvers }: VerdictInput): RuleFinding | undefined {
  const { jurisdictions } = rules
  if (jurisdictions === undefined) return undefined
  const wrong = resolvers.filter((r) => !jurisdictions.includes(r.setup.jurisdiction ?? ''))
  return wrong.length > 0 ? notMet(`Not allowed: ${ids(wrong)}.`) : claimed('According to the trusted set.')
}

/** The operator as which a resolver is counted. */
const countedAs = ({ unnamed, operator }: ResolverInput['setup']) => unnamed ?? operatorKey(operator)

/** The verdict on `minimumOperators`. Operators that were never tried are not counted. */
function operatorCount(rules: PolicyRules, { resolvers }: VerdictInput): RuleFinding | undefined {
  const wanted = rules.minimumOperators
  if (wanted === undefined) return undefined
  const count = (of: (r: ResolverInput) => boolean) =>
    new Set(resolvers.filter((r) => r.setup.notGeneral !== true && of(r)).map(({ setup }) => countedAs(setup))).size
  const answering = count((r) => r.failing === undefined && r.quietMin !== undefined)
  const possible = count((r) => r.failing === undefined)
  if (answering >= wanted) return met(`${answering} answer.`)
  return possible < wanted
    ? notMet(`${possible} can answer, not ${wanted}.`)
    : cannotTell(`${answering} have answered so far, not yet ${wanted}.`)
}

function pins(rules: PolicyRules, { resolvers }: VerdictInput): RuleFinding | undefined {
  if (rules.pins === undefined) return undefined
  // The key of a DNSCrypt provider is a pin.
  const unpinned = ({ setup }: ResolverInput) => (setup.pins ?? 0) === 0 && setup.transports.some((transport) => transport !== 'dnscrypt')
  const wrong = resolvers.filter((r) => unpinned(r) || r.proof === 'ca' || r.proof === 'none')
  return wrong.length > 0 ? notMet(`Without a pin: ${ids(wrong)}.`) : met('A resolver that shows no pinned key is refused.')
}

function claims(rules: PolicyRules, { resolvers }: VerdictInput): RuleFinding | undefined {
  const wanted = Object.entries(rules.claims ?? {})
  if (rules.claims === undefined) return undefined
  const says = (r: ResolverInput, name: string) => r.setup.claims?.[name]
  const contrary = resolvers.filter((r) => wanted.some(([name, value]) => says(r, name) === !value))
  if (contrary.length > 0) return notMet(`These state the opposite: ${ids(contrary)}.`)
  const silent = resolvers.filter((r) => wanted.some(([name, value]) => says(r, name) !== value))
  const what = wanted.map(([name, value]) => `${name} ${value ? 'yes' : 'no'}`).join(', ')
  return silent.length > 0 ? cannotTell(`These state nothing about it: ${ids(silent)}.`) : claimed(`Every operator claims: ${what}.`)
}

function systemResolver(rules: PolicyRules, { system, canary }: VerdictInput): RuleFinding | undefined {
  if (rules.systemResolver === undefined) return undefined
  if (system === undefined || system.asks === 'unknown') return cannotTell('Cannot tell which DNS server the system uses.')
  if (system.asks !== 'us')
    return notMet(`${system.by} makes the system use another DNS server${system.asks === 'partly' ? ' as well' : ''}.`)
  if (canary?.outcome === 'lost') return notMet('A test query through the system did not arrive at our listener.')
  return canary?.outcome === 'returned'
    ? met('A test query through the system arrived at our listener.')
    : met(`According to ${system.by}.`)
}

/** The zones that are asked without encryption although the policy does not name them. */
export function exposedZones({ setup: { policy, splitDns } }: VerdictInput): readonly SplitZone[] {
  return splitDns.filter(({ zone }) => policy?.allowCleartext?.includes(zone) !== true)
}

function cleartextRule(input: VerdictInput): RuleFinding {
  const others = exposedZones(input)
  if (others.length > 0) return notMet(`Asked without encryption: ${others.map(({ zone }) => zone).join(', ')}.`)
  const { splitDns } = input.setup
  return met(splitDns.length === 0 ? 'No zone is asked without encryption.' : `Only ${splitDns.map(({ zone }) => zone).join(', ')}.`)
}

function auditRule({ audit }: VerdictInput): RuleFinding {
  if (audit === undefined) return cannotTell('Nothing has been written yet.')
  return audit.state === 'writing'
    ? met(`${counted(audit.entries, 'entry', 'entries')}.`)
    : notMet(`The log cannot be written; ${counted(audit.lost, 'event is', 'events are')} missing.`)
}

/**
 * The signal policyCompliance. Rules that are not met come first; the others follow in one line per
 * verdict.
 */
export function policyCompliance(verdicts: readonly RuleVerdict[]): { readonly state: SignalState; readonly reasons: readonly Reason[] } {
  const of = (verdict: RuleVerdict['verdict']) => verdicts.filter((v) => v.verdict === verdict)
  const line = (verdict: RuleVerdict['verdict'], code: 'policy-unknown' | 'policy-claimed' | 'policy-met') => {
    const names = of(verdict).map(({ rule }) => rule)
    return names.length > 0 ? [reason(code, names)] : []
  }
  const reasons = [
    ...of('not-met').map(({ code, rule, detail }) => reason(code, { rule, detail })),
    ...line('cannot-tell', 'policy-unknown'),
    ...line('claimed', 'policy-claimed'),
    ...line('met', 'policy-met'),
  ]
  const level = of('not-met').length > 0 ? 'bad' : of('cannot-tell').length > 0 ? 'unknown' : 'ok'
  return { state: level, reasons: worstFirst(reasons) }
}

/** Counts for each rule of the policy how often it changed to not met. */
export class Violations {
  #broken: ReadonlySet<RuleCode> = new Set()
  readonly counts: Partial<Record<RuleCode, number>> = {}

  judged(rules: readonly RuleVerdict[]): void {
    const broken = new Set(rules.flatMap(({ code, verdict }) => (verdict === 'not-met' ? [code] : [])))
    for (const code of broken) if (!this.#broken.has(code)) this.counts[code] = (this.counts[code] ?? 0) + 1
    this.#broken = broken
  }
}
