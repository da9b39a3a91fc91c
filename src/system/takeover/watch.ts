import type { Clock, Timer } from '../../clock.ts'
import type { Emit } from '../../events.ts'
import { replaceFile } from '../../files/writing.ts'
import type { RunCommand } from '../run-command.ts'
import { fingerprint, type Observed, observe, observedAt, type PublicState, readPublicState } from './observe.ts'
import { hasRepairUnit } from './own-units.ts'
import { REPAIR_WANTED, REPAIRS_A_MINUTE } from './places.ts'

/** The interval of checks of files. The system must use this service again within 2 s. */
const POLL_MS = 500
/** The longest time between full checks. Some changes show in no file, such as a routing domain. */
const LOOK_EVERY_MS = 10_000
const MINUTE_MS = 60_000
/** The time for a requested repair. Until then no other one is requested. */
const REPAIR_MS = 4000
/** Limit of checks by a root process per minute, if we may not ask systemd-resolved ourselves. */
const LOOKS_A_MINUTE = 12

export interface TakeoverWatchOptions {
  readonly clock: Clock
  readonly emit: Emit
  readonly run: RunCommand
  /** How the host is observed. Replaced in tests. */
  readonly state?: () => PublicState | undefined
  readonly look?: (state: PublicState) => Promise<Observed>
  readonly print?: (state: PublicState) => string
  /** Returns a text that changes with each observation that root writes. */
  readonly told?: () => string
  /** Requests a repair. */
  readonly ask?: () => void
}

/** Watches whether the system still uses this service after `system enable`. */
export interface TakeoverWatch {
  /** Called at each heartbeat. Begins to watch when there is something to watch. */
  beat(): void
  /** Checks now. Resolves when the result is reported. */
  look(): Promise<void>
  stop(): void
}

/**
 * Makes a watch. If nothing is enabled, it costs one stat per beat. It reports changes of what it
 * observes. If another program has taken over, it asks the unit of root to repair, at most three
 * times a minute. Then it stops until the system uses this service again. If no unit waits for
 * requests, the take-over is only reported.
 */
export function watchTakeover(o: TakeoverWatchOptions): TakeoverWatch {
  const read = o.state ?? readPublicState
  const print = o.print ?? fingerprint
  const look = o.look ?? ((state: PublicState) => observe(o.run, state))
  let timer: Timer | undefined
  let seen = ''
  let lookedMs = Number.NEGATIVE_INFINITY
  let looking = false
  let stopped = false
  let reported = ''
  let asked: number[] = []
  let gaveUp = false
  let held = true
  let looks: number[] = []
  let toldAt = ''

  const report = (state: PublicState | undefined, { takenBy, bypasses, gaveUp: rootGaveUp }: Observed) => {
    const over = gaveUp || rootGaveUp === true
    const taken = state !== undefined && !hasRepairUnit(state.files) ? 'left' : over ? 'given-up' : 'taken'
    const word = state === undefined ? 'off' : takenBy === undefined ? 'held' : taken
    const event = { type: 'seen.takeover', state: word, by: takenBy ?? state?.owner ?? '', bypasses } as const
    const text = JSON.stringify(event)
    if (text !== reported && !stopped) o.emit(event)
    reported = text
  }
  /** Makes root check the system, and repair it if necessary. */
  const haveRootLook = (nowMs: number) => {
    looks = looks.filter((ms) => nowMs - ms < MINUTE_MS)
    if (looks.length >= LOOKS_A_MINUTE) return
    looks.push(nowMs)
    ;(o.ask ?? askForRepair)()
  }
  const answer = ({ takenBy, blind }: Observed, fresh: boolean) => {
    const nowMs = o.clock.nowMs()
    if (blind === true) {
      if (fresh) haveRootLook(nowMs)
      return
    }
    if (takenBy === undefined) {
      gaveUp = false
      held = true
      return
    }
    // If the system used this service in between, this is another take-over.
    if (!held && nowMs - (asked.at(-1) ?? Number.NEGATIVE_INFINITY) < REPAIR_MS) return
    asked = asked.filter((ms) => nowMs - ms < MINUTE_MS)
    if (asked.length >= REPAIRS_A_MINUTE) gaveUp = true
    if (gaveUp) return
    asked.push(nowMs)
    held = false
    ;(o.ask ?? askForRepair)()
  }
  let lookEnd: Promise<void> = Promise.resolve()
  const poll = (): void => {
    timer = undefined
    if (stopped) return
    const state = read()
    if (state === undefined) {
      // The change was disabled. The next beat checks again.
      if (reported !== '') report(undefined, { takenBy: undefined, bypasses: [] })
      reported = ''
      seen = ''
      return
    }
    timer = o.clock.setTimer(POLL_MS, poll)
    const now = print(state)
    const told = (o.told ?? observedAt)()
    const fresh = now !== seen
    if (looking || (!fresh && told === toldAt && o.clock.nowMs() - lookedMs < LOOK_EVERY_MS)) return
    seen = now
    toldAt = told
    lookedMs = o.clock.nowMs()
    looking = true
    lookEnd = look(state).then((observed) => {
      looking = false
      if (stopped) return
      // Without systemd nothing waits for requests.
      if (hasRepairUnit(state.files)) answer(observed, fresh)
      report(state, observed)
      // Until it is repaired, each poll makes a full check.
      if (observed.takenBy !== undefined && !gaveUp && observed.blind !== true) seen = ''
    })
  }
  return {
    beat() {
      if (timer === undefined) poll()
    },
    async look() {
      // A check in progress may have begun before the change.
      await lookEnd
      timer?.cancel()
      seen = ''
      poll()
      await lookEnd
    },
    stop() {
      stopped = true
      timer?.cancel()
    },
  }
}

/**
 * Requests a repair: the path unit of root waits for this file. If it cannot be written, nothing is
 * repaired.
 */
function askForRepair(): void {
  try {
    replaceFile(REPAIR_WANTED, '', 0o644, 'the process')
  } catch {
    // The status still reports the take-over.
  }
}
