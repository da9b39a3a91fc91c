import { isDeepStrictEqual } from 'node:util'
import type { Clock, Random } from '../clock.ts'
import type { Loaded } from '../config/load.ts'
import type { EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Stage } from '../job.ts'
import { ownLookup } from '../own-lookup.ts'
import type { StatusDocument } from '../posture/document.ts'
import type { ClientRange } from '../rules/client-rules.ts'
import { ListsInForce } from '../rules/lists-in-force.ts'
import { RulesVersion } from '../rules-version.ts'
import { isPaced } from '../shaping/profiles.ts'
import type { Lists, ListsSetup } from './lists.ts'

/** What the daemon passes to the lists. */
export interface ConfiguredListsOptions {
  readonly clock: Clock
  readonly random: Random
  readonly stateDir: string
  /** The current pipeline. It resolves the host names of list sources. */
  readonly current: () => { readonly stages: readonly Stage[]; readonly timeoutMs: number }
  /** The error with which the policy refuses to send now; undefined: sending is allowed. */
  readonly refusal: () => EnigmError | undefined
  readonly emit: Emit
  /** Called with the address ranges of all rules about clients, when they may have changed. */
  readonly clientsChanged?: (ranges: readonly ClientRange[]) => void
}

/**
 * The lists of the configuration. Their code is loaded when the first list is configured, and stays
 * loaded.
 */
export class ConfiguredLists {
  readonly version = new RulesVersion()
  readonly inForce: ListsInForce
  readonly #o: ConfiguredListsOptions
  #lists: Lists | undefined

  constructor(o: ConfiguredListsOptions) {
    this.#o = o
    this.inForce = new ListsInForce(this.version, o.clientsChanged)
  }

  /** Begins to read the lists. Questions wait until they are read; the promise resolves earlier. */
  async start(config: Loaded['config']): Promise<void> {
    if (config.lists.length > 0) void (await this.#loaded()).start(setupOf(config))
  }

  /**
   * Reads the lists of a configuration. Resolves to a function that puts them in force. Rejects
   * with an EnigmError `config` that names each list that cannot be used.
   */
  async prepare(config: Loaded['config']): Promise<() => void> {
    if (config.lists.length === 0 && this.#lists === undefined) return () => {}
    const lists = await this.#loaded()
    const prepared = await lists.prepare(setupOf(config))
    return () => lists.adopt(prepared)
  }

  /**
   * Whether a cached answer may be used for a view. False until the lists are read: a name must not
   * pass because its list is not loaded yet.
   */
  allows({ lists }: Pick<Loaded['config'], 'lists'>, wire: Uint8Array, view: number): boolean {
    return (lists.length === 0 || this.inForce.isReady) && this.inForce.allows(wire, view)
  }

  /** See `Lists.pause`. */
  pause(forMs: number, id: string | undefined): readonly string[] | undefined {
    return this.#lists?.pause(forMs, id)
  }

  /**
   * The lists for the status document. Under a profile with cover traffic the counts of questions
   * are omitted, like the counts of the cache.
   */
  status(profile: string): NonNullable<StatusDocument['lists']> {
    const iso = (ms: number) => new Date(ms).toISOString()
    return (this.#lists?.status() ?? []).map(({ id, action, state, rules, skipped, blocked, readAtMs, pausedUntilMs, fault }) => ({
      ...{ id, action, state, rules, skipped, readAt: readAtMs === undefined ? null : iso(readAtMs) },
      ...(isPaced(profile) ? {} : { blocked }),
      ...(pausedUntilMs === undefined ? {} : { pausedUntil: iso(pausedUntilMs) }),
      ...(fault === undefined ? {} : { fault: fault.slice(0, 300) }),
    }))
  }

  /** The lists that are not in force, one sentence for each. */
  missing(): readonly string[] {
    const missing = (this.#lists?.faults() ?? []).filter((one) => one.missing)
    return missing.map(({ id, why }) => `lists: the list "${id}" is not in force: ${why}.`)
  }

  stop(): void {
    this.#lists?.stop()
  }

  async #loaded(): Promise<Lists> {
    const { Lists } = await import('./lists.ts')
    const { current, ...o } = this.#o
    this.#lists ??= new Lists({ ...o, inForce: this.inForce, lookup: ownLookup({ clock: o.clock, current }) })
    return this.#lists
  }
}

function setupOf({ lists, views }: Loaded['config']): ListsSetup {
  return { lists, views: views.map((view) => view.lists) }
}

/**
 * Whether cached answers may stay after a reload: true if two configurations differ at most in
 * their lists, and one of them has lists. Cached answers are then checked again when they are used.
 */
export function onlyListsDiffer(before: Loaded, next: Loaded): boolean {
  if (before.config.lists.length + next.config.lists.length === 0) return false
  const rest = ({ config, resolvers, hosts }: Loaded) => ({ config: { ...config, lists: [] }, resolvers, hosts })
  return isDeepStrictEqual(rest(before), rest(next))
}
