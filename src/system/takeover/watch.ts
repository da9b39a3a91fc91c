import type { Clock, Timer } from '../../clock.ts'
import type { Emit } from '../../events.ts'
import { replaceFile } from '../../files/writing.ts'
import type { RunCommand } from '../run-command.ts'
import { fingerprint, type Observed, observe, observedAt, type PublicState, readPublicState } from './observe.ts'
import { isRepaired } from './own-units.ts'
import { REPAIR_WANTED, REPAIRS_A_MINUTE } from './places.ts'

/** A file that changed is seen within this: the system is to be back within 2 s. */
const POLL_MS = 500
/** Not every change shows in a file: a domain that is for routing only does not. */
const LOOK_EVERY_MS = 10_000
const MINUTE_MS = 60_000
/** A repair that was asked for has this long: until then it is under way. */
const REPAIR_MS = 4000
/** A process of root for each: for where this one may not ask systemd-resolved itself. */
const LOOKS_A_MINUTE = 12

export interface TakeoverWatchOptions {
  readonly clock: Clock
  readonly emit: Emit
  readonly run: RunCommand
  /** How the host is looked at; replaced in tests. */
  readonly state?: () => PublicState | undefined
  readonly look?: (state: PublicState) => Promise<Observed>
  readonly print?: (state: PublicState) => string
  /** Another text each time that root has told what it saw. */
  readonly told?: () => string
  /** Has the system put right. */
  readonly ask?: () => void
}

/** Watches whether the system still asks this service, where `system enable` had it do so. */
export interface TakeoverWatch {
  /** Called at each heartbeat: begins to watch once there is something to watch. */
  beat(): void
  stop(): void
}

/**
 * A watch that has not looked yet. Where nothing is enabled it costs one stat a beat. What it sees
 * is reported when it changes; a take-over is answered by asking the unit of root to repair, three
 * times a minute at most, and then no more until the system asks us again. Where no unit waits for
 * that, it is only reported.
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
    const taken = state !== undefined && !isRepaired(state.files) ? 'left' : over ? 'given-up' : 'taken'
    const word = state === undefined ? 'off' : takenBy === undefined ? 'held' : taken
    const event = { type: 'seen.takeover', state: word, by: takenBy ?? state?.owner ?? '', bypasses } as const
    const text = JSON.stringify(event)
    if (text !== reported && !stopped) o.emit(event)
    reported = text
  }
  /** Root looks, and puts right what is not. */
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
    // Held meanwhile: this is another take-over.
    if (!held && nowMs - (asked.at(-1) ?? Number.NEGATIVE_INFINITY) < REPAIR_MS) return
    asked = asked.filter((ms) => nowMs - ms < MINUTE_MS)
    if (asked.length >= REPAIRS_A_MINUTE) gaveUp = true
    if (gaveUp) return
    asked.push(nowMs)
    held = false
    ;(o.ask ?? askForRepair)()
  }
  const poll = () => {
    timer = undefined
    if (stopped) return
    const state = read()
    if (state === undefined) {
      // It was disabled: the next beat looks again.
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
    void look(state).then((observed) => {
      looking = false
      if (stopped) return
      // Without systemd nothing waits for the wish.
      if (isRepaired(state.files)) answer(observed, fresh)
      report(state, observed)
      // Until it is put right it is looked at with each poll.
      if (observed.takenBy !== undefined && !gaveUp && observed.blind !== true) seen = ''
    })
  }
  return {
    beat() {
      if (timer === undefined) poll()
    },
    stop() {
      stopped = true
      timer?.cancel()
    },
  }
}

/** The path unit of root waits for this file; where it cannot be written nothing is repaired. */
function askForRepair(): void {
  try {
    replaceFile(REPAIR_WANTED, '', 0o644, 'the process')
  } catch {
    // The status says who has taken over.
  }
}
