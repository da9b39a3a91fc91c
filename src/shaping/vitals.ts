import { readingOf } from '../dns/response.ts'
import type { Carried } from '../resolve.ts'

/** If covers or probes get no answer for this time, the path or the resolver counts as dead. */
const SILENT_MS = 3000
/** The resolver counts as failed after this many failure replies in a row. */
const SICK = 8
const SERVFAIL = 2

/**
 * The health of a link. Only dials, covers and probes count. So no name of a client can make the
 * link fail, and no client query is needed to detect a failure.
 */
export class Vitals {
  #dialFailed = false
  #owedSinceMs: number | undefined
  #silent = false
  #blamed = 0

  /** Whether the link fails: connections fail, nothing is answered, or nothing is resolved. */
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

  /** A reply to a cover or to a probe came. REFUSED is about covers, and not about the resolver. */
  answered(carried: Carried): void {
    this.heard()
    this.#blamed = readingOf(carried).rcode === SERVFAIL ? this.#blamed + 1 : 0
  }

  /** Checks for silence. Called once per slot. */
  look(nowMs: number): void {
    if (this.#owedSinceMs !== undefined && nowMs - this.#owedSinceMs >= SILENT_MS) this.#silent = true
  }
}
