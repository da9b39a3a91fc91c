import { createHmac } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { expandedName, questionEnd } from '../dns/name.ts'
import { HEADER_OCTETS } from '../dns/octets.ts'
import { RecordCursor, TYPE } from '../dns/records.ts'

const DAY_MS = 86_400_000
/** Limit of remembered names that answers led to. The oldest ones are forgotten. */
const MOST_COMPANIONS = 4096
/** A name that an answer led to stays with the site of that answer for this time. */
const COMPANION_MS = 3_600_000

/**
 * The record types whose target a client asks for next, with the offset of the target's name in the
 * record's data: CNAME, MX, SRV, SVCB, HTTPS.
 */
const LEADING: Readonly<Record<number, number>> = { [TYPE.CNAME]: 0, [TYPE.MX]: 2, 33: 6, 64: 2, 65: 2 }

/** The order of operators for one query: a number for each resolver. 0 is asked first. */
export type Ranks = (resolver: string) => number

export interface SplitOptions {
  /**
   * `by-site`: a site stays with its operator. `rotate`: the operator changes at the end of each
   * day.
   */
  readonly by: 'by-site' | 'rotate'
  /**
   * The secret of this device, at least 32 octets. It must stay the same, because a new key would
   * move sites to other operators.
   */
  readonly key: Uint8Array
  /** The operator of each resolver. */
  readonly operators: ReadonlyMap<string, string>
  readonly clock: Clock
  /** Returns the site of a lower-case name in wire form. */
  readonly siteOf: (name: Uint8Array) => string
}

/**
 * Divides names among operators by site. Each operator has a keyed score for each site, and the
 * operator with the highest score gets the site (rendezvous hashing). If an operator is added or
 * removed, only its own sites move.
 */
export class Split {
  readonly #o: SplitOptions
  readonly #operators: readonly string[]
  /** The names (in latin1) that an answer led to, with the site of that answer. */
  readonly #companions = new Map<string, { readonly site: string; readonly untilMs: number }>()

  constructor(o: SplitOptions) {
    this.#o = o
    this.#operators = [...new Set(o.operators.values())]
  }

  /** The order of operators for a query. `message` has no OPT, and its name is lower-case. */
  ranks(message: Uint8Array): Ranks {
    const site = this.#siteOf(nameOf(message))
    const ordered = this.#operators
      .map((operator) => ({ operator, score: this.#score(site, operator) }))
      .toSorted((a, b) => b.score - a.score)
      .map(({ operator }) => operator)
    return (resolver) => ordered.indexOf(this.#o.operators.get(resolver) ?? '')
  }

  /**
   * Learns to which other names the answer to `message` leads. They stay with the site of
   * `message`, because its operator knows them now.
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
    // The first site keeps the name, so that a name of many sites does not reach many operators.
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
