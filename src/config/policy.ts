import * as v from 'valibot'
import { TRANSPORT_NAMES } from '../transports.ts'
import { parseCidr } from './cidr.ts'
import { closed, described, distinct, integer, ipLiteral, text, word, yesNo } from './fields.ts'
import { cleartextZones } from './forwarding.ts'
import { transportName } from './trusted-set.ts'

/** The shaping profiles, the weakest first. */
export const SHAPING_PROFILES = ['off', 'jitter', 'lite', 'balanced', 'always-on'] as const

const shareText = 'must be a share above 0 and at most 1, as in 0.5'
const share = v.pipe(
  v.number(shareText),
  v.check((value) => value > 0 && value <= 1, shareText),
)

/**
 * Rules that apply everywhere and may be stricter on a named network. Each rule is optional. An
 * absent rule gets no verdict.
 */
const rules = {
  minimumUsageProfile: v.exactOptional(described('The weakest usage profile that is allowed (RFC 8310).', word('strict', 'opportunistic'))),
  transports: v.exactOptional(described('The only transports that may be used.', distinct(transportName, TRANSPORT_NAMES.length))),
  padding: v.exactOptional(
    closed({
      queryBlock: v.exactOptional(described('Queries are padded to a block of at least this many octets.', integer(16, 512))),
      replies: v.exactOptional(described('Replies must be padded.', word('required'))),
    }),
  ),
  shaping: v.exactOptional(described('The weakest shaping profile that is allowed.', word(...SHAPING_PROFILES))),
  operators: v.exactOptional(
    described('The only operators that may be used, by their names in the trusted set.', distinct(text(200), 1000)),
  ),
  jurisdictions: v.exactOptional(
    described(
      'The only jurisdictions that may be used, by their names in the trusted set. A jurisdiction is a claim.',
      distinct(text(64), 1000),
    ),
  ),
  minimumOperators: v.exactOptional(described('At least this many different operators must answer.', integer(1, 1000))),
  pins: v.exactOptional(
    described('Every resolver must be authenticated by an SPKI pin, in addition to its certificate.', word('required')),
  ),
  claims: v.exactOptional(
    closed({
      logging: v.exactOptional(described('What operators must state about logging. Shown as claimed, never as met.', yesNo)),
      dnssec: v.exactOptional(described('What operators must state about DNSSEC validation. Shown as claimed.', yesNo)),
      ecs: v.exactOptional(described('What operators must state about client subnet (RFC 7871). Shown as claimed.', yesNo)),
    }),
  ),
  vpn: v.exactOptional(
    described(
      '`required`: without a VPN on the path to every resolver, no query is sent and none is answered. `preferred`: its absence is a warning.',
      word('off', 'preferred', 'required'),
    ),
  ),
  separation: v.exactOptional(
    described(
      '`required`: no single operator outside this host may know both the address and the names. Otherwise no query is sent and none is answered: docs/paths.md.',
      word('required'),
    ),
  ),
  maxShareOfOperator: v.exactOptional(
    described('The largest share of sites whose names one operator may learn, from 0 to 1. Only `split` can limit it.', share),
  ),
  allowedProxies: v.exactOptional(
    described('The only proxies and relays that may be on the route to a resolver, by their names. []: none.', distinct(text(63), 1000, 0)),
  ),
  diversity: v.exactOptional(
    described(
      '`operators`: every hop on a route, and the resolver, must have different operators. `jurisdictions`: also different jurisdictions, which are claims.',
      word('operators', 'jurisdictions'),
    ),
  ),
  systemResolver: v.exactOptional(described('The system must use this service.', word('required'))),
}

const subnet = v.pipe(
  text(64),
  v.check((cidr) => parseCidr(cidr) !== undefined, 'must be a block of addresses, as in "192.168.1.0/24"'),
)
const mac = v.pipe(
  text(17),
  v.regex(/^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$/, 'must be a hardware address, as in "02:00:5e:10:00:01"'),
  v.toLowerCase(),
)

/**
 * How a network is recognized: all given conditions must match. A match can be forged, so it can
 * only make the rules stricter.
 */
const match = v.pipe(
  closed({
    gateway: v.exactOptional(described('The IPv4 address of the gateway.', ipLiteral)),
    gatewayMac: v.exactOptional(described('The hardware address of the gateway.', mac)),
    subnet: v.exactOptional(described('The subnet of this host.', subnet)),
  }),
  v.check((m) => Object.keys(m).length > 0, 'must identify the network: give gateway, gatewayMac or subnet'),
)

const network = closed({ name: described('The name of the network in the status.', text(63)), match, ...rules })

