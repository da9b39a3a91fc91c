import type { Clock } from '../clock.ts'
import { nameLength } from '../dns/name.ts'

/** Counts the queries in progress, reports when there are too many, and waits for the last one. */
export class InFlight {
  readonly #limit: number
  #count = 0
  #waiting: (() => void)[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  get count(): number {
    return this.#count
  }

  get full(): boolean {
    return this.#count >= this.#limit
  }

  enter(): void {
    this.#count++
  }

  /** Bound, so that it can be passed as a callback without a closure per query. */
  readonly leave = (): void => {
    this.#count--
    if (this.#count > 0) return
    for (const wake of this.#waiting.splice(0)) wake()
  }

  /** Resolves when no query is in progress, or after `limitMs`. */
  drained(clock: Clock, limitMs: number): Promise<void> {
    if (this.#count === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = clock.setTimer(limitMs, resolve)
      this.#waiting.push(() => {
        timer.cancel()
        resolve()
      })
    })
  }
}

const HEADER = 12
const SERVFAIL = 2
const REFUSED = 5

/**
 * Writes the SERVFAIL of a full listener at `at` in `out` (room for 271 octets: a header and the
 * longest question). Returns its length, or 0 if the packet gets no reply: a response (two servers
 * would answer each other forever) or less than a header. The reply includes the question: stubs
 * (glibc's `res_send`) ignore a reply without one.
 */
export function overloadReply(packet: Uint8Array, out: Uint8Array, at: number): number {
  return replyWithout(SERVFAIL, packet, out, at)
}

/** The same with REFUSED, for a client that asks more than it may. */
export function refusal(packet: Uint8Array, out: Uint8Array, at: number): number {
  return replyWithout(REFUSED, packet, out, at)
}

function replyWithout(rcode: number, packet: Uint8Array, out: Uint8Array, at: number): number {
  const flags = packet[2]
  if (packet.length < HEADER || flags === undefined || flags >= 0x80) return 0
  const asked = questionOctets(packet)
  out.set(packet.subarray(0, HEADER + asked), at)
  out[at + 2] = 0x80 | (flags & 0x79)
  out[at + 3] = 0x80 | ((packet[3] ?? 0) & 0x10) | rcode
  out.fill(0, at + 4, at + HEADER)
  out[at + 5] = asked > 0 ? 1 : 0
  return HEADER + asked
}

function questionOctets(packet: Uint8Array): number {
  if (packet[4] !== 0 || packet[5] !== 1) return 0
  const name = nameLength(packet, HEADER)
  return name > 0 && HEADER + name + 4 <= packet.length ? name + 4 : 0
}

/**
 * Resolves when the event loop has polled every socket once more. By then we have read all that the
 * kernel held before.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

/**
 * Resolves when a whole turn of the event loop brought nothing (`arrived` did not change), or after
 * `limitMs`: clients that never stop must not delay the shutdown.
 */
export async function untilQuiet(arrived: () => number, clock: Clock, limitMs: number): Promise<void> {
  const untilMs = clock.nowMs() + limitMs
  for (let before = Number.NaN; before !== arrived() && clock.nowMs() < untilMs; ) {
    before = arrived()
    await nextTurn()
  }
}
