import { dirname } from 'node:path'
import type { Clock } from '../clock.ts'
import { systemCode } from '../errors.ts'
import { isAbsence, readSmall } from '../files/reading.ts'
import { type FileCalls, makeDirectory, remove, sweep, systemCalls, temporaryOf, writeNew } from '../files/writing.ts'

/** A file that is always replaced as a whole. */
export interface AtomicFile {
  /**
   * Replaces the file. Returns false if this failed; the next call tries again. Never throws.
   */
  replace(text: string): boolean
  /** Removes the file if possible, because no status is better than a false one. Never throws. */
  withdraw(): void
}

/**
 * A file that belongs to the document (the signature). It is written before the document is in
 * place, and renamed right after it.
 */
export interface Companion {
  /** Appended to the document's path. */
  readonly suffix: string
  /** Its content for this text of the document. Must not throw. */
  readonly text: (document: string) => string
}

export interface AtomicFileOptions {
  readonly path: string
  readonly beside?: readonly Companion[]
  /**
   * The suffixes of companions that this run does not write. Files that an earlier run left are
   * removed, because next to another document they would look like forgeries.
   */
  readonly without?: readonly string[]
  readonly pid: number
  readonly clock: Clock
  /** Writes one log line; called at most once a minute, however often a write fails. */
  readonly warn: (message: string) => void
  readonly fs?: FileCalls
}

/** Suffixes for the signature of a status file, and for the public key to verify it. */
export const SIGNATURE = '.sig'
export const PUBLIC_KEY = '.pub'

const WARN_EVERY_MS = 60_000
const FILE_MODE = 0o640
const DIRECTORY_MODE = 0o755

/**
 * Makes a writer of `path` that uses a temporary file and a rename. At any moment a reader finds
 * the old document or the new one, even after a kill. Companions follow a moment later, so a reader
 * of both must read again if they do not match (see signature.ts). It is synchronous, because a
 * change of state must be written before the SERVFAIL that would reveal it (3.5 kB take 0.04 ms on
 * tmpfs, which /run is, and 0.5 ms on ext4). There is no fsync: an old status is useless after a
 * power cut.
 */
export function atomicFile(o: AtomicFileOptions): AtomicFile {
  const fs = o.fs ?? systemCalls
  const beside = o.beside ?? []
  const temporary = (path: string) => temporaryOf(path, o.pid)
  const paths = [o.path, ...beside.map(({ suffix }) => o.path + suffix)]
  const cleanUp = () => {
    for (const path of paths) remove(temporary(path), fs)
  }
  let warnedMs = Number.NEGATIVE_INFINITY
  let swept = false

  const attempt = (text: string) => {
    // Every user of the host may read the status.
    makeDirectory(dirname(o.path), DIRECTORY_MODE, fs)
    if (!swept) {
      for (const path of paths) sweep(path, fs)
      for (const suffix of o.without ?? []) remove(o.path + suffix, fs)
    }
    swept = true
    cleanUp()
    const texts = [text, ...beside.map((companion) => companion.text(text))]
    for (const [i, path] of paths.entries()) writeNew(temporary(path), texts[i] ?? '', FILE_MODE, false, fs)
    for (const path of paths) fs.renameSync(temporary(path), path)
  }

  return {
    replace(text) {
      try {
        attempt(text)
        return true
      } catch (error) {
        cleanUp()
        if (o.clock.nowMs() - warnedMs >= WARN_EVERY_MS) {
          warnedMs = o.clock.nowMs()
          o.warn(`the status file cannot be written (${systemCode(error) ?? 'unknown error'}): ${o.path}`)
        }
        return false
      }
    },
    withdraw() {
      for (const path of paths) remove(path, fs)
    },
  }
}

/** Limit of a document. A real one has a few kilobytes. */
const MAX_OCTETS = 1 << 20

/** Why the text could not be read. */
export interface UnreadableFile {
  readonly judgement: 'not-found' | 'permission-denied' | 'unreadable'
  readonly message: string
}

/**
 * Reads the text of a regular file of at most `maxOctets` (default: 1 MiB). Never throws, and never
 * blocks on a FIFO or device. `owner`: a file of any other user is refused.
 */
export function readPlainFile(path: string, owner?: number, maxOctets = MAX_OCTETS): string | UnreadableFile {
  const foreign = 'The status file here belongs to another user.'
  try {
    const octets = readSmall(path, maxOctets, ({ uid }) => (owner !== undefined && uid !== owner ? foreign : undefined))
    if (typeof octets !== 'string') return octets.toString('utf8')
    return { judgement: 'unreadable', message: octets === foreign ? foreign : 'This is not a status file.' }
  } catch (error) {
    return refusal(error)
  }
}

function refusal(error: unknown): UnreadableFile {
  if (isAbsence(error))
    return { judgement: 'not-found', message: 'There is no status file here: the service has not run, or uses another path.' }
  const code = systemCode(error)
  if (code === 'EACCES' || code === 'EPERM') {
    return {
      judgement: 'permission-denied',
      message: 'This user cannot read the status file: try as root or as a member of its group.',
    }
  }
  return { judgement: 'unreadable', message: 'The status file cannot be read.' }
}
