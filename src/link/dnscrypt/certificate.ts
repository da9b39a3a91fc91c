import { withPaddedOpt } from '../../dns/edns.ts'
import { upstreamQuery } from '../../dns/message.ts'
import { nameFromText } from '../../dns/name.ts'
import { EnigmError } from '../../errors.ts'
import type { Validity } from '../../resolve.ts'
import { isSigned } from './codec.ts'

/** A certificate of a server: its short-lived key, signed by the long-lived one of its provider. */
export interface Certificate {
  readonly serial: number
  readonly serverKey: Uint8Array
  /** The octets with which queries under this certificate begin. */
  readonly magic: Uint8Array
  readonly validity: Validity
}

const TXT = 16
const IN = 1
const CERTIFICATE_OCTETS = 124
const MAGIC = 'DNSC'
/** The number of X25519 with XChaCha20-Poly1305 (es-version). */
const XCHACHA = 2
/** A message may hold several certificates. Only the first 16 are read. */
const MAX_CERTIFICATES = 16

/** The question for the certificates of a provider, without OPT and with ID 0. */
export function certificateQuestion(providerName: string): Uint8Array {
  const name = nameFromText(providerName)
  const lower = new Uint8Array(name.length + 4)
  lower.set(name)
  lower.set([0, TXT, 0, IN], name.length)
  return upstreamQuery({ lower, type: TXT, class: IN }, false)
}

/**
 * The question as a padded query of at least `octets`. A relay drops a reply that is longer than
 * the query.
 */
export function certificateQuery(providerName: string, id: number, octets: number): Uint8Array {
  const query = withPaddedOpt(certificateQuestion(providerName), { dnssecOk: false, block: octets, keepalive: false })
  const out = Uint8Array.from(query)
  out[0] = id >> 8
  out[1] = id & 0xff
  return out
}

/**
 * Chooses a certificate from the TXT records of a server: of those that `providerKey` signed and
 * that are valid now, the one with the highest serial, and of those with one serial the latest:
 * encrypted-dns gives each certificate the serial 1. If there is none, the EnigmError says why.
 */
export function chosenCertificate(texts: readonly Uint8Array[], providerKey: Uint8Array, wallMs: number): Certificate | EnigmError {
  const found = texts.slice(0, MAX_CERTIFICATES).filter((text) => text.length >= CERTIFICATE_OCTETS && latin1(text, 0, 4) === MAGIC)
  if (found.length === 0) return new EnigmError('tls-failed', 'the resolver sent no DNSCrypt certificate')
  const usable = found.filter((text) => version(text) === XCHACHA)
  if (usable.length === 0)
    return new EnigmError('tls-failed', 'the resolver has no certificate for XChaCha20-Poly1305, the only construction that is supported')
  const signed = usable.filter((text) => isSigned(text.subarray(72), text.subarray(8, 72), providerKey)).map(certificateOf)
  if (signed.length === 0) return new EnigmError('pin-mismatch', 'the certificate is not signed by the key of the provider')
  const current = signed.filter(({ validity }) => wallMs >= validity.notBeforeMs && wallMs < validity.notAfterMs)
  const [newest] = current.toSorted((a, b) => b.serial - a.serial || b.validity.notBeforeMs - a.validity.notBeforeMs)
  if (newest !== undefined) return newest
  const early = signed.some(({ validity }) => wallMs < validity.notBeforeMs)
  return early
    ? new EnigmError('certificate-not-yet-valid', 'the certificate is not valid yet')
    : new EnigmError('certificate-expired', 'the certificate has expired')
}

/** Whether `next` may replace `known`. An older certificate may be a replay. */
export function isNewer(next: Certificate, known: Certificate | undefined, wallMs: number): boolean {
  return known === undefined || next.serial >= known.serial || wallMs >= known.validity.notAfterMs
}

function certificateOf(text: Uint8Array): Certificate {
  const view = new DataView(text.buffer, text.byteOffset, text.length)
  return {
    serverKey: text.slice(72, 104),
    magic: text.slice(104, 112),
    serial: view.getUint32(112),
    validity: { notBeforeMs: view.getUint32(116) * 1000, notAfterMs: view.getUint32(120) * 1000 },
  }
}

const latin1 = (octets: Uint8Array, from: number, to: number) => Buffer.from(octets.subarray(from, to)).toString('latin1')
const version = (text: Uint8Array) => (text[4] ?? 0) * 256 + (text[5] ?? 0)
