import type { Job, Outcome, Stage } from '../job.ts'
import type { CacheBypass, Query, Question } from '../resolve.ts'

/** Answers the questions of a captive portal during a session. */
export interface PortalAnswers {
  takes(question: Question): boolean
  /** Calls `done` once, by `deadlineMs` (`Clock.nowMs` time). */
  ask(query: Query, deadlineMs: number, done: (outcome: Outcome) => void): void
}

/**
 * Whether the names of a captive portal are asked of the network's own resolver now: one word that
 * all threads read and only the main thread sets. Off until a person switches it on.
 */
export class PortalSwitch implements CacheBypass {
  readonly shared: SharedArrayBuffer
  readonly #word: Int32Array
  #answers: PortalAnswers | undefined

  /** Uses the switch of another thread, or one of its own, which is off. */
  constructor(shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared
    this.#word = new Int32Array(shared)
  }

  /** A plain read: the only cost of a query without a session. */
  get on(): boolean {
    return this.#word[0] !== 0
  }

  /**
   * Whether a question bypasses the cache. A worker does not know the names and passes on every
   * question: the main thread decides.
   */
  takes(question: Question): boolean {
    return this.on && (this.#answers === undefined || this.#answers.takes(question))
  }

  /** Starts a session in the main thread; undefined ends it. */
  set(answers: PortalAnswers | undefined): void {
    this.#answers = answers
    Atomics.store(this.#word, 0, answers === undefined ? 0 : 1)
  }

  /**
   * Answers the clients' questions that belong to the session. They pass through no other stage, so
   * none of them is kept, renewed or sent to another resolver.
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
