import type { Clock, Timer } from '../../clock.ts'
import { EnigmError } from '../../errors.ts'
import type { Protection } from '../../resolve.ts'
import { isHybrid } from '../../tls-groups.ts'
import type { TlsRules } from './endpoint.ts'
import type { AddressAttempt } from './race.ts'
import { groupOffer } from './tls-settings.ts'

/**
 * A ClientHello with X25519MLKEM768 takes two packets, and some devices drop it. If the peer sends
 * nothing in reply for this long, or for three round trips of TCP, the handshake is retried without
 * this group. A lost segment costs less time (RFC 6298: it is first repeated after 200 ms to 1 s).
 * Over UDP the race repeats the dial after 350 ms.
 */
const STALLED_MS = 1000
const STALLED_RTTS = 3
const MAX_STALLED_MS = 1500
/** When only the shorter ClientHello got through, dials begin with it for this time. */
const REMEMBER_MS = 600_000

/** Remembers whether a long ClientHello reaches one resolver. Kept between dials of one link. */
export class HelloMemory {
  #classicalUntilMs = Number.NEGATIVE_INFINITY

  /** Whether only the shorter ClientHello got through in the last 10 minutes. */
  isClassical(nowMs: number): boolean {
    return nowMs < this.#classicalUntilMs
  }
  onlyClassical(nowMs: number): void {
    this.#classicalUntilMs = nowMs + REMEMBER_MS
  }
  /** Forgets everything, because the network changed. */
  forget(): void {
    this.#classicalUntilMs = Number.NEGATIVE_INFINITY
  }
}

/** How one address is dialled. `T`: what a successful handshake gives. */
export interface RetryTools<T> {
  readonly clock: Clock
  readonly hellos: HelloMemory
  /** Takes a turn to dial and returns 0, or returns the time in ms to wait before the next call. */
  readonly turnInMs: () => number
  /**
   * Begins a handshake with all groups, or with classical ones only. It calls `onUp` when the peer
   * can get the ClientHello: when TCP is up, or when the socket of UDP is open.
   */
  readonly dial: (classical: boolean, onUp: () => void) => AddressAttempt<T>
  /** Whether a connection that was closed after the ClientHello is retried at once. */
  readonly afterClose: boolean
}

/**
 * A handshake that is retried with classical groups only, if the peer sends no octet in reply to
 * its ClientHello. A device that drops the ClientHello can force this retry. Therefore the
 * protection records it, and it never happens if `tls.groups` of the resolver has no classical
 * group. `onUp` is called once.
 */
export function withClassicalRetry<T extends { readonly protection: Protection }>(
  rules: TlsRules | undefined,
  onUp: () => void,
  tools: RetryTools<T>,
): AddressAttempt<T> {
  const full = groupOffer(rules, false)
  const classical = groupOffer(rules, true)
  if (full === undefined || classical === undefined || !full.groups.some(isHybrid)) return tools.dial(false, onUp)
  const attempts = new TwoAttempts(tools)
  if (tools.hellos.isClassical(tools.clock.nowMs())) attempts.retry(onUp)
  else attempts.begin(onUp)
  return attempts
}

class TwoAttempts<T extends { readonly protection: Protection }> implements AddressAttempt<T> {
  readonly result: Promise<T>
  readonly #tools: RetryTools<T>
  readonly #live: AddressAttempt<T>[] = []
  #first: AddressAttempt<T> | undefined
  #stall: Timer | undefined
  #settled = false
  #retried = false
  #resolve: (won: T) => void = () => {}
  #reject: (error: unknown) => void = () => {}

  constructor(tools: RetryTools<T>) {
    this.#tools = tools
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  heard(): boolean {
    return this.#live.some((attempt) => attempt.heard())
  }

  abandon(error: EnigmError): void {
    this.#end()
    for (const attempt of this.#live) attempt.abandon(error)
  }

  begin(onUp: () => void): void {
    const { clock, afterClose } = this.#tools
    const beganMs = clock.nowMs()
    let up = false
    const first = this.#tools.dial(false, () => {
      up = true
      onUp()
      const afterMs = Math.min(MAX_STALLED_MS, Math.max(STALLED_MS, STALLED_RTTS * (clock.nowMs() - beganMs)))
      if (!this.#settled) this.#stall = clock.setTimer(afterMs, () => this.#ifStalled())
    })
    this.#first = first
    this.#live.push(first)
    first.result.then(
      (won) => this.#won(first, won),
      (error: unknown) => {
        const isClosed = up && afterClose && !first.heard()
        if (isClosed && !this.#settled && !this.#retried && this.#tools.turnInMs() === 0) this.retry(() => {})
        this.#lost(first, error)
      },
    )
  }

  /** Dials with classical groups. */
  retry(onUp: () => void): void {
    this.#retried = true
    const second = this.#tools.dial(true, onUp)
    this.#live.push(second)
    second.result.then(
      (won) => this.#won(second, won),
      (error: unknown) => this.#lost(second, error),
    )
  }

  #ifStalled(): void {
    if (this.#settled || this.#retried || this.#first?.heard() === true) return
    const waitMs = this.#tools.turnInMs()
    this.#stall?.cancel()
    if (waitMs > 0) this.#stall = this.#tools.clock.setTimer(waitMs, () => this.#ifStalled())
    else this.retry(() => {})
  }

  #won(attempt: AddressAttempt<T>, won: T): void {
    if (this.#settled) return
    this.#end()
    const { clock, hellos } = this.#tools
    const forced = attempt !== this.#first && this.#first?.heard() !== true
    if (forced && this.#first !== undefined) hellos.onlyClassical(clock.nowMs())
    for (const other of this.#live) if (other !== attempt) other.abandon(new EnigmError('closed', 'the other ClientHello was answered'))
    this.#resolve(forced ? { ...won, protection: { ...won.protection, groupForced: true } } : won)
  }

  #lost(attempt: AddressAttempt<T>, error: unknown): void {
    if (this.#settled) return
    this.#live.splice(this.#live.indexOf(attempt), 1)
    if (this.#live.length > 0) return
    this.#end()
    this.#reject(error)
  }

  #end(): void {
    this.#settled = true
    this.#stall?.cancel()
  }
}
