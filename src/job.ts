import { asEnigmError, EnigmError } from './errors.ts'
import type { Answer, Ask, Query, Side } from './resolve.ts'

/**
 * A question in wire form, with its name in upper or lower case as the client wrote it. `mark` is
 * one number for everything else that separates cache entries, such as DO, CD and the view.
 */
export interface Asked {
  readonly octets: Uint8Array
  readonly from: number
  readonly end: number
  readonly mark: number
  /**
   * The hash of the octets. The cache's table computes it at its first lookup, and it is valid for
   * that table only. 0: not computed yet.
   */
  hash: number
}

/** The result of a question. */
export type Outcome = Answer | EnigmError

/**
 * What a stage returns: where the question goes next. `on`: to the next stage. `answered`:
 * `job.outcome` is set, and the question goes back up. `waits`: it stays until the stage calls
 * `job.resume(stage)`. Then it goes up if an outcome is set, and otherwise to the next stage.
 */
export type Entered = 'on' | 'answered' | 'waits'

/**
 * One step of the pipeline. It does not know the other steps. `enter` is called once for each
 * question that comes down. `leave` is called exactly once for each question for which `enter`
 * returned `on` or `waits`. `job.outcome` is then set and may be an error. `leave` may replace it,
 * and may wait too. If `enter` or `leave` throws, the error is the outcome of the question. Any
 * number of questions may be in progress.
 */
export interface Stage {
  enter(job: Job): Entered
  leave?(job: Job): 'on' | 'waits'
}

/** The resolvers of one side (`Side` in resolve.ts). */
export interface SideAsker {
  /** Asks the question of `job`, by its deadline, and calls `done` once. Never throws. */
  ask(job: Job, done: (outcome: Outcome) => void): void
}

/** Limit of nesting, if a stage asks another question for a question. */
const MOST_DEEP = 8

/**
 * One question of a client, or of the daemon (a refresh, a proof), on its way down the stages and
 * back up. It keeps its list of stages, so that a reload does not change its position. A stage may
 * answer the client early (`reply`): the job then continues, and its result is stored. Each field
 * from `side` to `afterwards` belongs to the stage that its comment names.
 */
export class Job implements Ask {
  readonly query: Query
  readonly purpose: Ask['purpose']
  readonly deadlineMs: number
  /** See `Ask`. It is forgotten when the job has waited. */
  startedMs: number | undefined
  /** Set by the admission stage (cache/admission.ts); see `Ask`. */
  givesWay: true | undefined
  outcome: Outcome | undefined
  /**
   * rules/choose-side.ts: where the name is resolved. Absent if a stage below it asks the question:
   * then the pipeline finds the side (`askerOf` in resolver.ts).
   */
  side: Side | undefined
  /** cache/key.ts makes it at the first use. */
  asked: Asked | undefined
  /**
   * cache/memory.ts: at the time when the question was asked, the epoch of the cache, the version
   * of the rules, and the number of answers that its side had given.
   */
  epoch = 0
  rulesVersion = 0
  answersBefore = 0
  /**
   * cache/serve-stale.ts: whether there is a stale answer, and the timer after which the client
   * gets it.
   */
  hasStale = false
  staleTimer: { cancel(): void } | undefined = undefined
  /**
   * cache/coalesce.ts: the next question in the chain, the questions that wait for this one, and
   * the question that this one waits for.
   */
  next: Job | undefined = undefined
  waiting: Job[] | undefined = undefined
  leader: Job | undefined = undefined
  /** cache/coalesce.ts: called when the job has ended. Its client may have its answer earlier. */
  afterwards: (() => void) | undefined = undefined
  readonly #stages: readonly Stage[]
  /** The first stage that the job enters. It is the last one that the job leaves. */
  readonly #top: number
  readonly #deep: number
  #done: ((outcome: Outcome) => void) | undefined
  #at: number
  #up = false
  /** Whether `#go` is running for this job. */
  #moving = false
  /** Whether it waits in the stage at `#at`. */
  #waits = false

