import type { Clock, Timer } from '../clock.ts'
import { listenToKernel } from './netlink.ts'
import { type NetworkView, readNetwork } from './network-view.ts'

/** Where the kernel does not tell of changes, one is seen within this. A look costs 0.35 ms. */
const POLL_EVERY_MS = 500
/** A router's table changes a thousand times a second, and each change is told: no more than one look in this time. */
const LOOK_EVERY_MS = 20
/** A network that comes up changes a dozen times. So many changes are told at once, further ones so far apart: each may cost a handshake. */
const AT_ONCE = 8
const APART_MS = 500

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
  let told = seen
  let left = AT_ONCE
  let filledMs = clock.nowMs()
  let pending: Timer | undefined
  let lookedAtMs = clock.nowMs()
  let next: Timer | undefined
  let round: Timer | undefined
  let stopped = false

  const tell = () => {
    pending?.cancel()
    pending = undefined
    left--
    told = seen
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
    left = Math.min(AT_ONCE, left + (nowMs - filledMs) / APART_MS)
    filledMs = nowMs
    const online = now.online && !told.online
    if (left >= 1 || online) tell()
    else pending ??= clock.setTimer((1 - left) * APART_MS, tell)
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
  const again = () => {
    look()
    round = clock.setTimer(POLL_EVERY_MS, again)
  }
  if (kernel === undefined) round = clock.setTimer(POLL_EVERY_MS, again)

  return {
    how: kernel === undefined ? 'polling' : 'kernel',
    get online() {
      return told.online
    },
    look,
    stop() {
      stopped = true
      pending?.cancel()
      next?.cancel()
      round?.cancel()
      kernel?.close()
    },
  }
}
