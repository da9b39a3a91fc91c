import type { Transport } from '../../resolve.ts'

/** Where a transport is offered; a transport without more to say of has a port. */
type OfferedTransports = { readonly [T in Transport]?: T extends 'doh' ? OfferedTransport & { readonly path: string } : OfferedTransport }

interface OfferedTransport {
  readonly port: number
}

/** One trusted resolver as the link sees it: where it is, and how it proves who it is. */
export interface Endpoint extends OfferedTransports {
  /** The resolver's id in the trusted set; goes into events. */
  readonly resolver: string
  /** IP literals, pinned: nothing is ever looked up to find them. In order of preference. */
  readonly addresses: readonly string[]
  /** The name (or IP literal) that its certificate must hold (RFC 8310 section 2). */
  readonly authenticationDomainName: string
  /**
   * Base64 SHA-256 of the DER SubjectPublicKeyInfo of the leaf (RFC 7858 section 4.2); any match
   * passes, and only with a valid chain.
   */
  readonly spkiPins: readonly string[]
  /** PEM of the only roots to trust; undefined: those that Node bundles. */
  readonly ca: string | undefined
  readonly usageProfile: 'strict' | 'opportunistic'
}

/** Nothing but an authenticated connection comes out of one of these. */
export interface StrictEndpoint extends Endpoint {
  readonly usageProfile: 'strict'
}

/** Port of the transport, or undefined if the endpoint does not offer it. */
export function portOf(endpoint: Endpoint, transport: Transport): number | undefined {
  return endpoint[transport]?.port
}

/**
 * The addresses with the families taking turns, that of the first one leading (RFC 8305 section 4).
 */
export function interleaved(addresses: readonly string[]): readonly string[] {
  const isV6 = (address: string) => address.includes(':')
  const leads = addresses.filter((a) => isV6(a) === isV6(addresses[0] ?? ''))
  const follows = addresses.filter((a) => !leads.includes(a))
  return Array.from({ length: Math.max(leads.length, follows.length) }, (_, i) => [leads[i], follows[i]]).flatMap((pair) =>
    pair.filter((a) => a !== undefined),
  )
}
