import type { Event } from '../events.ts'

/** Whether the configured profile does what it promises, and if not, why. */
export interface Force {
  readonly inForce: 'yes' | 'no' | 'unknown'
  /** One sentence; holds no name that was asked. */
  readonly why?: string
}

/** Replies that are looked back on: resolvers may leave an error unpadded, so most of them decide. */
const WINDOW = 16

const WHY = {
  claim: 'says that it wants no cover traffic, so none is sent',
  refused: 'refuses cover traffic, so it is paused',
  'used-up': 'has had its share of cover traffic for the day',
} as const

interface Evidence {
  /** The last replies, at most WINDOW: one bit each, set where the reply was padded. */
  padded: number
  replies: number
  readonly covers: Map<string, keyof typeof WHY>
}

/** Follows events, to say whether a profile that keeps a schedule is in force: covers flow, and replies come back padded. */
export class ShapingForce {
  readonly #resolvers = new Map<string, Evidence>()

  take(event: Event): void {
    if (event.type === 'upstream.answered') {
      const evidence = this.#of(event.resolver)
      evidence.padded = ((evidence.padded << 1) | (event.paddedReply ? 1 : 0)) & (2 ** WINDOW - 1)
      evidence.replies = Math.min(WINDOW, evidence.replies + 1)
    } else if (event.type === 'shaping.covers') {
      const { covers } = this.#of(event.resolver)
      if (event.covers === 'flowing') covers.delete(event.transport)
      else covers.set(event.transport, event.covers)
    }
  }

  /** Of the resolvers that have answered: those that were never asked say nothing. */
  verdict(): Force {
    const used = [...this.#resolvers].filter(([, { replies }]) => replies > 0)
    if (used.length === 0) return { inForce: 'unknown' }
    for (const [id, { padded, replies, covers }] of used) {
      for (const covers_ of covers.values()) return { inForce: 'no', why: `${id} ${WHY[covers_]}` }
      if (bitsSet(padded) * 2 < replies) {
        return { inForce: 'no', why: `${id} does not pad its replies, so their sizes tell` }
      }
    }
    return { inForce: 'yes' }
  }

  /** Another configuration: nothing is known of it yet. */
  forget(): void {
    this.#resolvers.clear()
  }

  #of(resolver: string): Evidence {
    const known = this.#resolvers.get(resolver)
    if (known !== undefined) return known
    const evidence: Evidence = { padded: 0, replies: 0, covers: new Map() }
    this.#resolvers.set(resolver, evidence)
    return evidence
  }
}

function bitsSet(bits: number): number {
  let set = 0
  for (let rest = bits; rest !== 0; rest &= rest - 1) set++
  return set
}
