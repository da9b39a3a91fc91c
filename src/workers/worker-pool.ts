import type { Worker } from 'node:worker_threads'
import type { Clock } from '../clock.ts'
import type { Loaded } from '../config/load.ts'
import type { Config } from '../config/settings.ts'
import { asEnigmError, EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { DatagramCalls, Listener } from '../listen/listener.ts'
import type { QueryRate } from '../listen/query-rate.ts'
import type { PortalSwitch } from '../portal/portal-switch.ts'
import type { ClientRange } from '../rules/client-rules.ts'
import { RulesVersion } from '../rules-version.ts'
import { datagramCalls } from '../system/datagram-calls.ts'
import type { QueryTrace } from '../trace/query-trace.ts'
import { type MissServerParts, missServer } from './miss-server.ts'
import {
  type Command,
  type CommandRefusal,
  Counters,
  type WorkerEndpoint,
  type WorkerInit,
  type WorkerReport,
  type WorkerSettings,
} from './protocol.ts'

/**
 * The settings for workers from a configuration. They share the sockets that the main thread bound,
 * so the ports are actual ports.
 */
export function workerSettings(config: Loaded['config'], listeners: readonly Listener[]): WorkerSettings {
  const { allowFrom, clientQueriesPerS, timeoutMs, cache } = config
  const views = config.views.map(({ clients }) => clients)
  return { endpoints: udpEndpoints(listeners), allowFrom, views, clientQueriesPerS, timeoutMs, prefetch: cache.prefetch }
}

/** The endpoints on which `listeners` serve UDP. */
export function udpEndpoints(listeners: readonly Listener[]): readonly WorkerEndpoint[] {
  return listeners.filter(({ transport }) => transport === 'udp').map(({ address, port, inheritedFd }) => ({ address, port, inheritedFd }))
}

/**
 * Why this number of workers cannot run here; undefined: they can. They share endpoints by
 * SO_REUSEPORT, which on Node 20 only the batched sockets can set.
 */
export function workersRefusal(workers: number, udp: Config['udp'], batched: boolean): EnigmError | undefined {
  if (workers === 1) return undefined
  if (udp === 'dgram') {
    return new EnigmError('listen', `workers is set to ${workers}, which needs batched UDP: set udp to "auto", or set workers to 1.`)
  }
  if (batched) return undefined
  return new EnigmError(
    'listen',
    `workers is set to ${workers}, which needs 64-bit Linux and the optional package koffi: install it, or set workers to 1.`,
  )
}

/**
 * The system calls for batches of datagrams; undefined: one datagram at a time. Throws an
 * EnigmError `listen` if `config` requires calls that this system lacks.
 */
export function batchedCalls({ workers, udp }: Pick<Config, 'workers' | 'udp'>): DatagramCalls | undefined {
  const calls = datagramCalls()
  const refused = workersRefusal(workers, udp, calls !== undefined)
  if (refused !== undefined) throw refused
  if (udp === 'batch' && calls === undefined) {
    throw new EnigmError(
      'listen',
      'udp is set to "batch", which needs 64-bit Linux and the optional package koffi: install it, or set udp to "auto".',
    )
  }
  return udp === 'dgram' ? undefined : calls
}

/** The dependencies of the pool. */
export interface WorkerPoolParts extends MissServerParts {
  readonly clock: Clock
  readonly emit: Emit
  readonly cacheMaxBytes: number
  readonly drainMs: number
  readonly trace?: QueryTrace
  readonly bypass?: PortalSwitch
  readonly rulesVersion?: RulesVersion
  readonly queryRate: QueryRate
  /** The file that a thread runs; another one in tests only. */
  readonly entry?: URL
}

/** Figures of the cache for the status. */
export interface CacheFigures {
  readonly entries: number
  readonly bytes: number
  readonly hits: number
  readonly misses: number
  readonly overloaded: number
  readonly limited: number
}

/** The worker threads besides the main thread. One command at a time. */
export interface WorkerPool {
  /** The sum of `own`, the figures of the main thread, and those of all workers. */
  sums(own: CacheFigures): CacheFigures
  /**
   * Binds further endpoints in every worker. Rejects with an EnigmError `listen`; workers that did
   * bind undo it at the next `adopt`.
   */
  open(endpoints: readonly WorkerEndpoint[]): Promise<void>
  /**
   * Puts new settings in force. Resolves when no worker answers from its earlier cache. Never
   * rejects.
   */
  adopt(settings: WorkerSettings): Promise<void>
  /** Notifies every worker of a change of network. Never rejects. */
  newNetwork(): void
  /**
   * In every worker, clients in these ranges share no answers (see `unsharedIn`). Never rejects.
   */
  unshare(ranges: readonly ClientRange[]): void
  /**
   * Every worker answers the queries in progress for at most `drainMs`, then ends. Never rejects.
   */
  stop(): Promise<void>
}

/** The pool without workers: the main thread serves alone. */
export const noWorkers: WorkerPool = {
  sums: (own) => own,
  open: async () => {},
  adopt: async () => {},
  newNetwork() {},
  unshare() {},
  stop: async () => {},
}

/** Delay of a restart: a crash loop must not use up the machine. */
const RESTART_MS = 1000
/** Extra time after its drain before a worker is terminated. */
const STOP_GRACE_MS = 500
const NEVER_LISTENED: CommandRefusal = { code: 'listen', message: 'A worker thread ended at its start: set workers to 1, and see the log.' }
/** The compiler rewrites imports, but not URLs. */
const ENTRY = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)

/**
 * Starts `count` threads and waits until each of them listens. Rejects with an EnigmError after all
 * of them have ended.
 */
