import * as v from 'valibot'
import { TRANSPORT_NAMES, TRANSPORTS, type Transport } from '../transports.ts'
import { canonical } from './cidr.ts'
import { authenticationName, closed, distinct, domainName, hostAddress, integer, text, word } from './fields.ts'

/** What an operator says of itself; a claim, never evidence. A claim that is not published is left out. */
const claims = closed({
  /** true: keeps records that identify a client; false: says it keeps none. */
  logging: v.exactOptional(v.union([v.boolean(), v.literal('unknown')], 'must be true, false or "unknown"')),
  /** What is refused: "none", "malware", "ads" ... */
  filtering: v.exactOptional(text(64)),
  /** Validates DNSSEC. */
  dnssec: v.exactOptional(v.union([v.boolean(), v.literal('unknown')], 'must be true, false or "unknown"')),
  /** Sends a part of the client's address on (RFC 7871). */
  ecs: v.exactOptional(v.union([v.boolean(), v.literal('unknown')], 'must be true, false or "unknown"')),
  coverTraffic: v.exactOptional(v.union([v.boolean(), v.literal('unknown')], 'must be true, false or "unknown"')),
})

const dohPath = v.pipe(
  text(1024),
  v.regex(/^\/[^\s{}?#]*(\{\?dns\})?$/, 'must be an absolute path such as /dns-query or /dns-query{?dns}'),
  // A POST goes to the template without its variable (RFC 8484 section 4.1).
  v.transform((path) => path.replace(/\{\?dns\}$/, '')),
)

const portOf = (transport: Transport) => v.optional(integer(1, 65535), TRANSPORTS[transport].port)

/** Where each transport is offered. */
const places = {
  dot: v.exactOptional(closed({ port: portOf('dot') })),
  doh: v.exactOptional(closed({ port: portOf('doh'), path: v.optional(dohPath, '/dns-query') })),
} as const satisfies Readonly<Record<Transport, unknown>>

const transports = v.pipe(
  closed(places),
  v.check(
    (offered) => Object.keys(offered).length > 0,
    `must offer ${TRANSPORT_NAMES.join(' or ')}; add {"dot": {}} for port ${TRANSPORTS.dot.port}`,
  ),
)

/** Base64 of a SHA-256 over the leaf's SubjectPublicKeyInfo (RFC 7858 section 4.2); spelt canonically, so that equal pins are equal texts. */
const spkiPin = v.pipe(
  text(44),
  v.check(
    (pin) => /^[A-Za-z0-9+/]{43}=$/.test(pin) && Buffer.from(pin, 'base64').toString('base64') === pin,
    'must be the base64 of 32 octets (the SHA-256 of the public key)',
  ),
)

/**
 * What is asked to see whether a resolver lives and resolves: by itself, without anybody waiting
 * for it.
 */
const probe = closed({
  name: domainName,
  type: v.optional(word('A', 'AAAA', 'CAA', 'DNSKEY', 'DS', 'HTTPS', 'MX', 'NS', 'PTR', 'SOA', 'SRV', 'SVCB', 'TXT'), 'A'),
})

const resolver = closed({
  id: v.pipe(text(63), v.regex(/^[a-z0-9][a-z0-9._-]*$/, 'must be of a-z, 0-9, dot, hyphen and underscore, a letter or digit first')),
  operator: v.exactOptional(text(200)),
  jurisdiction: v.exactOptional(text(64)),
  /** Where the operator publishes these figures. */
  source: v.exactOptional(text(2048)),
  enabled: v.optional(v.boolean('must be true or false'), true),
  authenticationDomainName: authenticationName,
  addresses: distinct(hostAddress, 32, 1, (address) => canonical(String(address))),
  transports,
  spkiPins: v.optional(distinct(spkiPin, 32, 0), []),
  caFile: v.exactOptional(text(4096)),
  /** Absent: the root's name servers, which a resolver for its own zones may refuse to tell. */
  probe: v.exactOptional(probe),
  claims: v.optional(claims, {}),
})

/** The trusted-resolver set as a file holds it; defaults applied, nothing read from caFile yet. */
export const trustedSetSchema = closed({
  $schema: v.exactOptional(text(2048)),
  version: v.literal(1, 'must be 1, the only version there is'),
  resolvers: v.pipe(
    v.array(resolver, 'must be a list of resolvers'),
    v.maxLength(1000, 'must hold at most 1000 resolvers'),
    v.check((list) => new Set(list.map((r) => r.id)).size === list.length, 'holds an id twice; give each resolver its own'),
  ),
})

export type TrustedSet = v.InferOutput<typeof trustedSetSchema>
export type Claims = v.InferOutput<typeof claims>

/** One entry of the set. `caFile` is absolute once loaded, and `ca` is then its text (PEM): the only roots for this resolver. */
export type TrustedResolver = Readonly<TrustedSet['resolvers'][number]> & { readonly ca?: string }

/** The names of the transports, as `transports` keys here and in the configuration. */
export const transportName = v.picklist(TRANSPORT_NAMES, `must be one of: ${TRANSPORT_NAMES.join(', ')}`)
