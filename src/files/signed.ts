import { join } from 'node:path'
import * as v from 'valibot'
import { isForeignJson, readPrivateJson, writePrivateJson } from './json.ts'
import { type MinisignKey, verifyMinisign } from './minisign.ts'

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
 * Opens the record in a state directory. Undefined: it is damaged or belongs to another user, so
 * nothing is known about earlier files.
 */
export function seenTimes(stateDir: string): SeenTimes | undefined {
  const file = join(stateDir, FILE)
  const name = ({ id }: MinisignKey, source: string) => `${Buffer.from(id).toString('hex')} ${source}`
  const read = () => readPrivateJson(file, schema)?.seen ?? {}
  if (Object.keys(read()).length === 0 && isForeignJson(file, schema)) return undefined
  return {
    lastS: (key, source) => read()[name(key, source)],
    sources: () => new Set(Object.keys(read()).map((one) => one.slice(one.indexOf(' ') + 1))),
    accept(key, source, timestampS) {
      const seen = read()
      const { [name(key, source)]: _old, ...others } = seen
      const kept = Object.entries(others).slice(-(MAX_SEEN - 1))
      return writePrivateJson(file, { version: 1, seen: { ...Object.fromEntries(kept), [name(key, source)]: timestampS } })
    },
  }
}

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

/** Formats a time for people, to the second, in UTC. */
function day(seconds: number): string {
  return Number.isSafeInteger(seconds) && seconds < 8e12 ? new Date(seconds * 1000).toISOString().replace('.000Z', 'Z') : String(seconds)
}
