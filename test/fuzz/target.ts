/** What is fuzzed: a parser and what must hold whatever it is given. */
export interface Target {
  readonly name: string
  readonly maxOctets: number
  /** Inputs to begin with, beside the corpus file. */
  readonly seeds: readonly Uint8Array[]
  /** Octets that mean something to it, beside its literals. */
  readonly words?: readonly (readonly number[] | Uint8Array)[]
  /** One execution. Throws where a property does not hold. */
  run(input: Uint8Array): void | Promise<void>
  /** The work of ours in it alone, without the checking: what is held to the clock. */
  timed(input: Uint8Array): void | Promise<void>
}

/** Throws a finding unless `holds`. */
export function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`broken: ${what}`)
}
