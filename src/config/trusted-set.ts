import * as v from 'valibot'
import { TLS_GROUP_NAMES, tlsGroupOf } from '../tls-groups.ts'
import { TRANSPORT_NAMES, TRANSPORTS, type Transport } from '../transports.ts'
import { canonical } from './cidr.ts'
import { dnscryptPlace } from './dnscrypt.ts'
import {
  authenticationName,
  closed,
  described,
  distinct,
  domainName,
  integer,
  resolverAddress,
  spkiPin,
  text,
  word,
  yesNo,
} from './fields.ts'
import { withoutNobody } from './operators.ts'
import { via } from './proxies.ts'
import { certHashes, type DnscryptRelay, idText, MAX_SET_ENTRIES, relays, type TrustedRelay, targetConfig } from './relays.ts'

const said = v.union([v.boolean(), v.literal('unknown')], 'must be true, false or "unknown"')

/**
 * The claims of an operator about itself. They are never evidence. A claim that the operator does
 * not publish is absent.
 */
const claims = closed({
  logging: v.exactOptional(described('Whether it keeps records that identify a client.', said)),
  filtering: v.exactOptional(described('What it filters: "none", "malware", "ads" ...', text(64))),
  dnssec: v.exactOptional(described('Whether it validates DNSSEC.', said)),
  ecs: v.exactOptional(described("Whether it forwards a part of the client's address (RFC 7871).", said)),
  coverTraffic: v.exactOptional(described('Whether it allows cover traffic.', said)),
})

