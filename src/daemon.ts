import { type ActiveSetup, ActiveSetups, activate, type PreparedRules, prepareRules, type SharedParts } from './active-setups.ts'
import { createMemory, type HeldAnswer, heldAnswer } from './cache/memory.ts'
import type { Clock, Random } from './clock.ts'
import type { Loaded } from './config/load.ts'
import { inForceAfterReload, restartOnly } from './config/restart-only.ts'
import { deviceKey, splitKeyPlace } from './divided-names.ts'
import { asEnigmError } from './errors.ts'
import type { Emit } from './events.ts'
import { type Evidence, gatherEvidence } from './evidence.ts'
import type { ExplainInput } from './explain.ts'
import type { SystemView } from './host-checks.ts'
import { Isolation } from './link/dial/hops.ts'
import { tlsSessions } from './link/dial/sessions.ts'
import type { InheritedSockets } from './listen/bind.ts'
import type { Listener } from './listen/listener.ts'
import { QueryRate } from './listen/query-rate.ts'
import { type Bind, replaceListeners } from './listen/replace.ts'
import { ConfiguredLists, onlyListsDiffer } from './lists/configured-lists.ts'
import { SelfCanary } from './local-names/self-canary.ts'
import { openPage } from './open-page.ts'
import { PolicyGate } from './policy/gate.ts'
import { CaptivePortal } from './portal/captive-portal.ts'
import { PortalSwitch } from './portal/portal-switch.ts'
import type { ReportedState } from './posture/verdict.ts'
import { newStageCounts } from './resolver.ts'
import { createRetention, type Forgotten, type Retention } from './retention/retention.ts'
import { binder, startWorkers } from './serving.ts'
import { redactedCounts } from './shaping/profiles.ts'
import { type NetworkMonitor, type NetworkMonitorOptions, startNetworkMonitor } from './system/network-monitor.ts'
import { announcedServers } from './system/network-resolvers.ts'
import { bootId } from './system/process-identity.ts'
import { takeoverBeat } from './system/takeover/beat.ts'
import { QueryTrace } from './trace/query-trace.ts'
import { batchedCalls, noWorkers, udpEndpoints, type WorkerPool, workerSettings } from './workers/worker-pool.ts'

/** What the daemon depends on. `log` gets every event; `warn` gets whole sentences. */
export interface DaemonOptions {
  readonly clock: Clock
  readonly random: Random
  readonly version: string
  readonly log: Emit
  readonly warn: (message: string) => void
  /** Called with each heartbeat. */
  readonly beat?: () => void
  /** Called with the state of the status whenever it changes. */
  readonly onState?: (state: ReportedState) => void
  /**
   * Runs `bind` with the rights that ports below 1024 need. Set if the service changes to another
   * user.
   */
  readonly withLowPorts?: <T>(bind: () => Promise<T>) => Promise<T>
  /** The sockets that the service manager opened. `loaded.listen` includes their addresses. */
  readonly inherited?: InheritedSockets
  /** How the network is observed. Replaced in tests and simulations. */
  readonly network?: Pick<NetworkMonitorOptions, 'read' | 'listen'>
  /** How the host is observed. Replaced in tests. */
  readonly system?: SystemView
}

