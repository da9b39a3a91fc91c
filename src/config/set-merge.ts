import { type EntryValue, type SetEntry, unusedId } from './listed-entries.ts'
import type { KeyChanges, SetList } from './set-edit.ts'
import { grouped, keyOf, nameOf, type Pairing, pairsOf, serverOf } from './set-pairs.ts'

/** The keys of an entry that a list may change. Only a person changes the others. */
const CARRIED = ['authenticationDomainName', 'addresses', 'transports', 'spkiPins', 'certHashes', 'type', 'port', 'path', 'claims'] as const
type Carried = (typeof CARRIED)[number]

/** What changes in an entry. The status uses the same words. */
export type ChangeKind = 'addresses' | 'names' | 'pins' | 'transports' | 'claims' | 'withdrawn'

const KIND: Readonly<Record<Carried, ChangeKind>> = {
  authenticationDomainName: 'names',
  addresses: 'addresses',
  transports: 'transports',
  spkiPins: 'pins',
  certHashes: 'pins',
  type: 'transports',
  port: 'transports',
  path: 'transports',
  claims: 'claims',
}

/** A change that a list makes to an entry of the set. */
export interface EntryChange {
  readonly kind: SetList
  readonly id: string
  readonly what: readonly ChangeKind[]
  readonly keys: KeyChanges
  /** The old values, by the same keys. */
  readonly before: KeyChanges
}

/** Whether the list no longer has the entry. */
export const isWithdrawn = ({ what }: EntryChange): boolean => what.includes('withdrawn')

/** What to do with each entry of a list. */
export interface MergePlan {
  readonly add: readonly SetEntry[]
  readonly change: readonly EntryChange[]
  /** How many entries the set already holds without a change. */
  readonly same: number
}

/**
 * Compares a list with a set. Only entries that came from this list are changed. Entries that a
 * person wrote, or that came from another list, stay. A different resolver with the same name is
 * added with a number. A resolver that the set already holds under any name is left out.
 */
export function mergePlan(set: readonly SetEntry[], listed: readonly SetEntry[], isOwn: Pairing = sameList): MergePlan {
  return planOf(set, listed, pairsOf(set, listed, isOwn))
}

function planOf(set: readonly SetEntry[], listed: readonly SetEntry[], pairs: ReadonlyMap<SetEntry, SetEntry>): MergePlan {
  const places = grouped(set, placesOf)
  const used = new Set(set.map(({ kind, value }) => keyOf(kind, value.id)))
  const tried = { resolvers: new Map<string, number>(), relays: new Map<string, number>() }
  const add: SetEntry[] = []
  const change: EntryChange[] = []
  let same = 0
  for (const entry of listed) {
    const own = pairs.get(entry)
    const changed = own === undefined ? undefined : changeOf(own, entry)
    if (changed !== undefined) change.push(changed)
    else if (own !== undefined || (places.get(placesOf(entry)[0] ?? '') ?? []).some((other) => covers(other, entry))) same++
    else {
      const isUsed = (id: string) => used.has(keyOf(entry.kind, id))
      const id = isUsed(entry.value.id) ? unusedId(entry.value.id, isUsed, tried[entry.kind]) : entry.value.id
      used.add(keyOf(entry.kind, id))
      add.push(id === entry.value.id ? entry : { ...entry, value: { ...entry.value, id } })
    }
  }
  return { add, change, same }
}

/** The keys under which `covers` may find an entry: its name with each address, then alone. */
const placesOf = (entry: SetEntry) => [...entry.value.addresses.map((address) => `${nameOf(entry)} ${address}`), nameOf(entry)]

/** The entry of a set that describes the same server as `entry`, under any id. */
export function sameServer(set: readonly SetEntry[], entry: SetEntry): SetEntry | undefined {
  return set.find((other) => nameOf(other) === nameOf(entry) && covers(other, entry))
}

const sameList: Pairing = ({ value }, listed) => listed.value.list !== undefined && value.list === listed.value.list

/**
 * The pairing for the list of a configured source. It may change its own entries, and entries that
 * no other source maintains if they have the same name or an address in common.
 */
function maintainedBy(sources: ReadonlySet<string>): Pairing {
  return (entry, listed) => {
    const { list } = entry.value
    if (list === listed.value.list) return true
    if (typeof list === 'string' && sources.has(list)) return false
    // A DNSCrypt relay has no name.
    const named = entry.value.authenticationDomainName !== undefined && nameOf(entry) === nameOf(listed)
    return named || entry.value.addresses.some((address) => listed.value.addresses.includes(address))
  }
}

