import { createHash, X509Certificate } from 'node:crypto'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import { EnigmError } from '../../errors.ts'
import type { Endpoint } from './endpoint.ts'

/**
 * How a peer proved who it is, and for how long that proof holds (wall clock). Kept with the TLS
 * sessions that came from it.
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
 * What is wrong with a leaf whose chain is valid: its name, or its key. Names come from
 * subjectAltName alone, IP literals from its iPAddress entries; the common name that Node would
 * fall back to is not looked at (RFC 9525 section 2, RFC 8310 section 8.1).
 */
export function identityFault(endpoint: Endpoint, certificate: PeerCertificate): EnigmError | undefined {
  const { subject: _commonName, ...withoutSubject } = certificate
  const named = checkServerIdentity(endpoint.authenticationDomainName, withoutSubject as PeerCertificate)
  if (named !== undefined) return new EnigmError('certificate-name', 'the certificate is for another name')
  if (endpoint.spkiPins.length === 0 || endpoint.spkiPins.includes(spkiPin(certificate.raw))) return undefined
  return new EnigmError('pin-mismatch', 'the key of the certificate is not among the pinned ones')
}

/** Only of a leaf with a valid chain and without an `identityFault`. */
export function evidenceOf(endpoint: Endpoint, certificate: PeerCertificate): PeerProof {
  return {
    by: endpoint.spkiPins.length === 0 ? 'ca' : 'ca+spki',
    notBeforeMs: Date.parse(certificate.valid_from),
    notAfterMs: Date.parse(certificate.valid_to),
  }
}
