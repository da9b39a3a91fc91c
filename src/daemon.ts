import { AnswerCache } from './cache/answer-cache.ts'
import type { Clock, Random } from './clock.ts'
import { allowList } from './config/cidr.ts'
import type { Loaded } from './config/load.ts'
import { asEnigmError, EnigmError } from './errors.ts'
import type { Emit, Event } from './events.ts'
import { tlsSessions } from './link/sessions.ts'
import { bindAll } from './listen/bind.ts'
import type { Endpoint, Listener } from './listen/listener.ts'
import { atomicFile } from './posture/file.ts'
import { createMonitor } from './posture/monitor.ts'
import type { PostureSetup } from './posture/state.ts'
import type { Resolve } from './resolve.ts'
import { pipeline } from './resolver.ts'
import { createResponder } from './responder.ts'
import { datagramCalls } from './system/datagram-calls.ts'
import { portHolder } from './system/port-holder.ts'
import { selfIdentity } from './system/process-identity.ts'
import { type Surroundings, transportsOf, trustedResolvers } from './trusted-resolvers.ts'
import { workersRefusal } from './workers/allowed.ts'
import { NOBODY, startCrew } from './workers/crew.ts'
import type { Settings } from './workers/protocol.ts'

/** What the daemon takes from outside. `log` is told every event; `warn` gets whole sentences. */
export interface DaemonOptions {
  readonly clock: Clock
  readonly random: Random
  readonly version: string
  readonly log: Emit
  readonly warn: (message: string) => void
}

/** A resolver that runs. */
export interface Daemon {
  readonly listeners: readonly Listener[]
  /** Takes a configuration that was loaded and checked; rejects, with nothing changed, where a new address cannot be bound. One at a time. */
  reload(loaded: Loaded): Promise<void>
  /** Notes in the status that a new configuration was refused and the old one goes on. */
  refuseReload(message: string): void
  /** Answers what is under way for at most a second, then closes everything and leaves a last status. */
  stop(): Promise<void>
}

const DRAIN_MS = 1000
/** The least a cache works with, however many workers share what is configured. */
const MIN_CACHE_BYTES = 65_536

interface Live {
  readonly loaded: Loaded
  readonly resolve: Resolve
  readonly timeoutMs: number
  readonly allowed: (address: string) => boolean
  readonly close: () => Promise<void>
}

