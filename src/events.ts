import type { ErrorCode } from './errors.ts'
import type { Protection, Transport } from './resolve.ts'

/** Why a DNS packet would leave the host unencrypted. Nothing in `strict` has one; see posture/ledger.ts. */
export type PlaintextCause = 'captive-portal' | 'user-exception'

/** What links, upstreams and the daemon report: a closed union, never a query name, never a client address. */
export type Event =
  | {
      readonly type: 'link.up'
      readonly resolver: string
      readonly transport: Transport
      readonly address: string
      readonly protection: Protection
      readonly handshakeMs: number
    }
  | { readonly type: 'link.down'; readonly resolver: string; readonly transport: Transport; readonly code: ErrorCode }
  | {
      readonly type: 'link.failed'
      readonly resolver: string
      readonly transport: Transport
      readonly code: ErrorCode
      readonly detail: string
    }
  | { readonly type: 'link.mismatch'; readonly resolver: string; readonly transport: Transport }
  | {
      readonly type: 'upstream.answered'
      readonly resolver: string
      readonly transport: Transport
      readonly rttMs: number
      readonly protection: Protection
      readonly paddedReply: boolean
    }
  | {
      readonly type: 'upstream.failed'
      readonly resolver: string
      readonly transport: Transport
      readonly code: ErrorCode
      /** How long the exchange had lasted. Without it one failure counts against the resolver even if it answered others meanwhile. */
      readonly afterMs?: number
    }
  | { readonly type: 'plaintext'; readonly cause: PlaintextCause }
  | { readonly type: 'service.started' }
  | { readonly type: 'service.stopping' }
  | { readonly type: 'reload.refused'; readonly message: string }
  | { readonly type: 'fault'; readonly where: string }

/** Takes an event; cheap, sync, never throws. */
export type Emit = (event: Event) => void
