import * as v from 'valibot'
import { TRANSPORT_NAMES } from '../transports.ts'
import { parseCidr } from './cidr.ts'
import { closed, distinct, integer, ipLiteral, text, word } from './fields.ts'
import { transportName } from './trusted-set.ts'

/** Weakest first. */
export const SHAPING_PROFILES = ['off', 'jitter', 'lite', 'balanced', 'always-on'] as const
const yesNo = v.boolean('must be true or false')

/** What may be asked everywhere, and more strictly on a network that is named. Each rule is optional; what is not asked for is not judged. */
const rules = {
  /** The weakest usage profile that will do (RFC 8310). */
  minimumUsageProfile: v.exactOptional(word('strict', 'opportunistic')),
  /** No other transport may be used. */
  transports: v.exactOptional(distinct(transportName, TRANSPORT_NAMES.length)),
  padding: v.exactOptional(
    closed({
      /** Queries are padded to at least this block. */
      queryBlock: v.exactOptional(integer(16, 512)),
      /** Replies must come back padded. */
      replies: v.exactOptional(word('required')),
    }),
  ),
  /** The weakest shaping profile that will do. */
  shaping: v.exactOptional(word(...SHAPING_PROFILES)),
  /** No other operator may be used; as the trusted set names them. */
  operators: v.exactOptional(distinct(text(200), 1000)),
  /** No other jurisdiction; as the trusted set names them, which is a claim. */
  jurisdictions: v.exactOptional(distinct(text(64), 1000)),
  minimumOperators: v.exactOptional(integer(1, 1000)),
  /** Every resolver must be known by an SPKI pin as well as by its certificate. */
  pins: v.exactOptional(word('required')),
  /** What operators must say of themselves: shown as claimed, never as met. */
  claims: v.exactOptional(closed({ logging: v.exactOptional(yesNo), dnssec: v.exactOptional(yesNo), ecs: v.exactOptional(yesNo) })),
  /** Required: without a VPN on the way to every resolver nothing is asked and nothing answered. */
  vpn: v.exactOptional(word('off', 'preferred', 'required')),
  /** The system must ask this service. */
  systemResolver: v.exactOptional(word('required')),
}

const subnet = v.pipe(
  text(64),
  v.check((cidr) => parseCidr(cidr) !== undefined, 'must be a block of addresses, as in "192.168.1.0/24"'),
)
const mac = v.pipe(
  text(17),
  v.regex(/^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$/, 'must be a hardware address, as in "02:00:5e:10:00:01"'),
  v.transform((address) => address.toLowerCase()),
)

/** How a network is known: all that is given must match. A match can be forged, so it only ever tightens. */
const match = v.pipe(
  closed({ gateway: v.exactOptional(ipLiteral), gatewayMac: v.exactOptional(mac), subnet: v.exactOptional(subnet) }),
  v.check((m) => Object.keys(m).length > 0, 'must say how the network is known: give gateway, gatewayMac or subnet'),
)

const network = closed({ name: text(63), match, ...rules })

/** The policy document: what somebody asks of this installation, beyond what the configuration does anyway. */
export const policySchema = closed({
  ...rules,
  /** Interfaces that count as VPN whatever their kind, for tunnels that cannot be told by their kind. */
  vpnInterfaces: v.exactOptional(distinct(text(15), 64)),
  /** Keep violations and changes of state in a log; required: fail closed while it cannot be written. */
  audit: v.optional(word('off', 'on', 'required'), 'on'),
  networks: v.exactOptional(
    v.pipe(
      v.array(network, 'must be a list of networks'),
      v.maxLength(64, 'must hold at most 64 networks'),
      v.check((list) => new Set(list.map((n) => n.name)).size === list.length, 'holds a name twice; give each network its own'),
    ),
  ),
})

export type Policy = v.InferOutput<typeof policySchema>
export type PolicyNetwork = NonNullable<Policy['networks']>[number]
export type NetworkMatch = PolicyNetwork['match']
/** The rules that hold at one place. */
export type PolicyRules = Omit<PolicyNetwork, 'name' | 'match'>

const VPN_RANK = { off: 0, preferred: 1, required: 2 } as const
type Vpn = keyof typeof VPN_RANK

/** The rules of `base` with those of `more` on top; whichever is stricter holds, so a network can never relax anything. */
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
    systemResolver: base.systemResolver ?? more.systemResolver,
  })
}

function strictest<T>(a: T | undefined, b: T | undefined, rank: (value: T) => number): T | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return rank(b) > rank(a) ? b : a
}

function both<T>(a: readonly T[] | undefined, b: readonly T[] | undefined): T[] | undefined {
  if (a === undefined || b === undefined) return a === undefined ? b && [...b] : [...a]
  return a.filter((item) => b.includes(item))
}

function defined(rules: { [K in keyof PolicyRules]: PolicyRules[K] | undefined }): PolicyRules {
  return Object.fromEntries(Object.entries(rules).filter(([, value]) => value !== undefined))
}

/** The strictest that the policy asks of a VPN on any network. */
export function strictestVpn({ vpn, networks }: Policy): Vpn | undefined {
  return [vpn, ...(networks ?? []).map((network) => network.vpn)].reduce((a, b) => strictest<Vpn>(a, b, (word) => VPN_RANK[word]))
}

/** The rules in force on the network that the policy calls `name`; undefined: on any other. */
export function rulesAt(policy: Policy, name: string | undefined): PolicyRules {
  const { networks, vpnInterfaces: _interfaces, audit: _audit, ...base } = policy
  const here = networks?.find((n) => n.name === name)
  if (here === undefined) return base
  const { name: _name, match: _match, ...more } = here
  return tightened(base, more)
}
