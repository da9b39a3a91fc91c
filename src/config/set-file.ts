import * as v from 'valibot'
import { EnigmError } from '../errors.ts'
import { whileLocked } from '../files/lock.ts'
import { anyOwner, isAbsence, readSmall } from '../files/reading.ts'
import { replaceFile, rewriteFile } from '../files/writing.ts'
import { asRecord, type CollectProblem, documentOf, type RelayFault, relayFaults } from './documents.ts'
import { readGuarded } from './file-safety.ts'
import { MAX_OCTETS, valueOfEdited } from './jsonc.ts'
import type { EntryValue, SetEntry } from './listed-entries.ts'
import { configError, counted, type Problem, problemsOf } from './problems.ts'
import { MAX_SET_ENTRIES } from './relays.ts'
import { EMPTY_SET_TEXT, type SetList } from './set-edit.ts'
import { trustedSetSchema } from './trusted-set.ts'

/** A trusted set that is open for changes. */
export interface OpenSet {
  readonly file: string
  readonly text: string
  /** Whether the file exists. */
  readonly exists: boolean
  /** Its entries, with the defaults of the schema. */
  readonly entries: readonly SetEntry[]
  /** Faults of relays that it has already. */
  readonly faults: readonly RelayFault[]
}

/** All users may read a set. Only its owner may change it. */
const MODE = 0o644

/**
 * Opens a set to change it. A missing file counts as an empty set. If the set is invalid, it
 * rejects with an EnigmError `config` that lists every problem: a person must fix the file.
 */
export async function openSet(file: string): Promise<OpenSet> {
  const reading = await readGuarded(file)
  if (reading.absent === true) return { file, text: EMPTY_SET_TEXT, exists: false, entries: [], faults: [] }
  const problems: Problem[] = []
  const collect: CollectProblem = (problem) => void problems.push(problem)
  const raw = documentOf(file, reading, collect)
  const found = raw === undefined ? undefined : v.safeParse(trustedSetSchema, raw, { abortPipeEarly: true })
  if (found?.success === false) problems.push(...problemsOf(file, found.issues))
  if (problems.length > 0 || found?.success !== true) throw configError(problems)
  const { resolvers, relays } = found.output
  const faults = relayFaults(file, resolvers, relays)
  return { file, text: reading.text ?? '', exists: true, entries: entriesIn(found.output), faults }
}

/** Opens a set that a command only shows. Rejects also if there is none. */
export async function existingSet(file: string): Promise<OpenSet> {
  const set = await openSet(file)
  if (set.exists) return set
  throw configError([{ file, path: '', message: 'does not exist; name another set, or make it with enigm-dns resolvers add or import' }])
}

const LISTS: readonly SetList[] = ['resolvers', 'relays']

/** The entries of both lists of a set. */
export function entriesIn(set: object): readonly SetEntry[] {
  return LISTS.flatMap((kind) => {
    const listed = asRecord(set)?.[kind]
    return Array.isArray(listed) ? listed.map((value: EntryValue): SetEntry => ({ kind, value })) : []
  })
}

/** Valid entries, with the defaults of the schema, and a clause for each of the others. */
export interface Accepted {
  readonly good: readonly SetEntry[]
  readonly faults: readonly string[]
}

/**
 * Checks entries, of which there may be more than a set holds. Of two with one id, only the first
 * one is good.
 */
export function acceptable(entries: readonly SetEntry[]): Accepted {
  const ids = new Set<string>()
  const faults: string[] = []
  const once = entries.filter(({ kind, value: { id } }) => {
    const isNew = typeof id !== 'string' || !ids.has(`${kind} ${id}`)
    if (isNew) ids.add(`${kind} ${id}`)
    else faults.push(`${id}: the list has this id twice; only the first entry is used`)
    return isNew
  })
  const good = LISTS.flatMap((kind) => {
    const all = once.filter((entry) => entry.kind === kind)
    const parts = Array.from({ length: Math.ceil(all.length / MAX_SET_ENTRIES) }, (_, i) =>
      all.slice(i * MAX_SET_ENTRIES, (i + 1) * MAX_SET_ENTRIES),
    )
    return parts.flatMap((part) => goodOf(kind, part, faults))
  })
  return { good, faults }
}

