import type { Clock, Random } from './clock.ts'
import type { SocketAddress } from './config/listen-address.ts'
import { type Policy, strictestVpn } from './config/policy.ts'
import type { Emit } from './events.ts'
import type { SelfCanary } from './local-names/self-canary.ts'
import { bypassWatch } from './system/bypass.ts'
import { type Egress, readEgress } from './system/egress.ts'
import { readNetworkIdentity } from './system/network-identity.ts'
import { askSystem, readSystemResolver } from './system/system-resolver.ts'

/** What is checked; a reload replaces it as a whole. */
export interface HostChecksSetup {
  readonly policy: Policy | undefined
  /** Every address that is dialled: those of the first hop of each route, or of the resolver. */
  readonly addresses: readonly string[]
  readonly listeners: readonly SocketAddress[]
}

/** The system calls of the checks; replaced in tests. */
export interface SystemView {
  readonly egress: typeof readEgress
  readonly network: typeof readNetworkIdentity
  readonly resolver: typeof readSystemResolver
  readonly ask: typeof askSystem
  readonly bypass: ReturnType<typeof bypassWatch>
}

export interface HostChecksOptions {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  readonly canary: SelfCanary
  readonly setup: HostChecksSetup
  readonly system?: SystemView
}

/** Checks the host around the daemon and reports the findings as events. */
export interface HostChecks {
  /**
   * Checks once; resolves when the events are emitted. One check at a time: a call during a check
   * causes one more after it. Never rejects.
   */
  check(): Promise<void>
  /**
   * Checks now and sends a new test query through the system, however recent the last one is.
   * Resolves when its result is reported, or after 2.5 s. Never rejects.
   */
  prove(): Promise<void>
  /**
   * Whether the DNS of the system was taken over and still is (`system enable`). Then its queries
   * come here, whatever other servers its files name, and a test query stays on this host.
   */
  takenOver(isHeld: boolean): void
  /**
   * Uses this setup from now on. The result of a check in progress is not reported, because it
   * belongs to the old setup.
   */
  adopt(setup: HostChecksSetup): void
  /**
   * The network changed: the result of a check in progress belongs to the last one and is not
   * reported; checks again.
   */
  networkChanged(): Promise<void>
  stop(): void
}

/**
 * A query through the system is cheap and proves what no other check does; at shorter intervals the
 * result would be the same.
 */
const CANARY_EVERY_MS = 300_000
/** A query through the system that stays on this host takes a few milliseconds. */
const PROOF_MS = 2500

/** Host checks that have not run yet. */
export function createHostChecks(o: HostChecksOptions): HostChecks {
  const system: SystemView = o.system ?? {
    egress: readEgress,
    network: readNetworkIdentity,
    resolver: readSystemResolver,
    ask: askSystem,
    bypass: bypassWatch(() => o.clock.nowMs()),
  }
  const networkKey = o.random.bytes(32)
  let { setup } = o
  let held = false
  let stopped = false
  let running: Promise<void> | undefined
  let again = false
  /** Counts changes that make a check in progress out of date. */
  let generation = 0
  let canaryMs = Number.NEGATIVE_INFINITY
  let canaryOf = ''
  /** The latest test query and its end. */
  let canaryName = ''
  let canaryEnd: Promise<void> = Promise.resolve()
  const report: Emit = (event) => {
    if (!stopped) o.emit(event)
  }

  const runOnce = async () => {
    const { policy } = setup
    const begun = generation
    const egress = policy === undefined || !usesVpn(policy) ? undefined : await egressNow(policy, setup.addresses)
    if (generation !== begun) return
    // In one turn, so that no verdict is made from half a check.
    const identity = system.network(networkKey)
    const named = policy?.networks?.find(({ match }) => identity.matches(match))?.name
    // The network comes first, so that the status about a missing VPN has its name.
    report({ type: 'seen.network', told: identity.known, named })
    if (egress !== undefined) report({ type: 'seen.vpn', ...egress })
    const { asks, by, stays } = system.resolver(setup.listeners)
    report({ type: 'seen.system', asks, by })
    report({ type: 'seen.bypass', ...(await system.bypass()) })
    askCanary(`${asks} ${by} ${identity.id} ${held}`, stays || held)
  }
  /** If the check fails nothing is known: the result of the last check must not remain. */
  const egressNow = (policy: Policy, addresses: readonly string[]) =>
    system.egress(addresses, { vpnInterfaces: policy.vpnInterfaces ?? [] }).catch((): Egress => {
      report({ type: 'fault', where: 'lookout' })
      return { vpn: 0, other: 0, unknown: addresses.length, unreachable: 0 }
    })
  /** Not awaited: an answer may take as long as the system's timeouts. */
  const askCanary = (situation: string, stays: boolean) => {
    const nowMs = o.clock.nowMs()
    if (situation === canaryOf && nowMs - canaryMs < CANARY_EVERY_MS) return
    canaryMs = nowMs
    canaryOf = situation
    if (!stays) return report({ type: 'seen.canary', outcome: 'not-sent' })
    const name = o.canary.name(o.random.bytes(16))
    canaryName = name
    canaryEnd = system.ask(name).then(() => {
      if (situation === canaryOf && name === canaryName) report({ type: 'seen.canary', outcome: o.canary.arrived ? 'returned' : 'lost' })
    })
  }
  const check = (): Promise<void> => {
    if (running !== undefined) {
      again = true
      return running
    }
    running = runOnce()
      .catch(() => report({ type: 'fault', where: 'lookout' }))
      .then(() => {
        running = undefined
        if (!again || stopped) return
        again = false
        return check()
      })
    return running
  }
  const outdated = () => {
    generation++
    again = running !== undefined
  }

  return {
    check,
    async prove() {
      canaryMs = Number.NEGATIVE_INFINITY
      await check()
      await new Promise<void>((resolve) => {
        const late = o.clock.setTimer(PROOF_MS, resolve)
        void canaryEnd.then(() => {
          late.cancel()
          resolve()
        })
      })
    },
    takenOver(isHeld) {
      held = isHeld
    },
    adopt(next) {
      setup = next
      outdated()
    },
    networkChanged() {
      outdated()
      return check()
    },
    stop() {
      stopped = true
    },
  }
}

function usesVpn(policy: Policy): boolean {
  return (strictestVpn(policy) ?? 'off') !== 'off'
}
