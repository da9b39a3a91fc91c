import type { TLSSocket } from 'node:tls'
import type { Clock } from '../clock.ts'
import { EnigmError } from '../errors.ts'
import type { Authenticated, Protection, Transport } from '../resolve.ts'
import type { DialPace } from './dial-pace.ts'
import { type Endpoint, interleaved, portOf, type StrictEndpoint } from './endpoint.ts'
import { handshake } from './handshake.ts'
import { race } from './race.ts'
import type { TlsSessions } from './sessions.ts'

/** TCP and TLS together. A resolver that needs longer is of no use to somebody who waits 4 s for an answer. */
const HANDSHAKE_TIMEOUT_MS = 3000

/** An established connection to a resolver; its type says what may be relied on. */
export interface Connection<P extends Protection = Protection> {
  readonly socket: TLSSocket
  readonly address: string
  readonly protection: P
  /** From the first SYN to the end of the handshake that won. */
  readonly handshakeMs: number
}

export interface ConnectOptions {
  readonly clock: Clock
  readonly sessions: TlsSessions
  /** Aborts with its reason. */
  readonly signal?: AbortSignal
  /** Tried first: the address that worked last (RFC 8305 section 4). */
  readonly first?: string | undefined
  readonly pace: DialPace
  /** How one address is dialled; replaced where there is no network. */
  readonly handshake?: typeof handshake
}

/**
 * Dials a resolver at its pinned addresses. `strict` gives an authenticated connection or rejects with an EnigmError before a DNS octet is written; it has no
 * second way. `opportunistic` (RFC 8310 section 5) also gives one whose peer did not prove who it is, and says why.
 */
export function connect(endpoint: StrictEndpoint, transport: Transport, options: ConnectOptions): Promise<Connection<Authenticated>>
export function connect(endpoint: Endpoint, transport: Transport, options: ConnectOptions): Promise<Connection>
export async function connect(endpoint: Endpoint, transport: Transport, options: ConnectOptions): Promise<Connection> {
  const { clock, sessions, signal, first, pace, handshake: dial = handshake } = options
  const port = portOf(endpoint, transport)
  if (port === undefined) throw new EnigmError('connect-failed', `${endpoint.resolver} does not offer ${transport}`)
  const order = interleaved(endpoint.addresses)
  const addresses = first !== undefined && order.includes(first) ? [first, ...order.filter((a) => a !== first)] : order
  const startMs = clock.nowMs()
  return race(
    addresses,
    (address, onTcp) => {
      const attempt = dial({ endpoint, transport, sessions }, address, port, onTcp)
      const done = async (): Promise<Connection> => ({ ...(await attempt.result), address, handshakeMs: clock.nowMs() - startMs })
      return { ...attempt, result: done() }
    },
    { clock, timeoutMs: HANDSHAKE_TIMEOUT_MS, turnInMs: () => pace.turnInMs(), ...(signal === undefined ? {} : { signal }) },
  )
}
