import type { Clock, Random } from './clock.ts'
import type { SocketAddress } from './config/listen-address.ts'
import { type Policy, strictestVpn } from './config/policy.ts'
import type { Emit } from './events.ts'
import type { SelfCanary } from './local-names/self-canary.ts'
import { askSystem } from './system/ask-system.ts'
import { bypassWatch } from './system/bypass.ts'
import { type Egress, readEgress } from './system/egress.ts'
import { readNetworkIdentity } from './system/network-identity.ts'
import { readSystemResolver } from './system/system-resolver.ts'

/** What is looked for; replaced whole by a reload. */
export interface LookoutSetup {
  readonly policy: Policy | undefined
  /** Every pinned address of every resolver in use. */
  readonly addresses: readonly string[]
  readonly listeners: readonly SocketAddress[]
}

/** What the lookout asks of the system; replaced in tests. */
export interface SystemView {
  readonly egress: typeof readEgress
  readonly network: typeof readNetworkIdentity
  readonly resolver: typeof readSystemResolver
  readonly ask: typeof askSystem
  readonly bypass: ReturnType<typeof bypassWatch>
}

export interface LookoutOptions {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  readonly canary: SelfCanary
  readonly setup: LookoutSetup
  readonly system?: SystemView
}

/** Looks at what is around the daemon and reports it as events. */
export interface Lookout {
  /** Looks once; resolves when the events are out. One look at a time: a call during a look makes one more after it. Never rejects. */
  look(): Promise<void>
  /** Looks for this from now on. What a look under way found is not reported: it looked for something else. */
  adopt(setup: LookoutSetup): void
  /** What a look under way found is of the last network, and not reported; looks again. */
  anotherNetwork(): Promise<void>
  stop(): void
}

/** A query through the system is cheap, and proves what nothing else does; more often it would only repeat itself. */
const CANARY_EVERY_MS = 300_000

/** A lookout that has not looked yet. */
export function createLookout(o: LookoutOptions): Lookout {
  const system: SystemView = o.system ?? {
    egress: readEgress,
    network: readNetworkIdentity,
    resolver: readSystemResolver,
    ask: askSystem,
    bypass: bypassWatch(() => o.clock.nowMs()),
  }
  const networkKey = o.random.bytes(32)
  let { setup } = o
  let stopped = false
  let under: Promise<void> | undefined
  let again = false
  /** Counts what makes a look out of date while it is under way. */
  let era = 0
  let canaryMs = Number.NEGATIVE_INFINITY
  let canaryOf = ''
  const tell: Emit = (event) => {
    if (!stopped) o.emit(event)
  }

  const once = async () => {
    const { policy } = setup
    const begun = era
    const egress = policy === undefined || !usesVpn(policy) ? undefined : await egressNow(policy, setup.addresses)
    if (era !== begun) return
    // In one turn, so that nobody judges by half a look.
    const identity = system.network(networkKey)
    const named = policy?.networks?.find(({ match }) => identity.matches(match))?.name
    // The network first: what a VPN's absence puts into the status is written with its name.
    tell({ type: 'seen.network', told: identity.told, named })
    if (egress !== undefined) tell({ type: 'seen.vpn', ...egress })
    const { asks, by, stays } = system.resolver(setup.listeners)
    tell({ type: 'seen.system', asks, by })
    tell({ type: 'seen.bypass', ...(await system.bypass()) })
    canary(`${asks} ${by} ${identity.id}`, stays)
  }
  /** Where it cannot be looked nothing is known: what the look before found must not stand. */
  const egressNow = (policy: Policy, addresses: readonly string[]) =>
    system.egress(addresses, { vpnInterfaces: policy.vpnInterfaces ?? [] }).catch((): Egress => {
      tell({ type: 'fault', where: 'lookout' })
      return { vpn: 0, other: 0, unknown: addresses.length, unreachable: 0 }
    })
  /** Not waited for: an answer may take as long as the system's timeouts. */
  const canary = (situation: string, stays: boolean) => {
    const nowMs = o.clock.nowMs()
    if (situation === canaryOf && nowMs - canaryMs < CANARY_EVERY_MS) return
    canaryMs = nowMs
    canaryOf = situation
    if (!stays) return tell({ type: 'seen.canary', outcome: 'not-sent' })
    void system.ask(o.canary.name(o.random.bytes(16))).then(() => {
      if (situation === canaryOf) tell({ type: 'seen.canary', outcome: o.canary.arrived ? 'returned' : 'lost' })
    })
  }
  const look = (): Promise<void> => {
    if (under !== undefined) {
      again = true
      return under
    }
    under = once()
      .catch(() => tell({ type: 'fault', where: 'lookout' }))
      .then(() => {
        under = undefined
        if (!again || stopped) return
        again = false
        return look()
      })
    return under
  }
  const outdated = () => {
    era++
    again = under !== undefined
  }

  return {
    look,
    adopt(next) {
      setup = next
      outdated()
    },
    anotherNetwork() {
      outdated()
      return look()
    },
    stop() {
      stopped = true
    },
  }
}

function usesVpn(policy: Policy): boolean {
  return (strictestVpn(policy) ?? 'off') !== 'off'
}
