import { EnigmError, type ErrorCode, isPolicyRefusal, type PolicyCode } from '../errors.ts'
import type { Stage } from '../job.ts'
import type { Link, Protection } from '../resolve.ts'

/**
 * Reasons for a closed gate, by number, because threads share one integer. Memory that nobody has
 * written to holds 0: a gate that was never set is closed.
 */
const NUMBERS: Readonly<Record<PolicyCode, number>> = {
  'policy-pending': 0,
  'vpn-required': 2,
  'audit-required': 3,
  'separation-required': 4,
}
const OPEN = 1
const CODES = new Map(Object.entries(NUMBERS).map(([code, number]) => [number, code as PolicyCode]))

/**
 * Whether the policy lets queries pass now. Every part that asks or answers needs one: no part is
 * open by default.
 */
export interface Gate {
  readonly closed: boolean
  /** The reason why it is closed; undefined: it is open. */
  refusal(): EnigmError | undefined
}

/**
 * The gate of the policy: every thread reads it at each query, and only the main thread sets it.
 * Closed until it is set for the first time.
 */
export class PolicyGate implements Gate {
  readonly shared: SharedArrayBuffer
  readonly #word: Int32Array

  /** Uses `shared` of another thread's gate, or memory of its own. */
  constructor(shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared
    this.#word = new Int32Array(shared)
  }

  /** A plain read: its cost on the hit path is not measurable. */
  get closed(): boolean {
    return this.#word[0] !== OPEN
  }

  get reason(): PolicyCode | undefined {
    return CODES.get(Atomics.load(this.#word, 0))
  }

  /**
   * Closes the gate for `reason`, or opens it. It closes even if `reason` is not one of its own.
   */
  set(reason: ErrorCode | undefined): void {
    const number = reason === undefined ? OPEN : NUMBERS[isPolicyRefusal(reason) ? reason : 'policy-pending']
    Atomics.store(this.#word, 0, number)
  }

  refusal(): EnigmError | undefined {
    const code = this.reason
    return code === undefined ? undefined : refused(code)
  }
}

/**
 * The gate of one configuration: closed while the policy's gate is, and permanently after `revoke`.
 */
export class SetupGate implements Gate {
  readonly #policy: Gate
  #revoked: EnigmError | undefined

  constructor(policy: Gate) {
    this.#policy = policy
  }

  get closed(): boolean {
    return this.#revoked !== undefined || this.#policy.closed
  }

  refusal(): EnigmError | undefined {
    return this.#revoked ?? this.#policy.refusal()
  }

  /**
   * The configuration changed while the gate was closed: queries that still wait were asked under
   * rules that no longer hold.
   */
  revoke(): void {
    this.#revoked ??= this.#policy.refusal() ?? refused('policy-pending')
  }
}

const refused = (code: PolicyCode) => new EnigmError(code, 'the policy lets nothing through now')

/**
 * Lets a query pass, or rejects it with the reason; cached answers are behind it too. An answer
 * that comes while the gate is closed was requested while it was open. It is not delivered, and no
 * stage outside this one can keep it.
 */
export function gateStage(gate: Gate): Stage {
  return {
    enter(job) {
      job.outcome = gate.closed ? gate.refusal() : undefined
      return job.outcome === undefined ? 'on' : 'answered'
    },
    leave(job) {
      if (gate.closed && !(job.outcome instanceof EnigmError)) job.outcome = gate.refusal()
      return 'on'
    },
  }
}

/** The same for a link: probes and refreshes do not pass through the pipeline. */
export function gatedLink<P extends Protection>(link: Link<P>, gate: Gate): Link<P> {
  return {
    id: link.id,
    transport: link.transport,
    get state() {
      return link.state ?? 'serving'
    },
    close: () => link.close(),
    send(request, ask, to) {
      const refusal = gate.closed ? gate.refusal() : undefined
      if (refusal === undefined) link.send(request, ask, to)
      else to.failed(refusal)
    },
  }
}