const dohPath = v.pipe(
  text(1024),
  v.regex(/^\/[^\s{}?#]*(\{\?dns\})?$/, 'must be an absolute path such as /dns-query or /dns-query{?dns}'),
  v.description('The path of its URL.'),
  // A POST uses the template without its variable (RFC 8484 section 4.1).
  v.transform((path) => path.replace(/\{\?dns\}$/, '')),
)

const portOf = (transport: Transport) => v.optional(described('The port.', integer(1, 65535)), TRANSPORTS[transport].port)

/** The place where each transport is offered. */
const places = {
  dot: v.exactOptional(closed({ port: portOf('dot') })),
  doh: v.exactOptional(closed({ port: portOf('doh'), path: v.optional(dohPath, '/dns-query') })),
  odoh: v.exactOptional(
    closed({
      port: portOf('odoh'),
      path: v.optional(dohPath, '/dns-query'),
      relay: v.exactOptional(
        described(
          'The id of the relay, from `relays`. Only the relay is dialled: docs/odoh.md. Absent in an imported entry until you name one.',
          idText,
        ),
      ),
      config: v.exactOptional(
        described('Base64 of the ObliviousDoHConfigs that the resolver publishes. Absent: `odoh.configFetch` decides.', targetConfig),
      ),
    }),
  ),
  doq: v.exactOptional(closed({ port: portOf('doq') })),
  dnscrypt: v.exactOptional(dnscryptPlace),
} as const satisfies Readonly<Record<Transport, unknown>>

const transports = v.pipe(
  closed(places),
  v.check(
    (offered) => Object.keys(offered).length > 0,
    `must offer ${TRANSPORT_NAMES.join(' or ')}; add {"dot": {}} for port ${TRANSPORTS.dot.port}`,
  ),
)

const tlsGroup = v.pipe(
  text(64),
  v.check((name) => tlsGroupOf(name) !== undefined, `must be one of: ${TLS_GROUP_NAMES.join(', ')}`),
  v.transform((name) => tlsGroupOf(name) ?? 'X25519'),
)

/** Rules for the TLS connections of one resolver. */
const tls = closed({
  groups: v.exactOptional(
    described(
      'The groups for the key exchange, the preferred one first. Absent: X25519MLKEM768 where Node has it (24 and later), X25519, P-256, P-384, P-521. If a ClientHello with X25519MLKEM768 gets no answer, it is sent again without this group, unless the list has no other group.',
      distinct(tlsGroup, TLS_GROUP_NAMES.length, 1, (name) => tlsGroupOf(String(name)) ?? name),
    ),
  ),
  minVersion: v.exactOptional(described('The lowest version of TLS. Absent: TLSv1.2.', word('TLSv1.2', 'TLSv1.3'))),
})

/** The query that tests whether a resolver is alive and resolves names. No client waits for it. */
const probe = closed({
  name: described('The name of the query.', domainName),
  type: v.optional(
    described('The type of the query.', word('A', 'AAAA', 'CAA', 'DNSKEY', 'DS', 'HTTPS', 'MX', 'NS', 'PTR', 'SOA', 'SRV', 'SVCB', 'TXT')),
    'A',
  ),
})

const resolverKeys = closed({
  id: described('The name of the resolver for `use` in the configuration.', idText),
  list: v.exactOptional(described('The list from which it was imported. Only that list may propose changes to it.', text(200))),
  operator: v.exactOptional(
    described('Who runs it. Absent, or "unknown": nobody named it. See docs/policy.md for what it then counts as.', text(200)),
  ),
  jurisdiction: v.exactOptional(described('The jurisdiction of its operator; a claim.', text(64))),
  source: v.exactOptional(described('Where the operator publishes this data.', text(2048))),
  enabled: v.optional(described('Whether it is used if the configuration has no `use`.', yesNo), true),
  authenticationDomainName: v.exactOptional(
    described(
      'The name that its certificate must contain: a host name, or an IP address. Needed for every transport except DNSCrypt.',
      authenticationName,
    ),
  ),
  addresses: described(
    'Its addresses; they are never looked up. The name of an onion service if its route ends in Tor. An imported entry may have none until `enigm-dns resolvers pin ID` looks them up once.',
    distinct(resolverAddress, 32, 0, (address) => canonical(String(address)).toLowerCase()),
  ),
  transports: described('Its transports; at least one.', transports),
  spkiPins: v.optional(
    described(
      'Base64 of the SHA-256 of public keys. One of them must match, in addition to the certificate chain.',
      distinct(spkiPin, 32, 0),
    ),
    [],
  ),
  certHashes: v.exactOptional(certHashes),
  tls: v.exactOptional(described('Rules for its TLS connections.', tls)),
  caFile: v.exactOptional(
    described(
      'A file of PEM certificates, relative to this file. They are the only roots for this resolver. Absent: the roots that come with Node.',
      text(4096),
    ),
  ),
  via: v.exactOptional(
    described('The proxies on the way to it, by their names in the configuration, instead of the `via` there. `[]`: none.', via),
  ),
  probe: v.exactOptional(
    described(
      'The query that checks whether it works. Absent: the name servers of the root, which a resolver for its own zones may refuse to give.',
      probe,
    ),
  ),
  claims: v.optional(described('What the operator states about itself. Shown as claims.', claims), {}),
})

/** One resolver. Its addresses must be known if it is enabled, because then it is dialled. */
const resolver = v.pipe(
  resolverKeys,
  v.forward(
    v.partialCheck(
      [['enabled'], ['addresses'], ['transports']],
      ({ enabled, addresses, transports }) => !enabled || addresses.length > 0 || 'odoh' in transports,
      'must hold an address; name one, or leave "enabled": false and run enigm-dns resolvers pin ID',
    ),
    ['addresses'],
  ),
  v.forward(
    v.check(
      ({ authenticationDomainName, transports }) => authenticationDomainName !== undefined || isOnlyDnscrypt(transports),
      'is required; add it',
    ),
    ['authenticationDomainName'],
  ),
  v.transform(({ authenticationDomainName, ...rest }) => ({
    ...withoutNobody(rest),
    authenticationDomainName: authenticationDomainName ?? rest.transports.dnscrypt?.providerName ?? rest.id,
  })),
)

/** Whether a resolver offers only DNSCrypt, which has no certificate with a name. */
function isOnlyDnscrypt(transports: object): boolean {
  return Object.keys(transports).every((transport) => transport === 'dnscrypt')
}

/** The schema of the trusted-resolver set in a file. It adds defaults and does not read caFile. */
export const trustedSetSchema = closed({
  $schema: v.exactOptional(described('The JSON Schema of this file, for editors.', text(2048))),
  version: described('The version of this format.', v.literal(1, 'must be 1, the only version')),
  resolvers: v.pipe(
    v.array(resolver, 'must be a list of resolvers'),
    v.maxLength(MAX_SET_ENTRIES, `must hold at most ${MAX_SET_ENTRIES} resolvers`),
    v.check((list) => new Set(list.map((r) => r.id)).size === list.length, 'contains an id twice; give each resolver its own id'),
  ),
  relays: v.optional(
    v.pipe(
      described('Relays on the way to resolvers; a resolver names the one that it is reached through.', relays),
      v.transform((list) => list.map(withoutNobody)),
    ),
    [],
  ),
})

export type TrustedSet = v.InferOutput<typeof trustedSetSchema>

/**
 * One resolver of the set. After loading, `caFile` is absolute and `ca` is its text (PEM): the only
 * trusted roots for this resolver. `relay` is the entry that `transports.odoh.relay` names.
 */
export type TrustedResolver = Readonly<TrustedSet['resolvers'][number]> & {
  readonly ca?: string
  readonly relay?: TrustedRelay
  readonly dnscryptRelay?: DnscryptRelay
}

/** Whether a resolver can be asked over a transport. ODoH also needs a relay. */
export function offers({ transports }: Pick<TrustedResolver, 'transports'>, transport: Transport): boolean {
  return transport === 'odoh' ? transports.odoh?.relay !== undefined : transports[transport] !== undefined
}

/** The names of the transports, as `transports` keys here and in the configuration. */
export const transportName = v.picklist(TRANSPORT_NAMES, `must be one of: ${TRANSPORT_NAMES.join(', ')}`)
