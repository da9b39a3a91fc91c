import type { Clock, Random } from '../../clock.ts'
import { idOf, isReplyTo } from '../../dns/message.ts'
import { RecordCursor } from '../../dns/records.ts'
import { EnigmError } from '../../errors.ts'
import type { Emit } from '../../events.ts'
import type { UdpPath } from '../dial/udp-path.ts'
import { type Certificate, certificateQuery, chosenCertificate, isNewer } from './certificate.ts'
import type { DnscryptPlace } from './place.ts'

/** A certificate is fetched again after this time at the latest: servers change keys daily. */
const KEEP_MS = 3_600_000
/**
 * If a query waits and there was no reply for this long, the server may have another key by now. A
 * link dials a second connection after a silence, and sends each query only twice. So this dial
 * must fetch the certificate, unless other queries were answered just before.
 */
const SILENT_MS = 200
/** The certificate query is sent again after these times, because a datagram may be lost. */
const AGAIN_MS = [400, 800, 1600] as const
/**
 * Lengths of the certificate query in octets, by attempt. They are used behind a relay, which drops
 * a reply that is longer than the query, and for a server that truncates its reply.
 */
const RELAYED_OCTETS = [512, 768, 1152, 1152] as const
const DIRECT_OCTETS = 128
const TXT = 16
const TRUNCATED = 0x02

/** Keeps the certificate of one server between connections. */
export class CertificateShelf {
  #certificate: Certificate | undefined
  #sinceMs = 0
  #doubted = false
  /** Whether a query was sent after the last reply. */
  #owed = false
  /** When the last reply came, or the certificate. */
  #heardMs = 0
  /** The id of the place that worked last. */
  lastPlace: string | undefined

  /** The certificate. Undefined if it was fetched over an hour ago, has expired, or is in doubt. */
  usable(clock: Clock): Certificate | undefined {
    const known = this.#certificate
    const nowMs = clock.nowMs()
    const isSilent = this.#owed && nowMs - this.#heardMs >= SILENT_MS
    if (known === undefined || this.#doubted || isSilent || nowMs - this.#sinceMs >= KEEP_MS) return undefined
    const wallMs = clock.wallMs()
    return wallMs >= known.validity.notBeforeMs && wallMs < known.validity.notAfterMs ? known : undefined
  }

  /** The time until which a connection may use `certificate`, in ms of boot time. */
  untilMs({ validity }: Certificate, clock: Clock): number {
    return Math.min(this.#sinceMs + KEEP_MS, clock.nowMs() + validity.notAfterMs - clock.wallMs())
  }

  /** Keeps `next` unless the known one is newer (`next` may be a replay). Returns the kept one. */
  keep(next: Certificate, clock: Clock): Certificate {
    const chosen = this.#certificate !== undefined && !isNewer(next, this.#certificate, clock.wallMs()) ? this.#certificate : next
    this.#certificate = chosen
    this.#sinceMs = clock.nowMs()
    this.proven(clock)
    return chosen
  }

  /** The key in this certificate cannot be used. */
  doubt(): void {
    this.#doubted = true
  }
  /** A query under this certificate was sent. */
  sent(): void {
    this.#owed = true
  }
  /** A query under this certificate was answered. */
  proven(clock: Clock): void {
    this.#doubted = false
    this.#owed = false
    this.#heardMs = clock.nowMs()
  }
}

/** What `fetchCertificate` needs. */
export interface FetchTools {
  readonly clock: Clock
  readonly random: Random
  /** Gets a `cleartext` event before each packet: the certificate query is not encrypted. */
  readonly emit: Emit
}

/**
 * Sends the certificate query on `path` until a reply comes. `result` rejects with an EnigmError if
 * the first complete reply holds no usable certificate, or if the path breaks. There is no time
 * limit: the caller must call `cancel`.
 */
export function fetchCertificate(path: UdpPath, place: DnscryptPlace, { clock, random, emit }: FetchTools) {
  const id = random.below(65_536)
  let over = false
  let tries = 0
  let timer: ReturnType<Clock['setTimer']> | undefined
  const cancel = () => {
    over = true
    timer?.cancel()
  }
  const result = new Promise<Certificate>((resolve, reject) => {
    const send = (cut = false) => {
      timer?.cancel()
      const octets = place.head === undefined && !cut ? DIRECT_OCTETS : (RELAYED_OCTETS[tries] ?? RELAYED_OCTETS[3])
      const query = certificateQuery(place.providerName, id, octets)
      emit({ type: 'cleartext', cause: 'dnscrypt-certificate' })
      path.send(place.head === undefined ? query : Buffer.concat([place.head, query]))
      const waitMs = AGAIN_MS[tries++]
      if (waitMs !== undefined) timer = clock.setTimer(waitMs, () => send(cut))
    }
    const end = (outcome: Certificate | EnigmError) => {
      if (over) return
      cancel()
      if (outcome instanceof EnigmError) reject(outcome)
      else resolve(outcome)
    }
    path.listen({
      datagram: (octets) => {
        if (over || idOf(octets) !== id || !isReplyTo(certificateQuery(place.providerName, id, DIRECT_OCTETS), octets)) return
        const chosen = chosenCertificate(textsIn(octets), place.publicKey, clock.wallMs())
        // A longer query gets what is missing in a truncated reply.
        const cut = ((octets[2] ?? 0) & TRUNCATED) !== 0
        if (chosen instanceof EnigmError && cut && tries < RELAYED_OCTETS.length) send(true)
        else end(chosen)
      },
      broken: end,
    })
    send()
  })
  return { result, cancel }
}

/** The TXT records of a reply, each with its strings joined. */
export function textsIn(reply: Uint8Array): Uint8Array[] {
  const cursor = new RecordCursor(reply)
  const found: Uint8Array[] = []
  while (cursor.next()) {
    const { type, rdataAt, rdLength } = cursor
    if (type !== TXT) continue
    const parts: Uint8Array[] = []
    const end = rdataAt + rdLength
    for (let at = rdataAt; at < end; at += 1 + (reply[at] ?? 0))
      parts.push(reply.subarray(at + 1, Math.min(end, at + 1 + (reply[at] ?? 0))))
    found.push(Uint8Array.from(Buffer.concat(parts)))
  }
  return found
}
