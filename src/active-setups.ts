import type { Memory } from './cache/memory.ts'
import { allowList } from './config/cidr.ts'
import type { Loaded } from './config/load.ts'
import { type AroundCode, asEnigmError, EnigmError } from './errors.ts'
import type { Stage } from './job.ts'
import type { QueryRate } from './listen/query-rate.ts'
import type { SelfCanary } from './local-names/self-canary.ts'
import { type PolicyGate, SetupGate } from './policy/gate.ts'
import type { PortalSwitch } from './portal/portal-switch.ts'
import type { Protection, View } from './resolve.ts'
import { pipeline, type StageCounts } from './resolver.ts'
import { type BlockedAtOnce, blockedAtOnce } from './rules/judge-lists.ts'
import type { ListsInForce } from './rules/lists-in-force.ts'
import type { OwnRules } from './rules/own-rules.ts'
import type { Sides } from './rules/sides.ts'
import { viewsByAddress } from './rules/views.ts'
import { type SideAskerParts, sideAskers } from './side-askers.ts'
import { type LinkParts, type LiveResolvers, trustedResolvers } from './trusted-resolvers.ts'

/** The parts that all configurations of one run share. */
export interface SharedParts extends LinkParts, Pick<SideAskerParts, 'linkServers'> {
  readonly gate: PolicyGate
  readonly canary: SelfCanary
  readonly portal: PortalSwitch
  readonly around: () => AroundCode | undefined
  readonly memory: Memory
  readonly tally: StageCounts
  /** The lists of names; used only by configurations that have some. */
  readonly lists: ListsInForce
  /** Follows the configuration in force. */
  readonly queryRate: QueryRate
}

/** One configuration that answers queries: its pipeline with its links. */
export interface ActiveSetup {
  /** The names that are answered here; undefined: only the local names. */
  readonly own: OwnRules | undefined
  readonly stages: readonly Stage[]
  /** See `ResponderParts.current`. */
  readonly blockedAtOnce: BlockedAtOnce | undefined
  readonly timeoutMs: number
  readonly prefetch: boolean
  readonly allowed: (address: string) => boolean
  /** The view of the client at an address. */
  readonly view: (address: string) => View
  readonly sides: Sides
  /** Answers the queries in progress, then closes every link. Never rejects. */
  readonly close: () => Promise<void>
  /** Asks and answers nothing more, independent of the gate: see SetupGate. */
  readonly revoke: () => void
  readonly react: LiveResolvers<Protection>['react']
}

/** The configuration in force, and earlier ones until their queries are answered. */
export class ActiveSetups {
  readonly #all = new Set<ActiveSetup>()
  #current: ActiveSetup | undefined

  /** The configuration in force. Throws an EnigmError `internal` before the first `adopt`. */
  get current(): ActiveSetup {
    if (this.#current === undefined) throw new EnigmError('internal', 'no configuration is in force yet')
    return this.#current
  }

  /** Puts a configuration in force; the previous one still answers until `retire`. */
  adopt(setup: ActiveSetup): void {
    this.#current = setup
    this.#all.add(setup)
  }

  /** Closes a configuration that is no longer in force. Never rejects. */
  async retire(setup: ActiveSetup): Promise<void> {
    await setup.close()
    this.#all.delete(setup)
  }

  /** See `LiveResolvers.react`; earlier configurations do not dial again. */
  react(...[what, online]: Parameters<ActiveSetup['react']>): void {
    for (const one of this.#all) one.react(what, online && one === this.#current)
  }
}

/** The rules of a configuration that are loaded only if it has some. */
export interface PreparedRules {
  readonly own: OwnRules | undefined
}

/** Loads the code for the rules of `loaded`, and compiles them. */
export async function prepareRules({ config, hosts }: Loaded): Promise<PreparedRules> {
  const written = config.answers.length > 0 || config.views.some(({ answers = [] }) => answers.length > 0)
  if (!written && hosts.length === 0 && config.dns64 === undefined) return { own: undefined }
  const { createOwnRules } = await import('./rules/own-rules.ts')
  return { own: createOwnRules(config, hosts) }
}

/**
 * Makes the pipeline and the links of `loaded`; no link is dialled before a query (`always-on`
 * dials at once).
 */
export function activate(loaded: Loaded, { own }: PreparedRules, shared: SharedParts): ActiveSetup {
  const { config } = loaded
  shared.queryRate.perSecond = config.clientQueriesPerS
  const gate = new SetupGate(shared.gate)
  const trusted = trustedResolvers(loaded, { ...shared, gate })
  const { sides, askers, loops, ...plain } = sideAskers(config, trusted, { ...shared, gate, resolvers: loaded.resolvers })
  const lists = config.lists.length === 0 ? undefined : shared.lists
  const configured = viewsByAddress(config.views.map(({ clients }) => clients))
  const view = lists?.views(configured) ?? configured
  return {
    revoke: () => gate.revoke(),
    react(what, online) {
      trusted.react(what, online)
      if (what !== 'clock') plain.disturbed()
    },
    stages: pipeline({
      ...shared,
      ...shared.memory,
      gate,
      own: own?.stage,
      lists,
      viewOf: lists === undefined ? undefined : view,
      sides,
      askers,
      loops,
      rebinding: config.rebinding,
    }),
    own,
    blockedAtOnce: lists === undefined ? undefined : blockedAtOnce(lists, own),
    timeoutMs: config.timeoutMs,
    prefetch: config.cache.prefetch,
    allowed: allowList(config.allowFrom),
    view,
    sides,
    async close() {
      const failed = (error: unknown) => shared.emit({ type: 'fault', where: `close: ${asEnigmError(error).code}` })
      await Promise.all([trusted.close().catch(failed), plain.close()])
    },
  }
}