/** A running resolver. */
export interface Daemon {
  readonly listeners: readonly Listener[]
  /**
   * Puts a loaded and checked configuration in force. If a new address cannot be bound, it rejects
   * and changes nothing. Resolves to warnings about what is not in force now, one sentence each.
   * One call at a time.
   */
  reload(loaded: Loaded): Promise<readonly string[]>
  /** Puts new hosts files in force. The rest of the configuration is equal. Connections stay. */
  adoptHosts(loaded: Loaded): void
  /** Forgets every answer and TLS session, and removes saved caches and their key. */
  forget(): Promise<Forgotten>
  /** Shows queries to one watcher at a time, for a limited time; see trace/query-trace.ts. */
  readonly trace: Pick<QueryTrace, 'begin' | 'end'>
  /**
   * Asks the network's own resolver for its login page, for a limited time; see
   * portal/captive-portal.ts.
   */
  readonly portal: Pick<CaptivePortal, 'begin' | 'end'>
  /** The stored answer for a question of a client; see cache/memory.ts. */
  held(asked: ExplainInput): HeldAnswer | undefined
  /**
   * Pauses one list, or all lists, for a time. 0 ends the pause. Returns the ids of the paused
   * lists. Undefined: the list does not exist.
   */
  pause(forMs: number, list: string | undefined): readonly string[] | undefined
  /** Counts queries for names of a command, which proves that the system uses this service. */
  readonly canary: Pick<SelfCanary, 'awaitToken' | 'arrivals'>
  /**
   * Watches from now on whether the system uses this service. Resolves when the status file shows
   * whether it does now.
   */
  watchSystem(): Promise<void>
  /** Handles an event from outside the daemon. */
  readonly report: Emit
  /** Records in the status that a new configuration was refused and the old one stays in force. */
  refuseReload(message: string): void
  /**
   * Answers the queries in progress for at most 1 s, then closes everything and writes a last
   * status.
   */
  stop(): Promise<void>
}

/** The minimum size of each cache. The workers share the configured size. */
const MIN_CACHE_BYTES = 65_536

/** The parts that change while the daemon runs. Each part has a placeholder until it is started. */
interface Running {
  /** The configuration in force. */
  loaded: Loaded
  listeners: readonly Listener[]
  workers: WorkerPool
  network: NetworkMonitor
  readonly setups: ActiveSetups
}

/** The parts that are made once and stay until the end. */
interface Core {
  readonly shared: SharedParts
  readonly evidence: Evidence
  /** Watches whether the system still uses this service. */
  readonly takeover: ReturnType<typeof takeoverBeat>
  readonly trace: QueryTrace
  readonly portal: CaptivePortal
  readonly retention: Retention
  readonly lists: ConfiguredLists
  /** The counts of lookups in the main thread's cache. */
  readonly lookups: { hits: number; misses: number }
  /** The size of one worker's cache in octets. */
  readonly cacheMaxBytes: number
}

/** The placeholder until the network is monitored. */
const noMonitor: NetworkMonitor = { notice() {}, beat() {}, look() {}, stop() {} }

/**
 * Starts a daemon. It binds every listener, and then reports this in the status. If that fails, it
 * closes everything and rejects with an EnigmError `listen`.
 */
export async function startDaemon(loaded: Loaded, o: DaemonOptions): Promise<Daemon> {
  const running: Running = { loaded, listeners: [], workers: noWorkers, network: noMonitor, setups: new ActiveSetups() }
  const core = createCore(running, o)
  const { evidence, retention, trace, portal } = core
  const calls = batchedCalls(loaded.config)
  running.setups.adopt(activate(loaded, await prepareRules(loaded), core.shared))
  await core.lists.start(loaded.config)
  const serving = {
    ...core,
    rulesVersion: core.lists.version,
    random: o.random,
    inherited: o.inherited,
    withLowPorts: o.withLowPorts,
    loaded,
    setups: running.setups,
  }
  const bind = binder(serving, calls)
  running.listeners = await bind(loaded.listen)
  running.workers = await startWorkers(serving, running.listeners)
  // Lists may have been read while the threads started.
  if (core.lists.inForce.clientRanges.length > 0) running.workers.unshare(core.lists.inForce.clientRanges)
  // Started before the first check, so that a change after the check is noticed.
  running.network = monitorNetwork(running, core, o)
  await evidence.start(running.listeners)
  const held = ({ question, client }: ExplainInput) =>
    heldAnswer(core.shared.memory.cache, question.lower, running.setups.current.view(client), o.clock.nowMs())
  const page = await openPage({ loaded: () => running.loaded, evidence, held, clock: o.clock }).catch((error: unknown) =>
    o.warn(asEnigmError(error).message),
  )
  // Not awaited: the first answer must not wait for saved answers.
  void retention.start()

  return {
    get listeners() {
      return running.listeners
    },
    trace,
    portal,
    held,
    canary: core.shared.canary,
    pause(forMs, list) {
      const paused = core.lists.pause(forMs, list)
      evidence.write()
      return paused
    },
    async watchSystem() {
      await core.takeover.look()
      await evidence.proveSystem()
    },
    report: evidence.emit,
    reload: (next) => reload(next, running, core, bind, o.warn).finally(evidence.write),
    adoptHosts: (next) => adoptHosts(next, running, core),
    forget: () => forget(running, core).finally(evidence.write),
    refuseReload(message) {
      evidence.emit({ type: 'reload.refused', message })
      // After an earlier refusal only the reason differs, which no event writes.
      evidence.write()
    },
    async stop() {
      trace.end('stop')
      portal.end('stop')
      evidence.emit({ type: 'service.stopping' })
      running.network.stop()
      core.takeover.stop()
      core.lists.stop()
      await page?.close()
      await Promise.all([running.workers.stop(), ...running.listeners.map((listener) => listener.close())])
      await Promise.all([running.setups.current.close(), retention.stop()])
      evidence.stop()
    },
  }
}

