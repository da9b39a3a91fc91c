import { isatty } from 'node:tty'
import type { Clock, Timer } from '../clock.ts'
import { textOf } from '../files/reading.ts'
import { isSame, type ProcessIdentity, startTimeOf } from './process-identity.ts'

/** What a process can observe about the terminal and the npm that started it; replaced in tests. */
export interface Launcher {
  /** Whether one of the standard streams is a terminal that is not hung up. */
  readonly onTerminal: () => boolean
  /** Whether the process has a controlling terminal; undefined if the system does not report it. */
  readonly controlled: () => boolean | undefined
  /** The npm process that runs this as one of its scripts. */
  readonly npm: () => ProcessIdentity | undefined
  readonly isSame: typeof isSame
}

/** Watches the terminal or the npm that started the process. The process must end with it. */
export interface LauncherWatch {
  /**
   * Called for each SIGHUP. Returns true if the terminal is gone and the process must end; false if
   * a person sent it to request a reload.
   */
  hungUp(): boolean
  /**
   * Called at each heartbeat. If the terminal is gone without a SIGHUP, a person detached the
   * process on purpose (disown).
   */
  beat(): void
}

/** npm is checked at this interval, if npm started the process. */
const LOOK_MS = 1000
/**
 * The terminal is checked again after these times, because some shells send SIGHUP and end later.
 */
const LATER_MS = [300, 2000] as const
/**
 * If npm ends within this time after a SIGHUP, that SIGHUP is the cause, and the process does not
 * end. Node resets SIGHUP at its start, so npm dies from it even under nohup.
 */
const SAME_HANGUP_MS = 3000

/**
 * Ends the process together with the terminal from which it was started, if a standard stream is
 * connected to it, or with the npm that started it. `ended` is called at most once, with the reason
 * as a clause. This does not apply under nohup (no stream is a terminal), setsid (no controlling
 * terminal), or a service manager.
 */
export function watchLauncher({
  clock,
  ended,
  start = thisLauncher,
}: {
  clock: Clock
  ended: (why: string) => void
  start?: Launcher
}): LauncherWatch {
  let tied = start.onTerminal() && start.controlled() !== false
  let goneAtBeat = false
  let hungUpMs = Number.NEGATIVE_INFINITY
  let over = false
  const end = (why: string) => {
    if (over) return
    over = true
    ended(why)
  }
  const isGone = () => tied && (!start.onTerminal() || start.controlled() === false)
  const npm = start.npm()
  let look: Timer | undefined
  const watch = () => {
    if (npm === undefined || over) return
    if (start.isSame(npm.pid, npm.startedAtTicks) !== false) look = clock.setTimer(LOOK_MS, watch)
    else if (tied || clock.nowMs() - hungUpMs > SAME_HANGUP_MS) end('npm, which started this process, is gone')
  }
  look = npm === undefined ? undefined : clock.setTimer(LOOK_MS, watch)
  return {
    hungUp() {
      hungUpMs = clock.nowMs()
      if (isGone()) {
        look?.cancel()
        over = true
        return true
      }
      for (const ms of tied ? LATER_MS : [])
        clock.setTimer(ms, () => isGone() && end('the terminal that this process was started on is gone'))
      return false
    },
    beat() {
      if (!isGone()) return
      if (goneAtBeat) tied = false
      goneAtBeat = true
    },
  }
}

/* Fields 4 and 7 of proc_pid_stat(5), counted from after the command name. */
const PARENT = 1
const TERMINAL = 4

function fieldOf(pid: number | 'self', field: number): number | undefined {
  const stat = process.platform === 'linux' ? textOf(`/proc/${pid}/stat`) : undefined
  return stat === undefined ? undefined : Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[field])
}

/**
 * How many parents are searched for npm. There may be a shell between npm and this process.
 */
const MOST_PARENTS = 4

const thisLauncher: Launcher = {
  onTerminal: () => [0, 1, 2].some((fd) => isatty(fd)),
  controlled() {
    const terminal = fieldOf('self', TERMINAL)
    return terminal === undefined ? undefined : terminal !== 0
  },
  npm() {
    if (process.env.npm_lifecycle_event === undefined) return undefined
    let pid = process.ppid
    for (let i = 0; i < MOST_PARENTS && pid > 1; i++) {
      const words = (textOf(`/proc/${pid}/cmdline`) ?? '').split(/[\0 ]/)
      // npm replaces its own command line with "npm start".
      if (words[0] === 'npm' || /(^|\/)npm(-cli\.js)?$/.test(words[1] ?? '')) return { pid, startedAtTicks: startTimeOf(pid) }
      pid = fieldOf(pid, PARENT) ?? 0
    }
    return undefined
  },
  isSame,
}
