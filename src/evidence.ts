import { isDeepStrictEqual } from 'node:util'
import type { Clock, Random } from './clock.ts'
import { generalSides } from './config/forwarding.ts'
import { parseListen, type SocketAddress } from './config/listen-address.ts'
import type { Loaded } from './config/load.ts'
import { operatorKeys } from './config/operators.ts'
import type { Policy } from './config/policy.ts'
import { pathsOf } from './config/query-paths.ts'
import { type AroundCode, EnigmError, isAround } from './errors.ts'
import type { Emit } from './events.ts'
import { createHostChecks, type HostChecks, type HostChecksSetup, type SystemView } from './host-checks.ts'
import type { SelfCanary } from './local-names/self-canary.ts'
import type { PolicyGate } from './policy/gate.ts'
import { type AuditLog, type AuditRecorder, type AuditState, auditRecorder, openAuditLog } from './posture/audit.ts'
import type { StatusDocument } from './posture/document.ts'
import { auditRivalry, countStart } from './posture/earlier-runs.ts'
import { createMonitor } from './posture/monitor.ts'
import { Violations } from './posture/policy-rules.ts'
import type { ReasonCode } from './posture/reasons.ts'
import type { CacheCounts } from './posture/report.ts'
import { createSigner, openSigningKey, type SigningKey, UNKNOWN_BOOT } from './posture/signature.ts'
import type { PostureSetup, SplitZone } from './posture/state.ts'
import { type AtomicFileOptions, atomicFile, PUBLIC_KEY, SIGNATURE } from './posture/status-file.ts'
import type { ReportedState } from './posture/verdict.ts'
import { isPaced } from './shaping/profiles.ts'
import { bootId, isSame, selfIdentity } from './system/process-identity.ts'
import { dialledAddresses, transportsOf } from './trusted-resolvers.ts'

export interface EvidenceOptions {
  readonly loaded: Loaded
  readonly clock: Clock
  readonly random: Random
  readonly version: string
  readonly log: Emit
  readonly warn: (message: string) => void
  /** Counts of the cache; requested for each document. */
  readonly counts: () => CacheCounts
  /** The lists now; requested for each document. Absent: there are none. */
  readonly lists?: () => NonNullable<StatusDocument['lists']>
  readonly gate: PolicyGate
  /** Called when the gate has closed or opened, after `start`. */
  readonly onGateMoved: (closed: boolean) => void
  /** Called with the state whenever it changes. */
  readonly onState?: ((state: ReportedState) => void) | undefined
  /** Called at each heartbeat: no other event wakes an idle process. */
  readonly onHeartbeat: () => void
  readonly canary: SelfCanary
  /** How the host is observed; replaced in tests. */
  readonly system?: SystemView
}

/**
 * Everything that observes and reports: status file, signature, audit log, and checks of the host.
 */
export interface Evidence {
  /** Takes every event of the program. */
  readonly emit: Emit
  /**
   * Checks the host, writes the first status and starts the heartbeat; resolves when the gate
   * agrees with the policy.
   */
  start(listeners: readonly SocketAddress[]): Promise<void>
  /**
   * Takes an accepted configuration. When it returns the gate agrees with the new policy, and is
   * closed if the policy needs a check that was not made yet: then call `look`. State directory,
   * audit log and heartbeat keep their values of the start.
   */
  adopt(loaded: Loaded, listeners: readonly SocketAddress[]): void
  /** Checks the host; resolves when the gate agrees with the result. */
  look(): Promise<void>
  /**
   * Checks the host, and whether queries of the system arrive here; resolves when the status file
   * shows the result. For commands that have just changed the DNS of the system.
   */
  proveSystem(): Promise<void>
  /** Writes the status now: for a command that changed something that no event reports. */
  write(): void
  /** The common problem of all resolvers by the latest verdict; undefined: none is known. */
  around(): AroundCode | undefined
  /** The current status. Changes nothing. */
  document(): StatusDocument
  /** How often each rule of the policy ceased to be met since the start, by code. */
  violations(): Readonly<Partial<Record<ReasonCode, number>>>
  /** Writes the last status. */
  stop(): void
}

/**
 * Nothing is checked or written before `start`, except the signing key, which is made if there is
 * none. Throws `config` if another process would write the same audit log.
 */
