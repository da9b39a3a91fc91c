import type { Clock, Timer } from '../../src/clock.ts'
import { ROOT_PROBE, upstreamQuery } from '../../src/dns/message.ts'
import { EnigmError, type ErrorCode } from '../../src/errors.ts'
import type { Event } from '../../src/events.ts'
import type { Ask, Authenticated, Carried, Link, Protection, Receiver, ReplyVerdict, Transport } from '../../src/resolve.ts'
import { ON_DEMAND } from '../../src/upstream/path-health.ts'
import { type JudgedUpstream, ResolverHealth } from '../../src/upstream/resolver-health.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { optRecord, query, response } from '../support/messages.ts'

export const AUTHENTICATED: Authenticated = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: 'x', resumed: false }

const question = query({ name: 'www.example.com' }).subarray(12)
/** The one user query of these tests, as it reaches an upstream. */
export const MESSAGE: Uint8Array = upstreamQuery({ lower: question, type: 1, class: 1 }, false)

/**
 * A reply to it, with an OPT that holds the upper bits of the RCODE, and the EDE or some padding if
 * asked.
 */
export function reply(o: { rcode?: number; ede?: number; padded?: boolean; flags?: number } = {}): Uint8Array {
  const options = [...(o.ede === undefined ? [] : [0, 15, 0, 2, 0, o.ede]), ...(o.padded ? [0, 12, 0, 3, 0, 0, 0] : [])]
  const opt = optRecord({ options: Uint8Array.from(options) })
  opt[5] = (o.rcode ?? 0) >>> 4
  return response({ rcode: (o.rcode ?? 0) & 15, flags: o.flags ?? 0, additional: [opt] })
}

/**
 * What a peer does with a call: answer or fail after a time, or stay silent until the deadline
 * (`dark`), or break its contract and never settle (`hangs`).
 */
export type Act =
  | { readonly wire: Uint8Array; readonly afterMs: number /** What the next call gets. */; readonly next?: Act }
  | { readonly code: ErrorCode; readonly afterMs: number }
  | 'dark'
  | 'hangs'

export const answers = (afterMs: number, wire = reply()): Act => ({ wire, afterMs })
export const fails = (code: ErrorCode, afterMs = 1): Act => ({ code, afterMs })

async function play(clock: FakeClock, act: Act, ask: Ask): Promise<Carried<Authenticated>> {
  if (act === 'hangs') return new Promise(() => {})
  const remainingMs = ask.deadlineMs - clock.nowMs()
  const late = act === 'dark' || act.afterMs >= remainingMs
  const startedMs = clock.nowMs()
  await new Promise<void>((resolve) => clock.setTimer(late ? remainingMs : act.afterMs, resolve))
  if (late) throw new EnigmError('deadline', 'the peer is dark')
  if ('code' in act) throw new EnigmError(act.code, 'as the test asked')
  return { wire: act.wire, rttMs: clock.nowMs() - startedMs, protection: AUTHENTICATED }
}

interface Call {
  readonly atMs: number
  readonly message: Uint8Array
  readonly dnssecOk: boolean
  readonly ask: Ask
  readonly told: boolean
}

/**
 * What calls a fake may get: the test's query, or the root probe with the purpose of one. Anything
 * else fails the test through `unexpected`.
 */
function checkMessage(message: Uint8Array, ask: Ask, probeMessage: Uint8Array): void {
  const probe = Buffer.compare(message, probeMessage) === 0
  if (!probe && Buffer.compare(message, MESSAGE) !== 0) throw new Error('a message that no test sent')
  if (probe !== (ask.purpose === 'probe')) throw new Error(`purpose ${ask.purpose} does not fit the message`)
}

const UNTOLD: ReadonlySet<ErrorCode> = new Set([
  'connect-refused',
  'connect-timeout',
  'certificate-expired',
  'pin-mismatch',
  'overloaded',
  'closed',
])

/**
 * An upstream that does what `act` says, and probes as `probeAct` (the same unless set). It has one
 * transport, and tells its judge of every exchange.
 */
export class FakeUpstream implements JudgedUpstream<Authenticated> {
  readonly id: string
  act: Act
  probeAct: Act | undefined
  readonly probe?: Uint8Array
  readonly health: ResolverHealth<Authenticated>
  closed = false
  readonly queries: Call[] = []
  readonly probes: Call[] = []
  readonly #clock: FakeClock

  /** `probe`: what it is to be probed with; absent: the root. */
  constructor(id: string, clock: FakeClock, act: Act, probe?: Uint8Array) {
    this.id = id
    if (probe !== undefined) this.probe = probe
    this.act = act
    this.#clock = clock
    const links = [new FakeLink('dot', clock, act)]
    this.health = new ResolverHealth<Authenticated>(this, { links, clock, emit: () => {}, manner: ON_DEMAND, tryOut: () => {} })
  }

