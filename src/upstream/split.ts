import { createHmac } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { expandedName, questionEnd } from '../dns/name.ts'
import { HEADER_OCTETS } from '../dns/octets.ts'
import { RecordCursor, TYPE } from '../dns/records.ts'

const DAY_MS = 86_400_000
/** The names that answers led to. A page leads to a few; the oldest are forgotten. */
const MOST_COMPANIONS = 4096
/** For this long a name that an answer led to stays with the site that led there. */
const COMPANION_MS = 3_600_000

/**
 * Records whose target is asked for next, and the offset of its name in the record's data: CNAME,
 * MX, SRV, SVCB, HTTPS.
 */
const LEADING: Readonly<Record<number, number>> = { [TYPE.CNAME]: 0, [TYPE.MX]: 2, 33: 6, 64: 2, 65: 2 }

/** The order of operators for one query, as a number for each resolver; 0 is asked first. */
export type Ranks = (resolver: string) => number

export interface SplitOptions {
  /** `by-site`: a site stays with its operator. `rotate`: until the end of the day. */
  readonly by: 'by-site' | 'rotate'
  /**
   * The secret of this device, at least 32 octets. It stays the same: with each new key, sites
   * would come to other operators.
   */
  readonly key: Uint8Array
  /** The operator of each resolver. */
  readonly operators: ReadonlyMap<string, string>
  readonly clock: Clock
  /** The site of a lower-cased name in wire form. */
  readonly siteOf: (name: Uint8Array) => string
}

/**
 * Divides names among operators by site. Each operator has a keyed score for each site, and the
 * highest one gets it (rendezvous hashing): if an operator is added or removed, only the sites move
 * that it gets or had.
 */
export class Split {
  readonly #o: SplitOptions
  readonly #operators: readonly string[]
  /** Names, in latin1, that an answer led to. */
  readonly #companions = new Map<string, { readonly site: string; readonly untilMs: number }>()

  constructor(o: SplitOptions) {
    this.#o = o
    this.#operators = [...new Set(o.operators.values())]
  }

  /** The order of operators for a query without OPT, whose name is lower-cased. */
  ranks(message: Uint8Array): Ranks {
    const site = this.#siteOf(nameOf(message))
    const ordered = this.#operators
      .map((operator) => ({ operator, score: this.#score(site, operator) }))
      .toSorted((a, b) => b.score - a.score)
      .map(({ operator }) => operator)
    return (resolver) => ordered.indexOf(this.#o.operators.get(resolver) ?? '')
  }

  /**
   * The answer to `message` leads to other names: they stay with its site, whose operator knows
   * them now.
   */
  learn(message: Uint8Array, reply: Uint8Array): void {
    const cursor = new RecordCursor(reply)
    let site: string | undefined
    while (cursor.next() && cursor.section === 1) {
      const at = LEADING[cursor.type]
      if (at === undefined) continue
      const target = expandedName(reply, cursor.rdataAt + at)
      site ??= this.#siteOf(nameOf(message))
      if (target !== undefined && target.length > 1) this.#keep(latin1(target).toLowerCase(), site)
    }
  }

  /** Forgets where answers led. */
  forget(): void {
    this.#companions.clear()
  }

  #siteOf(name: Uint8Array): string {
    const found = this.#companions.get(latin1(name))
    if (found !== undefined && found.untilMs > this.#o.clock.nowMs()) return found.site
    return this.#o.siteOf(name)
  }

  #keep(name: string, site: string): void {
    const nowMs = this.#o.clock.nowMs()
    const known = this.#companions.get(name)
    // The first site keeps it: a name that many sites lead to must not come to many operators.
    const kept = known !== undefined && known.untilMs > nowMs ? known.site : site
    this.#companions.delete(name)
    this.#companions.set(name, { site: kept, untilMs: nowMs + COMPANION_MS })
    for (const oldest of this.#companions.keys()) {
      if (this.#companions.size <= MOST_COMPANIONS) break
      this.#companions.delete(oldest)
    }
  }

  #score(site: string, operator: string): number {
    const hmac = createHmac('sha256', this.#o.key).update(`${this.#period()}\0${operator}\0`)
    return hmac.update(site, 'latin1').digest().readUIntBE(0, 6)
  }

  #period(): number {
    return this.#o.by === 'by-site' ? 0 : 1 + Math.floor(this.#o.clock.wallMs() / DAY_MS)
  }
}

function nameOf(message: Uint8Array): Uint8Array {
  return message.subarray(HEADER_OCTETS, questionEnd(message) - 4)
}

const latin1 = (name: Uint8Array) => Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1')
