import { isIP } from 'node:net'
import { isOnion, operatorKey } from '../route.ts'
import { canonical, isLoopback } from './cidr.ts'

/**
 * Who counts as one operator. A name in "operator" is what a person or a list says. Without one,
 * entries are compared by what an operator can hardly share with another one.
 */

/**
 * Texts that name nobody. An earlier version wrote "unknown (ID)" for each relay that it imported.
 */
const NOBODY = /^\s*unknown(\s*\(.*\))?\s*$/i

/** The entry without an `operator` that names nobody. */
export function withoutNobody<Entry extends { readonly operator?: string }>(entry: Entry): Entry {
  if (entry.operator === undefined || !NOBODY.test(entry.operator)) return entry
  return Object.fromEntries(Object.entries(entry).filter(([key]) => key !== 'operator')) as unknown as Entry
}

/** The part of a resolver by which its operator is compared with others. */
export interface Operated {
  readonly id: string
  readonly operator?: string
  readonly authenticationDomainName: string
  readonly addresses: readonly string[]
  readonly spkiPins: readonly string[]
  readonly transports: { readonly dnscrypt?: { readonly providerName: string; readonly publicKey: string } }
}

/**
 * The operator of each resolver, by its id, as a key to count and to compare. Resolvers without a
 * named operator count as one if they share the last two labels of a name, an address or a key, and
 * also if nothing but an address or a key says who they are. If they share one of these with a
 * resolver whose operator is named, they count as that operator. So the number of operators may be
 * too small, and is not too large because one operator has several entries.
 */
export function operatorKeys(resolvers: readonly Operated[]): ReadonlyMap<string, string> {
  const keys = new Map<string, string>()
  const named = new Map<string, string>()
  for (const resolver of resolvers) {
    if (resolver.operator === undefined) continue
    keys.set(resolver.id, operatorKey(resolver.operator))
    for (const mark of marksOf(resolver)) if (mark !== NAMELESS) named.set(mark, operatorKey(resolver.operator))
  }
  const groups = joined(resolvers.filter(({ operator }) => operator === undefined))
  const known = new Map<string, string>()
  for (const { first, marks } of groups)
    for (const mark of marks) {
      const key = named.get(mark)
      if (key !== undefined) known.set(first, key)
    }
  for (const { id, first } of groups) keys.set(id, known.get(first) ?? operatorKey(first))
  return keys
}

/** How many operators `resolvers` have, at least. */
export function operatorCount(resolvers: readonly Operated[]): number {
  return new Set(operatorKeys(resolvers).values()).size
}

/**
 * Joins the resolvers that have a mark in common. `first`: the first id of the group in the order
 * of the alphabet. It does not depend on the order in the set, because `split` divides sites by it.
 */
function joined(
  resolvers: readonly Operated[],
): readonly { readonly id: string; readonly first: string; readonly marks: readonly string[] }[] {
  const marked = resolvers.map((resolver) => ({ id: resolver.id, marks: marksOf(resolver) })).toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const above = new Map<string, string>()
  const holders = new Map<string, string>()
  const top = (id: string): string => {
    let at = id
    for (let next = above.get(at); next !== undefined; next = above.get(at)) at = next
    return at
  }
  for (const { id, marks } of marked)
    for (const mark of marks) {
      const [one = id, other = id] = [top(id), top(holders.get(mark) ?? id)].toSorted()
      if (one !== other) above.set(other, one)
      holders.set(mark, one)
    }
  return marked.map(({ id, marks }) => ({ id, first: top(id), marks }))
}

/** The mark of resolvers that no name describes. */
const NAMELESS = 'nameless'

function marksOf({ authenticationDomainName, addresses, spkiPins, transports: { dnscrypt } }: Operated): readonly string[] {
  const names = [authenticationDomainName, ...(dnscrypt === undefined ? [] : [dnscrypt.providerName])].flatMap(siteOf)
  // Programs on this host share its addresses, and anybody may run what lies behind them.
  const outside = addresses.filter((address) => !isLoopback(address) && !isOnion(address))
  return [
    ...(names.length === 0 ? [NAMELESS] : names.map((name) => `name ${name}`)),
    ...outside.map((address) => `address ${canonical(address)}`),
    ...spkiPins.map((pin) => `pin ${pin}`),
    ...(dnscrypt === undefined ? [] : [`key ${dnscrypt.publicKey}`]),
  ]
}

/**
 * The last two labels of a name. This is coarser than the registrable domain, which needs a list of
 * suffixes. Empty: it does not say who runs the resolver.
 */
function siteOf(name: string): readonly string[] {
  const host = name
    .toLowerCase()
    .replace(/\.$/, '')
    .replace(/^2\.dnscrypt-cert\./, '')
  const labels = host.split('.')
  return isIP(host) !== 0 || isOnion(host) || labels.length < 2 ? [] : [labels.slice(-2).join('.')]
}
