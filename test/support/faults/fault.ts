/** Faults of the path: what the network between a stub and its resolver does. */
const PATH_FAULTS = {
  blackhole:
    'nothing passes either way; connections are taken and never heard of; what was sent meanwhile arrives when it ends, as with TCP',
  away: 'nobody listens, and whoever was connected got RST: a resolver that restarts',
  'half-open': 'the connections that exist fall silent for ever, without FIN or RST; new ones work',
  cut: 'RST on every connection that exists; new ones work',
  latency: 'each way takes `ms` / 2 longer, and up to `spreadMs` more by chance',
  loss: '`perMille` of the segments are lost: they, and all behind them, come one retransmission (`ms`, 200 by default) later',
  rate: '`octetsPerS` each way, all connections together',
  'slow-handshake': 'the first octet of the server comes `ms` late',
} as const

/**
 * Faults of who the resolver says it is, from the next handshake on. Connections that exist are
 * cut.
 */
const IDENTITY_FAULTS = {
  expired: 'a certificate that ended an hour ago',
  'wrong-name': 'a certificate for another name',
  'self-signed': 'a certificate that no authority signed',
} as const

/** Faults of what is answered. */
const ANSWER_FAULTS = {
  stall: 'no answer; TCP, TLS and PING live on',
  slow: 'the answer comes after `ms`',
  reset: 'RST on the connection instead of an answer',
  goaway: 'GOAWAY, then the session ends when its streams have ended (DoT, HTTP/1.1: FIN after the answer)',
  'goaway-0': 'GOAWAY with last stream 0 instead of an answer: nothing was processed (HTTP/2)',
  'refused-stream': 'RST_STREAM with REFUSED_STREAM (HTTP/2)',
  'max-streams': 'at most `streams` streams at a time, 1 by default (HTTP/2)',
  'wrong-id': 'an answer under another ID; over DoT the right one follows',
  'wrong-question': 'an answer to another question; over DoT the right one follows',
  'wrong-case': 'the right answer, the name in other letters: it must be taken',
  'extra-records': 'the right answer, with records of another name beside it: they must not be believed',
  truncated: 'no records and TC=1',
  short: 'the last octets are missing',
  servfail: 'SERVFAIL without a reason',
  oversize: '65,536 octets over HTTP; over DoT the right answer filled up to 65,535 octets, which must be taken',
  'wrong-type': 'HTTP: text/html',
  redirect: 'HTTP: 302',
  gzip: 'HTTP: Content-Encoding gzip',
  status: 'HTTP: 503',
  trickle: 'one octet every `ms`, 1000 by default: the length over DoT, the body over HTTP',
  'out-of-order': 'answers are held for `ms`, 10 by default, and given in reverse',
} as const

export type PathKind = keyof typeof PATH_FAULTS
export type IdentityKind = keyof typeof IDENTITY_FAULTS
export type AnswerKind = keyof typeof ANSWER_FAULTS
export type FaultKind = PathKind | IdentityKind | AnswerKind

/** A fault and its measure. */
export interface Fault {
  readonly kind: FaultKind
  /** Answer faults: every Nth query of the server (default: each). */
  readonly every?: number
  /** Answer faults: only queries whose name begins with `victim`. */
  readonly victims?: boolean
  /**
   * Resets: after each, so many connections in a row get RST on their first query, whatever it is
   * (default: none).
   */
  readonly inARow?: number
  readonly ms?: number
  readonly spreadMs?: number
  readonly perMille?: number
  readonly octetsPerS?: number
  readonly streams?: number
}

/** What every fault does, by its name. */
export const FAULTS: Readonly<Record<FaultKind, string>> = { ...PATH_FAULTS, ...IDENTITY_FAULTS, ...ANSWER_FAULTS }

/** What only HTTP can do, and what only HTTP/2 can. */
const HTTP_ONLY: readonly FaultKind[] = ['wrong-type', 'redirect', 'gzip', 'status']
const HTTP2_ONLY: readonly FaultKind[] = ['goaway-0', 'refused-stream', 'max-streams']

export type Protocol = 'dot' | 'h2' | 'h1'

/** Whether a fault can be had over a protocol. */
export function isPossible(kind: FaultKind, protocol: Protocol): boolean {
  if (HTTP2_ONLY.includes(kind)) return protocol === 'h2'
  return protocol !== 'dot' || !HTTP_ONLY.includes(kind)
}

export const isPathKind = (kind: FaultKind): kind is PathKind => kind in PATH_FAULTS
export const isIdentityKind = (kind: FaultKind): kind is IdentityKind => kind in IDENTITY_FAULTS
export const isAnswerKind = (kind: FaultKind): kind is AnswerKind => kind in ANSWER_FAULTS
