import { createSecureContext, rootCertificates, type SecureContext, type SecureContextOptions } from 'node:tls'
import { EnigmError } from '../../errors.ts'
import { isHybrid, mayHaveHybrids, opensslNameOf, type TlsGroup } from '../../tls-groups.ts'
import type { TlsRules } from './endpoint.ts'

/**
 * The ciphers of TLS 1.3 (RFC 8446 appendix B.4), and those of TLS 1.2 with forward secrecy and an
 * AEAD (RFC 9325 section 4.2).
 */
const CIPHERS: readonly string[] = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
]
const ours: ReadonlySet<string> = new Set(CIPHERS)

/**
 * The default of `tls.groups`. The first group resists a future quantum computer; OpenSSL has it
 * since 3.5 (Node 24).
 */
const GROUPS: readonly TlsGroup[] = ['X25519MLKEM768', 'X25519', 'P-256', 'P-384', 'P-521']

/** The signatures for handshakes and certificates. None uses SHA-1 (RFC 9155). */
const SIGNATURES = [
  ...['ecdsa_secp256r1_sha256', 'ed25519', 'ecdsa_secp384r1_sha384', 'ecdsa_secp521r1_sha512', 'ed448'],
  ...['rsa_pss_rsae_sha256', 'rsa_pss_rsae_sha384', 'rsa_pss_rsae_sha512'],
  ...['rsa_pss_pss_sha256', 'rsa_pss_pss_sha384', 'rsa_pss_pss_sha512'],
  ...['rsa_pkcs1_sha256', 'rsa_pkcs1_sha384', 'rsa_pkcs1_sha512'],
]

/**
 * All parameters on which both ends may agree. They are listed here because NODE_OPTIONS, a flag or
 * an OpenSSL file can change Node's defaults, even to no encryption at all. SECLEVEL 2 refuses RSA
 * keys below 2048 bits.
 */
export const TLS_SETTINGS = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: `${CIPHERS.join(':')}:@SECLEVEL=2`,
  sigalgs: SIGNATURES.join(':'),
} as const satisfies SecureContextOptions

const known = new Map<TlsGroup, boolean>()

/**
 * Whether this OpenSSL has the group. Versions below 3.5 are not tested, because a test with a
 * context costs 1 ms at each start.
 */
function isSupported(group: TlsGroup): boolean {
  if (!isHybrid(group)) return true
  if (!mayHaveHybrids()) return false
  const before = known.get(group)
  if (before !== undefined) return before
  const found = takes(opensslNameOf(group))
  known.set(group, found)
  return found
}

function takes(ecdhCurve: string): boolean {
  try {
    createSecureContext({ ca: [], ecdhCurve }) // without `ca` Node would parse its roots
    return true
  } catch {
    // The error stays in OpenSSL's queue, and the next read of a key would report it. Another
    // context empties the queue.
    createSecureContext({ ca: [], ecdhCurve: 'X25519' })
    return false
  }
}

/** The groups of a ClientHello. */
export interface GroupOffer {
  readonly groups: readonly TlsGroup[]
  /** The same in OpenSSL's form. A star marks a group whose key share is sent at once (3.5). */
  readonly ecdhCurve: string
}

/**
 * The groups to offer under `rules`. `classical`: without groups that need a long ClientHello.
 * Undefined: no group is left.
 */
export function groupOffer(rules: TlsRules | undefined, classical: boolean): GroupOffer | undefined {
  const wanted = rules?.groups ?? GROUPS
  const groups = wanted.filter((group) => isSupported(group) && !(classical && isHybrid(group)))
  if (groups.length === 0) return undefined
  const shares = groups.some(isHybrid) ? [groups.find(isHybrid), groups.find((group) => !isHybrid(group))] : []
  const ecdhCurve = groups.map((group) => `${shares.includes(group) ? '*' : ''}${opensslNameOf(group)}`).join(':')
  return { groups, ecdhCurve }
}

/** The error if no group is left to offer. */
export function noGroup(rules: TlsRules | undefined): EnigmError {
  const wanted = (rules?.groups ?? GROUPS).join(', ')
  const message = `this Node (OpenSSL ${process.versions.openssl}) has none of the groups ${wanted}; use Node 24 or later, or add X25519 to tls.groups`
  return new EnigmError('tls-failed', message)
}

/** Makes a context that trusts only `ca` (PEM). Throws if `ca` is invalid. */
export function contextTrusting(ca: string, { ecdhCurve }: GroupOffer, rules?: TlsRules): SecureContext {
  return createSecureContext({
    ...TLS_SETTINGS,
    ...(rules?.minVersion === undefined ? {} : { minVersion: rules.minVersion }),
    ecdhCurve,
    ca,
  })
}

/** What a TLS context needs to know about its peer. */
interface Peer {
  /** The only trusted roots (PEM). Undefined: those bundled with Node. */
  readonly ca: string | undefined
  readonly tls?: TlsRules
}

/** One context per peer, because parsing a CA file takes about as long as a handshake. */
const contexts = new WeakMap<Peer, Map<string, SecureContext>>()
/** Contexts that trust the bundled roots, by their other parameters. */
const bundled = new Map<string, SecureContext>()

/**
 * The TLS context for a peer. Its trusted roots are always passed explicitly: NODE_EXTRA_CA_CERTS
 * and --use-openssl-ca would add roots to Node's defaults.
 */
export function contextOf(peer: Peer, offer: GroupOffer): SecureContext {
  const { ca, tls } = peer
  const shelf = ca === undefined ? bundled : (contexts.get(peer) ?? new Map<string, SecureContext>())
  const key = `${offer.ecdhCurve} ${tls?.minVersion ?? ''}`
  const known = shelf.get(key)
  if (known !== undefined) return known
  const context = contextTrusting(ca ?? rootCertificates.join('\n'), offer, tls)
  shelf.set(key, context)
  if (ca !== undefined) contexts.set(peer, shelf)
  return context
}

/**
 * Whether a handshake ended with parameters that we offered. The cipher has OpenSSL's name, and the
 * version has Node's name. `group`: undefined if Node does not report it.
 */
export function isAgreeable(
  { cipher, tlsVersion, group }: { readonly cipher: string; readonly tlsVersion: string | null; readonly group: TlsGroup | undefined },
  offer: GroupOffer,
  rules?: TlsRules,
): boolean {
  if (group !== undefined && !offer.groups.includes(group)) return false
  return ours.has(cipher) && (tlsVersion === TLS_SETTINGS.maxVersion || tlsVersion === (rules?.minVersion ?? TLS_SETTINGS.minVersion))
}
