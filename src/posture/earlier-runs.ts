import { join } from 'node:path'
import * as v from 'valibot'
import { readPrivateJson, writePrivateJson } from '../files/json.ts'
import { anyOwner, readUnlinked } from '../files/reading.ts'
import type { HostFacts } from './reader.ts'
import { asPublicKey } from './signature.ts'
import { PUBLIC_KEY, SIGNATURE } from './status-file.ts'

const startsFile = v.object({
  bootId: v.string(),
  starts: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  clean: v.boolean(),
  /** Who started last; not in the files of older versions. */
  pid: v.optional(v.number()),
  processStart: v.optional(v.string()),
})

/**
 * How often the service was started before in this boot, and whether the run before this one ended
 * by itself.
 */
export interface EarlierStarts {
  readonly count: number
  readonly clean: boolean
  /**
   * The process that started here before and runs still: two of them share what is kept in
   * `stateDir`.
   */
  readonly other: number | undefined
  /** To be called at the end of a run that ends by itself. */
  ended(): void
}

/** Who starts; undefined parts: this system does not tell. */
export interface StartingProcess {
  readonly bootId: string | undefined
  readonly pid: number
  readonly processStart: string | undefined
}

/**
 * Counts this start in `stateDir`; undefined where that cannot be written or this boot cannot be
 * told from another.
 */
export function countStart(
  stateDir: string,
  { bootId, pid, processStart }: StartingProcess,
  isSame: HostFacts['isSame'],
): EarlierStarts | undefined {
  if (bootId === undefined || processStart === undefined) return undefined
  const file = join(stateDir, 'starts.json')
  const before = readPrivateJson(file, startsFile)
  const same = before?.bootId === bootId
  const count = same ? before.starts : 0
  const now = { bootId, starts: count + 1, clean: false, pid, processStart }
  // It counts within one boot: a power cut ends what it says anyway.
  if (!writePrivateJson(file, now, 'the process')) return undefined
  const runs = same && !before.clean && before.pid !== undefined && before.pid !== pid && isSame(before.pid, before.processStart) === true
  return {
    count,
    // What a reboot ended is no fault of the service, and what runs still has not ended.
    clean: !same || before.clean || runs,
    other: runs ? before.pid : undefined,
    ended: () => void writePrivateJson(file, { ...now, clean: true }, 'the process'),
  }
}

/** The process that started in `stateDir` in this boot and runs still. Changes nothing. */
export function runningIn(stateDir: string, bootId: string | undefined, isSame: HostFacts['isSame']): number | undefined {
  const last = readPrivateJson(join(stateDir, 'starts.json'), startsFile)
  if (last?.pid === undefined || last.clean || last.bootId !== bootId) return undefined
  return isSame(last.pid, last.processStart) === true ? last.pid : undefined
}

const MAX_OCTETS = 1 << 20
/** How they begin; what a power cut made of the rest does not matter. */
const DOCUMENT = /^\s*\{\s*"schema"\s*:\s*"enigm-dns\/status\//
const SIGNATURE_DOCUMENT = /^\s*\{\s*"schema"\s*:\s*"enigm-dns\/status-signature\//

/**
 * What lies where a status, its signature and its public key are to be written and is something
 * else, so that it would be lost: one sentence without its end for each. An empty file, and one
 * that a power cut left without its content, may go. Throws the system's error.
 */
export function statusFileConflicts(statusFile: string): readonly string[] {
  const is = (what: RegExp) => (text: string) => what.test(text)
  return [
    ...conflict(statusFile, 'a status of enigm-dns', is(DOCUMENT)),
    ...conflict(statusFile + SIGNATURE, 'the signature of a status', is(SIGNATURE_DOCUMENT)),
    ...conflict(statusFile + PUBLIC_KEY, 'the public key of a status', (text) => asPublicKey(text) !== undefined),
  ]
}

function conflict(path: string, wanted: string, is: (text: string) => boolean): readonly string[] {
  const octets = readUnlinked(path, MAX_OCTETS, anyOwner)
  if (octets === undefined) return []
  const mend = 'take it away, or name another statusFile'
  if (typeof octets === 'string') return [`${path} ${octets}; ${mend}`]
  const text = octets.toString('utf8')
  const blank = text.replaceAll('\0', '').trim() === ''
  return blank || is(text) ? [] : [`${path} is not ${wanted} and would be overwritten; ${mend}`]
}
