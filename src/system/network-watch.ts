import type { Clock, Timer } from '../clock.ts'
import { listenToKernel } from './netlink.ts'
import { type NetworkView, readNetwork } from './network-view.ts'

/** Where the kernel does not tell of changes, one is seen within this. A look costs 0.35 ms. */
const POLL_EVERY_MS = 500
/** A router's table changes a thousand times a second, and each change is told: no more than one look in this time. */
const LOOK_EVERY_MS = 20
/** A network that comes up changes a dozen times. So many changes are told at once, further ones so far apart: each may cost a handshake. */
const REPORTS_AT_ONCE = 8
const REPORTS_APART_MS = 500

export interface NetworkWatch {
  readonly how: 'kernel' | 'polling'
  readonly online: boolean
  /** Looks now, for a caller that has reason to; `changed` may be called before it returns. */
  look(): void
  stop(): void
}

export interface NetworkWatchOptions {
  readonly clock: Clock
  /** The network is another one, or the same again after a break; or it is gone. Eight times at once, then twice a second. */
  readonly changed: (view: NetworkView) => void
  /** Replaced in tests. */
  readonly read?: () => NetworkView
  readonly listen?: (heard: () => void) => { close(): void } | undefined
}

/** Watches which network this host is on. Where the kernel tells, it sets no timer: the owner looks now and then, for what the kernel forgot. Its timers do not keep the process alive. */
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
    // Back to what was told last is a change, too: connections did not survive what lay between.
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
