import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import { synthesise } from '../dns/response.ts'
import { type Ede, EnigmError, type ErrorCode, type Rcode, wasAsked } from '../errors.ts'
import type { Answer, Query } from '../resolve.ts'
import { type CacheKey, keyOfQuery } from './key.ts'

/**
 * RFC 9520 section 3.2: at least a second, at most five minutes, doubled each time the question
 * fails again.
 */
const LEAST_S = 1
const MOST_S = 300
/**
 * If a question fails this long after the end of its last entry, its time starts again at one
 * second.
 */
const FORGET_S = 60
/** Questions remembered: some 400 octets each. */
const MOST_QUESTIONS = 4096

interface KeptFailure {
  readonly untilMs: number
  readonly keptS: number
  /**
   * What a resolver said, or that no reply came. `during`: the silence of its side, if no other
   * question was answered there either.
   */
  readonly what:
    | { readonly rcode: Rcode; readonly ede: Ede | undefined }
    | { readonly code: ErrorCode; readonly during: Silence | undefined }
}

/** A time in which no question of a side is answered. */
interface Silence {
  over: boolean
}

/** What is known of the path to the servers of one side. */
interface SidePath {
  /** Number of answers to any question. */
  answers: number
  /** Undefined: the last question was answered. */
  silence: Silence | undefined
}

/**
 * Failures by question (RFC 9520). A failure that a resolver reported (SERVFAIL, REFUSED ...), or a
 * question without a reply while others were answered, is kept for 1 s, doubled with each
 * repetition up to 5 min. If no question of a side is answered at all, its path fails. Then a
 * question that was sent is kept for one second. The first answer to any question of that side, or
 * another network, ends that, so that a failure of a link does not count against a question. Kept
 * in memory only, and bounded. Used from one thread.
 */
export class Failures {
  readonly #clock: Clock
  readonly #known = new LRUCache<CacheKey, KeptFailure>({ max: MOST_QUESTIONS })
  /** By the number of the side. */
  readonly #paths = new Map<number, SidePath>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#known.size
  }

  /**
   * Number of answers on a side: `unanswered` gets its value at the time the question was asked.
   */
  answers(side: number): number {
    return this.#path(side).answers
  }

  /**
   * The failure of `query` while it is kept: the same answer or error again. Undefined: the
   * question may be asked.
   */
  kept(query: Query): Answer | EnigmError | undefined {
    if (this.#known.size === 0) return undefined
    const failure = this.#known.get(keyOfQuery(query))
    if (failure === undefined) return undefined
    const leftMs = failure.untilMs - this.#clock.nowMs()
    if (leftMs <= 0) return undefined
    const { what } = failure
    if ('code' in what) {
      return what.during?.over === true ? undefined : new EnigmError(what.code, 'It was asked a moment ago, and nobody answered.')
    }
    const { rcode, ede } = what
    const answer = { wire: synthesise(query.question, { rcode }), rcode, storeS: leftMs / 1000, from: 'failure' } as const
    return ede === undefined ? answer : { ...answer, ede }
  }

  /** Records a failure that a resolver reported. Returns for how many seconds it is kept. */
  failed(query: Query, { rcode, ede }: Answer, side: number): number {
    this.#answered(side)
    return this.#note(keyOfQuery(query), { rcode, ede })
  }

  /**
   * Records that no reply came, if the question was sent. If it was not sent, the links failed, and
   * dialling has its own bound (a connect per second). `answersBefore`: the value of `answers` when
   * the question was asked.
   */
  unanswered(query: Query, code: ErrorCode, answersBefore: number, side: number): void {
    if (!wasAsked(code)) return
    const key = keyOfQuery(query)
    const path = this.#path(side)
    if (path.answers !== answersBefore) {
      this.#note(key, { code, during: undefined })
      return
    }
    path.silence ??= { over: false }
    const untilMs = this.#clock.nowMs() + LEAST_S * 1000
    this.#known.set(key, { untilMs, keptS: 0, what: { code, during: path.silence } })
  }

  #note(key: CacheKey, what: KeptFailure['what']): number {
    const nowMs = this.#clock.nowMs()
    const before = this.#known.get(key)
    const again = before !== undefined && nowMs < before.untilMs + (before.keptS + FORGET_S) * 1000
    const keptS = again ? Math.max(LEAST_S, Math.min(MOST_S, before.keptS * 2)) : LEAST_S
    this.#known.set(key, { untilMs: nowMs + keptS * 1000, keptS, what })
    return keptS
  }

  /** An answer came: the path is alive. */
  #answered(side: number): void {
    const path = this.#path(side)
    path.answers++
    if (path.silence === undefined) return
    path.silence.over = true
    path.silence = undefined
  }

  #path(side: number): SidePath {
    const known = this.#paths.get(side)
    if (known !== undefined) return known
    const path = { answers: 0, silence: undefined }
    this.#paths.set(side, path)
    return path
  }

  /** `query` got a good answer. */
  succeeded(query: Query, side: number): void {
    this.#answered(side)
    if (this.#known.size > 0) this.#known.delete(keyOfQuery(query))
  }

  /** The network, the resolvers or the configuration changed: forgets all failures. */
  clear(): void {
    this.#known.clear()
    for (const path of this.#paths.values()) path.silence = undefined
  }
}
