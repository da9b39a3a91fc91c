import { asEnigmError, EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Ask, Carried, Protection, Receiver, Transport } from '../resolve.ts'

/** Time limit of a probe. */
const PROBE_MS = 2000

/** One exchange, as the asking side describes it. Its times are those of `Clock.nowMs`. */
export interface Exchange {
  readonly purpose: Ask['purpose']
  /** When the resolver was first asked. */
  readonly beganMs: number
  /** When it was asked over the current transport. */
  readonly startedMs: number
}

/** The asking side of a query to a link or a resolver. It gets the result exactly once. */
export interface Asker<P extends Protection, More extends readonly unknown[] = []> extends Ask, Receiver<P, More> {
  readonly startedMs: number
  /** True until the result has come. */
  readonly open: boolean
}

/** The asking side of a probe. It calls a function when the probe ends. */
export class Trial<P extends Protection> implements Asker<P, [transport?: Transport]> {
  readonly purpose = 'probe'
  readonly startedMs: number
  readonly deadlineMs: number
  open = true
  readonly #over: (ended: Carried<P> | EnigmError) => void

  constructor(startedMs: number, over: (ended: Carried<P> | EnigmError) => void) {
    this.startedMs = startedMs
    this.deadlineMs = startedMs + PROBE_MS
    this.#over = over
  }
  carried(carried: Carried<P>): void {
    this.open = false
    this.#over(carried)
  }
  failed(error: EnigmError): void {
    this.open = false
    this.#over(error)
  }
}

/**
 * Handles a bug: the link or resolver that `asker` asked has thrown. The exchange counts as failed.
 * If `asker` already has its result, the bug is in the asker, and it gets no second result.
 */
export function threw<More extends readonly unknown[]>(error: unknown, asker: Asker<never, More>, emit: Emit, where: string): void {
  if (!(error instanceof EnigmError)) emit({ type: 'fault', where })
  if (asker.open) asker.failed(asEnigmError(error))
}
