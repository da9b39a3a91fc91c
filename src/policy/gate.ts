import { EnigmError, type ErrorCode, isPolicyRefusal, type PolicyCode } from '../errors.ts'
import type { Stage } from '../job.ts'
import type { Link, Protection } from '../resolve.ts'

/**
 * Why nothing may pass, by number: what threads share is one integer. Memory that nobody has
 * written to says 0: a gate that was never judged is closed.
 */
const NUMBERS: Readonly<Record<PolicyCode, number>> = { 'policy-pending': 0, 'vpn-required': 2, 'audit-required': 3 }
const OPEN = 1
const CODES = new Map(Object.entries(NUMBERS).map(([code, number]) => [number, code as PolicyCode]))

/**
 * Whether the policy lets anything go now. Everything that asks or answers is given one: nothing
 * has a default that is open.
 */
export interface Gate {
  readonly closed: boolean
  /** Why it is closed; undefined: it is open. */
  refusal(): EnigmError | undefined
}

/**
 * The policy's gate: read by every thread at each query, set by the main thread alone. Closed until
 * it is set for the first time.
 */
export class PolicyGate implements Gate {
  readonly shared: SharedArrayBuffer
  readonly #word: Int32Array

  /** Over `shared` of another thread's gate, or over memory of its own. */
  constructor(shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared
    this.#word = new Int32Array(shared)
  }

  /** A plain read: on the hit path it costs nothing that can be measured. */
  get closed(): boolean {
    return this.#word[0] !== OPEN
  }

  get reason(): PolicyCode | undefined {
    return CODES.get(Atomics.load(this.#word, 0))
  }

  /** Closes for that reason, or opens; a reason that is none of the gate's closes all the same. */
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
 * The gate of one configuration: closed while the policy's is, and for ever once `revoke` was
 * called.
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
   * Another configuration came while the gate was closed: what the old one still waits for was
   * asked under rules that hold no more.
   */
  revoke(): void {
    this.#revoked ??= this.#policy.refusal() ?? refused('policy-pending')
  }
}

const refused = (code: PolicyCode) => new EnigmError(code, 'the policy lets nothing through now')

/**
 * Lets a query pass or rejects it with the reason; what is kept in memory is behind it as well. An
 * answer that comes while it is closed was asked for when it was open: it is not told, and nothing
 * outside of this stage can keep it.
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

/** The same before a link: probes and refreshes do not come through the pipeline. */
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
