import type { EnigmError } from '../../errors.ts'
import type { Transport } from '../../resolve.ts'
import type { TlsGroup } from '../../tls-groups.ts'
import type { DialHop } from './hops.ts'

/** The place where a transport is offered; a transport without other parameters has a port. */
type OfferedTransports = { readonly [T in Transport]?: T extends keyof Places ? Places[T] : OfferedTransport }

interface OfferedTransport {
  readonly port: number
}

/** The transports with more parameters. */
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

/** A relay that posts sealed queries to a target; the endpoint is that of the relay. */
export interface ObliviousPlace extends OfferedTransport {
  /** The id of the relay, which errors of a dial name as the hop. */
  readonly relay: string
  /** The path at the relay, which names the target. */
  readonly path: string
  readonly keys: SealingKeys
  /** How much longer a sealed query is than the query. */
  readonly sealOctets: number
}

/** The key of a target, and its renewal. */
export interface SealingKeys {
  /** Until a key is known, `seal` throws. */
  readonly known: boolean
  /** Changes with the key. */
  readonly version: number
  readonly seal: Seal
  /**
   * Resolves when a key is known; rejects with an EnigmError if there is none: `target-key`, or
   * that of the hop behind which the target was not reached.
   */
  ready(): Promise<void>
  /**
   * The target refused a query that was sealed at `version`. Resolves when there is another key;
   * rejects like `ready` if there is none.
   */
  renew(version: number): Promise<void>
  /**
   * The network changed: a fetch under way is given up, and what waits for it waits for one on
   * this network.
   */
  reset(): void
  /** Gives up a fetch under way for good. */
  close(): void
}

/** Seals a query with ID 0 to a target. */
export type Seal = (query: Uint8Array) => SealedQuery

/** A query as the relay sees it, and the only way to read its response. */
export interface SealedQuery {
  readonly body: Uint8Array
  /** The DNS message in a response; an error if it is not the target's response to this query. */
  open(response: Uint8Array): Uint8Array | EnigmError
}

/** One trusted resolver for the link: its addresses, and how it proves its identity. */
export interface Endpoint extends OfferedTransports {
  /** The resolver's id in the trusted set; goes into events. */
  readonly resolver: string
  /**
   * IP literals, pinned: no lookup is ever made to find them. In order of preference. Behind Tor
   * also names of onion services.
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
   * them. Absent or empty: any chain.
   */
  readonly certHashes?: readonly string[]
  /** PEM of the only trusted roots; undefined: those bundled with Node. */
  readonly ca: string | undefined
  readonly usageProfile: 'strict' | 'opportunistic'
  /**
   * The hops on the way, the nearest first. Absent or empty: it is dialled directly; else no packet
   * goes to its addresses.
   */
  readonly route?: readonly DialHop[]
  /** Absent: the defaults of tls-settings.ts. */
  readonly tls?: TlsRules
}

/** Rules for TLS, in addition to the defaults. */
export interface TlsRules {
  /** The only groups to offer, the preferred one first. */
  readonly groups?: readonly TlsGroup[]
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3'
}

/** An endpoint for which only authenticated connections are made. */
export interface StrictEndpoint extends Endpoint {
  readonly usageProfile: 'strict'
}

/** Port of the transport, or undefined if the endpoint does not offer it. */
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
