import { readdirSync, readFileSync } from 'node:fs'

const TICK_NS = 10_000_000 // USER_HZ is 100 on every Linux that Node runs on

/** What a process has cost so far. */
export interface Cost {
  /**
   * CPU of its threads, of its living children, and of those it has reaped (dnsmasq forks for TCP).
   */
  readonly cpuNs: number
  /** Voluntary context switches of its threads: each is a wait that ended, a wake-up. */
  readonly wakeUps: number
}

/** Reads /proc: schedstat counts CPU in nanoseconds, and is per thread. */
export function costOf(pid: number): Cost {
  let cpuNs = reapedNs(pid)
  let wakeUps = 0
  for (const thread of tasks(pid)) {
    cpuNs += Number(read(`${thread}/schedstat`).split(' ')[0])
    wakeUps += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(read(`${thread}/status`))?.[1] ?? 0)
    for (const child of read(`${thread}/children`).split(' ').filter(Boolean)) cpuNs += costOf(Number(child)).cpuNs
  }
  return { cpuNs, wakeUps }
}

/** CPU of each thread of a process, by its path in /proc. */
export function threadsNs(pid: number): ReadonlyMap<string, number> {
  return new Map(tasks(pid).map((thread) => [thread, Number(read(`${thread}/schedstat`).split(' ')[0])]))
}

/** Resident memory of a process, MB. */
export function rssMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1024
}

function tasks(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}`)
  } catch {
    return []
  }
}

/** cutime and cstime, fields 16 and 17 of stat; the name before them may hold spaces. */
function reapedNs(pid: number): number {
  const fields = read(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[13] ?? 0) + Number(fields[14] ?? 0)) * TICK_NS
}

/** A thread may end while it is read. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
