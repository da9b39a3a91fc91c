import { operatorKey } from '../route.ts'
import { LINK } from './forwarding.ts'
import { operatorCount } from './operators.ts'
import { contradictedPaths, weakerPathRules } from './path-contradictions.ts'
import { type Policy, type PolicyRules, rulesAt, SHAPING_PROFILES, strictestVpn } from './policy.ts'
import { type Problem, quoted } from './problems.ts'
import type { ConfigFile } from './settings.ts'
import { offers, type TrustedResolver } from './trusted-set.ts'

/**
 * A rule that the configuration can never meet. `path` is below `policy`; `message` says how to fix
 * it.
 */
export interface Contradiction {
  readonly path: string
  readonly message: string
}

type Facts = Pick<
  ConfigFile,
  | 'usageProfile'
  | 'allowDnscryptCertificates'
  | 'transports'
  | 'padding'
  | 'shaping'
  | 'allowCleartext'
  | 'forward'
  | 'views'
  | 'proxies'
  | 'via'
  | 'odoh'
  | 'split'
>

/**
 * Finds contradictions between policy and configuration, between policy and trusted set, or between
 * the rules of one network and those for all. With a contradiction a daemon would always violate
 * the policy, and the author of the policy would not notice. `use`: the ids of the resolvers for
 * general names.
 */
export function contradictions(
  config: Facts,
  policy: Policy,
  resolvers: readonly TrustedResolver[],
  use: readonly string[],
): readonly Contradiction[] {
  const everywhere = rulesAt(policy, undefined)
  const found = [
    ...unencrypted(config, policy),
    ...unknownServers(config, policy),
    ...unmeetable(everywhere, config, resolvers, use, 'policy'),
  ]
  for (const [index, network] of (policy.networks ?? []).entries()) {
    const path = `policy.networks[${index}]`
    const { name: _name, match: _match, ...here } = network
    found.push(
      ...relaxing(
        everywhere,
        here,
        path,
        (key, was) => `is weaker than policy.${key} (${was}), but a network may only add stricter rules; remove it`,
      ),
    )
    const known = new Set(found.map(({ message }) => message))
    found.push(...unmeetable(rulesAt(policy, network.name), config, resolvers, use, path).filter(({ message }) => !known.has(message)))
  }
  return found
}

/** The files of the rules: that of the configuration, and that of a signed policy. */
interface PolicyFiles {
  readonly file: string
  readonly signed: { readonly file: string; readonly policy: Policy } | undefined
}

/** The contradictions of `policy`, each with the file of the rule. See `contradictions`. */
export function placedContradictions(
  { file, signed }: PolicyFiles,
  policy: Policy,
  find: (policy: Policy) => readonly Contradiction[],
): readonly Problem[] {
  const theirs = new Set(signed === undefined ? [] : find(signed.policy).map(placeOf))
  // The networks of the signed policy come first.
  const before = signed?.policy.networks?.length ?? 0
  const own = (path: string) => path.replace(/^policy\.networks\[(\d+)\]/, (_, i) => `policy.networks[${Number(i) - before}]`)
  return find(policy).map((one) =>
    signed !== undefined && theirs.has(placeOf(one))
      ? {
          file: signed.file,
          path: one.path.replace(/^policy\./, ''),
          message: `${one.message} (a rule of the signed policy: only its signer can change it)`,
        }
      : { file, path: own(one.path), message: one.message },
  )
}

const placeOf = ({ path, message }: Contradiction) => `${path} ${message}`

/** Finds zones in `allowCleartext` that the policy does not allow. */
function unencrypted({ allowCleartext }: Facts, policy: Policy): readonly Contradiction[] {
  const others = allowCleartext.filter((zone) => policy.allowCleartext !== undefined && !policy.allowCleartext.includes(zone))
  if (others.length === 0) return []
  const message = `does not name ${others.map(quoted).join(', ')}, which allowCleartext contains; remove it there or allow it here`
  return [{ path: 'policy.allowCleartext', message }]
}

/**
 * Finds unknown servers although a VPN is required: the path to each server must be known first.
 */
function unknownServers({ forward, views }: Facts, policy: Policy): readonly Contradiction[] {
  const rules = [...forward, ...views.flatMap((view) => view.forward ?? [])]
  if (strictestVpn(policy) !== 'required' || !rules.some(({ cleartext }) => cleartext === LINK)) return []
  const message =
    'is required, but "link" in forward means servers of this network, which are not known in advance; name the server or a resolver'
  return [{ path: 'policy.vpn', message }]
}

function unmeetable(
  rules: PolicyRules,
  config: Facts,
  resolvers: readonly TrustedResolver[],
  use: readonly string[],
  at: string,
): readonly Contradiction[] {
  const found: Contradiction[] = []
  const no = (key: string, message: string) => void found.push({ path: `${at}.${key}`, message })
  if (rules.minimumUsageProfile === 'strict' && config.usageProfile !== 'strict')
    no('minimumUsageProfile', 'requires strict, but usageProfile is opportunistic; set usageProfile to strict or remove the rule')
  const others = config.transports.filter((t) => rules.transports !== undefined && !rules.transports.includes(t))
  if (others.length > 0)
    no('transports', `does not allow ${others.join(', ')}, which transports contains; remove it there or allow it here`)
  const block = rules.padding?.queryBlock ?? 0
  if (config.padding.queryBlock < block)
    no('padding.queryBlock', `requires ${block}, but padding.queryBlock is ${config.padding.queryBlock}; raise that or lower this`)
  if (rules.shaping !== undefined && SHAPING_PROFILES.indexOf(config.shaping.profile) < SHAPING_PROFILES.indexOf(rules.shaping))
    no('shaping', `requires ${rules.shaping} or more, but shaping.profile is ${config.shaping.profile}; set that or lower this`)
  found.push(...aboutResolvers(rules, config, resolvers, use, at))
  found.push(...contradictedPaths(rules, { ...config, use }, resolvers).map(({ path, message }) => ({ path: `${at}.${path}`, message })))
  return found
}