/** The good ones of entries of one kind that a set could hold together. Adds to `faults`. */
function goodOf(kind: SetList, entries: readonly SetEntry[], faults: string[]): readonly SetEntry[] {
  let good = entries
  // A faulty entry may hide faults of other entries, so the check is repeated without it.
  for (let round = 0; round < 4; round++) {
    const set = { version: 1, resolvers: [], [kind]: good.map(({ value }) => value) }
    const found = v.safeParse(trustedSetSchema, set, { abortPipeEarly: true })
    if (found.success) return entriesIn(found.output)
    const bad = new Set<SetEntry>()
    for (const [i, { path, message }] of problemsOf('', found.issues).entries()) {
      const index = found.issues[i]?.path?.[1]?.key
      const entry = typeof index === 'number' ? good[index] : undefined
      for (const one of entry === undefined ? good : [entry]) bad.add(one)
      faults.push(entry === undefined ? `${path} ${message}` : `${entry.value.id}: ${path.replace(/^\w+\[\d+\]\.?/, '')} ${message}`)
    }
    good = good.filter((entry) => !bad.has(entry))
  }
  return []
}

/**
 * The entries of `add` for which a set has room, the first ones first, and sentences about the
 * others.
 */
export function withRoom(
  set: readonly SetEntry[],
  add: readonly SetEntry[],
): { readonly add: readonly SetEntry[]; readonly left: readonly string[] } {
  const found = LISTS.map((kind) => {
    const of = (entries: readonly SetEntry[]) => entries.filter((entry) => entry.kind === kind)
    const room = Math.max(0, MAX_SET_ENTRIES - of(set).length)
    return { kind, fits: of(add).slice(0, room), beyond: Math.max(0, of(add).length - room) }
  })
  const left = found.flatMap(({ kind, beyond }) =>
    beyond === 0
      ? []
      : [
          `${counted(beyond, 'entry was', 'entries were')} left out: a set holds at most ${MAX_SET_ENTRIES} ${kind}; remove those that nobody uses, or add single ones with "resolvers add"`,
        ],
  )
  return { add: found.flatMap(({ fits }) => fits), left }
}

/** An entry as it is written to the file: without empty values. */
export function written({ value }: SetEntry): object {
  const isEmpty = (one: unknown) => typeof one === 'object' && one !== null && Object.keys(one).length === 0
  return Object.fromEntries(Object.entries(value).filter(([key, one]) => key === 'addresses' || !isEmpty(one)))
}

/** The faults of relays that a set did not have when it was opened. */
export function newFaults(before: readonly RelayFault[], after: readonly RelayFault[]): readonly RelayFault[] {
  const isSame = (a: RelayFault, b: RelayFault) => a.resolver === b.resolver && a.message === b.message
  return after.filter((fault) => !before.some((old) => isSame(old, fault)))
}

/**
 * Replaces the text of a set in one step, with the mode and the owner of the old file. Only a valid
 * set is written, and only if nobody has changed the file meanwhile. A fault of a relay that was
 * there before stays allowed, because this change may be one of several that mend it. Rejects with
 * an EnigmError `config`.
 */
export async function saveSet({ file, text: before, exists, faults: old }: OpenSet, text: string): Promise<void> {
  if (text === before && exists) return
  if (Buffer.byteLength(text) > MAX_OCTETS)
    throw configError([{ file, path: '', message: `would be larger than ${MAX_OCTETS} octets; remove entries that nobody uses first` }])
  // `parseJsonc` has read most of this text before.
  const value = valueOfEdited(text)
  if (value === undefined) throw new EnigmError('internal', 'the edited set is not JSON')
  const found = v.safeParse(trustedSetSchema, value, { abortPipeEarly: true })
  if (!found.success) throw configError(problemsOf(file, found.issues))
  const unusable = newFaults(old, relayFaults(file, found.output.resolvers, found.output.relays))
  if (unusable.length > 0) throw configError(unusable.map((one) => ({ ...one, message: `${one.message}; nothing was changed` })))
  try {
    // Without the lock, two commands could both find the old text, and one would undo the other.
    whileLocked(file, () => {
      if (textOf(file) !== (exists ? before : undefined))
        throw configError([{ file, path: '', message: 'was changed by somebody else meanwhile; run the command again' }])
      if (exists) rewriteFile(file, text)
      else replaceFile(file, text, MODE)
    })
  } catch (error) {
    throw error instanceof EnigmError ? error : notWritable(file, error)
  }
}

/** The text of a set. Undefined: it does not exist. Throws the system's error. */
function textOf(file: string): string | undefined {
  try {
    const octets = readSmall(file, MAX_OCTETS, anyOwner)
    return typeof octets === 'string' ? '' : new TextDecoder().decode(octets)
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
}

function notWritable(file: string, error: unknown): EnigmError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
  const denied = code === 'EACCES' || code === 'EPERM'
  const advice = denied ? '; run this as its owner or as root' : code === 'EBUSY' ? '; another command changes it: run this again' : ''
  const message = `cannot be written (${code})${advice}`
  return configError([{ file, path: '', message }])
}
