import { readdirSync, readFileSync } from 'node:fs'
import { systemCode } from '../errors.ts'
import { textOf } from '../files/reading.ts'

/**
 * proc_pid_stat(5): fields 3 and 22 (clock ticks since boot), counted from behind the command name.
 */
const STATE = 0
const START_TIME = 19

/** Which process this is: a process number alone is used again after a while. */
export interface ProcessIdentity {
  readonly pid: number
  /** Boot and start time within it, opaque; undefined where the system does not say. */
  readonly startedAtTicks: string | undefined
}

/**
 * Boot id and start time of a process; undefined if there is none, it is hidden (hidepid), or this
 * is not Linux.
 */
export function startTimeOf(pid: number): string | undefined {
  return statOf(pid)?.startedAtTicks
}

function statOf(pid: number): { readonly dead: boolean; readonly startedAtTicks: string } | undefined {
  const stat = process.platform === 'linux' ? textOf(`/proc/${pid}/stat`) : undefined
  if (stat === undefined) return undefined
  // The command name is in parentheses and may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const boot = bootId() ?? ''
  // A zombie runs no more, though its parent has not asked for its exit code.
  return { dead: 'ZX'.includes(fields[STATE] ?? 'X'), startedAtTicks: `${boot}:${fields[START_TIME]}` }
}

/** Which boot of this host it is, opaque; undefined where the system does not say. */
export function bootId(): string | undefined {
  return process.platform === 'linux' ? textOf('/proc/sys/kernel/random/boot_id')?.trim() : undefined
}

/** Who we are, for the status file. */
export function selfIdentity(): ProcessIdentity {
  return { pid: process.pid, startedAtTicks: startTimeOf(process.pid) }
}

/**
 * Whether the process that wrote this identity still runs: false if it is gone or its number
 * belongs to another one now, undefined if it cannot be told.
 */
export function isSame(pid: number, startedAtTicks: string | undefined): boolean | undefined {
  if (!runs(pid)) return false
  const now = statOf(pid)
  if (now === undefined) return undefined
  if (now.dead) return false
  return startedAtTicks === undefined ? undefined : isSameStart(now.startedAtTicks, startedAtTicks)
}

/**
 * A process that may not read the boot id (ProcSubset=pid) writes its start without one: then the
 * ticks decide alone.
 */
function isSameStart(a: string, b: string): boolean {
  const [bootA, ticksA] = a.split(':')
  const [bootB, ticksB] = b.split(':')
  return ticksA === ticksB && (bootA === bootB || bootA === '' || bootB === '')
}

function runs(pid: number): boolean {
  // 0 and below would ask about process groups.
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
}

/** How many files, sockets and pipes this process may hold, and how many it holds now. */
export interface Descriptors {
  readonly limit: number
  readonly open: number
}

/**
 * The soft limit of RLIMIT_NOFILE (Node raises it to the hard one at its start) and what is open;
 * undefined where the system does not say.
 */
export function descriptors(): Descriptors | undefined {
  try {
    const limit = softLimit(readFileSync('/proc/self/limits', 'latin1'))
    return limit === undefined ? undefined : { limit, open: readdirSync('/proc/self/fd').length }
  } catch {
    return undefined
  }
}

/** The soft limit that a text like /proc/self/limits (proc_pid_limits(5)) gives for open files. */
export function softLimit(limits: string): number | undefined {
  const found = /^Max open files +(\d+|unlimited) /m.exec(limits)?.[1]
  if (found === undefined) return undefined
  return found === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(found)
}