/**
 * Makes the parts that stay at a reload. Nothing is bound, dialled or written yet, except the
 * signing key.
 */
function createCore(running: Running, o: DaemonOptions): Core {
  const { loaded, setups } = running
  const { clock, random, warn } = o
  const { workers, cache } = loaded.config
  const cacheMaxBytes = Math.max(MIN_CACHE_BYTES, Math.floor(cache.maxBytes / workers))
  const lookups = { hits: 0, misses: 0 }
  const tally = newStageCounts()
  const { stateDir } = loaded.config
  const lists = new ConfiguredLists({
    clock,
    random,
    stateDir,
    current: () => setups.current,
    emit: (event) => emit(event),
    refusal: () => gate.refusal(),
    clientsChanged: (ranges) => running.workers.unshare(ranges),
  })
  const memory = createMemory({
    clock,
    random,
    maxBytes: cacheMaxBytes,
    staleMaxS: cache.staleMaxS,
    current: () => setups.current,
    renewed: () => tally.renewed++,
    rules: {
      version: lists.version,
      allows: (wire, view) => lists.allows(running.loaded.config, wire, view) && setups.current.own?.contradicts(wire, view) !== true,
    },
  })
  const gate = new PolicyGate()
  const canary = new SelfCanary()
  const bypass = new PortalSwitch()
  const evidence = gatherEvidence({
    ...o,
    loaded,
    gate,
    canary,
    // Earlier connections were made on a path that the policy may not allow now.
    onGateMoved(closed) {
      if (closed) portal.end('policy')
      setups.react('network', !closed)
    },
    onHeartbeat() {
      running.network.beat()
      void takeover.beat()
      o.beat?.()
    },
    lists: () => lists.status(running.loaded.config.shaping.profile),
    counts() {
      const { entries, bytes } = memory.cache
      const { overloaded, limited } = tally
      const sums = running.workers.sums({ entries, bytes, ...lookups, overloaded, limited })
      return redactedCounts(running.loaded.config.shaping.profile, { ...tally, ...sums, maxBytes: cacheMaxBytes * workers })
    },
  })
  const { emit } = evidence
  const takeover = takeoverBeat(clock, emit)
  const portal = new CaptivePortal({
    ...{ clock, random, emit, bypass, refusal: () => gate.refusal() },
    isForwarded: ({ lower }) => setups.current.sides.isForwarded(lower),
    ended: (why) => why === 'passed' && setups.react('network', true),
  })
  const watching = { notice: (nowMs?: number) => running.network.notice(nowMs), beforeDial: () => running.network.look() }
  const credentials = process.env.CREDENTIALS_DIRECTORY
  return {
    shared: {
      clock,
      random,
      emit,
      sessions: tlsSessions(clock),
      isolation: new Isolation(random),
      ...watching,
      gate,
      splitKey: () => deviceKey(splitKeyPlace(loaded.config, credentials), random, warn),
      canary,
      portal: bypass,
      around: evidence.around,
      linkServers: announcedServers,
      memory,
      tally,
      lists: lists.inForce,
      queryRate: new QueryRate(random, () => tally.limited++),
    },
    lists,
    evidence,
    takeover,
    trace: new QueryTrace(clock, emit),
    portal,
    retention: createRetention({ cache: memory.cache, clock, boot: bootId(), credentials, warn, setup: loaded }),
    lookups,
    cacheMaxBytes,
  }
}

