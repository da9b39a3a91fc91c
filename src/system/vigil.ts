import type { Timer } from '../clock.ts'
import type { Emit } from '../events.ts'
import { type NetworkWatch, type NetworkWatchOptions, watchNetwork } from './network-watch.ts'

const TICK_MS = 2000
/** A tick later than this was no busy loop: the process was stopped or the machine slept. */
const ASLEEP_MS = 3000
/** A wall clock that differs from boot time by so much more or less than before was set; what NTP slews in a tick is a thousandth. */
const WALL_JUMP_MS = 1000

/** What happened to the world while nobody looked. */
export type Disturbance = 'network' | 'wake' | 'clock'

export interface VigilOptions extends Omit<NetworkWatchOptions, 'changed'> {
  readonly emit: Emit
  /** Called at once, before anything else is done; `online` as far as known. */
  readonly disturbed: (what: Disturbance, online: boolean) => void
}

export interface Vigil {
  /** For whoever is about to use a connection: the first packet after a suspend comes before any timer, which stands still meanwhile. Some 0.1 us. */
  notice(): void
  /** For whoever is about to show something to a network: is it still the one it was? 0.35 ms. */
  look(): void
  stop(): void
}

/** Notices other networks, suspends and stops (by time that passed without its timer), and wall clocks that were set. */
export function keepVigil({ emit, disturbed, ...watch }: VigilOptions): Vigil {
  const { clock } = watch
  const wallAhead = () => clock.wallMs() - clock.nowMs()
  let seenMs = clock.nowMs()
  let aheadMs = wallAhead()
  let timer: Timer | undefined
  let changedDuringLook = false

  const network: NetworkWatch = watchNetwork({
    ...watch,
    changed({ online }) {
      changedDuringLook = true
      emit({ type: 'network.changed', online })
      disturbed('network', online)
    },
  })

  const notice = (allowedMs: number) => {
    const nowMs = clock.nowMs()
    const awayMs = nowMs - seenMs - allowedMs
    if (awayMs < ASLEEP_MS) return
    seenMs = nowMs
    emit({ type: 'woke', awayMs: Math.round(awayMs) })
    changedDuringLook = false
    network.look()
    if (!changedDuringLook) disturbed('wake', network.online)
  }
  const noticeWall = () => {
    const nowAheadMs = wallAhead()
    const byMs = nowAheadMs - aheadMs
    aheadMs = nowAheadMs
    if (Math.abs(byMs) < WALL_JUMP_MS) return
    emit({ type: 'clock.moved', byMs: Math.round(byMs) })
    disturbed('clock', network.online)
  }
  const tick = () => {
    notice(TICK_MS)
    noticeWall()
    seenMs = clock.nowMs()
    timer = clock.setTimer(TICK_MS, tick)
  }
  timer = clock.setTimer(TICK_MS, tick)

  return {
    notice: () => notice(TICK_MS),
    look: () => network.look(),
    stop() {
      timer?.cancel()
      network.stop()
    },
  }
}