/** The policy document: requirements for this installation beyond the configuration. */
export const policySchema = closed({
  ...rules,
  vpnInterfaces: v.exactOptional(
    described('Interfaces that count as VPN, for tunnels that are not recognised by their kind.', distinct(text(15), 64)),
  ),
  allowCleartext: v.exactOptional(
    described(
      'The zones that may be asked without encryption (`forward`). Zones that are not named here make the state `exposed`.',
      cleartextZones,
    ),
  ),
  audit: v.optional(
    described(
      'Whether violations and changes of state are written to a log. `required`: lookups fail while it cannot be written.',
      word('off', 'on', 'required'),
    ),
    'on',
  ),
  networks: v.exactOptional(
    v.pipe(
      v.array(network, 'must be a list of networks'),
      v.maxLength(64, 'must hold at most 64 networks'),
      v.check((list) => new Set(list.map((n) => n.name)).size === list.length, 'contains a name twice; give each network its own name'),
    ),
  ),
})

/**
 * `unsignedNetworks`: beside a signed policy, the names of networks that only the configuration
 * describes. Their rules apply, and they are not trusted.
 */
export type Policy = v.InferOutput<typeof policySchema> & { readonly unsignedNetworks?: readonly string[] }
export type PolicyNetwork = NonNullable<Policy['networks']>[number]
/** The rules that apply in one place. */
export type PolicyRules = Omit<PolicyNetwork, 'name' | 'match'>

const VPN_RANK = { off: 0, preferred: 1, required: 2 } as const
type Vpn = keyof typeof VPN_RANK
type Diversity = NonNullable<PolicyRules['diversity']>

/**
 * The rules of `base` combined with those of `more`; the stricter one applies, so a network can
 * never weaken a rule.
 */
export function tightened(base: PolicyRules, more: PolicyRules): PolicyRules {
  const profile = strictest(base.minimumUsageProfile, more.minimumUsageProfile, (p) => (p === 'strict' ? 1 : 0))
  const shaping = strictest(base.shaping, more.shaping, (p) => SHAPING_PROFILES.indexOf(p))
  const queryBlock = strictest(base.padding?.queryBlock, more.padding?.queryBlock, (n) => n)
  const replies = base.padding?.replies ?? more.padding?.replies
  const padding = { ...(queryBlock === undefined ? {} : { queryBlock }), ...(replies === undefined ? {} : { replies }) }
  return defined({
    minimumUsageProfile: profile,
    transports: both(base.transports, more.transports),
    padding: Object.keys(padding).length === 0 ? undefined : padding,
    shaping,
    operators: both(base.operators, more.operators),
    jurisdictions: both(base.jurisdictions, more.jurisdictions),
    minimumOperators: strictest(base.minimumOperators, more.minimumOperators, (n) => n),
    pins: base.pins ?? more.pins,
    claims: base.claims === undefined && more.claims === undefined ? undefined : { ...more.claims, ...base.claims },
    vpn: strictest<Vpn>(base.vpn, more.vpn, (word) => VPN_RANK[word]),
    separation: base.separation ?? more.separation,
    maxShareOfOperator: strictest(base.maxShareOfOperator, more.maxShareOfOperator, (share) => -share),
    allowedProxies: both(base.allowedProxies, more.allowedProxies),
    diversity: strictest<Diversity>(base.diversity, more.diversity, (word) => (word === 'jurisdictions' ? 1 : 0)),
    systemResolver: base.systemResolver ?? more.systemResolver,
  })
}

function strictest<T>(a: T | undefined, b: T | undefined, rank: (value: T) => number): T | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return rank(b) > rank(a) ? b : a
}

/** The items that are in both lists. An absent list does not limit the other one. */
export function both<T>(a: readonly T[] | undefined, b: readonly T[] | undefined): T[] | undefined {
  if (a === undefined || b === undefined) return a === undefined ? b && [...b] : [...a]
  return a.filter((item) => b.includes(item))
}

function defined(rules: { [K in keyof PolicyRules]: PolicyRules[K] | undefined }): PolicyRules {
  return Object.fromEntries(Object.entries(rules).filter(([, value]) => value !== undefined))
}

/** The strictest requirement of the policy for a VPN on any network. */
export function strictestVpn({ vpn, networks }: Policy): Vpn | undefined {
  return [vpn, ...(networks ?? []).map((network) => network.vpn)].reduce((a, b) => strictest<Vpn>(a, b, (word) => VPN_RANK[word]))
}

/** The rules on the network that the policy calls `name`. Undefined: any other network. */
export function rulesAt(policy: Policy, name: string | undefined): PolicyRules {
  const { networks, vpnInterfaces: _interfaces, audit: _audit, allowCleartext: _cleartext, unsignedNetworks: _unsigned, ...base } = policy
  const here = networks?.find((n) => n.name === name)
  if (here === undefined) return base
  const { name: _name, match: _match, ...more } = here
  return tightened(base, more)
}
