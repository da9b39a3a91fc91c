import type { Clock, Timer } from '../../clock.ts'
import { asEnigmError, EnigmError } from '../../errors.ts'
import { dialFault, tellingFault } from './tls-faults.ts'

/** The connection attempt delay that RFC 8305 section 5 recommends. */
const STAGGER_MS = 250
/**
 * When every address was tried and none answered a SYN, one more attempt follows after this time,
 * then one per second. If a starting network lost the first SYN, the kernel would repeat it only
 * after a second.
 */
const FIRST_AGAIN_MS = 350
const AGAIN_MS = 1000
/**
 * When TCP is up, another attempt follows only after this time. The kernel repeats lost segments,
 * and on a path of 8 kbit/s two handshakes at once would prevent each other from finishing.
 */
const AGAIN_ON_TCP_MS = 2000

/** One attempt at one address. */
export interface AddressAttempt<T> {
  readonly result: Promise<T>
  /** Whether the peer has sent anything. */
  heard(): boolean
  /** Ends the attempt. Its result is ignored. */
  abandon(error: EnigmError): void
  /** The error to report at the time limit, if it is more exact than `connect-timeout`. */
  overdue?(): EnigmError | undefined
}

/** Starts an attempt. It must call `progress` when TCP is up, and after each hop. */
export type StartAttempt<T> = (address: string, progress: () => void) => AddressAttempt<T>

export interface RaceOptions {
  readonly clock: Clock
  readonly timeoutMs: number
  /** What did not come when that time is over. Default: `TLS handshake`. */
  readonly awaited?: string
  /** Called before each attempt. Returns 0, or the time in ms to wait before the next call. */
  readonly turnInMs: () => number
  /** The factor by which the delay after TCP is up grows, see `slownessOf`. Default: 1. */
  readonly slowness?: number
  /** Aborts with its reason. */
  readonly signal?: AbortSignal
  /**
   * Called with a function that returns the error of a dial that takes too long, if it is known.
   */
  readonly onOverdue?: (overdue: () => EnigmError | undefined) => void
}

/**
 * Happy eyeballs (RFC 8305) over pinned addresses. The first address to finish its TLS handshake
 * wins, and the other attempts are ended. The first TCP connection does not win, because an address
 * may accept TCP and then fail TLS (a middlebox, a broken anycast site, a wrong certificate). The
 * delay restarts when TCP is up, to avoid a second handshake on a long path. Rejects with the most
 * informative error, or with `connect-timeout` after `timeoutMs`.
 */
export function race<T>(
  addresses: readonly string[],
  start: StartAttempt<T>,
  { clock, timeoutMs, awaited = 'TLS handshake', turnInMs, signal, slowness = 1, onOverdue }: RaceOptions,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const live = new Set<AddressAttempt<T>>()
    const reached = new Set<AddressAttempt<T>>()
    const faults: EnigmError[] = []
    let started = 0
    let stagger: Timer | undefined
    const overdue = () => [...live].map((attempt) => attempt.overdue?.()).find((error) => error !== undefined)
    onOverdue?.(overdue)
    const limit = clock.setTimer(timeoutMs, () => lose(overdue() ?? new EnigmError('connect-timeout', `no ${awaited} in time`)))

    const end = () => {
      limit.cancel()
      stagger?.cancel()
      signal?.removeEventListener('abort', onAbort)
      for (const attempt of live) attempt.abandon(new EnigmError('closed', 'another attempt won, or the dial ended'))
      live.clear()
      started = Number.POSITIVE_INFINITY
    }
    const lose = (error: EnigmError) => {
      end()
      reject(tellingFault([...faults, error]))
    }
    const onAbort = () => lose(asEnigmError(signal?.reason))

    const arm = () => {
      stagger?.cancel()
      const round = started - addresses.length
      const againMs = reached.size > 0 ? AGAIN_ON_TCP_MS * slowness : round === 0 ? FIRST_AGAIN_MS : AGAIN_MS
      stagger = clock.setTimer(round < 0 ? STAGGER_MS * (reached.size > 0 ? slowness : 1) : againMs, next)
    }
    const next = () => {
      if (started >= addresses.length && [...live].some((a) => a.heard())) return
      const address = addresses[started % addresses.length]
      if (address === undefined) return lose(new EnigmError('connect-failed', 'there is no address to dial'))
      const waitMs = turnInMs()
      if (waitMs > 0) {
        stagger?.cancel()
        stagger = clock.setTimer(waitMs, next)
        return
      }
      started++
      const attempt = begun(start, address, () => {
        if (!(attempt instanceof EnigmError)) reached.add(attempt)
        arm()
      })
      if (attempt instanceof EnigmError) return lose(attempt)
      live.add(attempt)
      arm()
      attempt.result.then(
        (won) => {
          if (!live.delete(attempt)) return
          end()
          resolve(won)
        },
        (error: unknown) => {
          if (!live.delete(attempt)) return
          reached.delete(attempt)
          faults.push(asEnigmError(error))
          if (started < addresses.length) next()
          else if (live.size === 0) lose(asEnigmError(error))
        },
      )
    }

    if (signal?.aborted) return onAbort()
    signal?.addEventListener('abort', onAbort)
    next()
  })
}

/** Starts an attempt. An error here comes before anything is sent, and occurs for every address. */
function begun<T>(start: StartAttempt<T>, address: string, progress: () => void): AddressAttempt<T> | EnigmError {
  try {
    return start(address, progress)
  } catch (error) {
    return dialFault(error, false)
  }
}
