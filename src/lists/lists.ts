import { join } from 'node:path'
import type { Clock, Random, Timer } from '../clock.ts'
import type { ListConfig } from '../config/lists.ts'
import { EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { FetchWorld } from '../fetcher/fetch-source.ts'
import { KeptCopies } from '../fetcher/kept-copies.ts'
import type { BuiltLists, ListFault, ListReport, ListSpec } from '../rules/list-build.ts'
import type { ListSet } from '../rules/list-rules.ts'
import { appliesAt, LONGEST_PAUSE_MS } from '../rules/list-times.ts'
import type { ListsInForce } from '../rules/lists-in-force.ts'
import { watchFiles } from '../system/file-watch.ts'
import { buildInThread } from './build-thread.ts'
import { type FetchedList, ListFetches, specOf } from './list-sources.ts'

/** The part of a configuration that concerns lists. */
export interface ListsSetup {
  readonly lists: readonly ListConfig[]
  /** The lists of each view, in the order of the views; undefined: all lists. */
  readonly views: readonly (readonly string[] | undefined)[]
}

/** The state of one list, for people. */
export interface ListStatus {
  readonly id: string
  readonly action: 'block' | 'allow'
  readonly source: 'file' | 'url'
  /**
   * `missing`: it was never read, so it blocks nothing. `paused`: by command. `resting`: not in its
   * hours.
   */
  readonly state: 'in-force' | 'loading' | 'missing' | 'paused' | 'resting'
  readonly rules: number
  /** Lines that are not used. */
  readonly skipped: number
  /** Questions blocked since the start; repeats from the cache are not counted. */
  readonly blocked: number
  /** When its rules were read, wall clock. */
  readonly readAtMs: number | undefined
  readonly pausedUntilMs: number | undefined
  /** Why its latest content is not used: a clause. */
  readonly fault: string | undefined
}

export interface ListsOptions {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  readonly inForce: ListsInForce
  readonly stateDir: string
  readonly lookup: FetchWorld['lookup']
  /** Certificates, in PEM, that servers of lists are trusted by instead of those of Node. */
  readonly ca?: string
  /** Why the policy lets nothing out now; undefined: it does. */
  readonly refusal: () => EnigmError | undefined
}

/** A list and what is known about it. */
interface Known {
  readonly list: ListConfig
  report: ListReport | undefined
  readAtMs: number | undefined
  fault: string | undefined
}

/** Lists that were read for a reload, and are not in force yet. */
export interface PreparedLists {
  readonly setup: ListsSetup
  readonly specs: readonly ListSpec[]
  readonly built: BuiltLists | undefined
  /** How many tables had been put in force before it was read. */
  readonly swaps: number
}

const MINUTE_MS = 60_000
/** Lists of the largest size take ten seconds. */
const BUILD_LIMIT_MS = 2 * MINUTE_MS
const KEY_OCTETS = 8

/**
 * The lists of the configuration: reads them in a thread, keeps them current, and puts each state
 * in force at once. What cannot be used changes nothing.
 */
export class Lists {
  readonly #o: ListsOptions
  readonly #copies: KeptCopies
  readonly #fetches: ListFetches
  readonly #watch
  #setup: ListsSetup = { lists: [], views: [] }
  #known = new Map<string, Known>()
  /** The lists of the table in force, in its order. */
  #order: readonly string[] = []
  /** How many tables were put in force. */
  #swaps = 0
  #building: Promise<unknown> = Promise.resolve()
  #cancel: () => void = () => {}
  /** Until when lists are paused, boot time; `undefined` as the name: all of them. */
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
      ended: (id, fault) => this.#note(id, fault),
    })
    this.#watch = watchFiles({ clock: o.clock, changed: () => void this.#queued(() => this.#rebuild()) })
  }

  /**
   * Reads the lists for the first time. Lists that cannot be used are left out and reported.
   * Questions wait until it resolves. Never rejects.
   */
  start(setup: ListsSetup): Promise<void> {
    this.#take(setup)
    return this.#queued(async () => {
      for (;;) {
        const specs = this.#specs().filter(({ id }) => this.#known.get(id)?.fault === undefined)
        const built = await this.#build(specs)
        if (built === undefined || !('faults' in built)) {
          this.#swap(specs, built)
          break
        }
        this.#blame(built.faults)
      }
      this.#begin()
    })
  }

  /**
   * Reads the lists of a configuration that is to be put in force. Rejects with an EnigmError
   * `config` that names each list that cannot be used; then nothing has changed.
   */
  async prepare(setup: ListsSetup): Promise<PreparedLists> {
    const { built, ...rest } = await this.#queued(async () => {
      // Read in its turn: a fetch that ends before may replace a copy.
      const specs = setup.lists.flatMap((list) => specOf(list, this.#copies) ?? [])
      const swaps = this.#swaps
      return { specs, swaps, built: await this.#build(specs) }
    })
    if (built === undefined || !('faults' in built)) return { ...rest, setup, built }
    throw new EnigmError('config', built.faults.map(({ id, message }) => `the list "${id}" cannot be used: ${message}`).join('\n'))
  }

  /** Puts prepared lists in force. */
  adopt({ setup, specs, built, swaps }: PreparedLists): void {
    const hasChanged = swaps !== this.#swaps
    this.#take(setup)
    this.#swap(specs, built)
    this.#begin()
    // A file or a fetched copy is newer than what was prepared.
    if (hasChanged) void this.#queued(() => this.#rebuild())
  }

  /**
   * Pauses a list, or all of them, for a time. Returns the ids of the lists that are paused;
   * undefined: there is no such list. 0 ends a pause.
   */
  pause(forMs: number, id: string | undefined): readonly string[] | undefined {
    if (id !== undefined && !this.#known.has(id)) return undefined
    if (id === undefined) this.#pauses.clear()
    if (forMs > 0) this.#pauses.set(id, this.#o.clock.nowMs() + Math.min(forMs, LONGEST_PAUSE_MS))
    else if (id !== undefined) this.#endPause(id)
    this.#replan()
    return id === undefined ? [...this.#known.keys()] : [id]
  }

  /** Under a pause of all lists, the others stay paused. */
  #endPause(id: string): void {
    const ofAll = this.#pauses.get(undefined)
    if (ofAll !== undefined) for (const other of this.#known.keys()) this.#pauses.set(other, Math.max(ofAll, this.#pauses.get(other) ?? 0))
    this.#pauses.delete(undefined)
    this.#pauses.delete(id)
  }

  status(): readonly ListStatus[] {
    const { clock, inForce } = this.#o
    return [...this.#known.values()].map(({ list, report, readAtMs, fault }) => {
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
        fault,
      }
    })
  }

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
    if (!this.#order.includes(id)) return 'missing'
    if (this.#pauseLeftMs(id) > 0) return 'paused'
    return this.#isResting(list) ? 'resting' : 'in-force'
  }

  #take(setup: ListsSetup): void {
    const before = this.#known
    this.#setup = setup
    this.#known = new Map(
      setup.lists.map((list) => [list.id, before.get(list.id) ?? { list, report: undefined, readAtMs: undefined, fault: undefined }]),
    )
    for (const [id, known] of this.#known) this.#known.set(id, { ...known, list: setup.lists.find((one) => one.id === id) ?? known.list })
  }

  /** Watches and fetches what is configured now. */
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

  /** All work on tables, one after the other. */
  #queued<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#building.then(work)
    this.#building = done.catch(() => {})
    return done
  }

  #specs(instead?: ListSpec): readonly ListSpec[] {
    return this.#setup.lists.flatMap((list) => (list.id === instead?.id ? instead : (specOf(list, this.#copies) ?? [])))
  }

  /** Undefined: there is no list to read. */
  async #build(specs: readonly ListSpec[]) {
    if (specs.length === 0 || this.#stopped) return undefined
    const { outcome, cancel } = buildInThread({ specs, key: this.#o.random.bytes(KEY_OCTETS), givesWay: this.#o.inForce.isReady })
    this.#cancel = cancel
    // A file on a disk that does not answer must not keep all names waiting.
    const late = this.#o.clock.setTimer(BUILD_LIMIT_MS, cancel)
    const built = await outcome
    late.cancel()
    return built
  }

  /**
   * Reads all lists again, one of them as it was fetched; resolves to why that one is not in force
   * now. A list that is not in force and cannot be used is left out, and stops no other.
   */
  async #rebuild(fetched?: FetchedList): Promise<string | undefined> {
    const unusable = new Set<string>()
    for (;;) {
      const setup = this.#setup
      const now = fetched && setup.lists.find(({ id }) => id === fetched.list.id)
      if (fetched !== undefined && (now === undefined || !isSameSource(now, fetched.list))) return 'it was configured otherwise meanwhile'
      const specs = this.#specs(fetched?.spec).filter(({ id }) => !unusable.has(id))
      const built = await this.#build(specs)
      if (this.#stopped) return 'the service is stopping'
      // A reload has put other lists in force meanwhile: what was read of the earlier ones is void.
      if (setup !== this.#setup) unusable.clear()
      else if (built === undefined || !('faults' in built)) {
        this.#swap(specs, built)
        await fetched?.keep()
        return undefined
      } else {
        const own = built.faults.find(({ id }) => id === fetched?.list.id)
        const others = built.faults.filter((one) => one !== own)
        // A list that was fetched is blamed where its fetch ends.
        this.#blame(others)
        const needed = others.find(({ id }) => this.#order.includes(id))
        if (own !== undefined) return own.message
        if (needed !== undefined) return `it waits for the list "${needed.id}", which cannot be used`
        for (const { id } of others) unusable.add(id)
      }
    }
  }

  #blame(faults: readonly ListFault[]): void {
    for (const { id, message } of faults) {
      const known = this.#known.get(id)
      if (known !== undefined) known.fault = message
    }
    this.#report()
  }

  #note(id: string, fault: string | undefined): void {
    const known = this.#known.get(id)
    if (known !== undefined) known.fault = fault
    this.#report()
  }

  #swap(specs: readonly ListSpec[], built: BuiltLists | undefined): void {
    if (this.#stopped) return
    this.#swaps++
    this.#order = specs.map(({ id }) => id)
    for (const report of built?.reports ?? []) {
      const known = this.#known.get(report.id)
      if (known === undefined) continue
      known.report = report
      known.readAtMs = this.#o.clock.wallMs()
      // The fault of a list from an address is that of its last fetch.
      if (known.list.file !== undefined) known.fault = undefined
    }
    this.#o.inForce.swap(built, this.#plan())
    this.#report()
  }

  /** Which lists apply to which view now. */
  #plan() {
    const lists = this.#order.map((id) => ({ id, reply: this.#known.get(id)?.list.reply }))
    const setOf = (view: readonly string[] | undefined): ListSet =>
      Uint8Array.from(this.#order, (id) => {
        const list = this.#known.get(id)?.list
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

  /** A pause has begun or ended, or the time of day has changed. */
  #replan(): void {
    const { clock, inForce } = this.#o
    this.#pauseTimer?.cancel()
    for (const [id, untilMs] of this.#pauses) if (untilMs <= clock.nowMs()) this.#pauses.delete(id)
    if (inForce.isReady) inForce.replan(this.#plan())
    if (this.#pauses.size === 0) return
    const nextMs = Math.min(...this.#pauses.values())
    this.#pauseTimer = clock.setTimer(Math.max(1, nextMs - clock.nowMs()), () => this.#replan())
  }

  /** Looks at the time of day once a minute, if a list depends on it. */
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

  /** Tells the status which lists are not as they should be, once for each change. */
  #report(): void {
    const faults = [...this.#known.values()].flatMap(({ list: { id }, fault }) => {
      const missing = this.#o.inForce.isReady && !this.#order.includes(id)
      return fault === undefined && !missing ? [] : [{ id, missing, why: fault ?? 'it has not been fetched yet' }]
    })
    const text = JSON.stringify(faults)
    if (text === this.#reported) return
    this.#reported = text
    this.#o.emit({ type: 'lists', faults })
  }
}

/** Whether what was fetched for one list is the content of the other. */
function isSameSource(one: ListConfig, other: ListConfig): boolean {
  const keys = ['url', 'format', 'action', 'sha256', 'minisignKey'] as const
  return keys.every((key) => one[key] === other[key])
}
