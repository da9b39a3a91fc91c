import type { Clock, Random, Timer } from '../clock.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import { asEnigmError, type EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Question } from '../resolve.ts'
import type { PortalSwitch } from './portal-switch.ts'
import type { PortalSession } from './session.ts'

/** The longest that a session may last. */
export const LONGEST_PORTAL_MS = 3_600_000

/** Where the lines of a session go. */
export interface PortalOutput {
  /** Sends each value as a line. */
  send(lines: readonly object[]): boolean
  end(): void
}

/** What whoever holds the other end of an outlet tells. */
export interface PortalReceiver {
  drained(): void
  /** The other end has hung up. */
  gone(): void
}

/**
 * Why a session ended: the network lets traffic through, the time was over, whoever began it went
 * away, the network changed, the policy lets nothing through, or the service took another
 * configuration, forgets what was asked, or stops.
 */
export type PortalEnd = 'passed' | 'time' | 'gone' | 'network' | 'policy' | 'reload' | 'forget' | 'stop'

export interface CaptivePortalParts {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  /** Why the policy lets nothing through now; undefined: it does. */
  readonly refusal: () => EnigmError | undefined
  readonly bypass: PortalSwitch
  /** Whether a name belongs to a zone that has resolvers of its own: it is never asked here. */
  readonly isForwarded: (question: Question) => boolean
  /** Called after a session: resolvers that were out of reach may be there now. */
  readonly ended: (why: PortalEnd) => void
}

/**
 * Sessions in which the login page of a network can be reached: by a person's command, for a
 * limited time, at most one at a time. Before the first packet leaves, the event `portal` has made
 * the status `exposed`.
 */
export class CaptivePortal {
  readonly #parts: CaptivePortalParts
  #session: PortalSession | undefined
  #outlet: PortalOutput | undefined
  #timer: Timer | undefined

  constructor(parts: CaptivePortalParts) {
    this.#parts = parts
  }

  /**
   * Begins a session of `forMs`, at most `LONGEST_PORTAL_MS`, that asks `resolvers`. Where one is
   * on already, or the policy lets nothing through, says so to `outlet` and ends it.
   */
  begin(forMs: number, resolvers: readonly SocketAddress[], outlet: PortalOutput): PortalReceiver {
    const { clock, emit } = this.#parts
    const closed = this.#parts.refusal()?.code
    const refusal =
      closed !== undefined
        ? `the policy lets nothing through now (${closed})`
        : this.#outlet !== undefined
          ? 'the login page of this network is being reached already'
          : undefined
    if (refusal !== undefined) {
      outlet.send([{ error: refusal }])
      outlet.end()
      return { drained() {}, gone() {} }
    }
    const limitMs = Math.max(0, Math.min(forMs, LONGEST_PORTAL_MS))
    const untilWallMs = clock.wallMs() + limitMs
    this.#outlet = outlet
    this.#timer = clock.setTimer(limitMs, () => this.end('time'))
    emit({ type: 'portal', untilWallMs })
    outlet.send([{ portal: 'on', until: new Date(untilWallMs).toISOString() }])
    void this.#start(clock.nowMs() + limitMs, resolvers, outlet)
    return { drained() {}, gone: () => this.#outlet === outlet && this.end('gone') }
  }

  /** Ends it, if there is one: no packet leaves after, and nothing of it stays. */
  end(why: PortalEnd): void {
    const { emit, bypass, ended } = this.#parts
    const outlet = this.#outlet
    if (outlet === undefined) return
    const packets = this.#session?.packets ?? 0
    this.#timer?.cancel()
    this.#outlet = undefined
    bypass.set(undefined)
    this.#session?.close()
    this.#session = undefined
    outlet.send([{ portal: 'off', why, packets }])
    outlet.end()
    emit({ type: 'portal', untilWallMs: undefined })
    ended(why)
  }

  /** Loaded only now: without a portal it costs nothing. */
  async #start(untilMs: number, resolvers: readonly SocketAddress[], outlet: PortalOutput): Promise<void> {
    const { clock, random, emit, refusal, bypass, isForwarded } = this.#parts
    try {
      const { PortalSession } = await import('./session.ts')
      if (this.#outlet !== outlet) return
      const session = new PortalSession({
        ...{ clock, random, emit, refusal, isForwarded, resolvers, untilMs },
        found: (page) => void (this.#outlet === outlet && outlet.send([page])),
        over: (why) => void (this.#outlet === outlet && this.end(why)),
      })
      this.#session = session
      bypass.set(session)
      await session.run()
    } catch (error) {
      emit({ type: 'fault', where: `portal: ${asEnigmError(error).code}` })
      if (this.#outlet === outlet) this.end('stop')
    }
  }
}
