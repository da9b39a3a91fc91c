import type { Clock, Timer } from '../../clock.ts'
import { EnigmError } from '../../errors.ts'
import { isHybrid } from '../../tls-groups.ts'
import type { HandshakeOptions, handshake, Secured } from './handshake.ts'
import type { AddressAttempt } from './race.ts'
import { groupOffer } from './tls-settings.ts'

/**
 * A ClientHello with X25519MLKEM768 takes two packets, and some devices drop it. If TCP is up and
 * the peer sends nothing for this long, or for three round trips, the handshake is retried without
 * this group. A lost segment costs less time (RFC 6298: it is first repeated after 200 ms to 1 s).
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

export interface RetryTools {
  readonly clock: Clock
  readonly hellos: HelloMemory
  /** Takes a turn to dial and returns 0, or returns the time in ms to wait before the next call. */
  readonly turnInMs: () => number
  readonly dial: typeof handshake
}

/**
 * A handshake that is retried with classical groups only, if the peer sends no octet in reply to
 * its ClientHello. A device that drops the ClientHello can force this retry. Therefore the
 * protection records it, and it never happens if `tls.groups` of the resolver has no classical
 * group.
 */
export function withClassicalRetry(
  options: HandshakeOptions,
  place: { readonly address: string; readonly port: number },
  onTcp: () => void,
  tools: RetryTools,
): AddressAttempt<Secured> {
  const full = groupOffer(options.endpoint.tls, false)
  const classical = groupOffer(options.endpoint.tls, true)
  const { dial } = tools
  if (full === undefined || classical === undefined || !full.groups.some(isHybrid)) return dial(options, place.address, place.port, onTcp)
  const attempts = new TwoAttempts({ ...options, classical: true }, place, tools)
  if (tools.hellos.isClassical(tools.clock.nowMs())) attempts.retry(onTcp)
  else attempts.begin(options, onTcp)
  return attempts
}

class TwoAttempts implements AddressAttempt<Secured> {
  readonly result: Promise<Secured>
  readonly #classical: HandshakeOptions
  readonly #place: { readonly address: string; readonly port: number }
  readonly #tools: RetryTools
  readonly #live: AddressAttempt<Secured>[] = []
  #first: AddressAttempt<Secured> | undefined
  #stall: Timer | undefined
  #settled = false
  #retried = false
  #resolve: (secured: Secured) => void = () => {}
  #reject: (error: unknown) => void = () => {}

  constructor(classical: HandshakeOptions, place: { readonly address: string; readonly port: number }, tools: RetryTools) {
    this.#classical = classical
    this.#place = place
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

  begin(options: HandshakeOptions, onTcp: () => void): void {
    const { clock } = this.#tools
    const { address, port } = this.#place
    const beganMs = clock.nowMs()
    let up = false
    const first = this.#tools.dial(options, address, port, () => {
      up = true
      onTcp()
      const afterMs = Math.min(MAX_STALLED_MS, Math.max(STALLED_MS, STALLED_RTTS * (clock.nowMs() - beganMs)))
      if (!this.#settled) this.#stall = clock.setTimer(afterMs, () => this.#ifStalled())
    })
    this.#first = first
    this.#live.push(first)
    first.result.then(
      (secured) => this.#won(first, secured),
      (error: unknown) => {
        if (up && !first.heard() && !this.#settled && !this.#retried && this.#tools.turnInMs() === 0) this.retry(() => {})
        this.#lost(first, error)
      },
    )
  }

  /** Dials with classical groups. */
  retry(onTcp: () => void): void {
    const { address, port } = this.#place
    this.#retried = true
    const second = this.#tools.dial(this.#classical, address, port, onTcp)
    this.#live.push(second)
    second.result.then(
      (secured) => this.#won(second, secured),
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

  #won(attempt: AddressAttempt<Secured>, secured: Secured): void {
    if (this.#settled) return
    this.#end()
    const { clock, hellos } = this.#tools
    const forced = attempt !== this.#first && this.#first?.heard() !== true
    if (forced && this.#first !== undefined) hellos.onlyClassical(clock.nowMs())
    for (const other of this.#live) if (other !== attempt) other.abandon(new EnigmError('closed', 'the other ClientHello was answered'))
    this.#resolve(forced ? { ...secured, protection: { ...secured.protection, groupForced: true } } : secured)
  }

  #lost(attempt: AddressAttempt<Secured>, error: unknown): void {
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
