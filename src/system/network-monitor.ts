import type { Clock, Timer } from '../clock.ts'
import type { Emit } from '../events.ts'
import { listenToKernel } from './netlink.ts'
import { type NetworkView, readNetwork } from './network-view.ts'

/**
 * The interval of checks if the kernel does not report changes. A check costs 0.35 ms.
 */
const POLL_EVERY_MS = 500
/**
 * At most one check in this time. On a router, the kernel may report a thousand changes per second.
 */
const LOOK_EVERY_MS = 20
/**
 * This many changes are reported at once, further ones at an interval, because each may cost a
 * handshake. A network that comes up changes a dozen times.
 */
const REPORTS_AT_ONCE = 8
const REPORTS_APART_MS = 500

export interface NetworkWatch {
  readonly how: 'kernel' | 'polling'
  readonly online: boolean
  /** Checks now. `changed` may be called before it returns. */
  look(): void
  stop(): void
}

export interface NetworkWatchOptions {
  readonly clock: Clock
  /**
   * The network has changed: it is another one, the same after an interruption, or gone. Called up
   * to eight times at once, then twice a second.
   */
  readonly changed: (view: NetworkView) => void
  /** Replaced in tests. */
  readonly read?: () => NetworkView
  readonly listen?: (heard: () => void) => { close(): void } | undefined
}

/**
 * Watches which network this host is on. If the kernel reports changes, it sets no timer; the owner
 * calls `look` at intervals, in case the kernel did not report a change. Its timers do not keep the
 * process alive.
 */
export function watchNetwork({ clock, changed, read = readNetwork, listen = listenToKernel }: NetworkWatchOptions): NetworkWatch {
  let seen = read()
  let reported = seen
  let left = REPORTS_AT_ONCE
  let filledMs = clock.nowMs()
  let pending: Timer | undefined
  let lookedAtMs = clock.nowMs()
  let next: Timer | undefined
  let pollTimer: Timer | undefined
  let stopped = false

  const report = () => {
    pending?.cancel()
    pending = undefined
    left--
    reported = seen
    changed(seen)
  }
  const look = () => {
    if (stopped) return
    lookedAtMs = clock.nowMs()
    const now = read()
    if (now.text === seen.text) return
    seen = now
    // A return to the last reported network is a change too, because connections did not survive.
    const nowMs = clock.nowMs()
    left = Math.min(REPORTS_AT_ONCE, left + (nowMs - filledMs) / REPORTS_APART_MS)
    filledMs = nowMs
    const online = now.online && !reported.online
    if (left >= 1 || online) report()
    else pending ??= clock.setTimer((1 - left) * REPORTS_APART_MS, report)
  }
  const heard = () => {
    if (next !== undefined || stopped) return
    const waitMs = lookedAtMs + LOOK_EVERY_MS - clock.nowMs()
    const due = () => {
      next = undefined
      look()
    }
    if (waitMs > 0) next = clock.setTimer(waitMs, due)
    else look()
  }
  const kernel = listen(heard)
  const poll = () => {
    look()
    pollTimer = clock.setTimer(POLL_EVERY_MS, poll)
  }
  if (kernel === undefined) pollTimer = clock.setTimer(POLL_EVERY_MS, poll)

  return {
    how: kernel === undefined ? 'polling' : 'kernel',
    get online() {
      return reported.online
    },
    look,
    stop() {
      stopped = true
      pending?.cancel()
      next?.cancel()
      pollTimer?.cancel()
      kernel?.close()
    },
  }
}

/**
 * The interval of the timer that detects a suspend. It runs while `notice` is called; otherwise the
 * heartbeat detects a suspend.
 */
const TICK_MS = 2000
/**
 * A timer that is later than this was not delayed by a busy event loop: the process was stopped, or
 * the machine slept.
 */
const ASLEEP_MS = 3000
/**
 * If the difference between wall clock and boot time changes by more than this, the wall clock was
 * set. NTP adjusts it by at most a thousandth per tick.
 */
const WALL_JUMP_MS = 1000

/** A change of the environment: another network, a wake-up, or a new wall clock. */
export type Disturbance = 'network' | 'wake' | 'clock'

export interface NetworkMonitorOptions extends Omit<NetworkWatchOptions, 'changed'> {
  /** Interval between the calls of `beat`. */
  readonly beatMs: number
  readonly emit: Emit
  /** Called at once, before any other action. `online`: whether the host is online, if known. */
  readonly disturbed: (what: Disturbance, online: boolean) => void
}

export interface NetworkMonitor {
  /**
   * Must be called before a connection is used. After a suspend, the first packet may come before
   * any timer, because timers stop during a suspend. `nowMs`: the time, if it was just read.
   */
  notice(nowMs?: number): void
  /** Called at each heartbeat. */
  beat(): void
  /**
   * Checks whether the network is still the same. Must be called before a packet reveals something
   * to a network. Costs 0.35 ms.
   */
  look(): void
  stop(): void
}

/**
 * Detects changes of the network, suspends and stops of the process, and changes of the wall clock.
 * A suspend or stop shows in boot time that passed without its timer. It sets no timer if the
 * kernel reports network changes and `notice` is not called.
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

  /** Detects a suspend from the time that has passed. */
  const noticeSleep = (nowMs = clock.nowMs()) => {
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
    notice(nowMs) {
      noticeSleep(nowMs)
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
