import { readingOf } from '../dns/response.ts'
import type { Carried } from '../resolve.ts'

/** What was sent and not answered for this long shows that the path or the resolver is dead. */
const SILENT_MS = 3000
/** So many replies in a row that blame the resolver, and it is sick. */
const SICK = 8
const SERVFAIL = 2

/**
 * How a link does, judged by dials, covers and probes alone: no name that a client asks for can
 * make it fail, and none is needed to find out.
 */
export class Vitals {
  #dialFailed = false
  #owedSinceMs: number | undefined
  #silent = false
  #blamed = 0

  /** Its connections fail, nothing is answered, or nothing is resolved. */
  get failing(): boolean {
    return this.#dialFailed || this.#silent || this.#blamed >= SICK
  }

  dialled(succeeded: boolean): void {
    this.#dialFailed = !succeeded
  }

  /** A cover or a probe leaves. */
  sent(nowMs: number): void {
    this.#owedSinceMs ??= nowMs
  }

  /** It spoke, whatever it said: an HTTP error, for one. */
  heard(): void {
    this.#owedSinceMs = undefined
    this.#silent = false
  }

  /** A reply to a cover or to a probe. REFUSED is about covers, and not about the resolver. */
  answered(carried: Carried): void {
    this.heard()
    this.#blamed = readingOf(carried).rcode === SERVFAIL ? this.#blamed + 1 : 0
  }

  /** Once a slot. */
  look(nowMs: number): void {
    if (this.#owedSinceMs !== undefined && nowMs - this.#owedSinceMs >= SILENT_MS) this.#silent = true
  }
}
