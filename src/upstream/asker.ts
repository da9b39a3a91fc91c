import { asEnigmError, EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Ask, Carried, Protection, Receiver, Transport } from '../resolve.ts'

/** What a probe may take. */
const PROBE_MS = 2000

/** One exchange, as whoever asks tells of it (`Clock.nowMs` times). */
export interface Exchange {
  readonly purpose: Ask['purpose']
  /** When the resolver was asked. */
  readonly beganMs: number
  /** When it was asked over the transport that it is with. */
  readonly startedMs: number
}

/** Whoever asks a link or a resolver, and is told once. */
export interface Asker<P extends Protection, More extends readonly unknown[] = []> extends Ask, Receiver<P, More> {
  readonly startedMs: number
  /** It has not been told yet. */
  readonly open: boolean
}

/** A probe, and what is to be done when it is over. */
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
 * Whom `asker` asked has thrown, which is a bug: it has failed. Where `asker` was told already, it
 * is its own bug, and it is not told again.
 */
export function threw<More extends readonly unknown[]>(error: unknown, asker: Asker<never, More>, emit: Emit, where: string): void {
  if (!(error instanceof EnigmError)) emit({ type: 'fault', where })
  if (asker.open) asker.failed(asEnigmError(error))
}
