import { EnigmError, type ErrorCode } from '../errors.ts'
import type { Link, Protection, Stage } from '../resolve.ts'

/** Why nothing may pass, by number: what threads share is one integer. */
const CODES = [undefined, 'vpn-required', 'audit-required'] as const satisfies readonly (ErrorCode | undefined)[]

/** The policy's gate: read by every thread at each query, set by the main thread alone. */
export class PolicyGate {
  readonly shared: SharedArrayBuffer
  readonly #word: Int32Array

  /** Over `shared` of another thread's gate, or over memory of its own, open. */
  constructor(shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared
    this.#word = new Int32Array(shared)
  }

  /** A plain read: on the hit path it costs nothing that can be measured. */
  get closed(): boolean {
    return this.#word[0] !== 0
  }

  get reason(): ErrorCode | undefined {
    return CODES[Atomics.load(this.#word, 0)]
  }

  /** Closes for that reason, or opens; a reason that is none of the gate's closes all the same. */
  set(reason: ErrorCode | undefined): void {
    const at = CODES.indexOf(reason as (typeof CODES)[number])
    Atomics.store(this.#word, 0, at < 0 ? 1 : at)
  }

  refusal(): EnigmError | undefined {
    const code = this.reason
    return code === undefined ? undefined : new EnigmError(code, 'the policy lets nothing through now')
  }
}

/** Lets a query pass or rejects it with the reason; what is kept in memory is behind it as well. */
export function gateStage(gate: PolicyGate): Stage {
  return (next) => (query, ask) => {
    const refusal = gate.closed ? gate.refusal() : undefined
    return refusal === undefined ? next(query, ask) : Promise.reject(refusal)
  }
}

/** The same before a link: probes and refreshes do not come through the pipeline. */
export function gated<P extends Protection>(link: Link<P>, gate: PolicyGate): Link<P> {
  return {
    id: link.id,
    transport: link.transport,
    close: () => link.close(),
    exchange(request, ask) {
      const refusal = gate.closed ? gate.refusal() : undefined
      return refusal === undefined ? link.exchange(request, ask) : Promise.reject(refusal)
    },
  }
}
