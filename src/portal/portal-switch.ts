import type { Job, Outcome, Stage } from '../job.ts'
import type { CacheBypass, Query, Question } from '../resolve.ts'

/** What answers the questions of a captive portal while its session lasts. */
export interface PortalAnswers {
  takes(question: Question): boolean
  /** Calls `done` once, by `deadlineMs` (`Clock.nowMs` time). */
  ask(query: Query, deadlineMs: number, done: (outcome: Outcome) => void): void
}

/**
 * Whether a captive portal's names are asked of the network's own resolver now: one word that all
 * threads read and the main thread alone sets. Off until a person says otherwise.
 */
export class PortalSwitch implements CacheBypass {
  readonly shared: SharedArrayBuffer
  readonly #word: Int32Array
  #answers: PortalAnswers | undefined

  /** Over the switch of another thread, or over one of its own, off. */
  constructor(shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared
    this.#word = new Int32Array(shared)
  }

  /** A plain read: all that a query costs while there is no session. */
  get on(): boolean {
    return this.#word[0] !== 0
  }

  /**
   * Whether a question goes past memory. A worker knows no names and hands over every question: the
   * main thread decides.
   */
  takes(question: Question): boolean {
    return this.on && (this.#answers === undefined || this.#answers.takes(question))
  }

  /** Begins a session in the main thread; undefined ends it. */
  set(answers: PortalAnswers | undefined): void {
    this.#answers = answers
    Atomics.store(this.#word, 0, answers === undefined ? 0 : 1)
  }

  /**
   * Answers a client's questions that the session takes. They pass no other stage, so that nothing
   * of them is kept, renewed or asked of anybody else.
   */
  stage(): Stage {
    const stage: Stage = {
      enter: (job: Job) => {
        const { query, purpose, deadlineMs } = job
        const answers = this.#answers
        if (answers === undefined || purpose !== 'client' || !answers.takes(query.question)) return 'on'
        answers.ask(query, deadlineMs, (outcome) => {
          job.outcome = outcome
          job.resume(stage)
        })
        return 'waits'
      },
    }
    return stage
  }
}
