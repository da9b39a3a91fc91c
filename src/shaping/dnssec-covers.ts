import type { Random } from '../clock.ts'
import { COVER_PAGES } from './cover-names.ts'
import { isLarge, Share } from './likeness.ts'

/**
 * Covers for clients that validate. These clients set DO (RFC 4035 section 3.2.1), and signed
 * answers often take more than one block. Without covers with DO, each of these queries would be
 * visible.
 */

/**
 * How a cover is asked. `proof`: with DO, and for records that validators ask in addition to the
 * names.
 */
export type DnssecManner = 'without' | 'with-do' | 'proof'

/**
 * How many queries are considered. There is no prior weight, because a client that sets DO always
 * sets it.
 */
const ASKED = { remembered: 256, prior: 0 }
const LARGE = { remembered: 256, prior: 8 }
/** Assumed before anything was measured: the shares of large replies with DO. */
const EXPECTED = { real: 0.3, 'with-do': 0.15, proof: 0.9 }
const LEAST_APART = 0.1
const MOST_PROOFS = 0.95
/** The shares are updated with every reply until this many replies are known. */
const SETTLED = 256
const SHARE_STEPS = 10_000
/** How many replies are needed before a mismatch of sizes is reported, and how large it must be. */
const TELLING = 512
const MOST_LARGER = 0.1

/**
 * Decides what share of covers is asked with DO, and how often these should have large replies.
 */
export class DnssecCovers {
  readonly #random: Random
  readonly #asked = new Share(0, ASKED)
  readonly #large = {
    real: new Share(EXPECTED.real, LARGE),
    'with-do': new Share(EXPECTED['with-do'], LARGE),
    proof: new Share(EXPECTED.proof, LARGE),
  }
  #doSteps = 0
  #proofSteps = 0

  constructor(random: Random) {
    this.#random = random
    this.remix()
  }

  /** A real query will be sent. */
  asked(dnssecOk: boolean): void {
    this.#asked.add(dnssecOk)
    if (this.#asked.count <= SETTLED) this.remix()
  }

  next(): DnssecManner {
    if (this.#random.below(SHARE_STEPS) >= this.#doSteps) return 'without'
    return this.#random.below(SHARE_STEPS) < this.#proofSteps ? 'proof' : 'with-do'
  }

  /** Records a reply with DO, to a real query or to a cover. */
  answered(kind: 'real' | 'with-do' | 'proof', octets: number): void {
    const share = this.#large[kind]
    share.add(isLarge(octets))
    if (share.count <= SETTLED) this.remix()
  }

  /** Updates the shares. */
  remix(): void {
    this.#doSteps = Math.round(this.#asked.value * SHARE_STEPS)
    this.#proofSteps = Math.round(this.#proofShare() * SHARE_STEPS)
  }

  /** Whether real queries with DO have large replies more often than any mixture of covers. */
  get unmatched(): boolean {
    const { real, proof, 'with-do': withDo } = this.#large
    return real.count >= TELLING && real.value - Math.max(proof.value, withDo.value) > MOST_LARGER
  }

  #proofShare(): number {
    const { real, proof, 'with-do': withDo } = this.#large
    if (proof.value - withDo.value < LEAST_APART) return 0
    return Math.min(MOST_PROOFS, Math.max(0, (real.value - withDo.value) / (proof.value - withDo.value)))
  }
}

/**
 * Zones of sites that covers ask, below signed top-level domains. Most of them have no DS, and the
 * proof of this (RFC 5155 section 7.2.4) takes more than one block.
 */
export const PROOF_ZONES: readonly string[] = [
  ...new Set(
    COVER_PAGES.flatMap((names) => names.map((name) => name.split('.').slice(-2).join('.'))).filter((zone) =>
      /\.(com|net|org)$/.test(zone),
    ),
  ),
]
