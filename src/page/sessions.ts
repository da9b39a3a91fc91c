import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.ts'

/** Browsers that are logged in at once; one more ends the session that began first. */
const MAX_SESSIONS = 32
/** How long a browser stays logged in, seconds: a working day. */
export const SESSION_S = 12 * 3600

/** The browsers that brought the token. They get a random number in its place: a cookie goes to every port of this host, so to other programs' servers too. */
export class Sessions {
  readonly #clock: Clock
  /** Ends by id, in boot time; oldest first. */
  readonly #ends = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A new session's id: 256 random bits, base64url. */
  begin(): string {
    const [oldest] = this.#ends.keys()
    if (oldest !== undefined && this.#ends.size >= MAX_SESSIONS) this.#ends.delete(oldest)
    const id = randomBytes(32).toString('base64url')
    this.#ends.set(id, this.#clock.nowMs() + SESSION_S * 1000)
    return id
  }

  /** Whether `id` is a session that has not ended. */
  has(id: string | undefined): boolean {
    const endMs = id === undefined ? undefined : this.#ends.get(id)
    if (id === undefined || endMs === undefined) return false
    if (this.#clock.nowMs() < endMs) return true
    this.#ends.delete(id)
    return false
  }
}
