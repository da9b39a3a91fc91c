/** Why no cover is sent: the operator says it wants none, it refused them, the day's share is used up; or `flowing`. */
export type Covers = 'flowing' | 'claim' | 'refused' | 'used-up'

/** The outcomes that are looked back on, and how many refusals among them are too many: a popular name may be refused for itself. */
const WINDOW = 32
const TOO_MANY = 12
/** Accepted in a row, and all is forgiven. */
const FORGIVEN = 2000
const DAY_MS = 86_400_000
const FIRST_PAUSE_MS = 600_000
const LONGEST_PAUSE_MS = DAY_MS

/** What `refused` asks for. */
export type Reaction = 'go on' | 'change content' | 'end at step'

/**
 * Whether covers may be sent over one link: the operator's word, its refusals and the budget. Too many refusals change the content; if they go on, covers pause
 * from 10 minutes doubling to a day. Pure state; whoever owns it says when.
 */
export class CoverStanding {
  readonly #wanted: boolean
  readonly #coversADay: number
  #daySinceMs = Number.NEGATIVE_INFINITY
  #sentToday = 0
  #outcomes: boolean[] = []
  #accepted = 0
  #changed = false
  #pauses = 0
  #pausedUntilMs = Number.NEGATIVE_INFINITY

  /** `wanted`: false where the operator claims that it wants no cover traffic. */
  constructor(o: { readonly wanted: boolean; readonly coversADay: number }) {
    this.#wanted = o.wanted
    this.#coversADay = o.coversADay
  }

  state(nowMs: number): Covers {
    if (!this.#wanted) return 'claim'
    if (nowMs < this.#pausedUntilMs) return 'refused'
    return this.#sentToday >= this.#coversADay && nowMs - this.#daySinceMs < DAY_MS ? 'used-up' : 'flowing'
  }

  /** One more was sent. Returns whether it was the day's last. */
  sent(nowMs: number): boolean {
    if (nowMs - this.#daySinceMs >= DAY_MS) {
      this.#daySinceMs = nowMs
      this.#sentToday = 0
    }
    return ++this.#sentToday === this.#coversADay
  }

  accepted(): void {
    this.#note(false)
    if (++this.#accepted < FORGIVEN) return
    this.#accepted = 0
    this.#changed = false
    this.#pauses = 0
  }

  /** REFUSED, or an HTTP status such as 429. */
  refused(nowMs: number): Reaction {
    this.#accepted = 0
    if (nowMs < this.#pausedUntilMs) return 'go on'
    this.#note(true)
    if (this.#outcomes.filter((refused) => refused).length < TOO_MANY) return 'go on'
    this.#outcomes = []
    if (!this.#changed) {
      this.#changed = true
      return 'change content'
    }
    this.#pausedUntilMs = nowMs + Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#pauses++)
    this.#changed = false
    return 'end at step'
  }

  #note(refused: boolean): void {
    this.#outcomes.push(refused)
    if (this.#outcomes.length > WINDOW) this.#outcomes.shift()
  }
}
