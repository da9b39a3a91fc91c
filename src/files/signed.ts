import { join } from 'node:path'
import * as v from 'valibot'
import { systemCode } from '../errors.ts'
import { MAX_PRIVATE_OCTETS, writePrivateJson } from './json.ts'
import { type MinisignKey, verifyMinisign } from './minisign.ts'
import { ownFileIn, readUnlinked } from './reading.ts'
import { giveToOwner } from './writing.ts'

/**
 * Checks files that are signed with minisign: whether the signature is valid, and whether a newer
 * file was accepted before.
 */

const FILE = 'signed.json'
/** Limit of remembered pairs of key and source. */
const MAX_SEEN = 2000

const schema = v.object({ version: v.literal(1), seen: v.record(v.string(), v.number()) })

/** Remembers the signing times of accepted files, per key and source. */
export interface SeenTimes {
  /** The time of the newest accepted file, in seconds since 1970. Undefined: none had a time. */
  lastS(key: MinisignKey, source: string): number | undefined
  /** The sources of all remembered files, of any key. */
  sources(): ReadonlySet<string>
  /** Remembers an accepted file. Returns false if this failed. */
  accept(key: MinisignKey, source: string, timestampS: number): boolean
}

/**
 * Opens the record in a state directory. A clause says why nothing is known about earlier files.
 */
export function seenTimes(stateDir: string): SeenTimes | string {
  const file = join(stateDir, FILE)
  const name = ({ id }: MinisignKey, source: string) => `${Buffer.from(id).toString('hex')} ${source}`
  const first = recorded(stateDir, file)
  if (typeof first === 'string') return first
  const read = () => {
    const found = recorded(stateDir, file)
    return typeof found === 'string' ? undefined : found
  }
  return {
    lastS: (key, source) => (read() ?? first)[name(key, source)],
    sources: () => new Set(Object.keys(read() ?? first).map((one) => one.slice(one.indexOf(' ') + 1))),
    accept(key, source, timestampS) {
      const seen = read()
      if (seen === undefined) return false
      const { [name(key, source)]: _old, ...others } = seen
      const kept = Object.entries(others).slice(-(MAX_SEEN - 1))
      const value = { version: 1, seen: { ...Object.fromEntries(kept), [name(key, source)]: timestampS } }
      return writePrivateJson(file, value) && giveToOwner(stateDir, [file])
    },
  }
}

/** The times in a record; none if there is no record. A clause says why it cannot be used. */
function recorded(stateDir: string, file: string): Readonly<Record<string, number>> | string {
  try {
    const octets = readUnlinked(file, MAX_PRIVATE_OCTETS, ownFileIn(stateDir))
    if (octets === undefined || octets.length === 0) return {}
    if (typeof octets === 'string') return `${file} ${octets}; make the owner of ${stateDir} its owner`
    const parsed = v.safeParse(schema, JSON.parse(octets.toString('utf8')))
    return parsed.success ? parsed.output.seen : damaged(file)
  } catch (error) {
    const code = systemCode(error)
    if (code === undefined) return damaged(file)
    return code === 'EACCES' || code === 'EPERM'
      ? `permission to read ${file} is denied (${code}); run this as root or as the owner of ${stateDir}`
      : `${file} cannot be read (${code})`
  }
}

const damaged = (file: string) => `${file} is damaged; remove it, and an older file would be accepted once`

/** A signed file, and what is needed to check it. */
export interface SignedFile {
  readonly data: Uint8Array
  /** The text of its .minisig file. Undefined: there is none. */
  readonly signature: string | undefined
  readonly key: MinisignKey
  /** Its name. A `file:` in the signature must be equal to it. */
  readonly fileName: string
  /** The source of the file. Only files of the same source are compared by their times. */
  readonly source: string
}

/** The time of the signature, or a clause that says why the file is refused. */
export type Proven = { readonly timestampS: number | undefined; readonly refused?: never } | { readonly refused: string }

/** Checks a signed file. Nothing is remembered before `accept` is called. */
export function proven({ data, signature, key, fileName, source }: SignedFile, seen: Pick<SeenTimes, 'lastS'>): Proven {
  if (signature === undefined) return { refused: 'has no signature; put the .minisig file beside it' }
  const found = verifyMinisign(data, signature, key, fileName)
  if (found.verdict !== 'valid') return { refused: `is not what the key signed: ${found.message}` }
  const { timestampS } = found.comment
  const lastS = seen.lastS(key, source)
  if (lastS !== undefined && timestampS === undefined)
    return { refused: 'has no time in its signature, but an earlier one had; it may be an old one that was put back' }
  if (lastS !== undefined && timestampS !== undefined && timestampS < lastS)
    return { refused: `is older (${day(timestampS)}) than the one that was accepted before (${day(lastS)})` }
  return { timestampS }
}

/** Above this, a clock here or at the signer is wrong. */
const MAX_AHEAD_S = 86_400

/**
 * Why a file that was signed in the future is refused: all later ones would be older. A clause;
 * undefined: it was not. `wallMs`: the time here.
 */
export function aheadOf(timestampS: number | undefined, wallMs: number): string | undefined {
  if (timestampS === undefined || timestampS <= wallMs / 1000 + MAX_AHEAD_S) return undefined
  return `was signed in the future (${day(timestampS)}), after which every correct one would be older; set the clock of this host if it is wrong, or have it signed again`
}

/** Formats a time for people, to the second, in UTC. */
function day(seconds: number): string {
  return Number.isSafeInteger(seconds) && seconds < 8e12 ? new Date(seconds * 1000).toISOString().replace('.000Z', 'Z') : String(seconds)
}
