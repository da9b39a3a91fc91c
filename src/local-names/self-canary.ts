import { noSuchName, soaRecord } from '../dns/local-answer.ts'
import { nameFromText } from '../dns/name.ts'
import type { Stage } from '../job.ts'

/**
 * Below .test, which name servers must not forward (RFC 6761 section 6.2), and not below .invalid,
 * which systemd-resolved answers itself.
 */
const ZONE = 'canary.enigm-dns.test.'
const WIRE = Buffer.from(nameFromText(ZONE))
/** A label of 32 octets and its length. */
const TOKEN_OCTETS = 33

/** As many as one proof needs; older ones are no longer awaited. */
const MAX_AWAITED = 32
const TOKEN = /^[0-9a-f]{32}$/

/** How often a name was queried. */
export interface Arrivals {
  udp: number
  tcp: number
}

/** Random names that nobody else knows. They show whether the system's queries arrive here. */
export class SelfCanary {
  #awaited: string | undefined
  #arrived = false
  readonly #others = new Map<string, Arrivals>()

  /**
   * A name from 128 random bits, with its final dot so that no search domain is appended.
   * Only the latest one is awaited.
   */
  name(chance: Uint8Array): string {
    this.#awaited = Buffer.from(chance.subarray(0, 16)).toString('hex')
    this.#arrived = false
    return `${this.#awaited}.${ZONE}`
  }

  /** Whether the latest name was queried. */
  get arrived(): boolean {
    return this.#arrived
  }

  /**
   * Awaits the name of a token that a command made, in addition to earlier ones: 32 hexadecimal
   * digits. Returns the name; undefined if `token` is invalid.
   */
  awaitToken(token: string): string | undefined {
    if (!TOKEN.test(token)) return undefined
    const [oldest] = this.#others.keys()
    if (this.#others.size >= MAX_AWAITED && oldest !== undefined) this.#others.delete(oldest)
    this.#others.set(token, { udp: 0, tcp: 0 })
    return `${token}.${ZONE}`
  }

  /** How often the name of that token was queried; undefined if it is not awaited. */
  arrivals(token: string): Readonly<Arrivals> | undefined {
    return this.#others.get(token)
  }

  /**
   * Records an arrival and answers NXDOMAIN; every other question goes on. Arrivals are neither
   * cached nor forwarded.
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

/** Whether it is one label of 32 octets below the zone, followed by type and class. */
function isBelow(lower: Uint8Array): boolean {
  if (lower.length !== TOKEN_OCTETS + WIRE.length + 4 || lower[0] !== TOKEN_OCTETS - 1) return false
  for (let i = 0; i < WIRE.length; i++) if (lower[TOKEN_OCTETS + i] !== WIRE[i]) return false
  return true
}
