import type { Timer } from '../clock.ts'
import type { Emit } from '../events.ts'
import { type NetworkWatch, type NetworkWatchOptions, watchNetwork } from './network-watch.ts'

/** While there is something to notice for, a timer measures the time that passes; when there is not, the heartbeat does. */
const TICK_MS = 2000
/** A timer later than this was no busy loop: the process was stopped or the machine slept. */
const ASLEEP_MS = 3000
/** A wall clock that differs from boot time by so much more or less than before was set; what NTP slews in a tick is a thousandth. */
const WALL_JUMP_MS = 1000

/** What happened to the world while nobody looked. */
export type Disturbance = 'network' | 'wake' | 'clock'

export interface NetworkMonitorOptions extends Omit<NetworkWatchOptions, 'changed'> {
  /** How far apart the calls of `beat` are. */
  readonly beatMs: number
  readonly emit: Emit
  /** Called at once, before anything else is done; `online` as far as known. */
  readonly disturbed: (what: Disturbance, online: boolean) => void
}

export interface NetworkMonitor {
  /** For whoever is about to use a connection: the first packet after a suspend comes before any timer, which stands still meanwhile. Some 0.1 us. */
  notice(): void
  /** At each heartbeat. */
  beat(): void
  /** For whoever is about to show something to a network: is it still the one it was? 0.35 ms. */
  look(): void
  stop(): void
}

/**
 * Notices other networks, suspends and stops (by the clock that runs on through a suspend, and by time that passed without its timer), and wall clocks that were
 * set. Sets no timer while nobody calls `notice`, where the kernel tells of networks.
 */
export function startNetworkMonitor({ emit, disturbed, beatMs, ...watch }: NetworkMonitorOptions): NetworkMonitor {
  const { clock } = watch
  const wallAhead = () => clock.wallMs() - clock.nowMs()
  const slept = () => clock.sleptMs?.() ?? 0
  let seenMs = clock.nowMs()
  let sleptMs = slept()
  let aheadMs = wallAhead()
  let timer: Timer | undefined
  let busy = false
  let changedDuringLook = false

  const network: NetworkWatch = watchNetwork({
    ...watch,
    changed({ online }) {
      changedDuringLook = true
      emit({ type: 'network.changed', online })
      disturbed('network', online)
    },
  })

  /** Reads the time first: it is that which finds a suspend. */
  const noticeSleep = () => {
    const nowMs = clock.nowMs()
    const lateMs = nowMs - seenMs - (timer === undefined ? beatMs : TICK_MS)
    const awayMs = Math.max(lateMs, slept() - sleptMs)
    if (awayMs < ASLEEP_MS) return
    seenMs = nowMs
    sleptMs = slept()
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
  const noticeAll = () => {
    noticeSleep()
    noticeWall()
    seenMs = clock.nowMs()
    sleptMs = slept()
  }
  const tick = () => {
    noticeAll()
    timer = busy ? clock.setTimer(TICK_MS, tick) : undefined
    busy = false
  }

  return {
    notice() {
      noticeSleep()
      busy = true
      if (timer !== undefined) return
      noticeAll()
      timer = clock.setTimer(TICK_MS, tick)
    },
    beat() {
      noticeAll()
      network.look()
    },
    look: () => network.look(),
    stop() {
      timer?.cancel()
      network.stop()
    },
  }
}
