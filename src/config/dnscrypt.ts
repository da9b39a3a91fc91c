import * as v from 'valibot'
import { TRANSPORTS } from '../transports.ts'
import { closed, described, domainName, integer, text } from './fields.ts'
import { idText } from './relays.ts'

/**
 * Reads a key: 64 hexadecimal digits, as DNSCrypt clients show it, or base64. Undefined: neither.
 */
function keyOf(written: string): Buffer | undefined {
  const hex = written.replaceAll(':', '')
  if (/^[0-9a-f]{64}$/i.test(hex)) return Buffer.from(hex, 'hex')
  const key = Buffer.from(written, 'base64')
  const same = key.toString('base64').replace(/=+$/, '') === written.replace(/=+$/, '').replaceAll('-', '+').replaceAll('_', '/')
  return key.length === 32 && same ? key : undefined
}

const publicKey = v.pipe(
  text(95),
  v.check((key) => keyOf(key) !== undefined, 'must be the base64 or the hexadecimal digits of the 32 octets of an Ed25519 key'),
  v.description('The key of its provider (Ed25519), which signs its certificates: base64, or hexadecimal digits.'),
  v.transform((key) => keyOf(key)?.toString('base64') ?? key),
)

/**
 * Whether DNSCrypt may be used: a resolver is asked for its certificates in cleartext, which
 * `strict` does not allow unless a person names it.
 */
export function mayFetchCertificates(config: {
  readonly usageProfile: 'strict' | 'opportunistic'
  readonly allowDnscryptCertificates: boolean
}): boolean {
  return config.usageProfile !== 'strict' || config.allowDnscryptCertificates
}

/** The place where a resolver offers DNSCrypt. */
export const dnscryptPlace = closed({
  providerName: described('The name of its provider, usually 2.dnscrypt-cert.NAME.', domainName),
  publicKey,
  port: v.optional(described('The port.', integer(1, 65535)), TRANSPORTS.dnscrypt.port),
  relay: v.exactOptional(
    described('The id of a relay from `relays` with the type `dnscrypt`. Only the relay is dialled: docs/transports.md.', idText),
  ),
})
