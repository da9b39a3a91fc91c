import { basename, resolve } from 'node:path'
import { wasSource } from '../config/kept-lists.ts'
import { readList } from '../config/list-reading.ts'
import type { SetEntry } from '../config/listed-entries.ts'
import { configError, quoted } from '../config/problems.ts'
import { addEntries, changeEntries, type SetList } from '../config/set-edit.ts'
import { type OpenSet, openSet, saveSet, withRoom, written } from '../config/set-file.ts'
import { type EntryChange, mergePlan } from '../config/set-merge.ts'
import { keyOf } from '../config/set-pairs.ts'
import { soundChanges } from '../config/sound-changes.ts'
import { fileNameOf, sourceUrlProblem } from '../config/source-url.ts'
import { MAX_LIST_OCTETS } from '../config/stamp-list.ts'
import { asEnigmError, systemCode } from '../errors.ts'
import { EXIT } from '../exit-codes.ts'
import { MAX_SIGNATURE_OCTETS, type MinisignKey, minisignKey } from '../files/minisign.ts'
import { anyOwner, readSmall } from '../files/reading.ts'
import { aheadOf, proven, seenTimes } from '../files/signed.ts'
import { fetched } from './list-updates.ts'
import { type ChosenSet, changeableSet, type SetOptions, type SetWorld } from './set-choice.ts'
import { hostLookup } from './set-lookup.ts'
import { printable } from './status-screen.ts'

export interface ImportOptions extends SetOptions {
  readonly minisignKey?: string
}

/** A received list: its octets, its signature and its file name. */
interface ReceivedList {
  readonly data: Buffer
  readonly signature: string | undefined
  readonly fileName: string
  readonly source: string
}

/** `resolvers import`: returns the exit code. Rejects with an EnigmError `config`. */
export async function importList(place: string, options: ImportOptions, world: SetWorld): Promise<number> {
  const key = options.minisignKey === undefined ? undefined : signerOf(options.minisignKey)
  const chosen = await changeableSet(options, world)
  const list = await received(place, key, chosen, world)
  if (typeof list === 'number') return list
  const remember = checked(list, key, chosen, world)
  if (typeof remember === 'number') return remember
  const name = listName(list.fileName)
  const { entries, remarks } = readList(list.data, name)
  if (entries.length === 0) {
    world.err.write(`${printable(place)} contains no entry for a trusted set\n${lines(remarks)}`)
    return EXIT.notAsWished
  }
  const set = await openSet(chosen.file)
  const kept = keptFor(name, key, set, chosen)
  if (kept !== undefined) {
    world.err.write(`${printable(`${place} ${kept}`)}; nothing was changed\n`)
    return key === undefined ? EXIT.proofFailed : EXIT.notAsWished
  }
  const plan = mergePlan(set.entries, entries)
  const { held, free } = heldBack(set, plan.change, chosen.inUse)
  const { sound, unsound } = soundChanges(set, free)
  const { add, left } = withRoom(set.entries, plan.add)
  await saveSet(set, withPlan(set.text, add, sound))
  if (!remember()) {
    world.err.write(`the time of this list could not be saved in ${chosen.stateDir}: an older list would be accepted later\n`)
    return EXIT.cannotTell
  }
  world.out.write(
    inWords(chosen.file, { added: add.length, changed: sound.length, same: plan.same, held, remarks: [...left, ...unsound, ...remarks] }),
  )
  return EXIT.good
}

/** The name of a list: that of its file without the ending. */
const listName = (fileName: string) => fileName.replace(/\.(md|json|txt)$/, '')

/**
 * A clause that says why a list must not change the entries that have its name: only the name of
 * the file says that it is the same list. Undefined: it may.
 */
function keptFor(
  name: string,
  key: MinisignKey | undefined,
  { entries }: OpenSet,
  { inUse, loaded, stateDir }: ChosenSet,
): string | undefined {
  if (!entries.some(({ value }) => value.list === name)) return undefined
  if (inUse !== undefined && loaded?.config.sources?.some(({ id }) => id === name))
    return `is not used: the source ${quoted(name)} maintains the entries of this name; rename the file, or run: enigm-dns resolvers update`
  if (key !== undefined) return undefined
  const seen = seenTimes(stateDir)
  if (typeof seen === 'string' || !(wasSource(name, seen) || [...seen.sources()].some((one) => listName(one) === name))) return undefined
  return 'is not checked: an earlier list of this name was signed; name its key with --minisign-key, or rename the file'
}

/** Reads the minisign key: base64 text, or a file with it. */
function signerOf(text: string): MinisignKey {
  const key = minisignKey(text) ?? minisignKey(smallText(text, MAX_SIGNATURE_OCTETS) ?? '')
  if (key !== undefined) return key
  const message = 'must be the public key of minisign: 56 characters that begin with RW, or a file with them'
  throw configError([{ file: 'command line', path: '--minisign-key', message }])
}

function smallText(path: string, maxOctets: number): string | undefined {
  try {
    const octets = readSmall(path, maxOctets, anyOwner)
    return typeof octets === 'string' ? undefined : octets.toString('utf8')
  } catch {
    return undefined
  }
}

