import { createHash, X509Certificate } from 'node:crypto'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import { EnigmError } from '../../errors.ts'
import type { Endpoint } from './endpoint.ts'

/**
 * How a peer proved its identity, and until when that proof is valid (wall clock). Kept with the
 * TLS sessions of that handshake.
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
 * The error of a leaf whose chain is valid: its name or its key. Names come only from
 * subjectAltName, and IP literals from its iPAddress entries. The common name, to which Node would
 * fall back, is ignored (RFC 9525 section 2, RFC 8310 section 8.1).
 */
export function identityFault(endpoint: Endpoint, certificate: PeerCertificate): EnigmError | undefined {
  const { subject: _commonName, ...withoutSubject } = certificate
  const named = checkServerIdentity(endpoint.authenticationDomainName, withoutSubject as PeerCertificate)
  if (named !== undefined) return new EnigmError('certificate-name', 'the certificate is for another name')
  if (endpoint.spkiPins.length === 0 || endpoint.spkiPins.includes(spkiPin(certificate.raw))) return undefined
  return new EnigmError('pin-mismatch', 'the key of the certificate is not among the pinned ones')
}

/** Only for a leaf with a valid chain and without an `identityFault`. */
export function evidenceOf(endpoint: Endpoint, certificate: PeerCertificate): PeerProof {
  return {
    by: endpoint.spkiPins.length === 0 ? 'ca' : 'ca+spki',
    notBeforeMs: Date.parse(certificate.valid_from),
    notAfterMs: Date.parse(certificate.valid_to),
  }
}
