import { cachedByAddress } from '../config/cidr.ts'
import { markedView, type View, viewNumber } from '../resolve.ts'
import { AddressBlocks } from './address-blocks.ts'
import type { BuiltLists, ClientRule, RuleGroup } from './list-build.ts'
import { isStronger, type ListSet } from './list-rules.ts'

/** The view of the client at an address. */
type ViewOf = (address: string) => View

/** A range of addresses of clients, about which some list has a rule. */
export type ClientRange = Omit<ClientRule, 'group'>

/**
 * The rules of all lists about clients (`rpz-client-ip`). Among the lists of a view, the rule for
 * the smallest range decides. Among rules for the same range, `isStronger` decides, as for names.
 */
export class ClientRules {
  readonly #ranges = new AddressBlocks<RuleGroup[]>()

  constructor({ clients, groups }: Pick<BuiltLists, 'clients' | 'groups'>) {
    for (const { octets, prefix, group: index } of clients) {
      const group = groups[index]
      if (group === undefined) continue
      const same = this.#ranges.get(octets, prefix)
      if (same === undefined) this.#ranges.set(octets, prefix, [group])
      else same.push(group)
    }
  }

  /** The rule about the client at an address, under the lists of `set`. */
  of(address: string, set: ListSet): RuleGroup | undefined {
    return this.#ranges.first(address, (groups) => {
      const ours = groups.filter(({ list }) => set[list] === 1)
      return ours.length === 0 ? undefined : ours.reduce((best, one) => (isStronger(one, best) ? one : best))
    })
  }

  /** The views of clients: that of `base`, marked for a client that is exempt or blocked. */
  views(base: ViewOf, setOf: (view: number) => ListSet): ViewOf {
    return cachedByAddress((address) => {
      const view = base(address)
      const rule = this.of(address, setOf(viewNumber(view)))
      if (rule === undefined) return view
      return rule.kind.allows ? markedView(view, 'exempt') : markedView(view, 'unshared')
    })
  }
}

/**
 * The views of clients in a thread that does not have the rules: clients in one of `ranges` share
 * no answers there, so that each of their questions goes to the thread that has them.
 */
export function unsharedIn(ranges: readonly ClientRange[], base: ViewOf): ViewOf {
  if (ranges.length === 0) return base
  const found = new AddressBlocks<true>()
  for (const { octets, prefix } of ranges) found.set(octets, prefix, true)
  return cachedByAddress((address) => {
    const view = base(address)
    return found.first(address, (is) => is) === undefined ? view : markedView(view, 'unshared')
  })
}