/**
 * The same as `mergePlan`, for the list of a configured source. An entry that came from this list
 * but is no longer in it is a change too: `withdrawn`. `sources`: the ids of all sources. `inUse`:
 * the keys of entries that the configuration selects, perhaps without being enabled.
 */
export function sourcePlan(
  set: readonly SetEntry[],
  listed: readonly SetEntry[],
  source: string,
  sources: ReadonlySet<string>,
  inUse: ReadonlySet<string> = new Set(),
): MergePlan {
  const pairs = pairsOf(set, listed, maintainedBy(sources))
  const plan = planOf(set, listed, pairs)
  const known = new Set(pairs.values())
  const isUsed = ({ kind, value }: SetEntry) => value.enabled === true || inUse.has(keyOf(kind, value.id))
  const unknown = set.filter((entry) => entry.kind === 'resolvers' && entry.value.list === source && isUsed(entry) && !known.has(entry))
  // A second entry for a server of the list is not withdrawn.
  const servers = new Set(unknown.length === 0 ? [] : listed.map(serverOf))
  const gone = unknown.filter((entry) => !servers.has(serverOf(entry)))
  const withdrawn = gone.map(
    ({ kind, value: { id, enabled } }): EntryChange => ({ kind, id, what: ['withdrawn'], keys: { enabled: false }, before: { enabled } }),
  )
  return { ...plan, change: [...plan.change, ...withdrawn] }
}

/** The changes that `listed` makes to `entry`. Undefined: none. */
export function changeOf(entry: SetEntry, listed: SetEntry): EntryChange | undefined {
  // A list of stamps holds no key pins and not every address, so these stay if it holds none.
  const silent = (key: Carried) => (key === 'spkiPins' || key === 'addresses') && listOf(listed.value[key]).length === 0
  const said: EntryValue = { ...listed.value, ...withOwnParts(entry.value.transports, listed.value.transports) }
  const keys = CARRIED.filter((key) => !silent(key) && !isSame(comparable(key, entry.value[key]), comparable(key, said[key])))
  if (keys.length === 0) return undefined
  return {
    kind: entry.kind,
    id: entry.value.id,
    what: [...new Set(keys.map((key) => KIND[key]))],
    keys: Object.fromEntries(keys.map((key) => [key, said[key]])),
    before: Object.fromEntries(keys.map((key) => [key, entry.value[key]])),
  }
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/**
 * The transports of a list, with what the person has added to the entry: transports that the list
 * does not mention, relays (which only a person chooses), and pinned keys of a target.
 */
function withOwnParts(ours: unknown, theirs: unknown): { readonly transports?: Readonly<Record<string, unknown>> } {
  if (ours === undefined && theirs === undefined) return {}
  const own = recordOf(ours)
  const said = Object.entries(recordOf(theirs)).map(([name, place]) => {
    const { relay: _relay, ...others } = recordOf(place)
    const kept = Object.entries(recordOf(own[name])).filter(([key]) => key === 'relay' || key === 'config')
    return [name, { ...others, ...Object.fromEntries(kept) }]
  })
  return { transports: { ...own, ...Object.fromEntries(said) } }
}

/**
 * A value in a form for comparison. Absent and empty are equal. The order of addresses matters,
 * because it is a preference; the order of hashes does not.
 */
function comparable(key: Carried, value: unknown): unknown {
  if (key === 'certHashes' || key === 'spkiPins') return Array.isArray(value) ? value.toSorted() : []
  if (key === 'claims') return value ?? {}
  return value
}

/** Whether the first entry already covers the second: the same resolver, with proof as strong. */
function covers({ value: ours }: SetEntry, { value: theirs }: SetEntry): boolean {
  const transports = recordOf(ours.transports)
  return (
    theirs.addresses.every((address) => ours.addresses.includes(address)) &&
    Object.entries(recordOf(theirs.transports)).every(([name, place]) => isSame(transports[name], place)) &&
    (['type', 'port', 'path'] as const).every((key) => isSame(ours[key], theirs[key])) &&
    (hashesOf(theirs).length === 0 || (hashesOf(ours).length > 0 && hashesOf(ours).every((hash) => hashesOf(theirs).includes(hash))))
  )
}

const hashesOf = ({ certHashes }: EntryValue): readonly unknown[] => (Array.isArray(certHashes) ? certHashes : [])
const recordOf = (value: unknown) => (typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {})

/** Whether two values are equal. The order of keys does not matter. */
function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b))
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, one]) => [key, sorted(one)]),
  )
}
