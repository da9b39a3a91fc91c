import type { Clock } from '../../clock.ts'
import { asEnigmError, EnigmError, isOurs } from '../../errors.ts'
import type { Authenticated, Protection, Transport } from '../../resolve.ts'
import { HelloMemory, withClassicalRetry } from './classical-retry.ts'
import type { DialPace } from './dial-pace.ts'
import { type Endpoint, interleaved, portOf, type StrictEndpoint } from './endpoint.ts'
import { handshake, type Secured } from './handshake.ts'
import { slownessOf } from './hops.ts'
import { race } from './race.ts'
import type { TlsSessions } from './sessions.ts'
import { hadNoRoute } from './tls-faults.ts'

/**
 * Limit for TCP and TLS together. A slower resolver does not help a client that waits 4 s for an
 * answer. Behind proxies the limit is longer, because later queries can use the connection.
 */
export const HANDSHAKE_TIMEOUT_MS = 3000

/** An established connection to a resolver. `P` says whether the peer is authenticated. */
export interface Connection<P extends Protection = Protection> extends Secured {
  readonly address: string
  readonly protection: P
  /** The time from the first SYN to the end of the successful handshake. */
  readonly handshakeMs: number
  /**
   * Behind proxies: the time of the TLS handshake with the resolver, about one round trip of the
   * whole route. Absent on a direct path, where the first answer gives the round trip soon enough.
   */
  readonly routeRttMs?: number
}

/**
 * Chooses the address with which the next dial begins: the one after those that failed in the last
 * dials. So every address is tried, even if each dial ends before it has tried all.
 */
export class AddressTurns {
  #tried = 0

  order(addresses: readonly string[], first: string | undefined): readonly string[] {
    const from = this.#tried % Math.max(1, addresses.length)
    const turned = [...addresses.slice(from), ...addresses.slice(0, from)]
    return first !== undefined && addresses.includes(first) ? [first, ...turned.filter((a) => a !== first)] : turned
  }
  tried(): void {
    this.#tried++
  }
  worked(): void {
    this.#tried = 0
  }
}

export interface ConnectOptions {
  readonly clock: Clock
  readonly sessions: TlsSessions
  /** Aborts with its reason. */
  readonly signal?: AbortSignal
  /** The address that worked last. It is tried first (RFC 8305 section 4). */
  readonly first?: string | undefined
  /** Kept between dials. Without it each dial begins with the first address. */
  readonly turns?: AddressTurns
  /** Kept between dials. Without it each dial first offers all groups. */
  readonly hellos?: HelloMemory
  readonly pace: DialPace
  /** See RaceOptions. */
  readonly onOverdue?: (overdue: () => EnigmError | undefined) => void
  /** The function that dials one address; replaced in tests without a network. */
  readonly handshake?: typeof handshake
}

/**
 * Dials a resolver at its pinned addresses. With `strict` it returns an authenticated connection,
 * or rejects with an EnigmError before a DNS octet is written; there is no fallback. With
 * `opportunistic` (RFC 8310 section 5) it also returns a connection whose peer did not prove its
 * identity, with the reason. If a relay is dialled, errors name the relay as the hop.
 */
export function connect(endpoint: StrictEndpoint, transport: Transport, options: ConnectOptions): Promise<Connection<Authenticated>>
export function connect(endpoint: Endpoint, transport: Transport, options: ConnectOptions): Promise<Connection>
export async function connect(endpoint: Endpoint, transport: Transport, options: ConnectOptions): Promise<Connection> {
  const {
    clock,
    sessions,
    signal,
    first,
    turns = new AddressTurns(),
    hellos = new HelloMemory(),
    pace,
    handshake: dial = handshake,
  } = options
  const port = portOf(endpoint, transport)
  if (port === undefined) throw new EnigmError('connect-failed', `${endpoint.resolver} does not offer ${transport}`)
  const startMs = clock.nowMs()
  const { route = [] } = endpoint
  const slowness = slownessOf(route)
  const retrying = { clock, hellos, turnInMs: () => pace.turnInMs(), afterClose: true }
  const dialled = race(
    turns.order(interleaved(endpoint.addresses), first),
    (address, onTcp) => {
      turns.tried()
      let steppedMs = startMs
      const step = () => {
        steppedMs = clock.nowMs()
        onTcp()
      }
      const to = { endpoint, transport, sessions }
      // Behind proxies a silent proxy may be the cause, which says nothing about the ClientHello.
      const attempt =
        route.length > 0
          ? dial(to, address, port, step)
          : withClassicalRetry(endpoint.tls, step, {
              ...retrying,
              dial: (classical, onUp) => dial(classical ? { ...to, classical } : to, address, port, onUp),
            })
      const done = async (): Promise<Connection> => {
        try {
          const secured = await attempt.result
          turns.worked()
          const nowMs = clock.nowMs()
          return { ...secured, address, handshakeMs: nowMs - startMs, ...(route.length > 0 && { routeRttMs: nowMs - steppedMs }) }
        } catch (error) {
          if (hadNoRoute(error)) pace.giveBack()
          throw error
        }
      }
      return {
        result: done(),
        heard: () => attempt.heard(),
        abandon: (error) => attempt.abandon(error),
        overdue: () => attempt.overdue?.(),
      }
    },
    {
      clock,
      timeoutMs: HANDSHAKE_TIMEOUT_MS * slowness,
      slowness,
      turnInMs: () => pace.turnInMs(),
      ...(signal === undefined ? {} : { signal }),
      ...(options.onOverdue === undefined ? {} : { onOverdue: options.onOverdue }),
    },
  )
  return transport === 'odoh' && endpoint.odoh !== undefined ? dialled.catch(namedAs(endpoint.odoh.relay)) : dialled
}

/**
 * Names the relay in an error of its dial, unless the error is ours or of a hop before the relay.
 */
function namedAs(relay: string): (error: unknown) => never {
  return (error) => {
    const fault = asEnigmError(error)
    const { code, message, cause, hop = relay } = fault
    throw isOurs(code) ? fault : new EnigmError(code, message, { cause, hop })
  }
}
