import { readdirSync, readFileSync } from 'node:fs'
import { systemCode } from '../errors.ts'
import { textOf } from '../files/reading.ts'

/**
 * Fields 3 and 22 (clock ticks since boot) of proc_pid_stat(5), counted from after the command
 * name.
 */
const STATE = 0
const START_TIME = 19

/** Identifies a process. A process number alone is not enough, because it is reused. */
export interface ProcessIdentity {
  readonly pid: number
  /** The boot and the start time in it. Opaque. Undefined: the system does not report it. */
  readonly startedAtTicks: string | undefined
}

/**
 * The boot id and start time of a process. Undefined: it does not exist, it is hidden (hidepid), or
 * this is not Linux.
 */
export function startTimeOf(pid: number): string | undefined {
  return statOf(pid)?.startedAtTicks
}

/** Whether a process is suspended (SIGSTOP, or a debugger). False also if it is not known. */
export function isSuspended(pid: number): boolean {
  return statOf(pid)?.suspended === true
}

function statOf(pid: number): { readonly dead: boolean; readonly suspended: boolean; readonly startedAtTicks: string } | undefined {
  const stat = process.platform === 'linux' ? textOf(`/proc/${pid}/stat`) : undefined
  if (stat === undefined) return undefined
  // The command name is in parentheses and may contain spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const boot = bootId() ?? ''
  // A zombie does not run: only its parent has not read its exit code yet.
  const state = fields[STATE] ?? 'X'
  return { dead: 'ZX'.includes(state), suspended: 'Tt'.includes(state), startedAtTicks: `${boot}:${fields[START_TIME]}` }
}

/** Identifies the boot of this host. Opaque. Undefined: the system does not report it. */
export function bootId(): string | undefined {
  return process.platform === 'linux' ? textOf('/proc/sys/kernel/random/boot_id')?.trim() : undefined
}

/** The identity of this process, for the status file. */
export function selfIdentity(): ProcessIdentity {
  return { pid: process.pid, startedAtTicks: startTimeOf(process.pid) }
}

/**
 * Whether the process with this identity still runs. False: it has ended, or its number belongs to
 * another process now. Undefined: not known.
 */
export function isSame(pid: number, startedAtTicks: string | undefined): boolean | undefined {
  if (!runs(pid)) return false
  const now = statOf(pid)
  if (now === undefined) return undefined
  if (now.dead) return false
  return startedAtTicks === undefined ? undefined : isSameStart(now.startedAtTicks, startedAtTicks)
}

/**
 * Whether two start times are equal. A process that may not read the boot id (ProcSubset=pid)
 * writes its start without it; then only the ticks are compared.
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

/** How many descriptors (files, sockets, pipes) this process may have, and how many it has. */
export interface Descriptors {
  readonly limit: number
  readonly open: number
}

/**
 * The soft limit of RLIMIT_NOFILE and the number of open descriptors. Node raises the soft limit to
 * the hard limit at its start. Undefined: the system does not report them.
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
