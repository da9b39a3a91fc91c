import type { Clock } from '../clock.ts'
import { textFromName } from '../dns/name.ts'
import { rcodeText, textFromType } from '../dns/registries.ts'
import type { Ede, ErrorCode, Rcode } from '../errors.ts'
import type { Question, Source } from '../resolve.ts'

/** One question and what became of it. Texts are printable ASCII. Never who asked. */
export interface Traced {
  /** Wall clock, when the reply was made. */
  readonly at: string
  readonly name: string
  readonly type: string
  /** `cache`, `stale`, `policy`, `failure` (one that was kept), `<resolver>/<transport>`, or the error code of what failed. */
  readonly outcome: string
  readonly rcode: string
  /** The extended error's code (RFC 8914), if there is one. */
  readonly ede?: number
  /** From the query's arrival to its reply. */
  readonly ms: number
}

/** What responders tell a trace; one in each thread that answers. All of them follow one switch, which the main thread alone sets. */
export class Tracer {
  readonly shared: SharedArrayBuffer
  readonly #word: Int32Array
  readonly #clock: Clock
  readonly #take: (traced: Traced) => void

  /** Over the switch of another thread's tracer, or over one of its own, off. */
  constructor(clock: Clock, take: (traced: Traced) => void, shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared
    this.#word = new Int32Array(shared)
    this.#clock = clock
    this.#take = take
  }

  /** A plain read, as of the policy's gate: all that a query costs while nobody traces. */
  get on(): boolean {
    return this.#word[0] !== 0
  }

  set on(on: boolean) {
    Atomics.store(this.#word, 0, on ? 1 : 0)
  }

  /** Tells of a question that was answered; to be called only while `on`. `arrivedMs` is boot time. */
  note(question: Question, from: Source | ErrorCode, rcode: Rcode, ede: Ede | undefined, arrivedMs: number): void {
    this.#take({
      at: new Date(this.#clock.wallMs()).toISOString(),
      name: textFromName(question.lower),
      type: textFromType(question.type),
      outcome: typeof from === 'string' ? from : `${from.upstream}/${from.transport}`,
      rcode: rcodeText(rcode),
      ...(ede === undefined ? {} : { ede: ede.code }),
      ms: Math.round((this.#clock.nowMs() - arrivedMs) * 100) / 100,
    })
  }
}
