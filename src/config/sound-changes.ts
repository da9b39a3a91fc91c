import { relayFaults } from './documents.ts'
import type { EntryValue, SetEntry } from './listed-entries.ts'
import type { AnyRelay } from './relays.ts'
import { acceptable, newFaults, type OpenSet } from './set-file.ts'
import type { EntryChange } from './set-merge.ts'
import { keyOf } from './set-pairs.ts'
import type { TrustedResolver } from './trusted-set.ts'

/** Changes that a set may hold, and a sentence about each of the others. */
export interface SoundChanges {
  readonly sound: readonly EntryChange[]
  readonly unsound: readonly string[]
}

/**
 * Leaves out the changes of a list after which the set would not be valid: an entry would be
 * faulty, or a relay could no longer be used for the resolver that names it.
 */
export function soundChanges(
  { file, entries, faults }: Pick<OpenSet, 'file' | 'entries' | 'faults'>,
  change: readonly EntryChange[],
): SoundChanges {
  const changes = new Map(change.map((one) => [keyOf(one.kind, one.id), one.keys]))
  const changed = entries.flatMap((entry) => {
    const keys = changes.get(keyOf(entry.kind, entry.value.id))
    return keys === undefined ? [] : [{ ...entry, value: valueWith(entry.value, keys) }]
  })
  const checked = acceptable(changed)
  const next = new Map(checked.good.map((entry) => [keyOf(entry.kind, entry.value.id), entry]))
  const after = entries.map((entry) => next.get(keyOf(entry.kind, entry.value.id)) ?? entry)
  const broken = newFaults(faults, relayFaults(file, resolversIn(after), relaysIn(after)))
  const unsound = checked.faults.map((fault) => `${fault}; this entry is not changed`)
  const dropped = new Set<string>()
  for (const { resolver, relay, message } of broken) {
    // Before the change the two went together, so both keep what they have.
    const keys = [keyOf('resolvers', resolver), ...(relay === undefined ? [] : [keyOf('relays', relay)])]
    for (const key of keys.filter((one) => next.has(one))) {
      dropped.add(key)
      const id = key.slice(key.indexOf(' ') + 1)
      unsound.push(`${id} is not changed: ${id === resolver ? 'it' : resolver} ${message}`)
    }
  }
  const isSound = ({ kind, id }: EntryChange) => next.has(keyOf(kind, id)) && !dropped.has(keyOf(kind, id))
  return { sound: change.filter(isSound), unsound }
}

/** A value with keys set, or removed where the new value is undefined. */
function valueWith(value: EntryValue, keys: EntryChange['keys']): EntryValue {
  return Object.fromEntries(Object.entries({ ...value, ...keys }).filter(([, one]) => one !== undefined)) as unknown as EntryValue
}

const resolversIn = (entries: readonly SetEntry[]) =>
  entries.filter(({ kind }) => kind === 'resolvers').map(({ value }) => value as unknown as TrustedResolver)
const relaysIn = (entries: readonly SetEntry[]) =>
  entries.filter(({ kind }) => kind === 'relays').map(({ value }) => value as unknown as AnyRelay)
