import { compareNames, type Denial, deniesTop, type SignedSet } from '../dns/denial.ts'
import { labelsOf } from '../dns/name.ts'

/** The real root has about 1440 gaps of 500 octets each; a host queries names in a few of them. */
const MOST_GAPS = 256
/**
 * How many letters of a private name are revealed at first; the list of top-level domains is so
 * dense that two usually identify its gap.
 */
const FIRST_LETTERS = 2
/** One more letter is revealed after this many steps along the list. */
const STEPS_A_LETTER = 5
const MAX_LABEL_OCTETS = 63
/** The wildcard of the root: a proof that a name does not exist must also deny it. */
const WILDCARD = Uint8Array.of(1, 0x2a, 0)

interface KeptRecords {
  readonly set: SignedSet
  readonly next: Uint8Array
  readonly untilMs: number
}

/**
 * A proof made of stored parts: signed records, and the time (boot time, ms) until which all of
 * them are valid.
 */
export interface Proof {
  readonly sets: readonly SignedSet[]
  readonly untilMs: number
}

/**
 * Denials by the root: gaps between two neighbours (NSEC). Every name in a gap is denied without a
 * query for it (RFC 8198). Bounded: the gap that was not used for the longest time is dropped
 * first.
 */
export class RootGaps {
  readonly #gaps = new Map<string, KeptRecords>()
  #soa: KeptRecords | undefined

  clear(): void {
    this.#gaps.clear()
    this.#soa = undefined
  }

  /** Whether no gap is known: the root is not signed, or uses NSEC3. */
  get empty(): boolean {
    return this.#gaps.size === 0
  }

  /**
   * Stores the gaps of a denial by the root for at most `keepMs`. Denials with NSEC3 have none,
   * because they cover hashes.
   */
  learn(denial: Denial, nowMs: number, keepMs: number): void {
    if (denial.zone.length !== 1) return
    const hold = (set: SignedSet, next: Uint8Array): KeptRecords => ({ set, next, untilMs: nowMs + Math.min(keepMs, set.ttlS * 1000) })
    this.#soa = hold(denial.soa, denial.zone)
    for (const set of denial.proofs) {
      if (set.next === undefined) continue
      const key = Buffer.from(set.owner).toString('latin1')
      this.#gaps.delete(key)
      this.#gaps.set(key, hold(set, set.next))
    }
    for (const oldest of this.#gaps.keys()) {
      if (this.#gaps.size <= MOST_GAPS) break
      this.#gaps.delete(oldest)
    }
  }

  /** The proof that there is no top-level `name` (wire form, lower-case), if it is known. */
  proofOf(name: Uint8Array, nowMs: number): Proof | undefined {
    const gap = this.#covering(name, nowMs)
    const wildcard = this.#covering(WILDCARD, nowMs)
    const soa = this.#soa
    if (gap === undefined || wildcard === undefined || soa === undefined || soa.untilMs <= nowMs) return undefined
    const parts = gap === wildcard ? [soa, gap] : [soa, gap, wildcard]
    return { sets: parts.map(({ set }) => set), untilMs: Math.min(...parts.map(({ untilMs }) => untilMs)) }
  }

  /** Whether the top-level `name` is known to be in the root. */
  has(name: Uint8Array, nowMs: number): boolean {
    const label = labelsOf(name)[0]
    for (const { set, next, untilMs } of this.#gaps.values())
      if (untilMs > nowMs && (labelsOf(set.owner).at(-1) === label || labelsOf(next).at(-1) === label)) return true
    return false
  }

  /** The known end of a gap that is nearest before `name`: a top-level name that exists. */
  nearestBefore(name: Uint8Array, nowMs: number): Uint8Array | undefined {
    let best: Uint8Array | undefined
    for (const { next, untilMs } of this.#gaps.values()) {
      if (untilMs <= nowMs || next.length === 1 || compareNames(next, name) >= 0) continue
      if (best === undefined || compareNames(next, best) > 0) best = next
    }
    return best
  }

  #covering(name: Uint8Array, nowMs: number): KeptRecords | undefined {
    for (const [key, held] of this.#gaps) {
      if (held.untilMs <= nowMs) {
        this.#gaps.delete(key)
        continue
      }
      if (deniesTop(held.set.owner, held.next, name)) {
        this.#gaps.delete(key)
        this.#gaps.set(key, held)
        return held
      }
    }
    return undefined
  }
}

/**
 * The name to query in step `step` (from 0) of the search for the gap of the root around the
 * top-level `name`. It is never the name itself, and of what only this network knows it holds only
 * the first letters. `before`: the nearest known top-level domain before it. Undefined: no query in
 * this step.
 *
 * A hyphen after a label makes the name that follows it directly in canonical order, and no
 * top-level domain has one there. Labels that do not begin with a letter lie before or after all of
 * them: one fixed name for each case.
 */
export function probeName(name: Uint8Array, step: number, before: Uint8Array | undefined): Uint8Array | undefined {
  const label = labelsOf(name)[0] ?? ''
  const first = label.charCodeAt(0)
  if (first < 0x61) return step === 0 ? topName('0') : undefined
  if (first > 0x7a) return step === 0 ? topName('~') : undefined
  const letters = FIRST_LETTERS + Math.floor(step / STEPS_A_LETTER)
  if (step % STEPS_A_LETTER === 0) {
    const prefix = prefixOf(label, letters)
    if (prefix !== undefined) return topName(prefix)
  }
  const along = before === undefined ? undefined : labelsOf(before).at(-1)
  if (along === undefined || along.length === MAX_LABEL_OCTETS || `${along}-` === label) return undefined
  return topName(`${along}-`)
}

/**
 * Fewer letters than the label has. For a label of one letter: the end of the range of the letter
 * before it.
 */
function prefixOf(label: string, letters: number): string | undefined {
  if (label.length === 1)
    return letters > FIRST_LETTERS ? undefined : label === 'a' ? '0' : `${String.fromCharCode(label.charCodeAt(0) - 1)}zz`
  const length = Math.min(letters, label.length - 1)
  if (letters > FIRST_LETTERS && length < letters) return undefined
  const prefix = label.slice(0, length)
  return `${prefix}-` === label ? `${prefix},` : `${prefix}-`
}

function topName(label: string): Uint8Array {
  return Uint8Array.of(label.length, ...Buffer.from(label, 'latin1'), 0)
}
