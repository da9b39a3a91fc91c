import { isDeepStrictEqual } from 'node:util'
import type { Clock, Random } from '../clock.ts'
import type { Loaded } from '../config/load.ts'
import type { EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Stage } from '../job.ts'
import { ownLookup } from '../own-lookup.ts'
import type { StatusDocument } from '../posture/document.ts'
import type { ClientBlock } from '../rules/client-rules.ts'
import { ListsInForce } from '../rules/lists-in-force.ts'
import { RulesVersion } from '../rules-version.ts'
import { isPaced } from '../shaping/profiles.ts'
import type { Lists, ListsSetup } from './lists.ts'

/** What the lists need of the daemon. */
export interface ConfiguredListsOptions {
  readonly clock: Clock
  readonly random: Random
  readonly stateDir: string
  /** The pipeline by which the hosts of sources are resolved. */
  readonly current: () => { readonly stages: readonly Stage[]; readonly timeoutMs: number }
  /** Why the policy lets nothing out now; undefined: it does. */
  readonly refusal: () => EnigmError | undefined
  readonly emit: Emit
  /** Called when the blocks of clients about which a list has a rule change. */
  readonly clientsChanged?: (blocks: readonly ClientBlock[]) => void
}

/**
 * The lists of the configuration. Their code is loaded only if there is one; it stays loaded then.
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

  /** Begins to read the lists; questions wait for them. Resolves before they are read. */
  async start(config: Loaded['config']): Promise<void> {
    if (config.lists.length > 0) void (await this.#loaded()).start(setupOf(config))
  }

  /**
   * Reads the lists of a configuration. Resolves to a function that puts them in force; rejects
   * with an EnigmError `config` that names each list that cannot be used.
   */
  async prepare(config: Loaded['config']): Promise<() => void> {
    if (config.lists.length === 0 && this.#lists === undefined) return () => {}
    const lists = await this.#loaded()
    const prepared = await lists.prepare(setupOf(config))
    return () => lists.adopt(prepared)
  }

  /**
   * Whether a stored answer may be used for a view. None may until the lists of the configuration
   * are read: a name must not pass because its list is not there yet.
   */
  allows({ lists }: Pick<Loaded['config'], 'lists'>, wire: Uint8Array, view: number): boolean {
    return (lists.length === 0 || this.inForce.isReady) && this.inForce.allows(wire, view)
  }

  /** See `Lists.pause`. */
  pause(forMs: number, id: string | undefined): readonly string[] | undefined {
    return this.#lists?.pause(forMs, id)
  }

  /**
   * The lists for the status. Under a profile with cover traffic, counts of questions are left out,
   * as those of the cache are.
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
 * Whether two configurations differ in their lists alone, or not at all, so that stored answers may
 * stay: each is judged again when it is used. Only if one of them has lists.
 */
export function onlyListsDiffer(before: Loaded, next: Loaded): boolean {
  if (before.config.lists.length + next.config.lists.length === 0) return false
  const rest = ({ config, resolvers, hosts }: Loaded) => ({ config: { ...config, lists: [] }, resolvers, hosts })
  return isDeepStrictEqual(rest(before), rest(next))
}