/** Binds every listener, then says so in the status. Rejects with an EnigmError `listen`, and nothing is left open. */
export async function startDaemon(loaded: Loaded, o: DaemonOptions): Promise<Daemon> {
  const { clock } = o
  const { workers, udp, cache: cacheSetup } = loaded.config
  const share = Math.max(MIN_CACHE_BYTES, Math.floor(cacheSetup.maxBytes / workers))
  const cache = new AnswerCache(share)
  const counts = { hits: 0, misses: 0 }
  let crew = NOBODY
  const identity = selfIdentity()
  const monitor = createMonitor({
    setup: postureSetup(loaded),
    writer: { version: o.version, pid: identity.pid, ...ticks(identity.startedAtTicks), heartbeatS: loaded.config.heartbeatS },
    clock,
    file: atomicFile({ path: loaded.config.statusFile, pid: identity.pid, clock, warn: o.warn }),
    facts: () => ({
      cache: { ...crew.sums({ entries: cache.entries, bytes: cache.bytes, ...counts }), maxBytes: share * workers },
      shaping: { ...live.loaded.config.shaping, inForce: 'yes' },
    }),
  })
  const emit = (event: Event) => {
    monitor.emit(event)
    o.log(event)
  }
  const calls = datagramCalls()
  const around: Surroundings = { clock, random: o.random, emit, sessions: tlsSessions(clock) }
  const refused = workersRefusal(workers, udp, calls !== undefined)
  if (refused !== undefined) throw refused
  if (udp === 'batch' && calls === undefined) {
    throw new EnigmError(
      'listen',
      'udp is set to "batch", which needs 64-bit Linux and the optional package koffi: install it, or set udp to "auto".',
    )
  }
  let live = bringToLife(loaded, cache, around)
  const responder = createResponder({ cache, clock, emit, counts, current: () => live })
  const bind = (endpoints: readonly Endpoint[]) =>
    bindAll(endpoints, {
      responder,
      allowed: (address) => live.allowed(address),
      view: () => 0,
      clock,
      emit,
      drainMs: DRAIN_MS,
      holder: portHolder,
      datagramCalls: udp === 'dgram' ? undefined : calls,
      reusePort: workers > 1,
    })
  let listeners = await bind(loaded.listen)
  try {
    const parts = { cache, clock, emit, current: () => live, cacheMaxBytes: share, drainMs: DRAIN_MS }
    if (workers > 1) crew = await startCrew(workers - 1, workerSettings(loaded, listeners), parts)
  } catch (error) {
    await Promise.all(listeners.map((listener) => listener.close()))
    throw error
  }
  emit({ type: 'service.started' })
  monitor.start()

  return {
    get listeners() {
      return listeners
    },
    async reload(next) {
      const fresh = await bind(next.listen.filter((endpoint) => !live.loaded.listen.some((bound) => same(bound, endpoint))))
      try {
        await crew.open(udpEndpoints(fresh))
      } catch (error) {
        await Promise.all([crew.adopt(workerSettings(live.loaded, listeners)), ...fresh.map((listener) => listener.close())])
        throw error
      }
      if (next.config.workers !== workers) o.warn(`workers stays ${workers} until the next start`)
      const leaving = listeners.filter((listener) => !next.listen.some((endpoint) => stays(listener, endpoint, live.loaded.listen)))
      const old = live
      live = bringToLife(next, cache, around)
      cache.clear()
      listeners = [...listeners.filter((listener) => !leaving.includes(listener)), ...fresh]
      monitor.reconfigure(postureSetup(next))
      await Promise.all([crew.adopt(workerSettings(next, listeners)), old.close(), ...leaving.map((listener) => listener.close())])
    },
    refuseReload: (message) => emit({ type: 'reload.refused', message }),
    async stop() {
      emit({ type: 'service.stopping' })
      await Promise.all([crew.stop(), ...listeners.map((listener) => listener.close())])
      await live.close()
      monitor.stop()
    },
  }
}

function bringToLife(loaded: Loaded, cache: AnswerCache, around: Surroundings): Live {
  const trusted = trustedResolvers(loaded, around)
  const { config } = loaded
  return {
    loaded,
    resolve: pipeline({ cache, trusted, clamp: config.cache, clock: around.clock }),
    timeoutMs: config.timeoutMs,
    allowed: allowList(config.allowFrom),
    close: () => trusted.close().catch((error: unknown) => around.emit({ type: 'fault', where: `close: ${asEnigmError(error).code}` })),
  }
}

function postureSetup({ config, resolvers }: Loaded): PostureSetup {
  return {
    usageProfile: config.usageProfile,
    queryBlock: config.padding.queryBlock,
    resolvers: resolvers.map((r) => ({ id: r.id, operator: r.operator ?? r.id, transports: transportsOf(r, config.transports) })),
  }
}

/** The workers share what the main thread bound: real ports. */
function workerSettings({ config }: Loaded, listeners: readonly Listener[]): Settings {
  return { endpoints: udpEndpoints(listeners), allowFrom: config.allowFrom, timeoutMs: config.timeoutMs }
}

function udpEndpoints(listeners: readonly Listener[]): readonly Endpoint[] {
  return listeners.filter(({ transport }) => transport === 'udp').map(({ address, port }) => ({ address, port }))
}

const ticks = (startedAtTicks: string | undefined) => (startedAtTicks === undefined ? {} : { processStart: startedAtTicks })

const same = (a: Endpoint, b: Endpoint) => a.address === b.address && a.port === b.port

/** A listener stays if its endpoint does; one that was bound to port 0 has another port by now, and stays with its address. */
function stays(listener: Listener, endpoint: Endpoint, before: readonly Endpoint[]): boolean {
  if (same(listener, endpoint)) return true
  return endpoint.port === 0 && endpoint.address === listener.address && before.some((bound) => same(bound, endpoint))
}
