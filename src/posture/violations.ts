import type { RuleVerdict } from './policy.ts'
import type { ReasonCode } from './reason-codes.ts'

/** Which rules of the policy ceased to be met, for whoever tells of it now and then. Bounded: there are only so many codes. */
export class Violations {
  #broken: ReadonlySet<ReasonCode> = new Set()
  readonly #fresh = new Set<ReasonCode>()

  judged(rules: readonly RuleVerdict[]): void {
    const broken = new Set(rules.flatMap(({ code, verdict }) => (verdict === 'not-met' ? [code] : [])))
    for (const code of broken) if (!this.#broken.has(code)) this.#fresh.add(code)
    this.#broken = broken
  }

  /** Those since the last call, also where they were met again meanwhile. */
  take(): readonly ReasonCode[] {
    const codes = [...this.#fresh]
    this.#fresh.clear()
    return codes
  }
}
