import { createHash } from 'node:crypto'
import type { Clock } from '../../clock.ts'
import type { Transport } from '../../resolve.ts'
import type { Endpoint } from './endpoint.ts'
import type { PeerProof } from './identity.ts'

/**
 * How many tickets are kept per endpoint. A ticket is used once (RFC 8446 appendix C.4), and
 * servers send two per handshake.
 */
const TICKETS_PER_ENDPOINT = 4
const MAX_ENDPOINTS = 256
/**
 * A ticket is not used after this time, because it shows the resolver that two connections belong
 * to one client (documented in docs/limits.md).
 */
const MAX_TICKET_AGE_MS = 8 * 3600_000

/** A TLS session, and the proof of identity from its original handshake. */
export interface SavedSession {
  readonly session: Buffer
  readonly evidence: PeerProof
}

/**
 * TLS sessions in memory, per resolver, transport, name, pin set and CA. On a resumed session Node
 * returns no peer certificate and does not call checkServerIdentity (measured on 20.20, TLS 1.2 and
 * 1.3). Therefore only sessions of a fully verified handshake are kept. They expire with the
 * certificate, and are never used with another pin set or CA.
 */
export interface TlsSessions {
  /** Removes and returns the newest usable session. */
  take(key: string): SavedSession | undefined
  keep(key: string, saved: SavedSession): void
  /** Forgets the sessions of one resolver, or all. */
  flush(resolver?: string): void
  readonly size: number
}

/**
 * The key under which sessions of this endpoint are kept. It holds everything on which the
 * verification depends. It also holds the route, because a ticket that is used on two routes shows
 * the resolver that both belong to one client.
 */
export function sessionKey(endpoint: Endpoint, transport: Transport): string {
  const route = (endpoint.route ?? []).map(({ hop: { kind, name, host, port } }) => [kind, name, host, port].join(' '))
  const proof = [
    transport,
    endpoint.authenticationDomainName,
    ...endpoint.spkiPins.toSorted(),
    endpoint.ca ?? 'bundled',
    ...(endpoint.certHashes ?? []).toSorted(),
    JSON.stringify(endpoint.tls ?? {}),
    ...route,
  ]
  return `${createHash('sha256').update(proof.join('\0')).digest('base64')} ${endpoint.resolver}`
}

export function tlsSessions(clock: Clock): TlsSessions {
  const shelves = new Map<string, { saved: SavedSession; sinceMs: number }[]>()

  const usable = (entry: { saved: SavedSession; sinceMs: number }) => {
    const wallMs = clock.wallMs()
    const { notBeforeMs, notAfterMs } = entry.saved.evidence
    return clock.nowMs() - entry.sinceMs < MAX_TICKET_AGE_MS && wallMs >= notBeforeMs && wallMs < notAfterMs
  }

  return {
    take(key) {
      const shelf = shelves.get(key)
      for (let entry = shelf?.pop(); entry !== undefined; entry = shelf?.pop()) {
        if (usable(entry)) return entry.saved
      }
      shelves.delete(key)
      return undefined
    },
    keep(key, saved) {
      const shelf = shelves.get(key) ?? []
      shelves.delete(key)
      shelves.set(key, [...shelf, { saved, sinceMs: clock.nowMs() }].slice(-TICKETS_PER_ENDPOINT))
      for (const oldest of shelves.keys()) {
        if (shelves.size <= MAX_ENDPOINTS) break
        shelves.delete(oldest)
      }
    },
    flush(resolver) {
      for (const key of shelves.keys()) {
        if (resolver === undefined || key.endsWith(` ${resolver}`)) shelves.delete(key)
      }
    },
    get size() {
      return [...shelves.values()].reduce((sum, shelf) => sum + shelf.length, 0)
    },
  }
}
