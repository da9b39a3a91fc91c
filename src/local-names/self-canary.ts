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

/** Names that only this process knows, to learn whether what the system asks arrives here. */
export class SelfCanary {
  #awaited: string | undefined
  #arrived = false

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
   * Notes an arrival and answers that there is no such name; every other question goes on. Nothing
   * of it is kept or leaves.
   */
  stage(): Stage {
    const soa = soaRecord(nameFromText(ZONE))
    return {
      enter: (job) => {
        const { lower } = job.query.question
        if (!isBelow(lower)) return 'on'
        if (this.#awaited !== undefined && Buffer.from(lower.subarray(1, TOKEN_OCTETS)).toString('latin1') === this.#awaited)
          this.#arrived = true
        job.outcome = { ...noSuchName(job.query.question, soa), storeS: 'no' }
        return 'answered'
      },
    }
  }
}

/** One label of 32 octets below the zone, type and class behind it. */
function isBelow(lower: Uint8Array): boolean {
  if (lower.length !== TOKEN_OCTETS + WIRE.length + 4 || lower[0] !== TOKEN_OCTETS - 1) return false
  for (let i = 0; i < WIRE.length; i++) if (lower[TOKEN_OCTETS + i] !== WIRE[i]) return false
  return true
}