  /**
   * `done` receives the outcome once. `start` begins the job. `askedBy`: the stage that asks this
   * question, and the job for which it asks. The question then starts below that stage.
   */
  constructor(
    stages: readonly Stage[],
    query: Query,
    { purpose, deadlineMs, startedMs, givesWay }: Ask,
    done: (outcome: Outcome) => void,
    askedBy?: { readonly stage: Stage; readonly parent: Job },
  ) {
    this.query = query
    this.purpose = purpose
    this.deadlineMs = deadlineMs
    this.startedMs = startedMs
    this.givesWay = givesWay
    this.#stages = stages
    this.#done = done
    this.#top = askedBy === undefined ? 0 : stages.indexOf(askedBy.stage) + 1
    this.#at = this.#top
    this.#deep = askedBy === undefined ? 0 : askedBy.parent.#deep + 1
  }

  /** Whether the client has its answer. */
  get replied(): boolean {
    return this.#done === undefined
  }

  /** Answers the client, once. Later calls do nothing. */
  reply(outcome: Outcome): void {
    const done = this.#done
    this.#done = undefined
    done?.(outcome)
  }

  /** Starts at the first stage. Called once. */
  start(): void {
    this.#go()
  }

  /**
   * Continues the job after `stage` waited. Does nothing if the job does not wait there. May be
   * called before `enter` or `leave` has returned `waits`.
   */
  resume(stage: Stage): void {
    if (!this.#waits || this.#stages[this.#at] !== stage) return
    this.#waits = false
    this.startedMs = undefined
    if (this.#moving) return
    this.#pass()
    this.#go()
  }

  /**
   * Asks another question for this one, at the stages below `stage`. Rejects with an EnigmError;
   * its code is `internal` if questions are nested too deeply.
   */
  below(stage: Stage, query: Query, ask: Ask = this): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const done = (outcome: Outcome) => (outcome instanceof EnigmError ? reject(outcome) : resolve(outcome))
      const child = new Job(this.#stages, query, ask, done, { stage, parent: this })
      if (child.#deep > MOST_DEEP) reject(new EnigmError('internal', 'questions ask for each other'))
      else child.start()
    })
  }

  /** Continues after a stage that waited. */
  #pass(): void {
    if (this.#up) this.#at--
    else if (this.outcome === undefined) this.#at++
    else this.#up = true
  }

  #go(): void {
    this.#moving = true
    for (;;) {
      if (!this.#up) {
        if (this.#down() === 'waits') break
      } else if (this.#at < this.#top) {
        this.reply(this.outcome ?? unanswered())
        this.afterwards?.()
        break
      } else if (this.#rise() === 'waits') break
    }
    this.#moving = false
  }

  /** Goes one stage down. */
  #down(): 'moved' | 'waits' {
    const stage = this.#stages[this.#at]
    // Set before the call, because the job may be resumed during it.
    this.#waits = true
    const entered = stage === undefined ? this.#failed(unanswered()) : this.#entered(stage)
    if (entered === 'waits' && this.#waits) return 'waits'
    this.#waits = false
    if (entered === 'answered') {
      this.#up = true
      this.#at--
    } else if (entered === 'waits') this.#pass()
    else this.#at++
    return 'moved'
  }

  #entered(stage: Stage): Entered {
    try {
      return stage.enter(this)
    } catch (error) {
      return this.#failed(asEnigmError(error))
    }
  }

  #failed(error: EnigmError): 'answered' {
    this.outcome = error
    return 'answered'
  }

  /** Goes one stage up. */
  #rise(): 'moved' | 'waits' {
    const stage = this.#stages[this.#at]
    this.#waits = true
    if (stage?.leave !== undefined && this.#left(stage) === 'waits' && this.#waits) return 'waits'
    this.#waits = false
    this.#at--
    return 'moved'
  }

  #left(stage: Stage): 'on' | 'waits' {
    try {
      return stage.leave?.(this) ?? 'on'
    } catch (error) {
      this.outcome = asEnigmError(error)
      return 'on'
    }
  }
}

const unanswered = () => new EnigmError('internal', 'no stage has answered')
