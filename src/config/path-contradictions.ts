import { hopParty, joinedKnowledge, largestShare, type Split, sameOnPath, strangers } from '../who-knows.ts'
import { generalSides } from './forwarding.ts'
import { operatorKeys } from './operators.ts'
import type { PolicyRules } from './policy.ts'
import { quoted } from './problems.ts'
import { pathsOf } from './query-paths.ts'
import type { ConfigFile } from './settings.ts'
import type { TrustedResolver } from './trusted-set.ts'

type Facts = Parameters<typeof pathsOf>[0] & Pick<ConfigFile, 'split' | 'allowCleartext' | 'views'> & { readonly use: readonly string[] }

interface Contradiction {
  readonly path: keyof PolicyRules
  readonly message: string
}

/** The rules about routes to resolvers that this configuration can never meet. */
export function contradictedPaths(rules: PolicyRules, config: Facts, resolvers: readonly TrustedResolver[]): readonly Contradiction[] {
  const { separation, allowedProxies, diversity, maxShareOfOperator } = rules
  if (separation === undefined && allowedProxies === undefined && diversity === undefined && maxShareOfOperator === undefined) return []
  const paths = pathsOf(config, resolvers)
  const found: Contradiction[] = []
  const no = (path: keyof PolicyRules, message: string) => void found.push({ path, message })
  if (separation !== undefined)
    for (const { why } of joinedKnowledge(paths))
      no('separation', `requires that no single operator knows both the address and the names, but ${why}; ${SEPARATE}`)
  const unknown = separation === undefined ? [] : strangers(paths)
  if (unknown.length > 0)
    no(
      'separation',
      `requires that no single operator knows both the address and the names, but nothing says who runs ${unknown.join(', ')}; ${NAMED}`,
    )
  if (separation !== undefined && config.allowCleartext.length > 0)
    no('separation', `allows no names in cleartext, but allowCleartext contains ${config.allowCleartext.map(quoted).join(', ')}; remove it`)
  for (const { name, kind } of new Map(paths.flatMap(({ hops }) => hops.map((one) => [hopParty(one), one]))).values())
    if (allowedProxies?.includes(name) === false)
      no(
        'allowedProxies',
        `does not allow ${quoted(name)}, which is on the route to a resolver; ${TAKE_OUT[kind.endsWith('-relay') ? 'relay' : 'proxy']} or allow it here`,
      )
  for (const what of diversity === undefined ? [] : diversity === 'operators' ? OPERATOR : BOTH)
    for (const why of new Set(paths.flatMap((path) => sameOnPath(path, what)?.why ?? [])))
      no('diversity', `requires different ${diversity} on each route, but ${why}; ${DIFFER}`)
  const { split } = config
  const keys = operatorKeys(resolvers)
  const operatorsOf = (ids: readonly string[]) => ids.flatMap((id) => keys.get(id) ?? [])
  const share = largestShare(generalSides(config).map(operatorsOf), split)
  if (maxShareOfOperator !== undefined && share > maxShareOfOperator)
    no('maxShareOfOperator', `is ${maxShareOfOperator}, but ${shareText(share, split)}`)
  return found
}

const TAKE_OUT = {
  relay: 'take it out of the transports of the resolver ("relay") in the trusted set',
  proxy: 'take it out of "via"',
} as const
const OPERATOR = ['operator'] as const
const BOTH = ['operator', 'jurisdiction'] as const
const SEPARATE = 'put a hop of another operator on the route ("via", or an ODoH relay), leave the resolver out of "use", or remove the rule'
const NAMED = 'name its "operator", or for Tor set "isolate": "operator"'
const DIFFER = 'use another hop, name the one that is not known, or remove the rule'

function shareText(share: number, split: Split): string {
  if (split === 'by-site') return `an operator gets ${share.toFixed(2)} of the sites; name more operators in "use" or raise this`
  const reason = split === 'none' ? 'any operator may get every name' : 'in time every operator gets every site'
  return `with "split": "${split}" ${reason}; set split to by-site or remove this`
}

/**
 * The rules about routes that are weaker on a network than everywhere, with the value everywhere.
 */
export function weakerPathRules(everywhere: PolicyRules, here: PolicyRules): readonly (readonly [key: keyof PolicyRules, was: string])[] {
  const found: (readonly [keyof PolicyRules, string])[] = []
  if ((here.maxShareOfOperator ?? 0) > (everywhere.maxShareOfOperator ?? 1))
    found.push(['maxShareOfOperator', String(everywhere.maxShareOfOperator)])
  if (here.diversity === 'operators' && everywhere.diversity === 'jurisdictions') found.push(['diversity', 'jurisdictions'])
  return found
}
