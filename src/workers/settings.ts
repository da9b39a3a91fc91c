import type { Loaded } from '../config/load.ts'
import type { Endpoint, Listener } from '../listen/listener.ts'
import type { WorkerSettings } from './protocol.ts'

/** What workers are told of a configuration; they share what the main thread bound, so the ports are real ones. */
export function workerSettings(config: Loaded['config'], listeners: readonly Listener[]): WorkerSettings {
  return { endpoints: udpEndpoints(listeners), allowFrom: config.allowFrom, timeoutMs: config.timeoutMs, prefetch: config.cache.prefetch }
}

/** Where `listeners` hear UDP. */
export function udpEndpoints(listeners: readonly Listener[]): readonly Endpoint[] {
  return listeners.filter(({ transport }) => transport === 'udp').map(({ address, port }) => ({ address, port }))
}
