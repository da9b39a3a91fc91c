import { nameFromText } from '../dns/name.ts'
import type { Stage } from '../job.ts'
import { noSuchName, soaRecord } from './local-answer.ts'

/**
 * Below .test, which no name server may send on (RFC 6761 section 6.2); not below .invalid, which
 * systemd-resolved answers by itself.
 */
const ZONE = 'canary.enigm-dns.test.'
const WIRE = Buffer.from(nameFromText(ZONE))
/** A label of 32 octets and its length. */
const TOKEN_OCTETS = 33

/** As many as one proof needs, and no more: older ones are no longer awaited. */
const MAX_AWAITED = 32
const TOKEN = /^[0-9a-f]{32}$/

/** How often a name was asked for. */
export interface Arrivals {
  udp: number
  tcp: number
}

/** Names that nobody else knows, to learn whether what the system asks arrives here. */
export class SelfCanary {
  #awaited: string | undefined
  #arrived = false
  readonly #others = new Map<string, Arrivals>()

  /**
   * A name for 128 bits of chance, with its final dot so that no search domain is put behind it.
   * Only the latest is awaited.
   */
  name(chance: Uint8Array): string {
    this.#awaited = Buffer.from(chance.subarray(0, 16)).toString('hex')
    this.#arrived = false
    return `${this.#awaited}.${ZONE}`
  }

  /** Whether the latest name was asked for. */
  get arrived(): boolean {
    return this.#arrived
  }

  /**
   * Awaits the name of a token that a command made, beside those of others: 32 hexadecimal digits.
   * Returns the name; undefined for what is no token.
   */
  awaitToken(token: string): string | undefined {
    if (!TOKEN.test(token)) return undefined
    const [oldest] = this.#others.keys()
    if (this.#others.size >= MAX_AWAITED && oldest !== undefined) this.#others.delete(oldest)
    this.#others.set(token, { udp: 0, tcp: 0 })
    return `${token}.${ZONE}`
  }

  /** How often the name of that token was asked for; undefined where it is not awaited. */
  arrivals(token: string): Readonly<Arrivals> | undefined {
    return this.#others.get(token)
  }

  /**
   * Notes an arrival and answers that there is no such name; every other question goes on. Nothing
   * of it is kept or leaves.
   */
  stage(): Stage {
    const soa = soaRecord(nameFromText(ZONE))
    return {
      enter: (job) => {
        const { lower } = job.query.question
        if (!isBelow(lower)) return 'on'
        this.#note(Buffer.from(lower.subarray(1, TOKEN_OCTETS)).toString('latin1'), job.query.client.transport)
        job.outcome = { ...noSuchName(job.query.question, soa), storeS: 'no' }
        return 'answered'
      },
    }
  }

  #note(token: string, over: 'udp' | 'tcp'): void {
    if (token === this.#awaited) this.#arrived = true
    const other = this.#others.get(token)
    if (other !== undefined) other[over]++
  }
}

/** One label of 32 octets below the zone, type and class behind it. */
function isBelow(lower: Uint8Array): boolean {
  if (lower.length !== TOKEN_OCTETS + WIRE.length + 4 || lower[0] !== TOKEN_OCTETS - 1) return false
  for (let i = 0; i < WIRE.length; i++) if (lower[TOKEN_OCTETS + i] !== WIRE[i]) return false
  return true
}
