import { row, rule } from './host-reasons.ts'

/** Reasons about who can know what on the routes to the resolvers: a part of REASONS. */
export const PATH_REASONS = {
  'not-separated': row<readonly string[]>({
    severity: 'info',
    doc: 'There are hops on routes to resolvers, but a single operator may still know both the address and the names.',
    message: (whys) => `A single operator may know both your address and the names: ${whys.join('; ')}.`,
    mend: 'Put a hop of another operator on every route (docs/paths.md). With "separation": "required" in the policy, lookups fail otherwise.',
  }),
  separated: row<{ address: readonly string[]; names: readonly string[]; unnamed: readonly string[] }>({
    severity: 'info',
    doc: 'No single operator is given both the address and the names.',
    message: ({ address, names, unnamed }) =>
      `No single operator is given both: your address goes to ${address.join(', ')}, the names go to ${names.join(', ')}.${
        unnamed.length === 0 ? '' : ` The configuration does not name the operator of ${unnamed.join(', ')}.`
      }`,
    mend: 'Nothing to fix. enigm-dns status --paths shows who can know what.',
  }),
  'hop-on-this-host': row<readonly string[]>({
    severity: 'info',
    doc: 'The first hop is a program on this host. What lies behind it is not seen from here.',
    message: (hops) => `${hops.join(', ')}: a program on this host. What lies behind it is not seen from here.`,
    mend: 'Check that the program sends everything through another operator, as Tor does.',
  }),
} as const

/** Reasons for policy rules about routes that are not met. */
export const PATH_RULES = {
  'rule-separation': rule(
    'The policy requires that no single operator knows both the address and the names, and one may. Lookups fail.',
    'Put a hop of another operator on every route (docs/paths.md), or leave the resolver out of "use".',
  ),
  'rule-operator-share': rule(
    'One operator learns a larger share of sites than the policy allows.',
    'Set split to by-site, or name more operators in "use". If resolvers fail, the share falls when they answer again.',
  ),
  'rule-allowed-proxies': rule('A proxy or relay is on the route that the policy does not allow.'),
  'rule-diversity': rule('Two parties on a route have the same operator or jurisdiction.'),
} as const