  ask(message: Uint8Array, dnssecOk: boolean, ask: Ask, to: Receiver<Authenticated, [transport: Transport, verdict: ReplyVerdict]>): void {
    const beganMs = ask.startedMs ?? this.#clock.nowMs()
    const exchange = { purpose: ask.purpose, beganMs, startedMs: beganMs }
    const [path] = this.health.order(beganMs)
    this.#play(message, dnssecOk, ask).then(
      (carried) => to.carried(carried, 'dot', this.health.replied(path!, exchange, carried)),
      (error: EnigmError) => {
        this.health.exhausted(exchange, error)
        to.failed(error)
      },
    )
  }

  async #play(message: Uint8Array, dnssecOk: boolean, ask: Ask): Promise<Carried<Authenticated>> {
    checkMessage(message, ask, this.probe ?? ROOT_PROBE)
    const probe = ask.purpose === 'probe'
    const act = probe ? (this.probeAct ?? this.act) : this.act
    // What no connection leads to is never told.
    const told = !(typeof act === 'object' && 'code' in act && UNTOLD.has(act.code))
    if (told && ask.mayLeave?.() === false) throw new EnigmError('closed', 'not wanted')
    const calls = probe ? this.probes : this.queries
    calls.push({ atMs: this.#clock.nowMs(), message, dnssecOk, ask, told })
    return play(this.#clock, act, ask)
  }

  async close(): Promise<void> {
    this.closed = true
  }
}

/** What came of it, and over what. */
export type Reached<P extends Protection> = Carried<P> & { readonly transport: Transport; readonly upstream?: string }

/** Asks an upstream or a selection, and gives a promise. */
export function reached<P extends Protection, Said extends string | ReplyVerdict>(
  of: { ask(message: Uint8Array, dnssecOk: boolean, ask: Ask, to: Receiver<P, [transport: Transport, said: Said]>): void },
  message: Uint8Array,
  dnssecOk: boolean,
  ask: Ask,
): Promise<Reached<P>> {
  return new Promise((resolve, reject) =>
    of.ask(message, dnssecOk, ask, {
      carried: ({ reading: _, ...carried }, transport, said) =>
        resolve({ ...carried, transport, ...(typeof said === 'string' && { upstream: said }) }),
      failed: reject,
    }),
  )
}

/** A link that records what it is given and does what `act` says. */
export class FakeLink implements Link<Authenticated> {
  readonly id = 'r'
  readonly transport: Transport
  act: Act
  closed = 0
  readonly calls: { readonly atMs: number; readonly request: Uint8Array; readonly ask: Ask }[] = []
  readonly #clock: FakeClock

  constructor(transport: Transport, clock: FakeClock, act: Act) {
    this.transport = transport
    this.act = act
    this.#clock = clock
  }

  send(request: Uint8Array, ask: Ask, to: Receiver<Authenticated>): void {
    // As it is now: whoever asks may use it again for another link.
    const { purpose, deadlineMs, givesWay } = ask
    this.calls.push({ atMs: this.#clock.nowMs(), request, ask: { purpose, deadlineMs, givesWay } })
    const { act } = this
    if (typeof act === 'object' && 'next' in act && act.next !== undefined) this.act = act.next
    play(this.#clock, act, ask).then(
      (carried) => to.carried(carried),
      (error: EnigmError) => to.failed(error),
    )
  }

  async close(): Promise<void> {
    this.closed++
  }

  count(purpose: Ask['purpose']): number {
    return this.calls.filter((call) => call.ask.purpose === purpose).length
  }
}

/**
 * The clock as its subject sees it: `live` counts the timers set through it alone, `most` the most
 * at once.
 */
export class WatchedClock implements Clock {
  live = 0
  most = 0
  set = 0
  readonly #clock: FakeClock

  constructor(clock: FakeClock) {
    this.#clock = clock
  }

  nowMs = () => this.#clock.nowMs()
  wallMs = () => this.#clock.wallMs()

  setExactTimer(): Timer {
    throw new Error('nothing here keeps a schedule')
  }

  setTimer(delayMs: number, fn: () => void): Timer {
    if (!(delayMs >= 0)) throw new Error(`a timer of ${delayMs} ms`)
    this.set++
    this.most = Math.max(this.most, ++this.live)
    let over = false
    const end = () => {
      if (!over) this.live--
      over = true
    }
    const timer = this.#clock.setTimer(delayMs, () => {
      end()
      fn()
    })
    return {
      cancel() {
        end()
        timer.cancel()
      },
    }
  }
}

/** How a promise ended, and when; `undefined` while it has not. */
export function watch<T>(clock: FakeClock, promise: Promise<T>) {
  const seen: { value?: T; code?: string; message?: string; atMs?: number } = {}
  promise.then(
    (value) => Object.assign(seen, { value, atMs: clock.nowMs() }),
    (error: unknown) => {
      const code = error instanceof EnigmError ? error.code : `not ours: ${error}`
      Object.assign(seen, { code, message: String(error), atMs: clock.nowMs() })
    },
  )
  return seen
}

export function recorder() {
  const events: Event[] = []
  return { events, emit: (event: Event) => void events.push(event) }
}
