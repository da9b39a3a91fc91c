import { readingOf } from '../dns/response.ts'
import type { Carried } from '../resolve.ts'

/** If covers or probes get no answer for this long, the path or the resolver is dead. */
const SILENT_MS = 3000
/** After this many replies in a row that blame the resolver, it counts as failed. */
const SICK = 8
const SERVFAIL = 2

/**
 * The health of a link, judged only by dials, covers and probes: no name that a client asks can
 * make it fail, and none is needed to detect a failure.
 */
export class Vitals {
  #dialFailed = false
  #owedSinceMs: number | undefined
  #silent = false
  #blamed = 0

  /** Its connections fail, no query is answered, or none is resolved. */
  get failing(): boolean {
    return this.#dialFailed || this.#silent || this.#blamed >= SICK
  }

  dialled(succeeded: boolean): void {
    this.#dialFailed = !succeeded
  }

  /** A cover or a probe is sent. */
  sent(nowMs: number): void {
    this.#owedSinceMs ??= nowMs
  }

  /** The peer sent something, even an HTTP error. */
  heard(): void {
    this.#owedSinceMs = undefined
    this.#silent = false
  }

  /** A reply to a cover or to a probe. REFUSED is about covers, and not about the resolver. */
  answered(carried: Carried): void {
    this.heard()
    this.#blamed = readingOf(carried).rcode === SERVFAIL ? this.#blamed + 1 : 0
  }

  /** Called once per slot. */
  look(nowMs: number): void {
    if (this.#owedSinceMs !== undefined && nowMs - this.#owedSinceMs >= SILENT_MS) this.#silent = true
  }
}
