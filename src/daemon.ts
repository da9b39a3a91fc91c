import { createMemory, type Memory } from './cache/memory.ts'
import type { Clock, Random } from './clock.ts'
import { allowList } from './config/cidr.ts'
import type { SocketAddress } from './config/listen-address.ts'
import type { Loaded } from './config/load.ts'
import { inForceAfterReload, restartOnly } from './config/restart-only.ts'
import { asEnigmError, EnigmError } from './errors.ts'
import type { Emit } from './events.ts'
import { type Evidence, gatherEvidence } from './evidence.ts'
import type { SystemView } from './host-checks.ts'
import type { Stage } from './job.ts'
import { tlsSessions } from './link/dial/sessions.ts'
import { bindAll } from './listen/bind.ts'
import { clientConnectionBudget } from './listen/connection-budget.ts'
import type { Listener } from './listen/listener.ts'
import { replaceListeners } from './listen/replace.ts'
import { ReplyRate } from './listen/reply-rate.ts'
import { SelfCanary } from './local-names/self-canary.ts'
import type { Page } from './page/page.ts'
import { PolicyGate, SetupGate } from './policy/gate.ts'
import { type Protection, viewFor } from './resolve.ts'
import { newStageCounts, pipeline, type StageCounts } from './resolver.ts'
import { createResponder } from './responder.ts'
import { createRetention, type Forgotten } from './retention/retention.ts'
import { redactedCounts } from './shaping/profiles.ts'
import { datagramCalls } from './system/datagram-calls.ts'
import { listenToKernel } from './system/netlink.ts'
import { type NetworkMonitor, type NetworkMonitorOptions, startNetworkMonitor } from './system/network-monitor.ts'
import { portHolder } from './system/port-holder.ts'
import { bootId, descriptors } from './system/process-identity.ts'
import { QueryTrace } from './trace/query-trace.ts'
import { type LinkParts, type LiveResolvers, trustedResolvers } from './trusted-resolvers.ts'
import { noWorkers, startWorkerPool, udpEndpoints, workerSettings, workersRefusal } from './workers/worker-pool.ts'

/** What the daemon takes from outside. `log` is told every event; `warn` gets whole sentences. */
export interface DaemonOptions {
  readonly clock: Clock
  readonly random: Random
  readonly version: string
  readonly log: Emit
  readonly warn: (message: string) => void
  /** Called with each heartbeat. */
  readonly beat?: () => void
  /** Runs what may need a port below 1024; given by a service that goes on as another user. */
  readonly bound?: <T>(bind: () => Promise<T>) => Promise<T>
  /** How the network is looked at; replaced in tests and simulations. */
  readonly network?: Pick<NetworkMonitorOptions, 'read' | 'listen'>
  /** How the host is looked at; replaced in tests. */
  readonly system?: SystemView
}

/** A resolver that runs. */
export interface Daemon {
  readonly listeners: readonly Listener[]
  /** Takes a configuration that was loaded and checked; rejects, with nothing changed, where a new address cannot be bound. One at a time. */
  reload(loaded: Loaded): Promise<void>
  /** Forgets every answer and TLS session, and takes saved caches and their key away. */
  forget(): Promise<Forgotten>
  /** Shows what is asked, to one watcher at a time, for a limited time; see trace/query-trace.ts. */
  readonly trace: Pick<QueryTrace, 'begin' | 'end'>
  /** Notes in the status that a new configuration was refused and the old one goes on. */
  refuseReload(message: string): void
  /** Answers what is under way for at most a second, then closes everything and leaves a last status. */
  stop(): Promise<void>
}

const DRAIN_MS = 1000
/** The least a cache works with, however many workers share what is configured. */
const MIN_CACHE_BYTES = 65_536

/** What every configuration of one run shares. */
type Around = LinkParts & { readonly gate: PolicyGate; readonly canary: SelfCanary }

interface Live {
  readonly stages: readonly Stage[]
  readonly timeoutMs: number
  readonly prefetch: boolean
  readonly allowed: (address: string) => boolean
  readonly close: () => Promise<void>
  /** Asks and answers nothing more, whatever the gate says later: see SetupGate. */
  readonly revoke: () => void
  readonly react: LiveResolvers<Protection>['react']
}