export function gatherEvidence(o: EvidenceOptions): Evidence {
  const { clock, random } = o
  const { stateDir, statusFile, heartbeatS, policy } = o.loaded.config
  const identity = selfIdentity()
  const key = openSigningKey(stateDir)
  let audit: { readonly log: AuditLog; readonly recorder: AuditRecorder } | undefined
  let auditReported: AuditState['state'] | undefined
  let required = isRequired(policy)
  let reportedState: ReportedState | undefined
  let started = false
  let gateMoved = false
  let around: AroundCode | undefined
  /** The result of the latest test query through the system. */
  let canaryOutcome: string | undefined
  let beat = () => {}
  const violations = new Violations()
  let hostChecks: HostChecks | undefined
  const monitor = createMonitor({
    setup: postureSetup(o.loaded),
    writer: { version: o.version, pid: identity.pid, ...ticks(identity.startedAtTicks), heartbeatS },
    clock,
    file: atomicFile({ path: statusFile, pid: identity.pid, clock, warn: o.warn, ...seals(key, clock, random) }),
    counts: o.counts,
    ...(o.lists === undefined ? {} : { lists: o.lists }),
    gate(reason) {
      if (started && (reason !== undefined) !== o.gate.closed) gateMoved = true
      o.gate.set(reason)
    },
    onVerdict(verdict) {
      around = verdict.signals.secureNameResolution.reasons.map(({ code }) => code).find(isAround)
      violations.judged(verdict.rules)
      const now = verdict.closed === undefined ? verdict.state : 'closed'
      if (now !== reportedState) o.onState?.(now)
      reportedState = now
      if (audit === undefined) return
      audit.recorder.judged(verdict)
      if (audit.log.now.state !== auditReported) reportAudit()
    },
    onEvent(event) {
      o.log(event)
      afterGate()
      // The proof comes shortly after a start or a change of the network. Only a reason differs.
      if (event.type === 'seen.canary' && event.outcome !== canaryOutcome) monitor.write()
      if (event.type === 'seen.canary') canaryOutcome = event.outcome
      if (event.type === 'network.changed') void hostChecks?.networkChanged()
      if (event.type === 'woke') void hostChecks?.check()
      if (event.type === 'seen.takeover') hostChecks?.takenOver(event.state === 'held')
    },
    onHeartbeat: () => beat(),
  })
  const { emit } = monitor
  /**
   * The effect of a moved gate on connections and queries: they are notified when the status shows
   * it.
   */
  const afterGate = () => {
    if (!gateMoved) return
    gateMoved = false
    o.onGateMoved(o.gate.closed)
  }
  const reportAudit = () => {
    if (audit === undefined) return
    const { state } = audit.log.now
    // The events do not say why, and are not logged: there is one at each heartbeat.
    if (state !== auditReported && state === 'unwritable') o.warn(unwritten(audit.log.fault, required))
    if (state !== auditReported && auditReported === 'unwritable') o.warn('the audit log can be written again')
    auditReported = state
    emit({ type: 'audit', ...audit.log.now })
  }
  const starts = countStart(stateDir, { bootId: bootId(), pid: identity.pid, processStart: identity.startedAtTicks }, isSame)
  if (typeof key === 'string') {
    emit({ type: 'unsigned', why: key })
    o.warn(`the status is not signed: ${key}`)
  }
  // Both may have started at the same moment; `run` has looked before.
  const rivalry = auditRivalry({ stateDir, policy }, starts?.other)
  if (rivalry !== undefined) throw new EnigmError('config', rivalry)
  if (starts?.other !== undefined) o.warn(`process ${starts.other} keeps its state in ${stateDir} too: give each its own stateDir`)
  if (starts !== undefined) emit({ type: 'restarts', count: starts.count, clean: starts.clean })
  /** Once opened, the log stays open: a reload that removes the rule must not end the record. */
  const audited = (asked: Policy | undefined) => {
    if (audit !== undefined || asked === undefined || asked.audit === 'off') return
    const log = openAuditLog({ stateDir, clock })
    audit = { log, recorder: auditRecorder(log, o.version) }
    reportAudit()
  }
  audited(policy)
  let setup = hostChecksSetup(o.loaded, [])
  const system = o.system === undefined ? {} : { system: o.system }
  hostChecks = createHostChecks({ clock, random, emit, canary: o.canary, setup, ...system })

  return {
    emit,
    async start(listeners) {
      started = true
      setup = hostChecksSetup(o.loaded, listeners)
      hostChecks.adopt(setup)
      await hostChecks.check()
      beat = () => {
        o.onHeartbeat()
        reportAudit()
        void hostChecks.check()
      }
      emit({ type: 'service.started' })
      monitor.start()
    },
    adopt(loaded, listeners) {
      required = isRequired(loaded.config.policy)
      audited(loaded.config.policy)
      // Only an attempt shows whether the log can be written, and no rule may rest on an old one.
      audit?.recorder.reloaded()
      reportAudit()
      const before = setup
      setup = hostChecksSetup(loaded, listeners)
      hostChecks.adopt(setup)
      monitor.reconfigure(postureSetup(loaded), isDeepStrictEqual(before, setup) ? 'hold' : 'gone')
      afterGate()
    },
    look: () => hostChecks.check(),
    async proveSystem() {
      await hostChecks.prove()
      monitor.write()
    },
    write: monitor.write,
    around: () => around,
    document: () => monitor.document(),
    violations: () => violations.counts,
    stop() {
      hostChecks.stop()
      monitor.stop()
      audit?.recorder.stopped()
      starts?.ended()
    },
  }
}

