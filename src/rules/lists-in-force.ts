import { expandedName, nameLength } from '../dns/name.ts'
import { HEADER_OCTETS, lowerOctet } from '../dns/octets.ts'
import { RecordCursor, someAddress, TYPE } from '../dns/records.ts'
import type { Ede } from '../errors.ts'
import { type Client, hasMark, type View, viewNumber } from '../resolve.ts'
import type { RulesVersion } from '../rules-version.ts'
import { blockedEde } from './blocked.ts'
import { type ClientRange, ClientRules } from './client-rules.ts'
import type { BuiltLists, RuleGroup } from './list-build.ts'
import type { BlockedReply } from './list-kinds.ts'
import { ListRules, type ListSet } from './list-rules.ts'

const SVCB = 64
const HTTPS = 65

/** A list as the pipeline knows it. */
export interface NamedList {
  readonly id: string
  /** The reply to names that it blocks; undefined: the reply of the rule, else the null address. */
  readonly reply: BlockedReply | undefined
}

/** Why a question is blocked. */
export interface Blocking {
  readonly list: string
  readonly reply: BlockedReply
  /** The extended DNS error that the client gets. */
  readonly ede: Ede
  /** Counts the questions that the list has blocked. All rules of the list share this counter. */
  readonly counter: { count: number }
}

/** Which lists apply to which view. The rules themselves are in `BuiltLists`. */
export interface ListPlan {
  /** Position i is the list with `RuleGroup.list === i`. */
  readonly lists: readonly NamedList[]
  /** The lists that apply now, for each view. The first set is for clients without a view. */
  readonly sets: readonly ListSet[]
}

/**
 * The lists that are applied to questions now. All are replaced in one step. Until the first lists
 * are loaded, questions wait.
 */
export class ListsInForce {
  readonly #version: RulesVersion
  readonly #clientsChanged: (ranges: readonly ClientRange[]) => void
  /** The table of all rules. Undefined: no list is configured, or none is loaded yet. */
  #rules: ListRules | undefined
  /** Undefined: no list has rules about clients. */
  #clients: ClientRules | undefined
  #clientRanges: readonly ClientRange[] = []
  /** Counts the plans. A function of `views` compares it to see whether its plan is outdated. */
  #planNumber = 0
  #plan: ListPlan = { lists: [], sets: [] }
  /**
   * Number of questions that each list has blocked, by the id of the list. Cache hits are not
   * counted.
   */
  readonly #blocked = new Map<string, { count: number }>()
  /** Cache: the `Blocking` for each rule group that has blocked something under this plan. */
  #blockings = new Map<RuleGroup, Blocking>()
  /** Called when the first lists are loaded. Undefined: they are. */
  #waiting: (() => void)[] | undefined = []

  /**
   * `clientsChanged` is called during a swap if the old or the new lists have rules about clients.
   * It gets the address ranges of the new rules (empty if only the old lists had some). It must not
   * use this object, because the plan is still the old one. It is called before the version of the
   * rules changes, so that the ranges are on their way to the worker threads when these see the
   * change.
   */
  constructor(version: RulesVersion, clientsChanged: (ranges: readonly ClientRange[]) => void = () => {}) {
    this.#version = version
    this.#clientsChanged = clientsChanged
  }

  /** Memory of the table, in octets; 0 without a table. */
  get octets(): number {
    return this.#rules?.octets ?? 0
  }

  /** Whether questions can be checked: the first lists are loaded, or no list is configured. */
  get isReady(): boolean {
    return this.#waiting === undefined
  }