/**
 * Starts the network monitor. It notifies memory, saved answers and links of a change of network,
 * of a suspend, and of a wall clock that was set.
 */
function monitorNetwork(running: Running, { shared, retention, portal }: Core, o: DaemonOptions): NetworkMonitor {
  const { clock, emit, memory } = shared
  return startNetworkMonitor({
    ...o.network,
    clock,
    emit,
    beatMs: 1000 * running.loaded.config.heartbeatS,
    disturbed(what, online) {
      if (what === 'network') portal.end('network')
      if (what === 'network') for (const one of [memory, running.workers]) one.newNetwork()
      if (what === 'clock') retention.clockMoved()
      running.setups.react(what, online)
    },
  })
}

/** See `Daemon.reload`. */
async function reload(next: Loaded, running: Running, core: Core, bind: Bind, warn: DaemonOptions['warn']): Promise<readonly string[]> {
  const { shared, evidence, trace, portal, retention } = core
  const before = running.loaded
  const rules = await prepareRules(next)
  const adoptLists = await core.lists.prepare(next.config)
  const change = await replaceListeners(running.listeners, before.listen, next.listen, bind)
  try {
    await running.workers.open(udpEndpoints(change.fresh))
  } catch (error) {
    running.listeners = await change.undo()
    await running.workers.adopt(workerSettings(before.config, running.listeners))
    throw error
  }
  const waiting = restartOnly(before.config, next.config)
  if (waiting.length > 0) warn(`these settings take effect at the next start: ${waiting.join(', ')}`)
  trace.end('reload')
  portal.end('reload')
  const inForce = { ...next, config: inForceAfterReload(before.config, next.config) }
  running.loaded = inForce
  running.listeners = change.after
  const old = replaceSetup(running, core, rules)
  adoptLists()
  if (!onlyListsDiffer(before, inForce)) shared.memory.clear(next.config.cache.staleMaxS)
  evidence.emit({ type: 'reload.waiting', settings: waiting })
  // The check may open the gate, so it comes after the workers have dropped their earlier caches.
  const looked = running.workers.adopt(workerSettings(next.config, running.listeners)).then(() => evidence.look())
  await Promise.all([looked, running.setups.retire(old), change.keep(), retention.adopt(inForce)])
  return core.lists.missing()
}

/** Puts the configuration of `running` in force and returns the previous setup. */
function replaceSetup({ loaded, listeners, setups }: Running, { shared, evidence }: Core, rules: PreparedRules): ActiveSetup {
  const old = setups.current
  // The gate comes first, so that no link is dialled or used under the permission of the old
  // policy.
  evidence.adopt(loaded, listeners)
  if (shared.gate.closed) old.revoke()
  setups.adopt(activate(loaded, rules, shared))
  return old
}

/**
 * See `Daemon.adoptHosts`. Stored answers are checked again when they are used. Stored failures are
 * dropped, because they would hide a name that was added.
 */
function adoptHosts({ hosts }: Loaded, running: Running, { lists, shared }: Core): void {
  running.loaded = { ...running.loaded, hosts }
  running.setups.current.own?.adoptHosts(hosts)
  shared.memory.failures.clear()
  lists.version.change()
}

/** See `Daemon.forget`. */
async function forget({ loaded, listeners, workers, setups }: Running, { shared, trace, portal, retention }: Core): Promise<Forgotten> {
  const { memory, sessions } = shared
  trace.end('forget')
  portal.end('forget')
  const { entries } = workers.sums({ entries: memory.cache.entries, bytes: 0, hits: 0, misses: 0, overloaded: 0, limited: 0 })
  const forgotten = sessions.size
  memory.clear(loaded.config.cache.staleMaxS)
  // An open connection would bring new tickets, by which the resolver could recognize us.
  setups.react('network', true)
  sessions.flush()
  await workers.adopt(workerSettings(loaded.config, listeners))
  return { entries, sessions: forgotten, files: await retention.forget() }
}