function aboutResolvers(
  rules: PolicyRules,
  { transports }: Facts,
  resolvers: readonly TrustedResolver[],
  use: readonly string[],
  at: string,
): readonly Contradiction[] {
  const found: Contradiction[] = []
  const no = (key: string, message: string) => void found.push({ path: `${at}.${key}`, message })
  const leaveOut = 'leave it out of "use" or change the rule'
  for (const resolver of resolvers) {
    const { id, operator, jurisdiction, spkiPins, claims } = resolver
    if (rules.operators !== undefined && operator === undefined)
      no('operators', `allows only operators that are named, and ${quoted(id)} names none; name its "operator" or ${leaveOut}`)
    else if (rules.operators !== undefined && !rules.operators.map(operatorKey).includes(operatorKey(operator ?? '')))
      no('operators', `does not allow ${quoted(operator)}, the operator of ${quoted(id)}; ${leaveOut}`)
    if (rules.jurisdictions !== undefined && (jurisdiction === undefined || !rules.jurisdictions.includes(jurisdiction)))
      no(
        'jurisdictions',
        `does not allow ${jurisdiction === undefined ? 'an unknown jurisdiction' : quoted(jurisdiction)}, the jurisdiction of ${quoted(id)}; ${leaveOut}`,
      )
    // The key of a DNSCrypt provider is a pin, and DNSCrypt has no other.
    const needsPins = transports.some((transport) => transport !== 'dnscrypt' && offers(resolver, transport))
    if (rules.pins !== undefined && needsPins && spkiPins.length === 0)
      no('pins', `requires pins, but ${quoted(id)} has none; add spkiPins in the trusted set or leave it out of "use"`)
    for (const [claim, wanted] of Object.entries(rules.claims ?? {})) {
      const said = Object.entries(claims).find(([name]) => name === claim)?.[1]
      if (typeof said === 'boolean' && said !== wanted)
        no(`claims.${claim}`, `requires ${wanted}, but ${quoted(id)} states ${said} about itself; ${leaveOut}`)
    }
  }
  const general = resolvers.filter(({ id }) => use.includes(id))
  const operators = operatorCount(general)
  const unnamed = general.filter(({ operator }) => operator === undefined).length > 1
  const wanted = rules.minimumOperators ?? 0
  if (operators < wanted)
    no(
      'minimumOperators',
      `requires ${wanted} operators, but ${operators} ${operators === 1 ? 'is' : 'are'} in use; name more resolvers in "use"${unnamed ? ', name the "operator" of each in the trusted set,' : ''} or lower this`,
    )
  return found
}

/**
 * Finds the rules of `everywhere` that `here` would weaken. `here` may only add stricter rules: a
 * weaker value would have no effect. `says` makes the message from a key and the stricter value.
 */
export function relaxing(
  everywhere: PolicyRules,
  here: PolicyRules,
  at: string,
  says: (key: string, was: string) => string,
): readonly Contradiction[] {
  const found: Contradiction[] = []
  const no = (key: string, was: string) => void found.push({ path: `${at}.${key}`, message: says(key, was) })
  const rank = (word: string | undefined) => ['off', 'preferred', 'required'].indexOf(word ?? 'off')
  if (here.vpn !== undefined && rank(here.vpn) < rank(everywhere.vpn)) no('vpn', everywhere.vpn ?? '')
  if (here.minimumUsageProfile === 'opportunistic' && everywhere.minimumUsageProfile === 'strict') no('minimumUsageProfile', 'strict')
  if ((here.minimumOperators ?? Number.POSITIVE_INFINITY) < (everywhere.minimumOperators ?? 0))
    no('minimumOperators', String(everywhere.minimumOperators))
  if ((here.padding?.queryBlock ?? Number.POSITIVE_INFINITY) < (everywhere.padding?.queryBlock ?? 0))
    no('padding.queryBlock', String(everywhere.padding?.queryBlock))
  if (
    here.shaping !== undefined &&
    everywhere.shaping !== undefined &&
    SHAPING_PROFILES.indexOf(here.shaping) < SHAPING_PROFILES.indexOf(everywhere.shaping)
  )
    no('shaping', everywhere.shaping)
  for (const [key, was] of weakerPathRules(everywhere, here)) no(key, was)
  for (const key of ['transports', 'operators', 'jurisdictions', 'allowedProxies'] as const) {
    const [wide, narrow] = [everywhere[key], here[key]]
    if (wide !== undefined && narrow?.some((item) => !(wide as readonly string[]).includes(item))) no(key, wide.join(', '))
  }
  for (const [claim, wanted] of Object.entries(here.claims ?? {})) {
    const already = Object.entries(everywhere.claims ?? {}).find(([name]) => name === claim)?.[1]
    if (already !== undefined && already !== wanted) no(`claims.${claim}`, String(already))
  }
  return found
}
