import { readdirSync, readFileSync } from 'node:fs'

/** How many files, sockets and pipes this process may hold, and how many it holds now. */
export interface Descriptors {
  readonly limit: number
  readonly open: number
}

/** The soft limit of RLIMIT_NOFILE (Node raises it to the hard one at its start) and what is open; undefined where the system does not say. */
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
