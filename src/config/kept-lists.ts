import { basename, dirname, join } from 'node:path'
import { systemCode } from '../errors.ts'
import { MAX_SIGNATURE_OCTETS, type MinisignKey, minisignKey } from '../files/minisign.ts'
import { anyOwner, ownFileIn, readSmall, readUnlinked } from '../files/reading.ts'
import { type Proven, proven, type SeenTimes, seenTimes } from '../files/signed.ts'
import { giveToOwner, makeDirectory, replaceFile } from '../files/writing.ts'
import { type ListFormat, likelyFormat, type ReadList, readList } from './list-reading.ts'
import { fileNameOf } from './source-url.ts'
import { MAX_LIST_OCTETS } from './stamp-list.ts'

/** A source of a signed list, as configured; paths are absolute. */
export interface ListSource {
  readonly id: string
  readonly url?: string
  readonly file?: string
  readonly minisignKey: string
  /** Absent: the beginning of the list says it. */
  readonly format?: ListFormat
}

/** A list whose signature is valid. */
export interface ProvenList extends ReadList {
  /** When it was signed, in seconds since 1970, if the signature says it. */
  readonly signedS: number | undefined
}

/**
 * A list, or a clause that says why there is none. `absent`: none was kept yet. `unproven`: its
 * signature is missing, wrong, made with another key, older than that of the last accepted list, or
 * without a time although the last one had a time.
 */
export type ListReading =
  | { readonly list: ProvenList; readonly refused?: never }
  | { readonly refused: string; readonly absent?: true; readonly unproven?: true }

/** The directory of the kept lists, in the state directory. */
export const LISTS_DIRECTORY = 'resolver-lists'

/** The file that keeps the last good copy of a source, with its signature. */
export function keptFile(stateDir: string, { id }: Pick<ListSource, 'id'>): string {
  return join(stateDir, LISTS_DIRECTORY, `${id}.signed`)
}

/** A list and its signature, not checked yet. */
export interface RawList {
  readonly data: Uint8Array
  readonly signature: string | undefined
}

/**
 * Checks a list from a source: its signature, the file name in the signature, and that it is not
 * older than the last accepted list. It must hold at least one usable entry. Nothing is written.
 */
export function judgeList(source: ListSource, raw: RawList, stateDir: string): ListReading {
  const seen = seenTimes(stateDir)
  if (typeof seen === 'string') return { refused: `cannot be compared with earlier ones, because ${seen}` }
  const key = minisignKey(source.minisignKey)
  if (key === undefined) return { refused: 'has no valid key in the configuration' }
  const found = provenBy(source, raw, key, seen)
  if (found.refused !== undefined) return { refused: found.refused, unproven: true }
  const list = readList(raw.data, source.id, source.format)
  if (list.entries.length === 0) return { refused: emptiness(source, raw) }
  return { list: { ...list, signedS: found.timestampS } }
}

/** A clause that says why a list holds nothing. */
function emptiness({ format }: ListSource, { data }: RawList): string {
  const likely = likelyFormat(Buffer.from(data.subarray(0, 4096)).toString('utf8'))
  if (format === undefined || format === likely) return 'holds no entry that can be used'
  return `${likely === 'json' ? 'is JSON' : 'does not begin like JSON'}, but the source has "format": "${format}"`
}

function provenBy(source: ListSource, { data, signature }: RawList, key: MinisignKey, seen: SeenTimes): Proven {
  return proven({ data, signature, key, fileName: signedName(source), source: sourceName(source) }, seen)
}

/** The name under which the signing time of a source is remembered (`SeenTimes`). */
const sourceName = ({ id }: Pick<ListSource, 'id'>) => `source:${id}`

/** Whether a list of a source of this id was ever accepted, as `SeenTimes` remembers it. */
export function wasSource(id: string, seen: Pick<SeenTimes, 'sources'>): boolean {
  return seen.sources().has(sourceName({ id }))
}

/** The name of the list. If its signature names a file, it must be this one. */
function signedName({ url, file = '' }: ListSource): string {
  return url === undefined ? basename(file) : fileNameOf(url)
}

/**
 * Writes a list that `judgeList` accepted, and remembers its signing time. Returns a clause if this
 * failed. If the process ends between the two writes, the list is newer than the remembered time;
 * the next check accepts that.
 */
export function keepList(
  source: ListSource,
  { data, signature = '' }: RawList,
  signedS: number | undefined,
  stateDir: string,
): string | undefined {
  const path = keptFile(stateDir, source)
  const head = Buffer.from(signature)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(head.length)
  try {
    makeDirectory(dirname(path), 0o700)
    replaceFile(path, Buffer.concat([length, head, data]), 0o600)
  } catch (error) {
    return `cannot be saved in ${stateDir} (${systemCode(error) ?? 'unknown error'})`
  }
  if (!giveToOwner(stateDir, [dirname(path), path])) return `cannot be given to the owner of ${stateDir}`
  const key = minisignKey(source.minisignKey)
  if (key === undefined || signedS === undefined) return undefined
  const seen = seenTimes(stateDir)
  if (typeof seen !== 'string' && seen.accept(key, sourceName(source), signedS)) return undefined
  return `is in force, but its time could not be saved in ${stateDir}: an older list would be accepted`
}

/** Reads the last good copy of a source, and checks it like a new list. Never throws. */
export function keptList(source: ListSource, stateDir: string): ListReading {
  try {
    const octets = readUnlinked(keptFile(stateDir, source), MAX_LIST_OCTETS + MAX_SIGNATURE_OCTETS + 4, ownFileIn(stateDir))
    if (octets === undefined)
      return {
        refused: `was not ${source.url === undefined ? 'read' : 'fetched'} yet, or was always refused; this says why: enigm-dns resolvers update`,
        absent: true,
      }
    if (typeof octets === 'string') return { refused: octets }
    const length = octets.length < 4 ? 0 : octets.readUInt32BE(0)
    const signature = octets.toString('utf8', 4, 4 + length)
    return judgeList(source, { data: octets.subarray(4 + length), signature }, stateDir)
  } catch (error) {
    return { refused: `cannot be read (${systemCode(error) ?? 'unknown error'})` }
  }
}

/**
 * Reads a list, and its signature from the .minisig file beside it. Returns a clause if the list
 * cannot be read.
 */
export function fileList(file: string): RawList | string {
  try {
    const data = readSmall(file, MAX_LIST_OCTETS, anyOwner)
    if (typeof data === 'string') return data
    return { data, signature: signatureOf(`${file}.minisig`) }
  } catch (error) {
    return `cannot be read (${systemCode(error) ?? 'unknown error'})`
  }
}

/** Reads a signature. Undefined: it does not exist or cannot be read. */
export function signatureOf(path: string): string | undefined {
  try {
    const octets = readSmall(path, MAX_SIGNATURE_OCTETS, anyOwner)
    return typeof octets === 'string' ? undefined : octets.toString('utf8')
  } catch {
    return undefined
  }
}
