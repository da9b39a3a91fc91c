import type { BuiltLists, RuleGroup } from './list-build.ts'
import type { RuleKind } from './list-kinds.ts'
import { NamesTable } from './names-table.ts'

/** Which lists apply: 1 at the index of each list that applies, 0 elsewhere. */
export type ListSet = Uint8Array

/**
 * The rules of all lists, in one table. Rules that allow beat rules that block, and `$important`
 * rules beat both. Among equal rules, the first list of the configuration wins.
 */
export class ListRules {
  readonly #table: NamesTable
  readonly #groups: readonly RuleGroup[]

  constructor({ table, groups }: Pick<BuiltLists, 'table' | 'groups'>) {
    this.#table = new NamesTable(table)
    this.#groups = groups
  }

  /** Memory of the table, in octets. */
  get octets(): number {
    return this.#table.octets
  }
  /** Whether a rule is about addresses, so that addresses in answers must be checked. */
  get judgesAddresses(): boolean {
    return this.#table.hasBlocks
  }

  /**
   * The rule that decides about a name (wire form, lower-case, at `at`) under the lists of `set`;
   * undefined: no rule matches.
   */
  ofName(name: Uint8Array, at: number, set: ListSet): RuleGroup | undefined {
    const found = this.#table.find(name, at)
    return found === 0 ? undefined : this.#strongest(found, set, name, at)
  }

  /**
   * The rule that decides about an address of an answer: 4 or 16 octets at `at`; undefined: no rule
   * matches.
   */
  ofAddress(octets: Uint8Array, at: number, length: 4 | 16, set: ListSet): RuleGroup | undefined {
    const found = this.#table.findAddress(octets, at, length)
    return found === 0 ? undefined : this.#strongest(found, set, undefined, 0)
  }

  #strongest(found: number, set: ListSet, name: Uint8Array | undefined, at: number): RuleGroup | undefined {
    const { rules, depths } = this.#table
    let best: RuleGroup | undefined
    for (let i = 0; i < found; i++) {
      const group = this.#groups[rules[i]!]
      if (group === undefined || set[group.list] !== 1 || group.scope === (depths[i] === 0 ? 'below' : 'name')) continue
      if (name !== undefined && isExcepted(group.kind, name, at)) continue
      if (best === undefined || isStronger(group, best)) best = group
    }
    return best
  }
}

/** Whether `one` beats `other`. */
export function isStronger(one: RuleGroup, other: RuleGroup): boolean {
  const [a, b] = [strength(one.kind), strength(other.kind)]
  return a === b ? one.list < other.list : a > b
}

const strength = ({ allows, important }: RuleKind) => (important ? 2 : 0) + (allows ? 1 : 0)

/** Whether a rule has an exception for the name at `at`, or for a name above it. */
export function isExcepted({ except }: RuleKind, name: Uint8Array, at: number): boolean {
  return except.length > 0 && except.some((one) => isBelow(name, at, one))
}

/** Whether the name at `at` of `name` is `above` or a name below it; both in lower-case. */
export function isBelow(name: Uint8Array, at: number, above: Uint8Array): boolean {
  for (let from = at; ; from += name[from]! + 1) {
    let i = 0
    while (i < above.length && above[i] === name[from + i]) i++
    if (i === above.length) return true
    if (name[from] === 0) return false
  }
}
