import { linkSync, lstatSync, realpathSync, renameSync } from 'node:fs'
import { systemCode } from '../errors.ts'
import { remove, temporaryOf, writeNew } from './writing.ts'

/** Delay between two attempts to take a lock. */
const PAUSE_MS = 20
/** A lock is held for one write. One that stays this long is of a process that was killed. */
const DEAD_MS = 10_000
/** The longest time to wait for other processes. */
const LONGEST_MS = 30_000

/**
 * Runs a task while no other process runs one with the same file. The lock is a file beside it,
 * `FILE.lock`. The task must not wait for anything in this process. Throws the error of the task,
 * or the system's error: EBUSY if other processes hold the lock for too long.
 */
export function whileLocked<Result>(file: string, task: () => Result, deadMs: number = DEAD_MS): Result {
  const lock = `${realOf(file)}.lock`
  const own = taken(lock, deadMs)
  try {
    return task()
  } finally {
    if (identityOf(lock) === own) remove(lock)
  }
}

/** Takes a lock, and returns its identity. */
function taken(lock: string, deadMs: number): string | undefined {
  let held: string | undefined
  let heldMs = 0
  for (let waitedMs = 0; ; waitedMs += PAUSE_MS) {
    try {
      writeNew(lock, `${process.pid}\n`, 0o600)
      return identityOf(lock)
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error
    }
    const now = identityOf(lock)
    heldMs = now === held ? heldMs + PAUSE_MS : 0
    held = now
    if (held !== undefined && heldMs >= deadMs) removeDead(lock, held)
    else if (waitedMs >= LONGEST_MS) throw Object.assign(new Error(`${lock} is held`), { code: 'EBUSY' })
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS)
  }
}

/** Removes the lock of a killed process. A lock that another process took meanwhile stays. */
function removeDead(lock: string, dead: string): void {
  const aside = temporaryOf(lock)
  try {
    renameSync(lock, aside)
    if (identityOf(aside) !== dead) linkSync(aside, lock)
  } catch {
    // Another process was faster.
  }
  remove(aside)
}

/** Tells one lock from the next with the same name. Undefined: there is none. */
function identityOf(lock: string): string | undefined {
  const found = lstatSync(lock, { throwIfNoEntry: false, bigint: true })
  return found === undefined ? undefined : `${found.ino} ${found.mtimeNs}`
}

/** The target of a link, so that all names of a file have the same lock. */
function realOf(file: string): string {
  try {
    return realpathSync(file)
  } catch {
    return file
  }
}