  /** Calls `ready` when questions can be checked: immediately if they already can. */
  whenReady(ready: () => void): void {
    if (this.#waiting === undefined) ready()
    else this.#waiting.push(ready)
  }

  /** Puts another table and plan in force. Stored answers are judged again when they are used. */
  swap(built: Omit<BuiltLists, 'reports'> | undefined, plan: ListPlan): void {
    this.#rules = built === undefined ? undefined : new ListRules(built)
    const clients = built?.clients ?? []
    this.#clients = built === undefined || clients.length === 0 ? undefined : new ClientRules(built)
    const hadSome = this.#clientRanges.length > 0
    this.#clientRanges = clients.map(({ octets, prefix }) => ({ octets, prefix }))
    if (hadSome || clients.length > 0) this.#clientsChanged(this.#clientRanges)
    this.replan(plan)
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    for (const ready of waiting) ready()
  }

  /** Changes which lists apply, and keeps the table: for a pause, or by the time of day. */
  replan(plan: ListPlan): void {
    this.#plan = plan
    this.#planNumber++
    this.#blockings = new Map()
    this.#version.change()
  }

  /** Number of questions that a list has blocked since the start. Cache hits are not counted. */
  blockedBy(id: string): number {
    return this.#blocked.get(id)?.count ?? 0
  }

  /** The address ranges of all rules about clients. */
  get clientRanges(): readonly ClientRange[] {
    return this.#clientRanges
  }

  /**
   * Returns a function from a client address to its view. The view is that of `base`. It has the
   * mark `unshared` if a list blocks the client, or `exempt` if no list applies to it. If no list
   * has rules about clients, the function costs one comparison more than `base`.
   */
  views(base: (address: string) => View): (address: string) => View {
    let marked = base
    let planNumber = -1
    return (address) => {
      const clients = this.#clients
      if (clients === undefined) return base(address)
      // The rules, or which lists apply, have changed.
      if (planNumber !== this.#planNumber) {
        planNumber = this.#planNumber
        marked = clients.views(base, (view) => this.#setOf(view))
      }
      return marked(address)
    }
  }

  /** The list that blocks all questions of a client; undefined: none does. */
  ofClient({ address, view }: Client): Blocking | undefined {
    // Questions of this service itself (refresh, probe) have no client address.
    return address === '' ? undefined : this.#blockingOf(this.#clients?.of(address, this.#setOf(view)))
  }

  /**
   * The list that blocks the name at `at` (wire form, lower-case) for a view; undefined: none does.
   */
  ofName(name: Uint8Array, at: number, view: number): Blocking | undefined {
    const rules = this.#rules
    return rules === undefined || hasMark(view, 'exempt') ? undefined : this.#blockingOf(rules.ofName(name, at, this.#setOf(view)))
  }

  /**
   * The list that blocks an answer for a view, because of an alias target, a service target or an
   * address in it; undefined: none does. `name` at `at` is the name of the question (wire form,
   * lower-case). If a rule allows it, its answer is not blocked.
   */
  ofAnswer(wire: Uint8Array, name: Uint8Array, at: number, view: number): Blocking | undefined {
    const rules = this.#rules
    if (rules === undefined || hasMark(view, 'exempt')) return undefined
    const set = this.#setOf(view)
    const group = ofTargets(rules, wire, set) ?? ofAddresses(rules, wire, set)
    if (group === undefined || rules.ofName(name, at, set)?.kind.allows === true) return undefined
    return this.#blockingOf(group)
  }

  /** Whether a cached answer may be used for a view. The name of its question is lower-case. */
  allows(wire: Uint8Array, view: number): boolean {
    return this.ofName(wire, HEADER_OCTETS, view) === undefined && this.ofAnswer(wire, wire, HEADER_OCTETS, view) === undefined
  }

  #setOf(view: number): ListSet {
    const { sets } = this.#plan
    return sets[viewNumber(view)] ?? sets[0] ?? NO_LISTS
  }

  #blockingOf(group: RuleGroup | undefined): Blocking | undefined {
    if (group === undefined || group.kind.allows) return undefined
    const known = this.#blockings.get(group)
    if (known !== undefined) return known
    const list = this.#plan.lists[group.list]
    if (list === undefined) return undefined
    const reply = list.reply ?? group.kind.reply ?? 'null-address'
    const counter = this.#blocked.get(list.id) ?? { count: 0 }
    this.#blocked.set(list.id, counter)
    const blocking = { list: list.id, reply, ede: blockedEde(reply, list.id), counter }
    this.#blockings.set(group, blocking)
    return blocking
  }
}

const NO_LISTS: ListSet = new Uint8Array(0)
const cursor = new RecordCursor()

/** A rule that blocks the target of an alias (CNAME, DNAME) or of a service (SVCB, HTTPS). */
function ofTargets(rules: ListRules, wire: Uint8Array, set: ListSet): RuleGroup | undefined {
  cursor.start(wire)
  while (cursor.next() && cursor.section === 1) {
    const { type, rdataAt, rdLength } = cursor
    const isAlias = type === TYPE.CNAME || type === TYPE.DNAME
    if (!isAlias && type !== SVCB && type !== HTTPS) continue
    const at = isAlias ? rdataAt : rdataAt + 2
    if (at - rdataAt >= rdLength || nameLength(wire, at) === 0) continue
    const target = expandedName(wire, at)
    if (target === undefined) continue
    for (let i = 0; i < target.length; i++) target[i] = lowerOctet(target[i]!)
    const group = rules.ofName(target, 0, set)
    if (group !== undefined && !group.kind.allows) return group
  }
  return undefined
}

/** A rule that blocks an address of an answer. */
function ofAddresses(rules: ListRules, wire: Uint8Array, set: ListSet): RuleGroup | undefined {
  if (!rules.judgesAddresses) return undefined
  let group: RuleGroup | undefined
  someAddress(wire, (octets, at, length) => {
    const found = rules.ofAddress(octets, at, length, set)
    if (found === undefined || found.kind.allows) return false
    group = found
    return true
  })
  return group
}
