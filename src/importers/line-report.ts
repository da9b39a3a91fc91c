/**
 * How a line was imported. `taken`: a setting of the new configuration replaces it. `same`:
 * enigm-dns behaves so without a setting. `left out`: it is not in the new configuration; `says`
 * gives the reason.
 */
export type Verdict = 'taken' | 'same' | 'left out'

export interface Outcome {
  /** The number of the line, from 1. */
  readonly line: number
  readonly verdict: Verdict
  /** The explanation for the person, as a clause. */
  readonly says: string
}

/** The outcomes of the lines of another program's file. */
export class LineReport {
  readonly #outcomes: Outcome[] = []
  readonly #covered = new Set<number>()
  #headers = 0
  #unknown = 0

  /** How many outcomes there are: the index of the next one. */
  get count(): number {
    return this.#outcomes.length
  }

  /** Records the outcome of the lines `from` to `to` (inclusive, from 1). */
  say(verdict: Verdict, from: number, says: string, to = from): void {
    this.#outcomes.push({ line: from, verdict, says })
    for (let line = from; line <= to; line++) this.#covered.add(line)
  }

  /** Records the header of a known section. */
  header(line: number): void {
    this.say('same', line, 'a section header; its lines follow')
    this.#headers++
  }

  /** Records lines with a setting (`what`) that the program is not known to have. */
  unknown(from: number, what: string, to = from): void {
    this.say('left out', from, `${what} is not known`, to)
    this.#unknown++
  }

  /**
   * Records lines without an outcome as not understood, unless `isSilent`. Returns the number of
   * silent ones.
   */
  sayRest(lines: readonly string[], isSilent: (line: string) => boolean): number {
    let silent = 0
    // The end of the last line is no line.
    const rest = lines.at(-1) === '' ? lines.slice(0, -1) : lines
    for (const [at, text] of rest.entries()) {
      if (this.#covered.has(at + 1)) continue
      if (isSilent(text)) silent++
      else {
        this.say('left out', at + 1, 'it is not understood')
        this.#unknown++
      }
    }
    return silent
  }

  /**
   * Corrects the outcome at an index: `name` is left out after all. Other parts of the line keep
   * their outcome.
   */
  retract(at: number, name: string, why: string): void {
    const before = this.#outcomes[at]
    if (before === undefined) return
    const isAlone = before.verdict === 'taken' && before.says.startsWith('answers: ')
    if (isAlone) this.#outcomes[at] = { ...before, verdict: 'left out', says: why }
    else this.#outcomes.push({ line: before.line, verdict: 'left out', says: `${name}: ${why}` })
  }

  /** The outcomes in the order of the lines. */
  get sorted(): readonly Outcome[] {
    return this.#outcomes.toSorted((a, b) => a.line - b.line)
  }

  /**
   * What the text is, once all lines have an outcome. `foreign`: it looks like the file of another
   * program, because nothing is taken or the same and most settings are not known.
   */
  get kind(): 'empty' | 'foreign' | 'own' {
    const kept = this.#outcomes.filter(({ verdict }) => verdict !== 'left out').length
    const settings = this.#outcomes.length - this.#headers
    if (settings === 0) return 'empty'
    return kept === this.#headers && this.#unknown * 2 > settings ? 'foreign' : 'own'
  }
}
