import type { SocketAddress } from '../config/listen-address.ts'
import type { ErrorCode } from '../errors.ts'
import type { Event } from '../events.ts'
import type { ClientRange } from '../rules/client-rules.ts'
import type { ViewClients } from '../rules/views.ts'
import type { Traced } from '../trace/query-trace.ts'

/**
 * An endpoint on which a worker serves UDP. `inheritedFd`: the main thread's descriptor of a socket
 * that the service manager passed, which all threads read; without it each thread has its own
 * socket there.
 */
export interface WorkerEndpoint extends SocketAddress {
  readonly inheritedFd?: number | undefined
}

/**
 * The settings of a worker that a reload changes. Ports are actual ports, because the main thread
 * binds first.
 */
export interface WorkerSettings {
  readonly endpoints: readonly WorkerEndpoint[]
  readonly allowFrom: readonly string[]
  readonly views: ViewClients
  readonly clientQueriesPerS: number
  readonly timeoutMs: number
  readonly prefetch: boolean
}

/** The data with which a worker is started. */
export interface WorkerInit {
  readonly counters: SharedArrayBuffer
  readonly gate: SharedArrayBuffer
  /** The switch of the query trace. */
  readonly trace: SharedArrayBuffer
  /** The switch of captive portals. */
  readonly portal: SharedArrayBuffer
  /** The version of the rules about names. */
  readonly rules: SharedArrayBuffer
  /** The memory of the limit of queries per client. */
  readonly queryRate: SharedArrayBuffer
  readonly cacheMaxBytes: number
  readonly drainMs: number
  readonly unshared: readonly ClientRange[]
  readonly settings: WorkerSettings
}

/**
 * Commands to a worker, each acknowledged with `done` in order. `open` binds further endpoints; if
 * one cannot be bound, it binds none. `adopt` puts settings in force: other endpoints are closed,
 * the cache is cleared, and answers to earlier questions are not stored. Misses use the same port,
 * as plain octets (miss-codec.ts).
 */
export type Command =
  | { readonly type: 'open'; readonly endpoints: readonly WorkerEndpoint[] }
  | { readonly type: 'adopt'; readonly settings: WorkerSettings }
  /** The network changed: everything that belongs to the last one is forgotten. */
  | { readonly type: 'network' }
  /** Clients in these ranges share no answers: lists have rules about them. */
  | { readonly type: 'unshare'; readonly ranges: readonly ClientRange[] }
  | { readonly type: 'stop' }

/** Why a command was not carried out. */
export interface CommandRefusal {
  readonly code: ErrorCode
  readonly message: string
}

/** Messages of a worker other than misses. The first `done` means that it listens. */
export type WorkerReport =
  | { readonly type: 'done'; readonly refused?: CommandRefusal }
  | { readonly type: 'event'; readonly event: Event }
  /**
   * While a trace is active: the questions of one turn; `missed` more did not fit in one message.
   */
  | { readonly type: 'traced'; readonly traced: readonly Traced[]; readonly missed: number }

const CELLS = 6

/**
 * Counters of one worker, in memory that the main thread reads whenever it writes the status, so
 * that no message per query is needed. There is one writer. Doubles hold every count exactly up to
 * 2^53. An aligned one is a single store on the platforms that have batched UDP (x64, arm64), so a
 * reader never sees a partial value.
 */
export class Counters {
  readonly shared: SharedArrayBuffer
  readonly #cells: Float64Array

  /** Uses `shared` of another thread's Counters, or memory of its own. */
  constructor(shared = new SharedArrayBuffer(CELLS * Float64Array.BYTES_PER_ELEMENT)) {
    this.shared = shared
    this.#cells = new Float64Array(shared)
  }

  get hits(): number {
    return this.#cells[0]!
  }
  set hits(count: number) {
    this.#cells[0] = count
  }
  get misses(): number {
    return this.#cells[1]!
  }
  set misses(count: number) {
    this.#cells[1] = count
  }
  /** Questions that this worker refused because of overload. */
  get overloaded(): number {
    return this.#cells[4]!
  }
  set overloaded(count: number) {
    this.#cells[4] = count
  }
  /** Queries of other hosts above the reply rate. */
  get limited(): number {
    return this.#cells[5]!
  }
  set limited(count: number) {
    this.#cells[5] = count
  }
  get entries(): number {
    return this.#cells[2]!
  }
  get bytes(): number {
    return this.#cells[3]!
  }

  /** Records how full the cache of this worker is. */
  size(cache: { readonly entries: number; readonly bytes: number }): void {
    this.#cells[2] = cache.entries
    this.#cells[3] = cache.bytes
  }
}
