import type { SocketAddress } from '../config/listen-address.ts'
import type { ErrorCode } from '../errors.ts'
import type { Event } from '../events.ts'
import type { Traced } from '../trace/query-trace.ts'

/**
 * Where a worker hears UDP. `inheritedFd`: the main thread's descriptor of a socket that the
 * service manager passed, which every thread reads; without it each has its own socket there.
 */
export interface WorkerEndpoint extends SocketAddress {
  readonly inheritedFd?: number | undefined
}

/** What a reload changes in a worker. Ports are real ones: the main thread binds first. */
export interface WorkerSettings {
  readonly endpoints: readonly WorkerEndpoint[]
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
  /** The switch of captive portals. */
  readonly portal: SharedArrayBuffer
  readonly cacheMaxBytes: number
  readonly drainMs: number
  readonly settings: WorkerSettings
}

/**
 * Commands to a worker, each acknowledged with `done` in turn. `open` binds more endpoints or,
 * where one cannot be bound, none; `adopt` puts settings in force: other endpoints are closed, the
 * cache is cleared, and what was asked for before is not kept. Misses travel on the same port, as
 * bare octets (miss-codec.ts).
 */
export type Command =
  | { readonly type: 'open'; readonly endpoints: readonly WorkerEndpoint[] }
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
  /**
   * While a trace is on: what was asked here in one turn; `missed` more were too many for one
   * message.
   */
  | { readonly type: 'traced'; readonly traced: readonly Traced[]; readonly missed: number }

const CELLS = 6

/**
 * What one worker counts, in memory that the main thread reads whenever it writes the status: no
 * message per query. One writer. Doubles hold every count exactly up to 2^53, and an aligned one is
 * a single store on the platforms that have batched UDP (x64, arm64), so a reader never sees half
 * of it.
 */
export class Counters {
  readonly shared: SharedArrayBuffer
  readonly #cells: Float64Array

  /** Over `shared` of another thread's Counters, or over memory of its own. */
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
  /** Questions that this worker turned away. */
  get overloaded(): number {
    return this.#cells[4]!
  }
  set overloaded(count: number) {
    this.#cells[4] = count
  }
  /** Queries of other hosts that came too fast. */
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

  /** Notes how full the cache of this worker is. */
  size(cache: { readonly entries: number; readonly bytes: number }): void {
    this.#cells[2] = cache.entries
    this.#cells[3] = cache.bytes
  }
}
