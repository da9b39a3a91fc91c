import { type EntryValue, record, type SetEntry } from './listed-entries.ts'
import type { SetList } from './set-edit.ts'

/**
 * Finds the entry of a set that an entry of a list describes. The ids of a list depend on its order
 * if several servers have one heading, so an entry of the same list is known by its server first.
 */

/** Whether a list may change an entry of the set that has the id of `listed`. */
export type Pairing = (entry: SetEntry, listed: SetEntry) => boolean

/** The key of an entry among the entries of both lists. */
export const keyOf = (kind: SetList, id: string) => `${kind} ${id}`

/** The key of all entries with one name. */
export const nameOf = ({ kind, value }: SetEntry) => `${kind} ${String(value.authenticationDomainName ?? '').toLowerCase()}`

/** The entry of the set for each entry of the list that has one. Each is used once. */
export function pairsOf(set: readonly SetEntry[], listed: readonly SetEntry[], isOwn: Pairing): ReadonlyMap<SetEntry, SetEntry> {
  const pairs = new Map<SetEntry, SetEntry>()
  const taken = new Set<SetEntry>()
  const byId = new Map(set.map((entry) => [keyOf(entry.kind, entry.value.id), entry]))
  // The strongest sign is asked for the whole list before a weaker one.
  const pass = (find: (entry: SetEntry) => SetEntry | undefined) => {
    for (const entry of listed) {
      if (pairs.has(entry)) continue
      const found = find(entry)
      if (found === undefined || taken.has(found)) continue
      pairs.set(entry, found)
      taken.add(found)
    }
  }
  const sameId = (entry: SetEntry) => {
    const found = byId.get(keyOf(entry.kind, entry.value.id))
    return found !== undefined && isOwn(found, entry) ? found : undefined
  }
  const lists = new Set<unknown>(listed.map(({ value }) => value.list).filter((list) => list !== undefined))
  const ofLists = set.filter(({ value }) => lists.has(value.list))
  if (ofLists.length > 0) {
    const free = (found: readonly SetEntry[], entry: SetEntry) =>
      found.filter((one) => !taken.has(one) && one.value.list === entry.value.list)
    const same = grouped(ofLists, (entry) => [serverOf(entry)])
    pass((entry) => {
      const found = free(same.get(serverOf(entry)) ?? [], entry)
      return found.find(({ value }) => value.id === entry.value.id) ?? found[0]
    })
    pass((entry) => {
      const found = sameId(entry)
      return found !== undefined && areAkin(found, entry) ? found : undefined
    })
    const siblings = grouped(ofLists, siblingKeys)
    pass((entry) => siblingKeys(entry).flatMap((key) => free(siblings.get(key) ?? [], entry))[0])
  }
  pass(sameId)
  pass((entry) => numbered(entry, byId, isOwn, taken))
  return pairs
}

/** An entry of the set with a number after the id of the list, because another one had that id. */
function numbered(entry: SetEntry, byId: ReadonlyMap<string, SetEntry>, isOwn: Pairing, taken: ReadonlySet<SetEntry>) {
  const { kind, value } = entry
  const first = byId.get(keyOf(kind, value.id))
  if (first === undefined || isOwn(first, entry)) return undefined
  for (let n = 2; n < 10; n++) {
    const next = byId.get(keyOf(kind, `${value.id.slice(0, 58)}-${n}`))
    if (next !== undefined && !taken.has(next) && isOwn(next, entry)) return next
  }
  return undefined
}

/** Entries by each of their keys. */
export function grouped(
  entries: readonly SetEntry[],
  keysOf: (entry: SetEntry) => readonly string[],
): ReadonlyMap<string, readonly SetEntry[]> {
  const groups = new Map<string, SetEntry[]>()
  for (const entry of entries)
    for (const key of keysOf(entry)) {
      const group = groups.get(key)
      if (group === undefined) groups.set(key, [entry])
      else group.push(entry)
    }
  return groups
}

/** What a list says about the server of an entry, without what only a person adds to it. */
export function serverOf(entry: SetEntry): string {
  const { addresses, transports, certHashes, type, port, path } = entry.value
  const places = Object.entries(record(transports)).map(([name, place]) => {
    const { port: at, path: under, providerName, publicKey } = record(place)
    return [name, at, under, providerName, publicKey]
  })
  const hashes = Array.isArray(certHashes) ? certHashes.toSorted() : []
  return JSON.stringify([
    nameOf(entry),
    addresses,
    places.toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
    hashes,
    type,
    port,
    path,
  ])
}

/** Whether two entries of one kind have the same name, or an address in common. */
function areAkin(a: SetEntry, b: SetEntry): boolean {
  return (hasName(a) && nameOf(a) === nameOf(b)) || a.value.addresses.some((address) => b.value.addresses.includes(address))
}

/** A DNSCrypt relay has no name. */
const hasName = ({ value }: SetEntry) => value.authenticationDomainName !== undefined

/** The keys that an entry shares with those of its heading that are like it. */
function siblingKeys(entry: SetEntry): readonly string[] {
  const stem = stemOf(entry.value)
  const named = hasName(entry) ? [`${nameOf(entry)} ${stem}`] : []
  return [...named, ...entry.value.addresses.map((address) => `${entry.kind} at ${address} ${stem}`)]
}

/** The id of a heading, without the number of a further entry. */
const stemOf = ({ id }: EntryValue) => id.replace(/-\d+$/, '').slice(0, 58)
