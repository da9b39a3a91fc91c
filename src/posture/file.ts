import * as nodeFs from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Clock } from '../clock.ts'
import { systemCode } from '../errors.ts'

/** The calls the writer makes, so that a test can make each of them fail. */
export type FileSystem = Pick<
  typeof nodeFs,
  'openSync' | 'chmodSync' | 'fchmodSync' | 'writeSync' | 'closeSync' | 'renameSync' | 'mkdirSync' | 'unlinkSync' | 'readdirSync'
>

/** A file that is replaced whole. */
export interface AtomicFile {
  /** Replaces the file; false when that was not possible (the next call tries afresh). Never throws. */
  replace(text: string): boolean
  /** Takes the file away, if that is possible: no status is better than a false one. Never throws. */
  withdraw(): void
}

/** A file that goes with the document: written before the document is in place, renamed right after it. */
export interface Companion {
  /** Added to the document's path. */
  readonly suffix: string
  /** What it holds for this text of the document. Must not throw. */
  readonly text: (document: string) => string
}

export interface AtomicFileOptions {
  readonly path: string
  readonly beside?: readonly Companion[]
  /** Suffixes of companions that an earlier run may have left and that this one does not write: beside another document they would look like forgeries. */
  readonly without?: readonly string[]
  readonly pid: number
  readonly clock: Clock
  /** One log line; called at most once a minute however often writing fails. */
  readonly warn: (message: string) => void
  readonly fs?: FileSystem
}

const WARN_EVERY_MS = 60_000
const MODE = 0o640
const DIRECTORY_MODE = 0o755

/**
 * A writer of `path` through a temporary file beside it and a rename: a reader, or a kill at any moment, finds the old document or the new one. Companions
 * follow a moment later: whoever reads both reads again if they do not fit (see verify.ts).
 * No fsync: rename is atomic for every process on this host, and after a power cut a status of before the cut is worthless anyway.
 * Synchronous, because a state change must be on file before the SERVFAIL that would reveal it (measured on 3.5 kB: 0.04 ms on tmpfs, which /run is; 0.5 ms on ext4).
 */
export function atomicFile(o: AtomicFileOptions): AtomicFile {
  const fs = o.fs ?? nodeFs
  const beside = o.beside ?? []
  const temporary = (path: string) => `${path}.${o.pid}.tmp`
  const paths = [o.path, ...beside.map(({ suffix }) => o.path + suffix)]
  const cleanUp = () => {
    for (const path of paths) remove(fs, temporary(path))
  }
  let warnedMs = Number.NEGATIVE_INFINITY
  let swept = false

  const attempt = (text: string) => {
    // The umask is 0077 (system/hardening.ts), and everybody on the host may read how protected it is.
    if (made(fs, dirname(o.path))) fs.chmodSync(dirname(o.path), DIRECTORY_MODE)
    if (!swept) {
      for (const path of paths) sweep(fs, path)
      for (const suffix of o.without ?? []) remove(fs, o.path + suffix)
    }
    swept = true
    cleanUp()
    const texts = [text, ...beside.map((companion) => companion.text(text))]
    for (const [i, path] of paths.entries()) writeNew(fs, temporary(path), texts[i] ?? '')
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
      for (const path of paths) remove(fs, path)
    },
  }
}

function writeNew(fs: FileSystem, path: string, text: string): void {
  // 'wx' never follows a link that somebody laid in a shared directory.
  const fd = fs.openSync(path, 'wx', MODE)
  try {
    fs.fchmodSync(fd, MODE)
    const bytes = Buffer.from(text)
    for (let done = 0; done < bytes.length; ) done += fs.writeSync(fd, bytes, done)
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * Makes a directory and those above it; false if it was there. Not `recursive`: under /proc, where mkdir says ENOENT whatever is above, Node 20's makes the same two
 * calls for ever.
 */
function made(fs: FileSystem, directory: string): boolean {
  try {
    fs.mkdirSync(directory, { mode: DIRECTORY_MODE })
    return true
  } catch (error) {
    const code = systemCode(error)
    // Whether it is a directory shows when a file is opened in it.
    if (code === 'EEXIST') return false
    if (code !== 'ENOENT' || dirname(directory) === directory || !made(fs, dirname(directory))) throw error
    fs.mkdirSync(directory, { mode: DIRECTORY_MODE })
    return true
  }
}

/** Takes away temporary files that killed processes left. One that a living writer is about to rename costs it one failed try. */
function sweep(fs: FileSystem, path: string): void {
  try {
    const left = new RegExp(`^${basename(path).replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\.\\d+\\.tmp$`)
    for (const name of fs.readdirSync(dirname(path))) if (left.test(name)) remove(fs, join(dirname(path), name))
  } catch {
    // A directory that cannot be listed can still be written to.
  }
}

function remove(fs: FileSystem, path: string): void {
  try {
    fs.unlinkSync(path)
  } catch {
    // Mostly not there; what else is wrong shows when it is opened.
  }
}
