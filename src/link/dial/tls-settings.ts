import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'

/**
 * TLS 1.3 (RFC 8446 appendix B.4), and those of TLS 1.2 with forward secrecy and an AEAD (RFC 9325
 * section 4.2).
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

const CURVES = 'X25519:P-256:P-384:P-521'
/**
 * With a key share that a future quantum computer cannot break, as Node 24 sends one; the star is
 * OpenSSL's syntax (3.5).
 */
const WITH_HYBRID = `*X25519MLKEM768:*${CURVES}`

/** For handshakes and certificates: no SHA-1 (RFC 9155). */
const SIGNATURES = [
  ...['ecdsa_secp256r1_sha256', 'ed25519', 'ecdsa_secp384r1_sha384', 'ecdsa_secp521r1_sha512', 'ed448'],
  ...['rsa_pss_rsae_sha256', 'rsa_pss_rsae_sha384', 'rsa_pss_rsae_sha512'],
  ...['rsa_pss_pss_sha256', 'rsa_pss_pss_sha384', 'rsa_pss_pss_sha512'],
  ...['rsa_pkcs1_sha256', 'rsa_pkcs1_sha384', 'rsa_pkcs1_sha512'],
]

/**
 * All parameters on which both ends may agree, listed explicitly: Node's defaults can be changed by
 * NODE_OPTIONS, a flag or a file of OpenSSL, even to no encryption at all. SECLEVEL 2: no RSA key
 * below 2048 bits.
 */
export const TLS_SETTINGS = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: `${CIPHERS.join(':')}:@SECLEVEL=2`,
  ecdhCurve: curves(),
  sigalgs: SIGNATURES.join(':'),
} as const satisfies SecureContextOptions

/** The curves that this OpenSSL supports; an unknown name would make every context throw. */
function curves(): string {
  const [major = 0, minor = 0] = process.versions.openssl.split('.').map(Number)
  // Avoids a needless context, which takes a millisecond of each start.
  if (major < 3 || (major === 3 && minor < 5)) return CURVES
  try {
    createSecureContext({ ca: [], ecdhCurve: WITH_HYBRID }) // without `ca` Node would parse its roots
    return WITH_HYBRID
  } catch {
    // The error stays in OpenSSL's queue, where the next key that is read would report it as its
    // own. Another context empties the queue.
    createSecureContext({ ca: [], ecdhCurve: CURVES })
    return CURVES
  }
}

/** A context that trusts only `ca` (PEM). Throws if it is invalid. */
export function contextTrusting(ca: string): SecureContext {
  return createSecureContext({ ...TLS_SETTINGS, ca })
}

/**
 * Whether a handshake ended with parameters that we offered: OpenSSL's name of the cipher, and
 * Node's of the version.
 */
export function isAgreeable(cipher: string, tlsVersion: string | null): boolean {
  return ours.has(cipher) && (tlsVersion === TLS_SETTINGS.minVersion || tlsVersion === TLS_SETTINGS.maxVersion)
}
