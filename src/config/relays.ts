import * as v from 'valibot'
import { operatorKey } from '../route.ts'
import { TRANSPORTS } from '../transports.ts'
import { canonical, isLoopback } from './cidr.ts'
import { authenticationName, checked, closed, described, distinct, hostAddress, integer, octets32Problem, text, word } from './fields.ts'
import { targetKeyOf } from './odoh-config.ts'
import { quoted } from './problems.ts'

/** The id of a resolver or of a relay. */
export const idText = v.pipe(
  text(63),
  v.regex(/^[a-z0-9][a-z0-9._-]*$/, 'must consist of a-z, 0-9, dot, hyphen and underscore, and begin with a letter or digit'),
)

const TEMPLATE = /\{\?targethost,targetpath\}$/
const relayPath = v.pipe(
  text(1024),
  v.regex(/^\/[^\s{}?#]*(\{\?targethost,targetpath\})?$/, 'must be an absolute path such as /proxy or /proxy{?targethost,targetpath}'),
  v.description('The path of its URL; the target is added to it.'),
  v.transform((path) => path.replace(TEMPLATE, '')),
)

const HASH_FORM = 'must be the base64 or the hexadecimal form of 32 octets (the SHA-256 of a certificate)'

/**
 * Base64 of a SHA-256 over a certificate, or over its signed part (as in DNS stamps). Hexadecimal
 * is accepted too, with or without colons.
 */
const certHash = v.pipe(
  v.string(HASH_FORM),
  v.minLength(1, HASH_FORM),
  v.maxLength(95, HASH_FORM),
  v.transform((hash) => (/^([0-9a-f]{2}:?){32}$/i.test(hash) ? Buffer.from(hash.replaceAll(':', ''), 'hex').toString('base64') : hash)),
  checked((hash) => octets32Problem(hash, HASH_FORM)),
)

/** `certHashes` of a resolver or of a relay. */
export const certHashes = described(
  'SHA-256 of certificates, or of their signed part, in base64 or hexadecimal. The chain must contain one of them.',
  distinct(certHash, 32, 0),
)

const relayOperator = v.exactOptional(
  described(
    'Who runs it. It must not be the operator of a resolver that it is used for. Absent, or "unknown": nobody named it, so it meets no rule about operators.',
    text(200),
  ),
)

/** A relay of ODoH (RFC 9230). It passes on queries that it cannot decrypt. */
const relay = closed({
  id: described('The name of the relay for `relay` of a resolver.', idText),
  list: v.exactOptional(described('The list from which it was imported. Only that list may propose changes to it.', text(200))),
  operator: relayOperator,
  jurisdiction: v.exactOptional(described('The jurisdiction of its operator; a claim.', text(64))),
  type: described('The protocol that it relays.', word('odoh')),
  addresses: described(
    'Its addresses; they are never looked up. An imported entry may have none until `enigm-dns resolvers pin ID` looks them up once.',
    distinct(hostAddress, 32, 0, (address) => canonical(String(address))),
  ),
  authenticationDomainName: described('The name that its certificate must contain.', authenticationName),
  certHashes: v.exactOptional(certHashes),
  caFile: v.exactOptional(
    described(
      'A file of PEM certificates, relative to this file. They are the only roots for this relay. Absent: the roots that come with Node.',
      text(4096),
    ),
  ),
  port: v.optional(described('The port.', integer(1, 65535)), TRANSPORTS.odoh.port),
  path: v.optional(relayPath, '/proxy'),
})

/**
 * A relay of anonymized DNSCrypt. It passes on datagrams that it cannot decrypt, and has no key.
 */
const dnscryptRelay = closed({
  id: described('The name of the relay for `relay` of a resolver.', idText),
  operator: relayOperator,
  jurisdiction: v.exactOptional(described('The jurisdiction of its operator; a claim.', text(64))),
  list: v.exactOptional(described('The list from which it was imported. Only that list may propose changes to it.', text(200))),
  type: described('The protocol that it relays.', word('dnscrypt')),
  addresses: described(
    'Its addresses; they are never looked up.',
    distinct(hostAddress, 32, 1, (address) => canonical(String(address))),
  ),
  port: v.optional(described('The port.', integer(1, 65535)), TRANSPORTS.dnscrypt.port),
})

/** Limit of the resolvers of a set, and of its relays. */
export const MAX_SET_ENTRIES = 1000

/** The schema of `relays` in the trusted set. */
export const relays = v.pipe(
  v.array(
    v.variant('type', [relay, dnscryptRelay], ({ input }) =>
      typeof input === 'string' ? 'must be one of: odoh, dnscrypt' : 'must be an object; write {...}',
    ),
    'must be a list of relays',
  ),
  v.maxLength(MAX_SET_ENTRIES, `must hold at most ${MAX_SET_ENTRIES} relays`),
  v.check((list) => new Set(list.map((r) => r.id)).size === list.length, 'contains an id twice; give each relay its own id'),
)

/** One relay. After loading, `caFile` is absolute and `ca` is its text (PEM). */
export type TrustedRelay = Readonly<v.InferOutput<typeof relay>> & { readonly ca?: string }
export type DnscryptRelay = Readonly<v.InferOutput<typeof dnscryptRelay>>
export type AnyRelay = TrustedRelay | DnscryptRelay

/** The relay with this type and id. */
export function relayOf<Type extends AnyRelay['type']>(
  relays: readonly AnyRelay[],
  type: Type,
  id: string | undefined,
): Extract<AnyRelay, { readonly type: Type }> | undefined {
  const isIt = (relay: AnyRelay): relay is Extract<AnyRelay, { readonly type: Type }> => relay.type === type && relay.id === id
  return relays.find(isIt)
}

/** The schema of `transports.odoh.config`: the pinned keys of a target. */
export const targetConfig = v.pipe(
  text(8192),
  v.check(
    (config) => Buffer.from(config, 'base64').toString('base64').replaceAll('=', '') === config.replaceAll('=', ''),
    'must be base64',
  ),
  v.check(
    (config) => typeof targetKeyOf(Buffer.from(config, 'base64')) !== 'string',
    ({ input }) => `${targetKeyOf(Buffer.from(String(input), 'base64'))}; copy what the target publishes at /.well-known/odohconfigs`,
  ),
)

/** The part of a resolver that its relay is compared with. */
interface Target {
  readonly id: string
  readonly operator?: string
  readonly authenticationDomainName: string
  readonly addresses: readonly string[]
}

/**
 * A clause that says why `relay` cannot be used for `target`. Undefined: it can. If one party runs
 * both, it sees who asks and what is asked.
 */
export function relayProblem(target: Target, relay: AnyRelay): string | undefined {
  if (relay.addresses.length === 0) return `names ${quoted(relay.id)}, which has no address yet; run: enigm-dns resolvers pin ${relay.id}`
  const both = 'so it would see both who asks and what is asked; choose a relay of another operator'
  const operator = target.operator ?? target.id
  if (relay.operator !== undefined && operatorKey(operator) === operatorKey(relay.operator))
    return `names ${quoted(relay.id)}, but ${quoted(relay.operator)} runs both this relay and the resolver ${quoted(target.id)}, ${both}`
  // All loopback addresses belong to one party anyway, which sees both.
  if (relay.addresses.every(isLoopback)) return undefined
  const addresses = new Set(target.addresses.map((address) => canonical(address)))
  const same = relay.addresses.find((address) => addresses.has(canonical(address)))
  if (same !== undefined) return `names ${quoted(relay.id)}, but relay and resolver have the address ${same}, ${both}`
  if (relay.type === 'odoh' && target.authenticationDomainName === relay.authenticationDomainName)
    return `names ${quoted(relay.id)}, but relay and resolver have the name ${quoted(relay.authenticationDomainName)}, ${both}`
  return undefined
}
