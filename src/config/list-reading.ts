import { asRecord } from './documents.ts'
import { parseJsonc } from './jsonc.ts'
import { type EntryValue, entriesOf, type SetEntry } from './listed-entries.ts'
import { counted } from './problems.ts'
import { acceptable, entriesIn } from './set-file.ts'
import { MAX_LIST_ENTRIES, readStampList } from './stamp-list.ts'

/** The entries of a list, and sentences about entries that are not used. */
export interface ReadList {
  readonly entries: readonly SetEntry[]
  readonly remarks: readonly string[]
}

/** The format of a list: stamps in Markdown, or a trusted set. */
export type ListFormat = 'stamps-md' | 'json'

/** The format of a list, from the beginning of its text. */
export function likelyFormat(text: string): ListFormat {
  return /^\uFEFF?\s*(\{|\/[/*])/.test(text) ? 'json' : 'stamps-md'
}

/**
 * Reads a list. `name`: the name of the list. Its entries get this name. `format`: absent means
 * that the beginning of the list says it.
 */
export function readList(data: Uint8Array, name: string, format?: ListFormat): ReadList {
  const text = Buffer.from(data).toString('utf8')
  if ((format ?? likelyFormat(text)) === 'json') return fromJson(text, name)
  const list = readStampList(text)
  const { entries, repeated } = entriesOf(list.stamps, name)
  const { good, faults } = acceptable(entries)
  const remarks = [
    ...(repeated === 0 ? [] : [`${repeated} repeated another entry of the list`]),
    ...(list.refused > 0 ? [`${counted(list.refused, 'stamp was', 'stamps were')} refused`] : []),
    ...list.faults,
    ...faults.slice(0, MAX_REMARKS),
  ]
  return { entries: good, remarks }
}

const MAX_REMARKS = 20

function fromJson(text: string, name: string): ReadList {
  const parsed = parseJsonc(text)
  if (parsed.problems !== undefined) return { entries: [], remarks: parsed.problems }
  const all = entriesIn(Object(parsed.value))
  // The schema keeps every fault of every entry, so that a MB of empty ones would take a GB.
  const beyond = all.length - MAX_LIST_ENTRIES
  const listed = all.slice(0, MAX_LIST_ENTRIES).flatMap(({ kind, value }) => {
    if (typeof value !== 'object' || value === null) return []
    const said = Object.fromEntries(Object.entries(value).flatMap(([key, one]) => (SAYABLE.has(key) ? [[key, sayable(key, one)]] : [])))
    return [{ kind, value: { ...said, list: name, ...(kind === 'resolvers' ? { enabled: false } : {}) } as unknown as EntryValue }]
  })
  const { good, faults } = acceptable(listed)
  const refused =
    beyond > 0 ? [`${counted(beyond, 'entry was', 'entries were')} refused, beyond the limit of ${MAX_LIST_ENTRIES} in one list`] : []
  return { entries: good, remarks: [...refused, ...faults.slice(0, MAX_REMARKS)] }
}

/**
 * The keys that a list may set in a resolver. A list can name no file of this host and no route,
 * and cannot enable a resolver.
 */
const SAYABLE: ReadonlySet<string> = new Set(
  'id operator jurisdiction source authenticationDomainName addresses transports spkiPins certHashes probe claims type port path'.split(
    ' ',
  ),
)

/** A value of a key without the relays of transports: only a person chooses these. */
function sayable(key: string, value: unknown): unknown {
  const transports = key === 'transports' ? asRecord(value) : undefined
  if (transports === undefined) return value
  return Object.fromEntries(
    Object.entries(transports).map(([name, place]) => {
      const { relay: _relay, ...others } = asRecord(place) ?? {}
      return [name, asRecord(place) === undefined ? place : others]
    }),
  )
}
