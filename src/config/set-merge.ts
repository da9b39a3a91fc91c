import { type EntryValue, type SetEntry, unusedId } from './listed-entries.ts'
import type { KeyChanges, SetList } from './set-edit.ts'

/** What a list may say about an entry; everything else in the set belongs to the person. */
const CARRIED = ['authenticationDomainName', 'addresses', 'transports', 'spkiPins', 'certHashes', 'type', 'port', 'path', 'claims'] as const
type Carried = (typeof CARRIED)[number]

/** What changes in an entry, in the words of the status. */
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
  /** The values before, by the same keys. */
  readonly before: KeyChanges
}

/** What becomes of each entry of a list. */
export interface MergePlan {
  readonly add: readonly SetEntry[]
  readonly change: readonly EntryChange[]
  /** How many are in the set already. */
  readonly same: number
}

/**
 * Compares a list with a set. An entry that came from this list is changed; one that a person
 * wrote, or that came from another list, never is: a different resolver of the same name gets a
 * number, and one that the set already holds under any name is left out.
 */
export function mergePlan(set: readonly SetEntry[], listed: readonly SetEntry[], isOwn: Pairing = sameList): MergePlan {
  const byId = new Map(set.map((entry) => [keyOf(entry.kind, entry.value.id), entry]))
  const byName = grouped(set)
  const used = new Set(byId.keys())
  const tried = { resolvers: new Map<string, number>(), relays: new Map<string, number>() }
  const add: SetEntry[] = []
  const change: EntryChange[] = []
  let same = 0
  for (const entry of listed) {
    const own = ownOf(entry, byId, isOwn)
    const changed = own === undefined ? undefined : changeOf(own, entry)
    if (changed !== undefined) change.push(changed)
    else if (own !== undefined || (byName.get(nameOf(entry)) ?? []).some((other) => covers(other, entry))) same++
    else {
      const isUsed = (id: string) => used.has(keyOf(entry.kind, id))
      const id = isUsed(entry.value.id) ? unusedId(entry.value.id, isUsed, tried[entry.kind]) : entry.value.id
      used.add(keyOf(entry.kind, id))
      add.push(id === entry.value.id ? entry : { ...entry, value: { ...entry.value, id } })
    }
  }
  return { add, change, same }
}

/** The name of an entry among those of both lists. */
export const keyOf = (kind: SetList, id: string) => `${kind} ${id}`
const nameOf = ({ kind, value }: SetEntry) => `${kind} ${String(value.authenticationDomainName ?? '').toLowerCase()}`

function grouped(entries: readonly SetEntry[]): ReadonlyMap<string, readonly SetEntry[]> {
  const groups = new Map<string, SetEntry[]>()
  for (const entry of entries) {
    const group = groups.get(nameOf(entry))
    if (group === undefined) groups.set(nameOf(entry), [entry])
    else group.push(entry)
  }
  return groups
}

/**
 * Whether an entry of the set is the one that an entry of a list describes; their ids are alike.
 */
type Pairing = (entry: SetEntry, listed: SetEntry) => boolean

const sameList: Pairing = ({ value }, listed) => listed.value.list !== undefined && value.list === listed.value.list

/**
 * For the list of a configured source: its own entries, and those that no other source maintains,
 * if a name or an address says that they are the same resolver.
 */
function maintainedBy(sources: ReadonlySet<string>): Pairing {
  return (entry, listed) => {
    const { list } = entry.value
    if (list === listed.value.list) return true
    if (typeof list === 'string' && sources.has(list)) return false
    // A relay of DNSCrypt has no name.
    const named = entry.value.authenticationDomainName !== undefined && nameOf(entry) === nameOf(listed)
    return named || entry.value.addresses.some((address) => listed.value.addresses.includes(address))
  }
}

/**
 * As `mergePlan`, for the list of a configured source. An entry that came from this list and is in
 * it no longer is a change too: `withdrawn`. `sources`: the ids of all sources.
 */
export function sourcePlan(set: readonly SetEntry[], listed: readonly SetEntry[], source: string, sources: ReadonlySet<string>): MergePlan {
  const plan = mergePlan(set, listed, maintainedBy(sources))
  const ids = new Set(listed.map(({ kind, value }) => keyOf(kind, value.id)))
  const gone = set.filter(({ kind, value }) => {
    const id = keyOf(kind, value.id)
    return kind === 'resolvers' && value.list === source && value.enabled === true && !ids.has(id) && !ids.has(id.replace(/-\d+$/, ''))
  })
  const withdrawn = gone.map(
    ({ kind, value }): EntryChange => ({ kind, id: value.id, what: ['withdrawn'], keys: { enabled: false }, before: { enabled: true } }),
  )
  return { ...plan, change: [...plan.change, ...withdrawn] }
}

/** The entry of the set with the id of `listed`, or with that id and a number. */
function ownOf(listed: SetEntry, byId: ReadonlyMap<string, SetEntry>, isOwn: Pairing): SetEntry | undefined {
  const { kind, value } = listed
  const first = byId.get(keyOf(kind, value.id))
  if (first === undefined || isOwn(first, listed)) return first
  for (let n = 2; n < 10; n++) {
    const next = byId.get(keyOf(kind, `${value.id.slice(0, 58)}-${n}`))
    if (next !== undefined && isOwn(next, listed)) return next
  }
  return undefined
}

/** What `listed` changes in `entry`; undefined: nothing. */
export function changeOf(entry: SetEntry, listed: SetEntry): EntryChange | undefined {
  // A list of stamps holds no pins of keys, and not every address: what it does not say stays.
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
 * The transports of a list, with what the person added to the entry: transports that the list does
 * not mention, the relays, which are the person's choice alone, and pinned keys of a target.
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
 * Absent and empty say the same; the order of addresses is a preference, that of hashes is none.
 */
function comparable(key: Carried, value: unknown): unknown {
  if (key === 'certHashes' || key === 'spkiPins') return Array.isArray(value) ? value.toSorted() : []
  if (key === 'claims') return value ?? {}
  return value
}

/** Whether `entry` already reaches what `listed` describes, and asks for no weaker a proof. */
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

/** Equal values, whatever the order of their keys. */
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