export async function startWorkerPool(count: number, settings: WorkerSettings, parts: WorkerPoolParts): Promise<WorkerPool> {
  const threads = await import('node:worker_threads')
  const handles = Array.from({ length: count }, () => new WorkerHandle(parts, settings, threads.Worker))
  const commandAll = (command: Command) => Promise.all(handles.map((handle) => handle.carryOut(command)))
  const pool: WorkerPool = {
    sums: (own) => summed([own, ...handles.map((handle) => handle.counters)]),
    async open(endpoints) {
      throwFirst(await commandAll({ type: 'open', endpoints }))
    },
    async adopt(next) {
      for (const handle of handles) handle.settings = next
      const refusals = await commandAll({ type: 'adopt', settings: next })
      if (refusals.some((refusal) => refusal !== undefined)) parts.emit({ type: 'fault', where: 'worker: adopt' })
    },
    newNetwork: () => void commandAll({ type: 'network' }),
    unshare(ranges) {
      for (const handle of handles) handle.unshared = ranges
      void commandAll({ type: 'unshare', ranges })
    },
    async stop() {
      await Promise.all(handles.map((handle) => handle.stop()))
    },
  }
  try {
    throwFirst(await Promise.all(handles.map((handle) => handle.start())))
    return pool
  } catch (error) {
    await pool.stop()
    throw asEnigmError(error)
  }
}

function throwFirst(refusals: readonly (CommandRefusal | undefined)[]): void {
  for (const refusal of refusals) if (refusal !== undefined) throw new EnigmError(refusal.code, refusal.message)
}

function summed(all: readonly CacheFigures[]): CacheFigures {
  const sum = (of: (figures: CacheFigures) => number) => all.reduce((total, figures) => total + of(figures), 0)
  return {
    entries: sum((c) => c.entries),
    bytes: sum((c) => c.bytes),
    hits: sum((c) => c.hits),
    misses: sum((c) => c.misses),
    overloaded: sum((c) => c.overloaded),
    limited: sum((c) => c.limited),
  }
}

/**
 * One place in the pool: a thread, and its successor when it dies. While there is none the kernel
 * gives its clients to the other sockets.
 */
class WorkerHandle {
  readonly counters = new Counters()
  settings: WorkerSettings
  unshared: readonly ClientRange[] = []
  readonly #parts: WorkerPoolParts
  readonly #Worker: typeof Worker
  #worker: Worker | undefined
  #acks: ((refusal: CommandRefusal | undefined) => void)[] = []
  #startedMs = 0
  #stopping = false

  constructor(parts: WorkerPoolParts, settings: WorkerSettings, thread: typeof Worker) {
    this.#parts = parts
    this.#Worker = thread
    this.settings = settings
  }

  /** Resolves when the thread listens, or to the reason why it does not. */
  start(): Promise<CommandRefusal | undefined> {
    const { cacheMaxBytes, drainMs, clock, emit, trace, bypass, queryRate, rulesVersion = new RulesVersion() } = this.#parts
    const gate = this.#parts.gate.shared
    const switches = { trace: trace?.tracer.shared ?? new SharedArrayBuffer(4), portal: bypass?.shared ?? new SharedArrayBuffer(4) }
    const shared = { counters: this.counters.shared, gate, rules: rulesVersion.shared, queryRate: queryRate.shared, ...switches }
    const init: WorkerInit = { ...shared, cacheMaxBytes, drainMs, settings: this.settings, unshared: this.unshared }
    const worker = new this.#Worker(this.#parts.entry ?? ENTRY, { workerData: init, name: 'enigm-dns listener' })
    const serve = missServer(this.#parts, (message) => worker.postMessage(message, [message.buffer as ArrayBuffer]))
    this.#worker = worker
    this.#startedMs = clock.nowMs()
    worker.on('message', (message: Uint8Array | WorkerReport) => {
      if (message instanceof Uint8Array) serve(message)
      else if (message.type === 'event') emit(message.event)
      else if (message.type === 'traced') trace?.take(message.traced, message.missed)
      else this.#acks.shift()?.(message.refused)
    })
    worker.on('error', (error) => emit({ type: 'fault', where: `worker: ${error.name}` }))
    worker.once('exit', () => this.#exited())
    return this.#acknowledged().then((refusal) => (this.#worker === worker ? refusal : NEVER_LISTENED))
  }

  /**
   * Resolves when the thread has carried the command out, or to the reason why it could not. If the
   * thread dies meanwhile, its successor starts with `settings`, which has the same effect.
   */
  carryOut(command: Command): Promise<CommandRefusal | undefined> {
    if (this.#worker === undefined) return Promise.resolve(undefined)
    this.#worker.postMessage(command)
    return this.#acknowledged()
  }

  async stop(): Promise<void> {
    this.#stopping = true
    const worker = this.#worker
    if (worker === undefined) return
    const gone = new Promise((resolve) => worker.once('exit', resolve))
    const late = this.#parts.clock.setTimer(this.#parts.drainMs + STOP_GRACE_MS, () => void worker.terminate())
    worker.postMessage({ type: 'stop' } satisfies Command)
    await gone
    late.cancel()
  }

  #acknowledged(): Promise<CommandRefusal | undefined> {
    return new Promise((resolve) => this.#acks.push(resolve))
  }

  #exited(): void {
    const { clock } = this.#parts
    this.#worker = undefined
    this.counters.size({ entries: 0, bytes: 0 })
    for (const ack of this.#acks.splice(0)) ack(undefined)
    if (this.#stopping) return
    const waitMs = Math.max(0, this.#startedMs + RESTART_MS - clock.nowMs())
    clock.setTimer(waitMs, () => void this.#restart())
  }

  async #restart(): Promise<void> {
    if (this.#stopping) return
    if ((await this.start()) === undefined) return
    this.#parts.emit({ type: 'fault', where: 'worker: listen' })
    void this.#worker?.terminate()
  }
}