/** Binds every listener, then says so in the status. Rejects with an EnigmError `listen`, and nothing is left open. */
export async function startDaemon(loaded: Loaded, o: DaemonOptions): Promise<Daemon> {
  const { clock } = o
  let inForce = loaded
  const { workers, udp, cache: cacheSetup } = loaded.config
  const share = Math.max(MIN_CACHE_BYTES, Math.floor(cacheSetup.maxBytes / workers))
  const counts = { hits: 0, misses: 0 }
  const tally = newStageCounts()
  const { staleMaxS } = cacheSetup
  const memory = createMemory({ clock, random: o.random, maxBytes: share, staleMaxS, current: () => live, renewed: () => tally.renewed++ })
  const { cache } = memory
  let workerPool = noWorkers
  const gate = new PolicyGate()
  const canary = new SelfCanary()
  const evidence = gatherEvidence({
    ...o,
    loaded,
    gate,
    canary,
    // Connections from before were made another way than the policy lets go now.
    gateMoved: (closed) => react('network', !closed),
    beat() {
      networkMonitor?.beat()
      o.beat?.()
    },
    counts: () =>
      redactedCounts(inForce.config.shaping.profile, {
        ...tally,
        ...workerPool.sums({ entries: cache.entries, bytes: cache.bytes, ...counts, overloaded: tally.overloaded, limited: tally.limited }),
        maxBytes: share * workers,
      }),
  })
  const { emit } = evidence
  const trace = new QueryTrace(clock, emit)
  const calls = datagramCalls()
  let networkMonitor: NetworkMonitor | undefined
  const watching = { notice: () => networkMonitor?.notice(), beforeDial: () => networkMonitor?.look() }
  const around: Around = { clock, random: o.random, emit, sessions: tlsSessions(clock), ...watching, gate, canary }
  const refused = workersRefusal(workers, udp, calls !== undefined)
  if (refused !== undefined) throw refused
  if (udp === 'batch' && calls === undefined) {
    throw new EnigmError(
      'listen',
      'udp is set to "batch", which needs 64-bit Linux and the optional package koffi: install it, or set udp to "auto".',
    )
  }
  const retention = createRetention({
    cache,
    clock,
    boot: bootId(),
    credentials: process.env.CREDENTIALS_DIRECTORY,
    warn: o.warn,
    setup: loaded,
  })
  let live = bringToLife(loaded, memory, tally, around)
  /** Those that still answer what they were asked before a reload, too. */
  const lives = new Set([live])
  const react: Live['react'] = (what, online) => {
    for (const one of lives) one.react(what, online && one === live)
  }
  const responder = createResponder({ ...memory, clock, emit, counts, gate, tracer: trace.tracer, current: () => live })
  const replyRate = new ReplyRate(o.random, () => tally.limited++)
  const connectionBudget = clientConnectionBudget(descriptors(), {
    endpoints: loaded.listen.length,
    resolvers: loaded.resolvers.length,
    workers,
  })
  const bind = (endpoints: readonly SocketAddress[]) => (o.bound === undefined ? open(endpoints) : o.bound(() => open(endpoints)))
  const open = (endpoints: readonly SocketAddress[]) =>
    bindAll(endpoints, {
      responder,
      allowed: (address) => live.allowed(address),
      view: viewFor,
      clock,
      emit,
      drainMs: DRAIN_MS,
      holder: portHolder,
      connectionBudget,
      replyRate,
      addressChanges: listenToKernel,
      datagramCalls: udp === 'dgram' ? undefined : calls,
      reusePort: workers > 1,
    })
  let listeners = await bind(loaded.listen)
  try {
    const parts = { cache, clock, emit, gate, trace, current: () => live, cacheMaxBytes: share, drainMs: DRAIN_MS }
    if (workers > 1) workerPool = await startWorkerPool(workers - 1, workerSettings(loaded.config, listeners), parts)
  } catch (error) {
    await Promise.all(listeners.map((listener) => listener.close()))
    throw error
  }
  // Before the first look: what changes after it must be seen.
  networkMonitor = startNetworkMonitor({
    ...o.network,
    clock,
    emit,
    beatMs: 1000 * loaded.config.heartbeatS,
    disturbed(what, online) {
      if (what === 'network') for (const one of [memory, workerPool]) one.newNetwork()
      if (what === 'clock') retention.clockMoved()
      react(what, online)
    },
  })
  await evidence.start(listeners)
  const page = await openPage(loaded, evidence, o).catch((error: unknown) => o.warn(asEnigmError(error).message))
  // The first answer does not wait for old ones.
  void retention.start()

  return {
    get listeners() {
      return listeners
    },
    trace,
    async reload(next) {
      const change = await replaceListeners(listeners, inForce.listen, next.listen, bind)
      try {
        await workerPool.open(udpEndpoints(change.fresh))
      } catch (error) {
        listeners = await change.undo()
        await workerPool.adopt(workerSettings(inForce.config, listeners))
        throw error
      }
      const waiting = restartOnly(inForce.config, next.config)
      if (waiting.length > 0) o.warn(`these settings take effect at the next start: ${waiting.join(', ')}`)
      trace.end('reload')
      const old = live
      inForce = { ...next, config: inForceAfterReload(inForce.config, next.config) }
      listeners = change.after
      // The gate before all else: what is new must not be dialled, and what is old not be asked again, by leave of the old policy.
      evidence.adopt(inForce, listeners)
      if (gate.closed) old.revoke()
      live = bringToLife(inForce, memory, tally, around)
      lives.add(live)
      memory.clear(next.config.cache.staleMaxS)
      emit({ type: 'reload.waiting', settings: waiting })
      // The look may open the gate: by then no worker answers from what it kept before.
      const looked = workerPool.adopt(workerSettings(next.config, listeners)).then(() => evidence.look())
      const left = old.close().then(() => lives.delete(old))
      await Promise.all([looked, left, change.keep(), retention.adopt(inForce)])
    },
    async forget() {
      trace.end('forget')
      const { entries } = workerPool.sums({ entries: cache.entries, bytes: 0, hits: 0, misses: 0, overloaded: 0, limited: 0 })
      const sessions = around.sessions.size
      memory.clear(inForce.config.cache.staleMaxS)
      // A connection that stays would bring new tickets, by which the resolver knows us again.
      react('network', true)
      around.sessions.flush()
      await workerPool.adopt(workerSettings(inForce.config, listeners))
      return { entries, sessions, files: await retention.forget() }
    },
    refuseReload: (message) => emit({ type: 'reload.refused', message }),
    async stop() {
      trace.end('stop')
      emit({ type: 'service.stopping' })
      networkMonitor?.stop()
      await page?.close()
      await Promise.all([workerPool.stop(), ...listeners.map((listener) => listener.close())])
      await Promise.all([live.close(), retention.stop()])
      evidence.stop()
    },
  }
}

/** Loaded only where it is asked for: the page and its metrics cost 4 MB. One that cannot listen is a warning: names must resolve without it. */
async function openPage({ config }: Loaded, evidence: Evidence, { clock }: DaemonOptions): Promise<Page | undefined> {
  if (config.page === undefined) return undefined
  const { servePage } = await import('./page/page.ts')
  const { document, violations } = evidence
  return servePage({ listen: config.page.listen, stateDir: config.stateDir, document, violations, clock })
}

function bringToLife(loaded: Loaded, memory: Memory, tally: StageCounts, around: Around): Live {
  const gate = new SetupGate(around.gate)
  const trusted = trustedResolvers(loaded, { ...around, gate })
  const { config } = loaded
  return {
    revoke: () => gate.revoke(),
    react: (what, online) => trusted.react(what, online),
    stages: pipeline({ ...around, ...memory, gate, trusted, clamp: config.cache, rebinding: config.rebinding, tally }),
    timeoutMs: config.timeoutMs,
    prefetch: config.cache.prefetch,
    allowed: allowList(config.allowFrom),
    close: () => trusted.close().catch((error: unknown) => around.emit({ type: 'fault', where: `close: ${asEnigmError(error).code}` })),
  }
}
