import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { framed } from '../../../src/dns/framing.ts'
import type { DohReply } from '../doh-server.ts'
import { bareReply, filledUp, inOtherLetters, rightAnswer, toAnotherQuestion, underAnotherId, withExtraRecords } from './answers.ts'
import type { AnswerKind, Fault } from './fault.ts'

const TYPE = 'application/dns-message'
/** How long after a bogus message the right one follows. */
const AFTER_BOGUS_MS = 5

/** One query, as a fault sees it. */
export interface Asked {
  readonly query: Uint8Array
  /** RST on its connection. */
  reset(): void
}

export interface AskedOverDot extends Asked {
  /** One framed message. */
  send(message: Uint8Array): void
  /** Octets as they are. */
  write(octets: Uint8Array): void
  /** FIN. */
  end(): void
}

/** Holds answers and lets them go in reverse. */
export class Reverser {
  #held: (() => void)[] = []

  hold(ms: number, release: () => void): void {
    this.#held.push(release)
    if (this.#held.length > 1) return
    setTimeout(() => {
      const held = this.#held.reverse()
      this.#held = []
      for (const fn of held) fn()
    }, ms)
  }
}

/**
 * What any protocol says under a fault, as one message; `undefined`: the fault is not one of the
 * message.
 */
function message(kind: AnswerKind, query: Uint8Array): Uint8Array | undefined {
  switch (kind) {
    case 'wrong-id':
      return underAnotherId(rightAnswer(query))
    case 'wrong-question':
      return toAnotherQuestion(rightAnswer(query))
    case 'wrong-case':
      return inOtherLetters(rightAnswer(query))
    case 'extra-records':
      return withExtraRecords(query)
    case 'truncated':
      return bareReply(query, 0x8380)
    case 'servfail':
      return bareReply(query, 0x8182)
    case 'short':
      return rightAnswer(query).slice(0, -7)
    default:
      return undefined
  }
}

/** Answers one query over DoT as the fault wants it. */
export async function misbehaveOverDot(
  { kind, ms }: Fault & { readonly kind: AnswerKind },
  asked: AskedOverDot,
  reverser: Reverser,
): Promise<void> {
  const right = () => asked.send(rightAnswer(asked.query))
  const said = message(kind, asked.query)
  if (said !== undefined) {
    asked.send(said)
    if (kind !== 'wrong-id' && kind !== 'wrong-question') return
    await sleep(AFTER_BOGUS_MS)
    return right()
  }
  switch (kind) {
    case 'stall':
      return
    case 'slow':
      await sleep(ms ?? 1000)
      return right()
    case 'reset':
      return asked.reset()
    case 'goaway':
      right()
      return asked.end()
    case 'oversize':
      return asked.send(filledUp(asked.query))
    case 'out-of-order':
      return reverser.hold(ms ?? 10, right)
    case 'trickle':
      await sleep(0) // answers of this turn go first: an octet of another one amid these would break the stream
      for (const octet of framed(rightAnswer(asked.query))) {
        asked.write(Uint8Array.of(octet))
        await sleep(ms ?? 1000, undefined, { ref: false })
      }
      return
    default:
      throw new Error(`${kind} cannot be had over DoT`)
  }
}

/**
 * The response over HTTP as the fault wants it; undefined: none. `HTTP/2`-only faults are not among
 * them, see server.ts.
 */
export async function misbehaveOverHttp(
  { kind, ms }: Fault & { readonly kind: AnswerKind },
  asked: Asked,
  reverser: Reverser,
): Promise<Uint8Array | DohReply | undefined> {
  const right = rightAnswer(asked.query)
  const said = message(kind, asked.query)
  if (said !== undefined) return said
  switch (kind) {
    case 'stall':
      return undefined
    case 'slow':
      await sleep(ms ?? 1000)
      return right
    case 'reset':
      asked.reset()
      return undefined
    case 'goaway':
      return { headers: { 'content-type': TYPE, connection: 'close' }, body: [right] }
    case 'oversize':
      return { body: [right, new Uint8Array(65_536 - right.length)] }
    case 'wrong-type':
      return { headers: { 'content-type': 'text/html' }, body: [right] }
    case 'redirect':
      return { status: 302, headers: { location: 'https://127.0.0.1:1/dns-query' } }
    case 'gzip':
      return { headers: { 'content-type': TYPE, 'content-encoding': 'gzip' }, body: [gzipSync(right)] }
    case 'status':
      return { status: 503, headers: { 'content-type': 'text/plain' } }
    case 'trickle':
      return { headers: { 'content-type': TYPE, 'content-length': String(right.length) }, body: trickling(right, ms ?? 1000) }
    case 'out-of-order':
      return new Promise((resolve) => reverser.hold(ms ?? 10, () => resolve(right)))
    default:
      throw new Error(`${kind} cannot be had over HTTP`)
  }
}

async function* trickling(octets: Uint8Array, everyMs: number): AsyncIterable<Uint8Array> {
  for (const octet of octets) {
    yield Uint8Array.of(octet)
    await sleep(everyMs, undefined, { ref: false })
  }
}
