import { isatty } from 'node:tty'
import type { Clock, Timer } from '../clock.ts'
import { textOf } from '../files/reading.ts'
import { isSame, type ProcessIdentity, startTimeOf } from './process-identity.ts'

/** What a process can see of the terminal and the npm that started it; a test can replace it. */
export interface Launcher {
  /** Whether one of the standard streams is a terminal that is not hung up. */
  readonly onTerminal: () => boolean
  /** Whether the process has a controlling terminal; undefined where the system does not say. */
  readonly controlled: () => boolean | undefined
  /** The npm that runs this as one of its scripts. */
  readonly npm: () => ProcessIdentity | undefined
  readonly isSame: typeof isSame
}

/** Watches what the process was started by, and ends with. */
export interface LauncherWatch {
  /**
   * For each SIGHUP. True: the terminal is gone, and the process is to end; false: it is a
   * person's, who asks for a reload.
   */
  hungUp(): boolean
  /** For each heartbeat: a terminal that is gone without a SIGHUP was left on purpose (disown). */
  beat(): void
}

/** Between two looks whether npm is there; only where npm started the process. */
const LOOK_MS = 1000
/** Some shells send SIGHUP first, and end after it. */
const LATER_MS = [300, 2000] as const
/**
 * npm does not survive the SIGHUP that nohup was to keep away: Node takes its default back at each
 * start.
 */
const SAME_HANGUP_MS = 3000

/**
 * Ties the process to the terminal in whose foreground or background it was started, if a standard
 * stream shows there, and to the npm that started it. `ended` is called at most once with why, as a
 * clause. Not tied: under nohup (no stream is a terminal), setsid (none controls), a service
 * manager.
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

/** proc_pid_stat(5): fields 4 and 7, counted from behind the command name. */
const PARENT = 1
const TERMINAL = 4

function fieldOf(pid: number | 'self', field: number): number | undefined {
  const stat = process.platform === 'linux' ? textOf(`/proc/${pid}/stat`) : undefined
  return stat === undefined ? undefined : Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[field])
}

/** npm, the shell that it starts for a script (which may give its place to the script), and us. */
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
      // npm writes "npm start" over its own command line.
      if (words[0] === 'npm' || /(^|\/)npm(-cli\.js)?$/.test(words[1] ?? '')) return { pid, startedAtTicks: startTimeOf(pid) }
      pid = fieldOf(pid, PARENT) ?? 0
    }
    return undefined
  },
  isSame,
}