/** Reads the list from a file or a URL. Returns the exit code if it cannot be fetched. */
async function received(place: string, key: MinisignKey | undefined, chosen: ChosenSet, world: SetWorld): Promise<ReceivedList | number> {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(place)) return receivedFrom(place, key, chosen, world)
  const path = resolve(place)
  const signature = key === undefined ? undefined : smallText(`${path}.minisig`, MAX_SIGNATURE_OCTETS)
  return { data: octetsOf(path), signature, fileName: basename(path), source: basename(path) }
}

async function receivedFrom(url: string, key: MinisignKey | undefined, chosen: ChosenSet, world: SetWorld): Promise<ReceivedList | number> {
  const problem = sourceUrlProblem(url)
  if (problem !== undefined) throw configError([{ file: 'command line', path: url, message: problem }])
  const { clock, source = { lookup: await hostLookup(chosen, await openSet(chosen.file), world) } } = world
  try {
    const { data, signature } = await fetched(url, { clock, ...source }, key !== undefined)
    const fileName = fileNameOf(url) || new URL(url).hostname
    return { data: Buffer.from(data), signature, fileName, source: fileName }
  } catch (error) {
    world.err.write(`${printable(url)} cannot be fetched: ${printable(asEnigmError(error).message)}; nothing was changed\n`)
    return EXIT.notAsWished
  }
}

function octetsOf(path: string): Buffer {
  const octets = octetsOrWhy(path)
  if (typeof octets !== 'string') return octets
  throw configError([{ file: path, path: '', message: octets }])
}

function octetsOrWhy(path: string): Buffer | string {
  try {
    const octets = readSmall(path, MAX_LIST_OCTETS, anyOwner)
    return typeof octets === 'string' ? `${octets}; a list of resolvers is a text of at most ${MAX_LIST_OCTETS} octets` : octets
  } catch (error) {
    return `cannot be read (${systemCode(error) ?? 'unknown error'})`
  }
}

/**
 * Checks the signature of a list. Returns a function that saves the time of the list once it is in
 * the set, or the exit code if the signature is wrong, from another key, or older.
 */
function checked(list: ReceivedList, key: MinisignKey | undefined, { stateDir }: ChosenSet, world: SetWorld): (() => boolean) | number {
  if (key === undefined) return () => true
  const seen = seenTimes(stateDir)
  if (typeof seen === 'string') {
    world.err.write(`${printable(`${list.fileName} cannot be compared with earlier lists, because ${seen}`)}\n`)
    return EXIT.cannotTell
  }
  const found = proven({ ...list, key }, seen)
  const refused = found.refused ?? aheadOf(found.timestampS, world.clock.wallMs())
  if (found.refused !== undefined || refused !== undefined) {
    world.err.write(`${printable(list.fileName)} ${refused}; nothing was changed\n`)
    return EXIT.proofFailed
  }
  const { timestampS } = found
  return () => timestampS === undefined || seen.accept(key, list.source, timestampS)
}

/**
 * The changes that wait for a person, because their entries are in use. The other changes may be
 * applied.
 */
export function heldBack(set: OpenSet, change: readonly EntryChange[], inUse: ReadonlySet<string> | undefined) {
  const enabled = set.entries.filter(({ value }) => value.enabled === true).map(({ kind, value }) => keyOf(kind, value.id))
  const used = new Set([...enabled, ...set.entries.flatMap(relaysNamedBy), ...(inUse ?? [])])
  const isUsed = ({ kind, id }: EntryChange) => used.has(keyOf(kind, id))
  return { held: change.filter(isUsed), free: change.filter((one) => !isUsed(one)) }
}

/** The relays that a resolver names. They count as in use even if the resolver is not. */
export function relaysNamedBy({ kind, value }: SetEntry): readonly string[] {
  if (kind !== 'resolvers') return []
  return Object.values(Object(value.transports)).flatMap((place) => {
    const relay: unknown = Object(place).relay
    return typeof relay === 'string' ? [keyOf('relays', relay)] : []
  })
}

/** Returns the text of a set with entries added and changed. */
export function withPlan(text: string, add: readonly SetEntry[], change: readonly EntryChange[]): string {
  return (['resolvers', 'relays'] as const satisfies readonly SetList[]).reduce((before, kind) => {
    const changes = new Map(change.filter((one) => one.kind === kind).map(({ id, keys }) => [id, keys]))
    const added = add.filter((one) => one.kind === kind).map(written)
    return addEntries(changeEntries(before, kind, changes), kind, added)
  }, text)
}

interface ImportCounts {
  readonly added: number
  readonly changed: number
  readonly same: number
  readonly held: readonly EntryChange[]
  readonly remarks: readonly string[]
}

function inWords(file: string, { added, changed, same, held, remarks }: ImportCounts): string {
  return lines([
    `${file}: ${added} added (none is used before you enable it), ${changed} changed, ${same} already there.`,
    ...held.map(
      ({ id, what }) =>
        `${id} is in use, and the list has other ${what.join(', ')}; the entry was not changed. To apply the change: enigm-dns resolvers remove ${id}, then import again`,
    ),
    ...remarks,
  ])
}

const lines = (texts: readonly string[]) => texts.map((text) => `${printable(text)}\n`).join('')

/** A person's word for an id that is not in the set. */
export const unknownId = (id: string, file: string) =>
  configError([{ file, path: '', message: `has no entry ${quoted(id)}; enigm-dns resolvers list shows the ids` }])
