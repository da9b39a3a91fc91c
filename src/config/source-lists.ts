import { keptList, type ListReading, type ListSource } from './kept-lists.ts'
import type { SetEntry } from './listed-entries.ts'
import { relayProblem } from './relays.ts'
import { acceptable } from './set-file.ts'
import { type EntryChange, sourcePlan } from './set-merge.ts'
import type { TrustedResolver } from './trusted-set.ts'

/** What the list of one source would change in a set. */
export interface ListedChanges {
  readonly source: ListSource
  readonly reading: ListReading
  /** Empty if the list was refused. */
  readonly change: readonly EntryChange[]
  /** Entries that the set does not hold. */
  readonly add: readonly SetEntry[]
}

/** A change of a resolver that is in force without a change of the set. `list`: its source. */
export interface AppliedChange {
  readonly list: string
  readonly change: EntryChange
}

/** A list of a source that is not kept yet. */
export interface NewList {
  readonly id: string
  readonly reading: ListReading
}

/**
 * Compares a set with the kept list of each source, or with `latest` for its source. `inUse`: the
 * keys of entries that the configuration selects. Never throws.
 */
export function listedChanges(
  set: readonly SetEntry[],
  sources: readonly ListSource[],
  stateDir: string,
  { latest, inUse }: { readonly latest?: NewList | undefined; readonly inUse?: ReadonlySet<string> | undefined } = {},
): readonly ListedChanges[] {
  const ids = new Set(sources.map(({ id }) => id))
  return sources.map((source) => {
    const reading = latest?.id === source.id ? latest.reading : keptList(source, stateDir)
    if (reading.refused !== undefined) return { source, reading, change: [], add: [] }
    const { change, add } = sourcePlan(set, reading.list.entries, source.id, ids, inUse)
    return { source, reading, change, add }
  })
}

/** Converts resolvers to entries. */
export function asEntries(resolvers: readonly TrustedResolver[]): readonly SetEntry[] {
  return resolvers.map(({ ca: _ca, relay: _relay, dnscryptRelay: _dnscryptRelay, ...value }) => ({ kind: 'resolvers', value }))
}

/** Converts the relays of resolvers to entries, each once. */
export function relayEntries(resolvers: readonly TrustedResolver[]): readonly SetEntry[] {
  const relays = resolvers.flatMap(({ relay, dnscryptRelay }) => [relay, dnscryptRelay].filter((one) => one !== undefined))
  return [...new Map(relays.map((one) => [one.id, one])).values()].map(({ ...value }) => ({ kind: 'relays', value }))
}

/**
 * The resolvers of a set with the changes of the lists, for `"updates": "apply"`. If two sources
 * change one entry, the first source counts. `applied`: the changes that have an effect.
 */
export function withLists(
  resolvers: readonly TrustedResolver[],
  sources: readonly ListSource[],
  stateDir: string,
  latest?: NewList,
): { readonly resolvers: readonly TrustedResolver[]; readonly applied: readonly AppliedChange[] } {
  const changes = new Map<string, AppliedChange>()
  for (const { source, change } of listedChanges(asEntries(resolvers), sources, stateDir, { latest }))
    for (const one of change) if (!changes.has(one.id)) changes.set(one.id, { list: source.id, change: one })
  const applied: AppliedChange[] = []
  const after = resolvers.map((resolver) => {
    const one = changes.get(resolver.id)
    const next = changed(resolver, one?.change.keys)
    if (one !== undefined && next !== resolver) applied.push(one)
    return next
  })
  return { resolvers: after, applied }
}

/** The resolver with a change. The change is ignored if its result would be invalid. */
function changed(resolver: TrustedResolver, keys: EntryChange['keys'] | undefined): TrustedResolver {
  const [entry] = asEntries([resolver])
  if (keys === undefined || entry === undefined) return resolver
  const value = Object.fromEntries(Object.entries({ ...entry.value, ...keys }).filter(([, one]) => one !== undefined))
  const [good] = acceptable([{ kind: 'resolvers', value: value as unknown as SetEntry['value'] }]).good
  if (good === undefined) return resolver
  const { ca, relay, dnscryptRelay } = resolver
  const own = Object.fromEntries(Object.entries({ ca, relay, dnscryptRelay }).filter(([, one]) => one !== undefined))
  const next = { ...good.value, ...own } as unknown as TrustedResolver
  const apart = [relay, dnscryptRelay].every((one) => one === undefined || relayProblem(next, one) === undefined)
  return apart ? next : resolver
}

/**
 * Clauses that say what is wrong with a source: why its latest list was refused (`latest`), and why
 * its kept copy is. Without a fault of the signature, the first one is enough. A kept copy that
 * somebody has changed is named always.
 */
export function faultsOf(reading: ListReading, latest: string | undefined): readonly string[] {
  const { refused } = reading
  if (refused === undefined) return latest === undefined ? [] : [latest]
  const copy = reading.unproven === true ? `the kept copy ${refused}` : refused
  return latest === undefined ? [copy] : [latest, ...(reading.unproven === true ? [copy] : [])]
}
