import { idOf, isReplyTo, setId } from '../../dns/message.ts'
import { EnigmError } from '../../errors.ts'
import { TRANSPORTS } from '../../transports.ts'
import type { Endpoint } from '../dial/endpoint.ts'

const DNS_MESSAGE = 'application/dns-message'
const OBLIVIOUS_MESSAGE = 'application/oblivious-dns-message'
const MAX_MESSAGE_OCTETS = 65535
const MIN_MESSAGE_OCTETS = 12
/** The largest value that a field with seconds must hold (RFC 9111 section 1.2.2). */
const MAX_AGE_S = 2 ** 31

/** Response headers with lower-case names. */
export type Headers = Readonly<Record<string, string | readonly string[] | number | undefined>>

/**
 * The request headers after the pseudo-headers. They are always the same, in this order: no
 * cookies, no user-agent, no language. They ask for no compression (`identity`), because a
 * compressed body can expand without limit (CVE-2024-22025), and its length reveals more about its
 * content.
 */
export function requestHeaders(octets: number, type = DNS_MESSAGE): Record<string, string> {
  return { accept: type, 'accept-encoding': 'identity', 'content-type': type, 'content-length': String(octets) }
}

/** host[:port] in the form of a URI (RFC 3986 section 3.2.2). */
export function authorityOf({ authenticationDomainName: name, doh, odoh }: Endpoint): string {
  return hostAndPort(name, (odoh ?? doh)?.port)
}

/** The same for a host and its port. Port 443 is left out. */
export function hostAndPort(name: string, port: number | undefined): string {
  const host = name.includes(':') ? `[${name}]` : name
  return port === undefined || port === TRANSPORTS.doh.port ? host : `${host}:${port}`
}

/** The path to which an endpoint's queries are posted. */
export function pathOf({ doh, odoh }: Endpoint): string {
  return (odoh ?? doh)?.path ?? '/dns-query'
}

/** The media type of an endpoint's queries and replies (RFC 8484, RFC 9230 section 4). */
export function mediaTypeOf({ odoh }: Endpoint): string {
  return odoh === undefined ? DNS_MESSAGE : OBLIVIOUS_MESSAGE
}

/** Copies a request and sets its ID to 0 (RFC 8484 section 4.1). */
export function dohRequest(request: Uint8Array): Buffer {
  const copy = Buffer.from(request)
  setId(copy, 0)
  return copy
}

/**
 * The reason why a response cannot be an answer, according to its head. Redirects are not followed,
 * because they could lead to another operator. `ended`: no body follows.
 */
export function headFault(status: number, headers: Headers, wanted = DNS_MESSAGE, ended = false): EnigmError | undefined {
  const empty = status === 200 && (ended || Number(headers['content-length'] ?? 1) === 0)
  // The target does not know the key (RFC 9230 section 8). An empty response need not have a type.
  if (wanted === OBLIVIOUS_MESSAGE && (status === 401 || empty))
    return new EnigmError('target-key', 'the target does not know the key; it uses another one')
  if (status !== 200) return new EnigmError('http-status', `status ${status}`)
  const type = String(headers['content-type'] ?? '')
    .split(';')[0]
    ?.trim()
    .toLowerCase()
  if (type !== wanted) return new EnigmError('http-type', 'not a DNS message')
  if (String(headers['content-encoding'] ?? 'identity').toLowerCase() !== 'identity') {
    return new EnigmError('http-encoding', 'an encoding that was not requested')
  }
  return Number(headers['content-length'] ?? 0) > MAX_MESSAGE_OCTETS ? tooLong() : undefined
}

function tooLong(): EnigmError {
  return new EnigmError('http-size', 'longer than a DNS message can be')
}

/** The Age header in seconds. Undefined: it is missing or not a number. */
export function ageOf(headers: Headers): number | undefined {
  const text = String(headers.age ?? '')
  return /^\d+$/.test(text) ? Math.min(Number(text), MAX_AGE_S) : undefined
}

/** Collects a body of at most the length of one DNS message. */
export class Body {
  readonly #chunks: Uint8Array[] = []
  #octets = 0

  /** Adds a piece. Returns an error as soon as the body is too long: the rest need not be read. */
  add(chunk: Uint8Array): EnigmError | undefined {
    this.#octets += chunk.length
    if (this.#octets > MAX_MESSAGE_OCTETS) return tooLong()
    this.#chunks.push(chunk)
    return undefined
  }

  /** The reply, with the ID of `request`. An error if the body is not a valid reply. */
  reply(request: Uint8Array): Uint8Array | EnigmError {
    if (this.#octets < MIN_MESSAGE_OCTETS) return new EnigmError('reply-malformed', 'shorter than a DNS header')
    const wire = new Uint8Array(this.#octets)
    let at = 0
    for (const chunk of this.#chunks) {
      wire.set(chunk, at)
      at += chunk.length
    }
    if (idOf(wire) !== 0 || !isReplyTo(request, wire)) return new EnigmError('reply-mismatch', 'not the answer to what was asked')
    setId(wire, idOf(request))
    return wire
  }
}