function hostChecksSetup({ config, resolvers }: Loaded, listeners: readonly SocketAddress[]): HostChecksSetup {
  // A rule about a VPN is about every path on which a query leaves.
  const plain = splitZones(config).flatMap(({ server }) => parseListen(server)?.address ?? [])
  const addresses = [...new Set([...resolvers.flatMap((resolver) => dialledAddresses(resolver, config)), ...plain])]
  return { policy: config.policy, addresses, listeners: listeners.map(({ address, port }) => ({ address, port })) }
}

/** The facts of a configuration that its posture depends on. */
export function postureSetup({ config, resolvers }: Loaded): PostureSetup {
  const keys = operatorKeys(resolvers)
  return {
    usageProfile: config.usageProfile,
    queryBlock: config.padding.queryBlock,
    shaping: config.shaping,
    paced: isPaced(config.shaping.profile),
    allowedCleartext: config.allowDnscryptCertificates ? ['dnscrypt-certificate'] : [],
    systemEnabled: config.system.enabled,
    paths: pathsOf(config, resolvers),
    generalSides: generalSides(config),
    split: config.split,
    resolvers: resolvers.map((r) => ({
      id: r.id,
      operator: r.operator ?? r.id,
      ...(r.operator === undefined ? { unnamed: keys.get(r.id) ?? r.id } : {}),
      transports: transportsOf(r, config),
      ...(r.jurisdiction === undefined ? {} : { jurisdiction: r.jurisdiction }),
      pins: r.spkiPins.length,
      claims: r.claims,
      ...(config.use.includes(r.id) ? {} : { notGeneral: true as const }),
    })),
    policy: config.policy,
    splitDns: splitZones(config),
  }
}

/** The zones that are asked in cleartext, each with each of its servers once. */
function splitZones({ forward, views }: Loaded['config']): readonly SplitZone[] {
  const found = new Map<string, SplitZone>()
  for (const { zone, cleartext: server } of [...forward, ...views.flatMap((view) => view.forward ?? [])])
    if (server !== undefined) found.set(`${zone} ${server}`, { zone, server })
  return [...found.values()]
}

/** The signature and the public key that accompany every status; none without a key. */
function seals(key: SigningKey | string, clock: Clock, random: Random): Pick<AtomicFileOptions, 'beside' | 'without'> {
  if (typeof key === 'string') return { without: [SIGNATURE, PUBLIC_KEY] }
  // Without a boot id every run counts as a boot of its own.
  const sealer = createSigner(key, bootId() ?? UNKNOWN_BOOT + Buffer.from(random.bytes(16)).toString('hex'), () => clock.nowMs())
  return {
    beside: [
      { suffix: SIGNATURE, text: sealer },
      { suffix: PUBLIC_KEY, text: () => key.publicPem },
    ],
  }
}

const isRequired = (policy: Policy | undefined) => policy !== undefined && policy.audit === 'required'

function unwritten(why: string | undefined, required: boolean): string {
  const effect = required ? 'no query is answered, because policy.audit is "required"' : 'its entries are counted as lost'
  return `the audit log cannot be written (${why ?? 'unknown error'}): ${effect}`
}

const ticks = (startedAtTicks: string | undefined) => (startedAtTicks === undefined ? {} : { processStart: startedAtTicks })
