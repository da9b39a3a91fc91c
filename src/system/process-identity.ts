import { readdirSync, readFileSync } from 'node:fs'
import { systemCode } from '../errors.ts'
import { textOf } from '../files/reading.ts'

/**
 * proc_pid_stat(5): fields 3 and 22 (clock ticks since boot), counted from after the command name.
 */
const STATE = 0
const START_TIME = 19

/** Identifies a process: a process number alone is reused after a while. */
export interface ProcessIdentity {
  readonly pid: number
  /** Boot and start time within it, opaque; undefined if the system does not report it. */
  readonly startedAtTicks: string | undefined
}

/**
 * Boot id and start time of a process; undefined if it does not exist, is hidden (hidepid), or this
 * is not Linux.
 */
export function startTimeOf(pid: number): string | undefined {
  return statOf(pid)?.startedAtTicks
}

function statOf(pid: number): { readonly dead: boolean; readonly startedAtTicks: string } | undefined {
  const stat = process.platform === 'linux' ? textOf(`/proc/${pid}/stat`) : undefined
  if (stat === undefined) return undefined
  // The command name is in parentheses and may contain spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const boot = bootId() ?? ''
  // A zombie no longer runs, although its parent has not read its exit code.
  return { dead: 'ZX'.includes(fields[STATE] ?? 'X'), startedAtTicks: `${boot}:${fields[START_TIME]}` }
}

/** Identifies the boot of this host, opaque; undefined if the system does not report it. */
export function bootId(): string | undefined {
  return process.platform === 'linux' ? textOf('/proc/sys/kernel/random/boot_id')?.trim() : undefined
}

/** The identity of this process, for the status file. */
export function selfIdentity(): ProcessIdentity {
  return { pid: process.pid, startedAtTicks: startTimeOf(process.pid) }
}

/**
 * Whether the process with this identity still runs: false if it has ended or its number belongs to
 * another process now, undefined if unknown.
 */
export function isSame(pid: number, startedAtTicks: string | undefined): boolean | undefined {
  if (!runs(pid)) return false
  const now = statOf(pid)
  if (now === undefined) return undefined
  if (now.dead) return false
  return startedAtTicks === undefined ? undefined : isSameStart(now.startedAtTicks, startedAtTicks)
}

/**
 * A process that may not read the boot id (ProcSubset=pid) writes its start without one: then only
 * the ticks are compared.
 */
function isSameStart(a: string, b: string): boolean {
  const [bootA, ticksA] = a.split(':')
  const [bootB, ticksB] = b.split(':')
  return ticksA === ticksB && (bootA === bootB || bootA === '' || bootB === '')
}

function runs(pid: number): boolean {
  // 0 and below would mean process groups.
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
}

/** How many files, sockets and pipes this process may have open, and how many it has now. */
export interface Descriptors {
  readonly limit: number
  readonly open: number
}

/**
 * The soft limit of RLIMIT_NOFILE (Node raises it to the hard one at its start) and the number of
 * open descriptors; undefined if the system does not report them.
 */
export function descriptors(): Descriptors | undefined {
  try {
    const limit = softLimit(readFileSync('/proc/self/limits', 'latin1'))
    return limit === undefined ? undefined : { limit, open: readdirSync('/proc/self/fd').length }
  } catch {
    return undefined
  }
}

/** The soft limit for open files in a text like /proc/self/limits (proc_pid_limits(5)). */
export function softLimit(limits: string): number | undefined {
  const found = /^Max open files +(\d+|unlimited) /m.exec(limits)?.[1]
  if (found === undefined) return undefined
  return found === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(found)
}
