import { createHash, X509Certificate } from 'node:crypto'
import { checkServerIdentity, type DetailedPeerCertificate, type PeerCertificate } from 'node:tls'
import { EnigmError } from '../../errors.ts'
import type { Endpoint } from './endpoint.ts'

/**
 * How a peer proved its identity, and how long that proof is valid (wall clock). It is kept with
 * the TLS sessions of that handshake.
 */
export interface PeerProof {
  readonly by: 'ca' | 'ca+spki'
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** Base64 SHA-256 of the DER SubjectPublicKeyInfo (RFC 7858 section 4.2). */
export function spkiPin(certificateDer: Uint8Array): string {
  const spki = new X509Certificate(certificateDer).publicKey.export({ type: 'spki', format: 'der' })
  return createHash('sha256').update(spki).digest('base64')
}

/**
 * Checks the name and the key of a leaf certificate whose chain is valid. Returns an error if one
 * is wrong. Names come only from subjectAltName, and IP literals from its iPAddress entries. The
 * common name, which Node would accept too, is ignored (RFC 9525 section 2, RFC 8310 section 8.1).
 */
export function identityFault(
  endpoint: Pick<Endpoint, 'authenticationDomainName' | 'spkiPins' | 'certHashes'>,
  certificate: PeerCertificate,
): EnigmError | undefined {
  const { subject: _commonName, ...withoutSubject } = certificate
  const named = checkServerIdentity(endpoint.authenticationDomainName, withoutSubject as PeerCertificate)
  if (named !== undefined) return new EnigmError('certificate-name', 'the certificate is for another name')
  if (endpoint.spkiPins.length > 0 && !endpoint.spkiPins.includes(spkiPin(certificate.raw)))
    return new EnigmError('pin-mismatch', 'the key of the certificate is not among the pinned ones')
  const { certHashes = [] } = endpoint
  if (certHashes.length === 0 || verifiedChain(certificate).some((one) => hashesOf(one).some((hash) => certHashes.includes(hash))))
    return undefined
  return new EnigmError('pin-mismatch', 'no certificate of the chain matches certHashes')
}

/** Limit of certificates in a chain. */
const MAX_CHAIN = 10

/**
 * The certificates of a chain, from the leaf up. Node links the certificates that a peer sent by
 * their names only, so a peer could add the pinned certificate to a chain that another CA signed.
 * Therefore each signature is verified here.
 */
function verifiedChain(leaf: PeerCertificate): readonly X509Certificate[] {
  const chain = [new X509Certificate(leaf.raw)]
  let at: PeerCertificate = leaf
  for (let last = chain[0]; last !== undefined && chain.length < MAX_CHAIN; last = chain.at(-1)) {
    const above = (at as Partial<DetailedPeerCertificate>).issuerCertificate
    // A root is its own issuer.
    if (above?.raw === undefined || above === at) break
    const issuer = new X509Certificate(above.raw)
    if (!last.checkIssued(issuer) || !last.verify(issuer.publicKey)) break
    chain.push(issuer)
    at = above
  }
  return chain
}

/** A certificate chain in the form of Node: each certificate links to its issuer. */
export function linkedChain(leaf: X509Certificate, above: readonly X509Certificate[]): PeerCertificate {
  return [leaf, ...above]
    .map((certificate) => certificate.toLegacyObject())
    .reduceRight((issuerCertificate, certificate) => ({ ...certificate, issuerCertificate }) as DetailedPeerCertificate)
}

/** The hash of a certificate, and the hash of its signed part. DNS stamps hold the latter. */
function hashesOf({ raw }: X509Certificate): readonly string[] {
  const sha256 = (octets: Uint8Array) => createHash('sha256').update(octets).digest('base64')
  const signed = signedPart(raw)
  return signed === undefined ? [sha256(raw)] : [sha256(raw), sha256(signed)]
}

/**
 * The DER of the signed part (TBSCertificate), the first value inside a certificate (RFC 5280
 * section 4.1).
 */
function signedPart(der: Uint8Array): Uint8Array | undefined {
  const outer = valueAt(der, 0)
  const inner = outer === undefined ? undefined : valueAt(der, outer.begin)
  return inner === undefined ? undefined : der.subarray(outer?.begin, inner.end)
}

/** Where the content of the DER value at `at` begins and ends. */
function valueAt(der: Uint8Array, at: number): { readonly begin: number; readonly end: number } | undefined {
  const first = der[at + 1]
  if (first === undefined) return undefined
  const digits = first < 0x80 ? 0 : first & 0x7f
  if (digits > 4) return undefined
  let length = digits === 0 ? first : 0
  for (let i = 0; i < digits; i++) length = length * 256 + (der[at + 2 + i] ?? 0)
  const begin = at + 2 + digits
  return begin + length > der.length ? undefined : { begin, end: begin + length }
}

/**
 * The proof of a leaf certificate. Call it only if the chain is valid and `identityFault` is not.
 */
export function evidenceOf(endpoint: Endpoint, certificate: PeerCertificate): PeerProof {
  return {
    by: endpoint.spkiPins.length === 0 ? 'ca' : 'ca+spki',
    notBeforeMs: Date.parse(certificate.valid_from),
    notAfterMs: Date.parse(certificate.valid_to),
  }
}
