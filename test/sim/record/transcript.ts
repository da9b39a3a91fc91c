/**
 * What a transcript tells apart. `answer`: octets to a client; `event`: what the rooms report;
 * `status`: each status document put in place; `wire`: dials, records and
 * what is in them; `log`: lines on standard error; `trace`: lines of a query trace; `audit`: the
 * audit log at the end; `saved`: the saved cache at the end, by key;
 * `saved-order`: its keys as they lie in the file; `files`: what is left behind; `note`: what the
 * script did, and what came of orders.
 */
export type Stream = 'answer' | 'event' | 'status' | 'wire' | 'log' | 'trace' | 'audit' | 'saved' | 'saved-order' | 'files' | 'note'

/** What one seed did, line by line: time (ms of the run, virtual), stream, text. */
export class Transcript {
  readonly #lines: string[] = []
  readonly #sinceMs: number
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
    this.#sinceMs = nowMs()
  }

  add(stream: Stream, text: string): void {
    const ms = Math.round((this.#nowMs() - this.#sinceMs) * 1000) / 1000
    this.#lines.push(`${ms} ${stream} ${text}`)
  }

  /** How many lines it has so far, and what it says. */
  get length(): number {
    return this.#lines.length
  }
  text(): string {
    return `${this.#lines.join('\n')}\n`
  }
}

export const hex = (octets: Uint8Array): string => Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('hex')
