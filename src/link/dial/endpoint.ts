import type { EnigmError } from '../../errors.ts'
import type { Transport } from '../../resolve.ts'
import type { TlsGroup } from '../../tls-groups.ts'
import type { DialHop } from './hops.ts'

/** Where each transport is offered. A transport without other parameters has only a port. */
type OfferedTransports = { readonly [T in Transport]?: T extends keyof Places ? Places[T] : OfferedTransport }

interface OfferedTransport {
  readonly port: number
}

/** The parameters of transports that need more than a port. */
interface Places {
  readonly doh: OfferedTransport & { readonly path: string }
  readonly odoh: ObliviousPlace
  readonly dnscrypt: OfferedTransport & {
    readonly providerName: string
    /** Base64 of the Ed25519 key that signs certificates. */
    readonly publicKey: string
    /** The relay that passes packets on. Absent: the server is asked directly. */
    readonly through?: { readonly addresses: readonly string[]; readonly port: number }
  }
}

/** A relay that posts encrypted queries to a target. The endpoint is that of the relay. */
export interface ObliviousPlace extends OfferedTransport {
  /** The id of the relay. Errors of a dial name it as the hop. */
  readonly relay: string
  /** The HTTP path at the relay. It names the target. */
  readonly path: string
  readonly keys: SealingKeys
  /** How many octets encryption adds to a query. */
  readonly sealOctets: number
}

/** Keeps the key of a target, and fetches a new one. */
export interface SealingKeys {
  /** Until a key is known, `seal` throws. */
  readonly known: boolean
  /** Changes with the key. */
  readonly version: number
  readonly seal: Seal
  /**
   * Resolves when a key is known. Rejects with an EnigmError if there is none: `target-key`, or the
   * error of a hop on the way to the target.
   */
  ready(): Promise<void>
  /**
   * The target refused a query that was encrypted with the key of `version`. Resolves when another
   * key is known; rejects like `ready` if there is none.
   */
  renew(version: number): Promise<void>
  /**
   * The network changed: cancels a running fetch. Queries that wait for it then wait for a new
   * fetch on the new network.
   */
  reset(): void
  /** Cancels a running fetch. No other one starts. */
  close(): void
}

/** Encrypts a query with ID 0 to a target. */
export type Seal = (query: Uint8Array) => SealedQuery

/** An encrypted query, and the function that decrypts its response. */
export interface SealedQuery {
  readonly body: Uint8Array
  /** The DNS message in a response; an error if it is not the target's response to this query. */
  open(response: Uint8Array): Uint8Array | EnigmError
}

/** One trusted resolver, as a link sees it: its addresses, and how it proves its identity. */
export interface Endpoint extends OfferedTransports {
  /** The resolver's id in the trusted set; goes into events. */
  readonly resolver: string
  /**
   * Pinned IP literals, in order of preference: they are never looked up. Behind Tor, names of
   * onion services are allowed too.
   */
  readonly addresses: readonly string[]
  /** The name (or IP literal) that its certificate must hold (RFC 8310 section 2). */
  readonly authenticationDomainName: string
  /**
   * Base64 SHA-256 of the DER SubjectPublicKeyInfo of the leaf (RFC 7858 section 4.2). One match is
   * enough, but the chain must be valid too.
   */
  readonly spkiPins: readonly string[]
  /**
   * Base64 SHA-256 of certificates, or of their signed part. The verified chain must contain one of
   * these certificates. Absent or empty: any chain is accepted.
   */
  readonly certHashes?: readonly string[]
  /** PEM of the only trusted roots; undefined: those bundled with Node. */
  readonly ca: string | undefined
  readonly usageProfile: 'strict' | 'opportunistic'
  /**
   * The proxies on the way, the nearest first. With a route, this host sends no packet to the
   * addresses of the resolver. Absent or empty: the resolver is dialled directly.
   */
  readonly route?: readonly DialHop[]
  /** Absent: the defaults of tls-settings.ts. */
  readonly tls?: TlsRules
}

/** Rules for TLS that a resolver adds to the defaults. */
export interface TlsRules {
  /** The only groups to offer, the preferred one first. */
  readonly groups?: readonly TlsGroup[]
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3'
}

/** An endpoint for which only authenticated connections are made. */
export interface StrictEndpoint extends Endpoint {
  readonly usageProfile: 'strict'
}

/** The port of the transport. Undefined: the endpoint does not offer it. */
export function portOf(endpoint: Endpoint, transport: Transport): number | undefined {
  return endpoint[transport]?.port
}

/**
 * The addresses with alternating families, beginning with the family of the first one (RFC 8305
 * section 4).
 */
export function interleaved(addresses: readonly string[]): readonly string[] {
  const isV6 = (address: string) => address.includes(':')
  const leads = addresses.filter((a) => isV6(a) === isV6(addresses[0] ?? ''))
  const follows = addresses.filter((a) => !leads.includes(a))
  return Array.from({ length: Math.max(leads.length, follows.length) }, (_, i) => [leads[i], follows[i]]).flatMap((pair) =>
    pair.filter((a) => a !== undefined),
  )
}
