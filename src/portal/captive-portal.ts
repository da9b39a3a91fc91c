import type { Clock, Random, Timer } from '../clock.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import { asEnigmError, type EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Question } from '../resolve.ts'
import type { PortalSwitch } from './portal-switch.ts'
import type { PortalSession } from './session.ts'

/** Maximum duration of a session. */
export const LONGEST_PORTAL_MS = 3_600_000

/** Where the lines of a session go. */
export interface PortalOutput {
  /** Sends each value as a line. */
  send(lines: readonly object[]): boolean
  end(): void
}

/** Called by the owner of the output. */
export interface PortalReceiver {
  drained(): void
  /** The other end was closed. */
  gone(): void
}

/**
 * Why a session ended: the network lets traffic through, the time was over, the person who began it
 * disconnected, the network changed, the policy lets no query through, or the service took another
 * configuration, forgets queries, or stops.
 */
export type PortalEnd = 'passed' | 'time' | 'gone' | 'network' | 'policy' | 'reload' | 'forget' | 'stop'

export interface CaptivePortalParts {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  /** The reason why the policy lets no query through now; undefined: it lets them through. */
  readonly refusal: () => EnigmError | undefined
  readonly bypass: PortalSwitch
  /** Whether a name belongs to a zone with its own resolvers: such a name is never asked here. */
  readonly isForwarded: (question: Question) => boolean
  /** Called after a session: resolvers that were unreachable may be reachable now. */
  readonly ended: (why: PortalEnd) => void
}

/**
 * Sessions in which the login page of a network can be reached: started by a person's command, for
 * a limited time, at most one at a time. Before the first packet is sent, the event `portal` has
 * set the status to `exposed`.
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
   * Starts a session of `forMs`, at most `LONGEST_PORTAL_MS`, that asks `resolvers`. If one is
   * active already, or the policy lets no query through, reports this to `outlet` and ends the new
   * one.
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

  /** Ends the session, if there is one: no packet is sent after that, and nothing of it is kept. */
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
