import { isLoopback } from '../config/cidr.ts'
import type { PolicyRules } from '../config/policy.ts'
import { hopParty, joinedKnowledge, largestShare, type QueryPath, resolverParty, sameOnPath, strangers } from '../who-knows.ts'
import { type Reason, reason } from './reasons.ts'
import type { RuleVerdict, VerdictInput } from './verdict.ts'

type RuleFinding = Pick<RuleVerdict, 'verdict' | 'detail'>

/**
 * Whether the policy requires that no single operator knows both the address and the names. Until
 * the network is identified, the requirement for any network applies.
 */
function separationAsked(rules: PolicyRules, { setup: { policy }, network }: VerdictInput): boolean {
  if (rules.separation !== undefined) return true
  if (network !== undefined || policy === undefined) return false
  return (policy.networks ?? []).some(({ separation }) => separation !== undefined)
}

/**
 * The verdict on `separation`. Only the routes count. A VPN changes nothing: its operator gets the
 * address and the resolver behind it gets the names, but this program does not know that operator.
 */
export function separation(rules: PolicyRules, input: VerdictInput): RuleFinding | undefined {
  if (!separationAsked(rules, input)) return undefined
  const { paths, splitDns } = input.setup
  const open = splitDns.map(({ zone }) => `${zone} is asked without encryption`)
  const whys = [...joinedKnowledge(paths).map(({ why }) => why), ...open]
  if (whys.length > 0) return { verdict: 'not-met', detail: `${whys.join('; ')}.` }
  const unknown = strangers(paths)
  if (unknown.length > 0) return { verdict: 'cannot-tell', detail: `Nothing says who runs ${unknown.join(', ')}.` }
  return { verdict: 'met', detail: 'No single operator on the route is given both the address and the names.' }
}

/** The verdict on `maxShareOfOperator`. The sites of a failed operator go to the other ones. */
export function operatorShare({ maxShareOfOperator }: PolicyRules, { setup, resolvers }: VerdictInput): RuleFinding | undefined {
  if (maxShareOfOperator === undefined) return undefined
  const sides = setup.generalSides.map((ids) => {
    const all = resolvers.filter((r) => ids.includes(r.setup.id))
    const working = all.filter(({ failing }) => failing === undefined)
    return (working.length > 0 ? working : all).map(({ setup: { unnamed, operator } }) => unnamed ?? operator)
  })
  const share = largestShare(sides, setup.split)
  const detail = `An operator gets ${share < 1 ? 'about' : 'at most'} ${percent(share)} of the sites, and ${percent(maxShareOfOperator)} are allowed.`
  return { verdict: share <= maxShareOfOperator ? 'met' : 'not-met', detail }
}

export function allowedProxies({ allowedProxies }: PolicyRules, { setup: { paths } }: VerdictInput): RuleFinding | undefined {
  if (allowedProxies === undefined) return undefined
  const wrong = new Set(paths.flatMap(({ hops }) => hops.filter(({ name }) => !allowedProxies.includes(name)).map(hopParty)))
  if (wrong.size > 0) return { verdict: 'not-met', detail: `Not allowed: ${[...wrong].join(', ')}.` }
  return { verdict: 'met', detail: 'No other proxy or relay is on the route to a resolver.' }
}

/** The verdict on `diversity`. A jurisdiction is a claim, so that rule is at best claimed. */
export function diversity({ diversity }: PolicyRules, { setup: { paths } }: VerdictInput): RuleFinding | undefined {
  if (diversity === undefined) return undefined
  const kinds = diversity === 'operators' ? (['operator'] as const) : (['operator', 'jurisdiction'] as const)
  const found = kinds.flatMap((kind) => paths.flatMap((path) => sameOnPath(path, kind) ?? []))
  const of = (is: 'same' | 'unknown') => [...new Set(found.filter((one) => one.is === is).map(({ why }) => why))]
  if (of('same').length > 0) return { verdict: 'not-met', detail: `${sentence(of('same'))}.` }
  if (of('unknown').length > 0) return { verdict: 'cannot-tell', detail: `${sentence(of('unknown'))}.` }
  return { verdict: 'claimed', detail: 'All of them differ, according to the configuration and the trusted set.' }
}

const percent = (share: number) => `${Math.round(share * 100)} %`

function sentence(parts: readonly string[]): string {
  const text = parts.join('; ')
  return text.charAt(0).toUpperCase() + text.slice(1)
}

/** The reasons about routes. Empty if all routes are direct. */
export function pathReasons(paths: readonly QueryPath[]): readonly Reason[] {
  const first = paths.flatMap(({ hops }) => hops.slice(0, 1))
  if (first.length === 0) return []
  const joined = joinedKnowledge(paths)
  const distinct = (names: readonly string[]) => [...new Set(names)]
  const unnamed = distinct(
    paths.flatMap(({ hops, resolver, operator }) => [
      ...hops.filter((hop) => hop.operator === undefined).map(hopParty),
      ...(hops.length > 0 && operator === undefined ? [resolverParty(resolver)] : []),
    ]),
  )
  const local = distinct(first.filter(({ host }) => isLoopback(host)).map(hopParty))
  return [
    joined.length > 0
      ? reason(
          'not-separated',
          joined.map(({ why }) => why),
        )
      : reason('separated', {
          address: distinct(first.map(hopParty)),
          names: distinct(paths.map(({ resolver }) => resolverParty(resolver))),
          unnamed,
        }),
    ...(local.length === 0 ? [] : [reason('hop-on-this-host', local)]),
  ]
}
