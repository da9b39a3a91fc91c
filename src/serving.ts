import type { ActiveSetups, SharedParts } from './active-setups.ts'
import type { Random } from './clock.ts'
import type { SocketAddress } from './config/listen-address.ts'
import type { Loaded } from './config/load.ts'
import { bindAll, type InheritedSockets } from './listen/bind.ts'
import { clientConnectionBudget } from './listen/connection-budget.ts'
import type { DatagramCalls, Listener } from './listen/listener.ts'
import type { Bind } from './listen/replace.ts'
import { ReplyRate } from './listen/reply-rate.ts'
import { createResponder } from './responder.ts'
import type { RulesVersion } from './rules-version.ts'
import { listenToKernel } from './system/netlink.ts'
import { portHolder } from './system/port-holder.ts'
import { descriptors } from './system/process-identity.ts'
import type { QueryTrace } from './trace/query-trace.ts'
import { noWorkers, startWorkerPool, type WorkerPool, workerSettings } from './workers/worker-pool.ts'

const DRAIN_MS = 1000
/**
 * With sockets of the service manager: what is asked meanwhile waits in them for the next process,
 * and is to wait no longer than a second.
 */
const ACTIVATED_DRAIN_MS = 500

/** The parts of the daemon that answer clients need. */
export interface ServingParts {
  readonly loaded: Loaded
  readonly setups: ActiveSetups
  readonly shared: SharedParts
  readonly trace: QueryTrace
  /** Lookups in the main thread's cache. */
  readonly lookups: { hits: number; misses: number }
  /** Size of one worker's cache. */
  readonly cacheMaxBytes: number
  readonly rulesVersion: RulesVersion
  readonly random: Random
  readonly inherited?: InheritedSockets | undefined
  /** See `DaemonOptions.withLowPorts`. */
  readonly withLowPorts?: (<T>(bind: () => Promise<T>) => Promise<T>) | undefined
}

const drainOf = ({ inherited = [] }: ServingParts) => (inherited.length > 0 ? ACTIVATED_DRAIN_MS : DRAIN_MS)

/** Opens listeners, at the start and at each reload, with the rights that ports below 1024 need. */
export function binder(o: ServingParts, calls: DatagramCalls | undefined): Bind {
  const { loaded, setups, shared, trace, lookups } = o
  const { clock, emit, gate, portal: bypass, memory, tally } = shared
  const { workers } = loaded.config
  const responder = createResponder({
    ...memory,
    clock,
    emit,
    counts: lookups,
    gate,
    bypass,
    tracer: trace.tracer,
    current: () => setups.current,
  })
  const needs = { endpoints: loaded.listen.length, resolvers: loaded.resolvers.length, workers }
  const parts = {
    responder,
    allowed: (address: string) => setups.current.allowed(address),
    view: (address: string) => setups.current.view(address),
    clock,
    emit,
    drainMs: drainOf(o),
    holder: portHolder,
    connectionBudget: clientConnectionBudget(descriptors(), needs),
    queryRate: shared.queryRate,
    replyRate: new ReplyRate(o.random, () => tally.limited++),
    addressChanges: listenToKernel,
    datagramCalls: calls,
    reusePort: workers > 1,
    inherited: o.inherited ?? [],
  }
  const open = (endpoints: readonly SocketAddress[]) => bindAll(endpoints, parts)
  return (endpoints) => (o.withLowPorts === undefined ? open(endpoints) : o.withLowPorts(() => open(endpoints)))
}

/**
 * Starts the worker threads, which share this thread's listeners. Rejects with the reason after the
 * listeners are closed.
 */
export async function startWorkers(o: ServingParts, listeners: readonly Listener[]): Promise<WorkerPool> {
  const { loaded, setups, shared, trace, rulesVersion, cacheMaxBytes } = o
  const { config } = loaded
  if (config.workers === 1) return noWorkers
  const { clock, emit, gate, portal: bypass, memory } = shared
  const parts = {
    cache: memory.cache,
    rulesVersion,
    clock,
    emit,
    gate,
    bypass,
    queryRate: shared.queryRate,
    trace,
    current: () => setups.current,
    cacheMaxBytes,
    drainMs: drainOf(o),
  }
  try {
    return await startWorkerPool(config.workers - 1, workerSettings(config, listeners), parts)
  } catch (error) {
    await Promise.all(listeners.map((listener) => listener.close()))
    throw error
  }
}
