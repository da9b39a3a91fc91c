import { join } from 'node:path'
import type { Clock, Random, Timer } from '../clock.ts'
import type { ListConfig } from '../config/lists.ts'
import { EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { FetchWorld } from '../fetcher/fetch-source.ts'
import { KeptCopies } from '../fetcher/kept-copies.ts'
import { type BuiltLists, EMPTY, type ListFault, type ListSpec } from '../rules/list-build.ts'
import type { ListSet } from '../rules/list-rules.ts'
import { appliesAt, LONGEST_PAUSE_MS } from '../rules/list-times.ts'
import type { ListsInForce } from '../rules/lists-in-force.ts'
import { watchFiles } from '../system/file-watch.ts'
import { buildInThread } from './build-thread.ts'
import { type FetchedList, ListFetches, specOf } from './list-sources.ts'
import { isSameSource, type ListState, type ListStatus } from './list-state.ts'

/** The settings about lists. */
export interface ListsSetup {
  readonly lists: readonly ListConfig[]
  /** The lists of each view, in the order of the views; undefined: all lists. */
  readonly views: readonly (readonly string[] | undefined)[]
}

export interface ListsOptions {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  readonly inForce: ListsInForce
  readonly stateDir: string
  readonly lookup: FetchWorld['lookup']
  /** CA certificates in PEM that replace those of Node for servers of lists. */
  readonly ca?: string
  /** The error with which the policy refuses to send now; undefined: sending is allowed. */
  readonly refusal: () => EnigmError | undefined
}

/** Lists that a reload has read. They are not in force yet. */
export interface PreparedLists {
  readonly setup: ListsSetup
  readonly specs: readonly ListSpec[]
  readonly built: BuiltLists | undefined
  /** Value of `Lists.#swaps` when the lists were read. */
  readonly swaps: number
}

const MINUTE_MS = 60_000
/** Limit for building a table. Lists of the largest size take about 10 s. */
const BUILD_LIMIT_MS = 2 * MINUTE_MS
const KEY_OCTETS = 8

/**
 * The lists of the configuration. Reads them in a worker thread, keeps them current, and puts each
 * new table in force in one step. If a list cannot be used, its old content stays in force.
 */
export class Lists {
  readonly #o: ListsOptions
  readonly #copies: KeptCopies
  readonly #fetches: ListFetches
  readonly #watch
  #setup: ListsSetup = { lists: [], views: [] }
  #states = new Map<string, ListState>()
  /** The ids of the lists in the table in force, in the order of the table. */
  #order: readonly string[] = []
  /** Number of tables that were put in force. */
  #swaps = 0
  #building: Promise<unknown> = Promise.resolve()
  #cancel: () => void = () => {}
  /**
   * The end of each pause (ms since boot, `Clock.nowMs`), by the id of the list. The key
   * `undefined` pauses all lists.
   */
  readonly #pauses = new Map<string | undefined, number>()
  #pauseTimer: Timer | undefined
  #minuteTimer: Timer | undefined
  #reported = ''
  #stopped = false

  constructor(o: ListsOptions) {
    this.#o = o
    this.#copies = new KeptCopies(join(o.stateDir, 'lists'))
    this.#fetches = new ListFetches({
      ...o,
      copies: this.#copies,
      world: o,
      isUsed: (id) => this.#order.includes(id),
      tryOut: (fetched) => this.#queued(() => this.#rebuild(fetched)),
      ended: (id, fault) => this.#setFault(id, fault),
    })
    this.#watch = watchFiles({ clock: o.clock, changed: () => void this.#queued(() => this.#rebuild()) })
  }

  /**
   * Reads the lists for the first time. Lists that cannot be used are omitted and reported.
   * Questions wait until the promise resolves. It never rejects.
   */
  start(setup: ListsSetup): Promise<void> {
    this.#setConfig(setup)
    return this.#queued(async () => {
      for (;;) {
        const specs = this.#specs(setup.lists).filter(({ id }) => this.#states.get(id)?.fault === undefined)
        const built = await this.#build(specs)
        if (built === undefined || !('faults' in built)) {
          this.#swap(specs, built)
          break
        }
        this.#setFaults(built.faults)
      }
      this.#begin()
    })
  }

  /**
   * Reads the lists of a new configuration for `adopt`. Rejects with an EnigmError `config` that
   * names each list that cannot be used; then nothing has changed.
   */
  async prepare(setup: ListsSetup): Promise<PreparedLists> {
    const { built, ...rest } = await this.#queued(async () => {
      // The specifications are made inside the queued work, because work that is queued before this
      // may replace a kept copy.
      const specs = this.#specs(setup.lists)
      const swaps = this.#swaps
      return { specs, swaps, built: await this.#build(specs) }
    })
    if (built === undefined || !('faults' in built)) return { ...rest, setup, built }
    throw new EnigmError('config', built.faults.map(({ id, message }) => `the list "${id}" cannot be used: ${message}`).join('\n'))
  }

  /** Puts prepared lists in force. */
  adopt({ setup, specs, built, swaps }: PreparedLists): void {
    const hasChanged = swaps !== this.#swaps
    this.#setConfig(setup)
    this.#swap(specs, built)
    this.#begin()
    // A file or a kept copy has changed since the lists were prepared.
    if (hasChanged) void this.#queued(() => this.#rebuild())
  }

  /**
   * Pauses a list, or all lists if `id` is undefined, for `forMs`. 0 ends the pause. Returns the
   * ids of the lists that were changed; undefined: no list has this id.
   */
  pause(forMs: number, id: string | undefined): readonly string[] | undefined {
    if (id !== undefined && !this.#states.has(id)) return undefined
    if (id === undefined) this.#pauses.clear()
    if (forMs > 0) this.#pauses.set(id, this.#o.clock.nowMs() + Math.min(forMs, LONGEST_PAUSE_MS))
    else if (id !== undefined) this.#endPause(id)
    this.#replan()
    return id === undefined ? [...this.#states.keys()] : [id]
  }

  /** Ends the pause of one list. If all lists are paused, the others stay paused. */
  #endPause(id: string): void {
    const ofAll = this.#pauses.get(undefined)
    if (ofAll !== undefined) for (const other of this.#states.keys()) this.#pauses.set(other, Math.max(ofAll, this.#pauses.get(other) ?? 0))
    this.#pauses.delete(undefined)
    this.#pauses.delete(id)
  }

  /** The state of every configured list. */
  status(): readonly ListStatus[] {
    const { clock, inForce } = this.#o
    return [...this.#states.values()].map(({ list, report, readAtMs, fault }) => {
      const { id, action } = list
      const leftMs = this.#pauseLeftMs(id)
      return {
        id,
        action,
        source: list.url === undefined ? 'file' : 'url',
        state: this.#stateOf(id, list),
        rules: report?.rules ?? 0,
        skipped: report?.skipped.reduce((sum, { count }) => sum + count, 0) ?? 0,
        blocked: inForce.blockedBy(id),
        readAtMs,
        pausedUntilMs: leftMs > 0 ? clock.wallMs() + leftMs : undefined,
        fault: fault ?? (this.#isEmpty(id) ? EMPTY : undefined),
      }
    })
  }

  /** Stops watching, fetching and building. */
  stop(): void {
    this.#stopped = true
    this.#watch.stop()
    this.#fetches.stop()
    this.#pauseTimer?.cancel()
    this.#minuteTimer?.cancel()
    this.#cancel()
  }

  #stateOf(id: string, list: ListConfig): ListStatus['state'] {
    if (!this.#o.inForce.isReady) return 'loading'
    if (!this.#order.includes(id) || this.#isEmpty(id)) return 'missing'
    if (this.#pauseLeftMs(id) > 0) return 'paused'
    return this.#isResting(list) ? 'resting' : 'in-force'
  }

  /** Adopts a configuration. Lists with the same id keep their state. */
  #setConfig(setup: ListsSetup): void {
    const before = this.#states
    this.#setup = setup
    this.#states = new Map(
      setup.lists.map((list) => [
        list.id,
        before.get(list.id) ?? { list, report: undefined, reported: undefined, readAtMs: undefined, fault: undefined },
      ]),
    )
    for (const [id, state] of this.#states) this.#states.set(id, { ...state, list: setup.lists.find((one) => one.id === id) ?? state.list })
  }

  /**
   * Begins to watch files and to fetch lists of the current configuration. Deletes copies of lists
   * that are not configured.
   */
  #begin(): void {
    const { lists } = this.#setup
    if (this.#stopped) return
    this.#copies.keepOnly(new Set(lists.flatMap(({ id, url }) => (url === undefined ? [] : [id]))))
    this.#watch.files(
      lists.flatMap(({ file, minisignKey }) => (file === undefined ? [] : minisignKey === undefined ? [file] : [file, `${file}.minisig`])),
    )
    this.#fetches.adopt(lists)
    this.#tick()
  }

  /** Runs `work` after all earlier work on tables. */
  #queued<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#building.then(work)
    this.#building = done.catch(() => {})
    return done
  }

  #specs(lists: readonly ListConfig[], instead?: ListSpec): readonly ListSpec[] {
    return lists.flatMap((list) => {
      const spec = list.id === instead?.id ? instead : specOf(list, this.#copies)
      return spec === undefined ? [] : { ...spec, hasRules: this.#hasRules(list) }
    })
  }

  /** Whether rules of this list, from the same source, are in force. */
  #hasRules(list: ListConfig): boolean {
    const { report, reported } = this.#states.get(list.id) ?? {}
    return (
      this.#order.includes(list.id) && report !== undefined && report.rules > 0 && reported !== undefined && isSameSource(reported, list)
    )
  }

  /** Whether a list was read and has no rule. */
  #isEmpty(id: string): boolean {
    return this.#order.includes(id) && this.#states.get(id)?.report?.rules === 0
  }

  /** Builds a table. Undefined: there is no list to read, or the service is stopping. */
  async #build(specs: readonly ListSpec[]) {
    if (specs.length === 0 || this.#stopped) return undefined
    const { outcome, cancel } = buildInThread({ specs, key: this.#o.random.bytes(KEY_OCTETS), lowPriority: this.#o.inForce.isReady })
    this.#cancel = cancel
    // A file on a disk that does not respond must not block all questions.
    const late = this.#o.clock.setTimer(BUILD_LIMIT_MS, cancel)
    const built = await outcome
    late.cancel()
    return built
  }

  /**
   * Reads all lists again. `fetched` replaces the kept copy of its list. Resolves to the reason why
   * the fetched list is not in force now; undefined: it is. A list that is not in force and cannot
   * be used is omitted, so that it does not stop the others.
   */
  async #rebuild(fetched?: FetchedList): Promise<string | undefined> {
    const unusable = new Set<string>()
    for (;;) {
      const setup = this.#setup
      const now = fetched && setup.lists.find(({ id }) => id === fetched.list.id)
      if (fetched !== undefined && (now === undefined || !isSameSource(now, fetched.list))) return 'its configuration has changed meanwhile'
      const specs = this.#specs(setup.lists, fetched?.spec).filter(({ id }) => !unusable.has(id))
      const built = await this.#build(specs)
      if (this.#stopped) return 'the service is stopping'
      // A reload has put other lists in force meanwhile, so this result is obsolete.
      if (setup !== this.#setup) unusable.clear()
      else if (built === undefined || !('faults' in built)) {
        this.#swap(specs, built)
        await fetched?.keep()
        return undefined
      } else {
        const own = built.faults.find(({ id }) => id === fetched?.list.id)
        const others = built.faults.filter((one) => one !== own)
        // The fault of the fetched list is reported when its fetch ends.
        this.#setFaults(others)
        const needed = others.find(({ id }) => this.#order.includes(id))
        if (own !== undefined) return own.message
        if (needed !== undefined) return `all lists are loaded together, and the list "${needed.id}" cannot be used`
        for (const { id } of others) unusable.add(id)
      }
    }
  }

  #setFaults(faults: readonly ListFault[]): void {
    for (const { id, message } of faults) {
      const state = this.#states.get(id)
      if (state !== undefined) state.fault = message
    }
    this.#report()
  }

  #setFault(id: string, fault: string | undefined): void {
    const state = this.#states.get(id)
    if (state !== undefined) state.fault = fault
    this.#report()
  }

  #swap(specs: readonly ListSpec[], built: BuiltLists | undefined): void {
    if (this.#stopped) return
    this.#swaps++
    this.#order = specs.map(({ id }) => id)
    for (const report of built?.reports ?? []) {
      const state = this.#states.get(report.id)
      if (state === undefined) continue
      state.report = report
      state.reported = state.list
      state.readAtMs = this.#o.clock.wallMs()
      // A list with a URL keeps the fault of its last fetch.
      if (state.list.file !== undefined) state.fault = undefined
    }
    this.#o.inForce.swap(built, this.#plan())
    this.#report()
  }

  /** Determines which lists apply to which view now. */
  #plan() {
    const lists = this.#order.map((id) => ({ id, reply: this.#states.get(id)?.list.reply }))
    const setOf = (view: readonly string[] | undefined): ListSet =>
      Uint8Array.from(this.#order, (id) => {
        const list = this.#states.get(id)?.list
        const applies = list !== undefined && (view === undefined || view.includes(id))
        return applies && this.#pauseLeftMs(id) <= 0 && !this.#isResting(list) ? 1 : 0
      })
    return { lists, sets: [setOf(undefined), ...this.#setup.views.map(setOf)] }
  }

  #isResting({ when }: ListConfig): boolean {
    return when !== undefined && !appliesAt(when, this.#o.clock.wallMs())
  }

  #pauseLeftMs(id: string): number {
    const untilMs = Math.max(this.#pauses.get(undefined) ?? 0, this.#pauses.get(id) ?? 0)
    return untilMs - this.#o.clock.nowMs()
  }

  /** Applies the pauses and the time of day. Sets a timer for the pause that ends first. */
  #replan(): void {
    const { clock, inForce } = this.#o
    this.#pauseTimer?.cancel()
    for (const [id, untilMs] of this.#pauses) if (untilMs <= clock.nowMs()) this.#pauses.delete(id)
    if (inForce.isReady) inForce.replan(this.#plan())
    if (this.#pauses.size === 0) return
    const nextMs = Math.min(...this.#pauses.values())
    this.#pauseTimer = clock.setTimer(Math.max(1, nextMs - clock.nowMs()), () => this.#replan())
  }

  /** Checks the time of day once a minute, if a list depends on it. */
  #tick(): void {
    const { clock } = this.#o
    this.#minuteTimer?.cancel()
    const timed = this.#setup.lists.filter(({ when }) => when !== undefined)
    if (timed.length === 0 || this.#stopped) return
    const before = timed.map((list) => this.#isResting(list)).join()
    this.#minuteTimer = clock.setTimer(MINUTE_MS - (clock.wallMs() % MINUTE_MS), () => {
      if (timed.map((list) => this.#isResting(list)).join() !== before) this.#replan()
      this.#tick()
    })
  }

  /**
   * The lists that are not in force (`missing`), or whose latest content is not, each with a
   * reason.
   */
  faults() {
    return [...this.#states.values()].flatMap(({ list: { id }, fault }) => {
      const empty = this.#isEmpty(id)
      const missing = empty || (this.#o.inForce.isReady && !this.#order.includes(id))
      return fault === undefined && !missing ? [] : [{ id, missing, why: fault ?? (empty ? EMPTY : 'it has not been fetched yet') }]
    })
  }

  /** Reports lists with a fault, and missing lists, once for each change. */
  #report(): void {
    const faults = this.faults()
    const text = JSON.stringify(faults)
    if (text === this.#reported) return
    this.#reported = text
    this.#o.emit({ type: 'lists', faults })
  }
}
