import type { ErrorCode } from '../errors.ts'
import type { Event } from '../events.ts'
import type { Endpoint } from '../listen/listener.ts'
import type { Traced } from '../trace/tracer.ts'

/** What a reload changes in a worker. Ports are real ones: the main thread binds first. */
export interface WorkerSettings {
  readonly endpoints: readonly Endpoint[]
  readonly allowFrom: readonly string[]
  readonly timeoutMs: number
  readonly prefetch: boolean
}

/** What a worker is started with. */
export interface WorkerInit {
  readonly counters: SharedArrayBuffer
  readonly gate: SharedArrayBuffer
  /** The switch of the query trace. */
  readonly trace: SharedArrayBuffer
  readonly cacheMaxBytes: number
  readonly drainMs: number
  readonly settings: WorkerSettings
}

/**
 * Commands to a worker, each acknowledged with `done` in turn. `open` binds more endpoints or, where one cannot be bound, none; `adopt` puts settings in force:
 * other endpoints are closed, the cache is cleared, and what was asked for before is not kept. Misses travel on the same port, as bare octets (miss-codec.ts).
 */
export type Command =
  | { readonly type: 'open'; readonly endpoints: readonly Endpoint[] }
  | { readonly type: 'adopt'; readonly settings: WorkerSettings }
  /** Another network: what belongs to the last one is forgotten. */
  | { readonly type: 'network' }
  | { readonly type: 'stop' }

/** Why a command was not carried out. */
export interface CommandRefusal {
  readonly code: ErrorCode
  readonly message: string
}

/** What a worker says beside its misses. The first `done` says that it listens. */
export type WorkerReport =
  | { readonly type: 'done'; readonly refused?: CommandRefusal }
  | { readonly type: 'event'; readonly event: Event }
  /** While a trace is on: what was asked here in one turn; `missed` more were too many for one message. */
  | { readonly type: 'traced'; readonly traced: readonly Traced[]; readonly missed: number }
