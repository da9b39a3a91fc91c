import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import { synthesise } from '../dns/response.ts'
import { type Ede, EnigmError, type ErrorCode, type Rcode, wasAsked } from '../errors.ts'
import type { Answer, Query } from '../resolve.ts'
import { type CacheKey, keyOfQuery } from './key.ts'

/**
 * RFC 9520 section 3.2: at least a second, at most five minutes; doubled each time the question
 * fails again.
 */
const LEAST_S = 1
const MOST_S = 300
/**
 * A question that failed this long after the last time begins at a second again, beyond the time
 * that it was kept.
 */
const FORGET_S = 60
/** Questions remembered: some 400 octets each. */
const MOST_QUESTIONS = 4096

interface KeptFailure {
  readonly untilMs: number
  readonly keptS: number
  /**
   * What a resolver said, or how it went unanswered; `during` which silence, if nothing else was
   * answered either.
   */
  readonly what:
    | { readonly rcode: Rcode; readonly ede: Ede | undefined }
    | { readonly code: ErrorCode; readonly during: number | undefined }
}

/**
 * Failures by question (RFC 9520). What a resolver said of a question (SERVFAIL, REFUSED ...), or
 * that it went unanswered while others were answered, is kept for 1 s, doubled with each
 * repetition, to 5 min. While nothing at all is answered, it is the path that fails: then a
 * question that went out is kept for one second, and the first answer to any question, or another
 * network, ends that, so that a link's failure is not held against a question. In memory only, and
 * bounded. For one thread.
 */
export class Failures {
  readonly #clock: Clock
  readonly #known = new LRUCache<CacheKey, KeptFailure>({ max: MOST_QUESTIONS })
  /** Counts silences: an answer ends one. */
  #silence = 0
  #silent = false
  /**
   * Answers that came, to whatever question: `unanswered` is told how many there were when its
   * question was asked.
   */
  answers = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#known.size
  }

  /**
   * What `query` gets while its failure is kept: the failure again, or the error thrown again.
   * Undefined: ask.
   */
  kept(query: Query): Answer | EnigmError | undefined {
    if (this.#known.size === 0) return undefined
    const failure = this.#known.get(keyOfQuery(query))
    if (failure === undefined) return undefined
    const leftMs = failure.untilMs - this.#clock.nowMs()
    if (leftMs <= 0) return undefined
    const { what } = failure
    if ('code' in what) {
      const over = what.during !== undefined && what.during !== this.#silence
      return over ? undefined : new EnigmError(what.code, 'It was asked a moment ago, and nobody answered.')
    }
    const { rcode, ede } = what
    const answer = { wire: synthesise(query.question, { rcode }), rcode, storeS: leftMs / 1000, from: 'failure' } as const
    return ede === undefined ? answer : { ...answer, ede }
  }

  /** Notes what a resolver said, a failure; returns for how many seconds it is kept. */
  failed(query: Query, { rcode, ede }: Answer): number {
    this.#answered()
    return this.#note(keyOfQuery(query), { rcode, ede })
  }

  /**
   * Notes that nobody answered, if it was asked at all: else the failure is of links, where
   * dialling is bounded (a connect a second). `answersBefore`: `answers` when
   * it was asked.
   */
  unanswered(query: Query, code: ErrorCode, answersBefore: number): void {
    if (!wasAsked(code)) return
    const key = keyOfQuery(query)
    if (this.answers !== answersBefore) {
      this.#note(key, { code, during: undefined })
      return
    }
    this.#silent = true
    const untilMs = this.#clock.nowMs() + LEAST_S * 1000
    this.#known.set(key, { untilMs, keptS: 0, what: { code, during: this.#silence } })
  }

  #note(key: CacheKey, what: KeptFailure['what']): number {
    const nowMs = this.#clock.nowMs()
    const before = this.#known.get(key)
    const again = before !== undefined && nowMs < before.untilMs + (before.keptS + FORGET_S) * 1000
    const keptS = again ? Math.max(LEAST_S, Math.min(MOST_S, before.keptS * 2)) : LEAST_S
    this.#known.set(key, { untilMs: nowMs + keptS * 1000, keptS, what })
    return keptS
  }

  /** The path is alive. */
  #answered(): void {
    this.answers++
    if (!this.#silent) return
    this.#silent = false
    this.#silence++
  }

  /** `query` was answered well. */
  succeeded(query: Query): void {
    this.#answered()
    if (this.#known.size > 0) this.#known.delete(keyOfQuery(query))
  }

  /** Another network, other resolvers, another configuration: everything is asked anew. */
  clear(): void {
    this.#known.clear()
    this.#silence++
  }
}
