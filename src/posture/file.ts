import * as nodeFs from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Clock } from '../clock.ts'

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

export interface AtomicFileOptions {
  readonly path: string
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
 * A writer of `path` through a temporary file beside it and a rename: a reader, or a kill at any moment, finds the old document or the new one.
 * No fsync: rename is atomic for every process on this host, and after a power cut a status of before the cut is worthless anyway.
 * Synchronous, because a state change must be on file before the SERVFAIL that would reveal it (measured on 3.5 kB: 0.04 ms on tmpfs, which /run is; 0.5 ms on ext4).
 */
export function atomicFile(o: AtomicFileOptions): AtomicFile {
  const fs = o.fs ?? nodeFs
  const temporary = `${o.path}.${o.pid}.tmp`
  let warnedMs = Number.NEGATIVE_INFINITY
  let swept = false

  const attempt = (text: string) => {
    // The umask is 0077 (system/hardening.ts), and everybody on the host may read how protected it is.
    const made = fs.mkdirSync(dirname(o.path), { recursive: true, mode: DIRECTORY_MODE })
    if (made !== undefined) fs.chmodSync(dirname(o.path), DIRECTORY_MODE)
    if (!swept) sweep(fs, o.path)
    swept = true
    remove(fs, temporary)
    // 'wx' never follows a link that somebody laid in a shared directory.
    const fd = fs.openSync(temporary, 'wx', MODE)
    try {
      fs.fchmodSync(fd, MODE)
      const bytes = Buffer.from(text)
      for (let done = 0; done < bytes.length; ) done += fs.writeSync(fd, bytes, done)
    } finally {
      fs.closeSync(fd)
    }
    fs.renameSync(temporary, o.path)
  }

  return {
    replace(text) {
      try {
        attempt(text)
        return true
      } catch (error) {
        remove(fs, temporary)
        if (o.clock.nowMs() - warnedMs >= WARN_EVERY_MS) {
          warnedMs = o.clock.nowMs()
          o.warn(`the status file cannot be written (${codeOf(error)}): ${o.path}`)
        }
        return false
      }
    },
    withdraw: () => remove(fs, o.path),
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

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown error'
}
