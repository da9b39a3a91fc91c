import type { Ede, EnigmError, ErrorCode, Rcode } from './errors.ts'
import type { Transport } from './transports.ts'

declare const view: unique symbol
/**
 * The set of answers that a client may get, 16 bits. Part of every cache key. Only `asView` makes
 * one.
 */
export type View = number & { readonly [view]: true }

/** The view of clients that are in no configured view, and of questions of this service itself. */
export const VIEW_OF_ALL = 0 as View

/**
 * The view with that number: 0 is `VIEW_OF_ALL`, the views of the configuration are counted from 1.
 * Which one a client has is decided by its address (rules/views.ts), once per packet or query, and
 * the view stays with the query after that. So an answer cannot be stored under one view and looked
 * up under another.
 */
export function asView(number: number): View {
  return number as View
}

/** The highest bits of a view. The others are its number in the configuration. */
const MARKS = { exempt: 0x8000, unshared: 0x4000 } as const

/**
 * What lists say of the clients of a view. `exempt`: no list applies to them. `unshared`: each is
 * judged by its own address, so that no answer for another client is for it.
 */
export type ViewMark = keyof typeof MARKS

export function markedView(view: View, mark: ViewMark): View {
  return (view | MARKS[mark]) as View
}

export function hasMark(view: number, mark: ViewMark): boolean {
  return (view & MARKS[mark]) !== 0
}

/** The number of a view in the configuration. */
export function viewNumber(view: number): number {
  return view & (MARKS.unshared - 1)
}

/**
 * Where a name is resolved: by the resolvers for general names, or by those of a forward zone.
 * There is no fallback between sides.
 */
export interface Side {
  /** From 0. Sides with the same number ask the same servers. */
  readonly number: number
  /** The forward zone, lower-case, without its final dot; undefined: the name is a general one. */
  readonly zone: string | undefined
  /**
   * Its servers are known by their addresses only, so that on another network they are other hosts:
   * its answers are forgotten when the network changes.
   */
  readonly ofNetwork: boolean
}

/** The question of a message: QNAME, QTYPE, QCLASS. */
export interface Question {
  /**
   * Its octets, uncompressed (RFC 1035 section 4.1.2), A-Z of the QNAME lowered byte by byte (RFC
   * 4343). A private copy.
   */
  readonly lower: Uint8Array
  readonly type: number
  readonly class: number
}

/** The content of the client's OPT (RFC 6891). */
export interface ClientEdns {
  readonly udpSize: number
  readonly dnssecOk: boolean
  /** The client asks for the source of the answer with our private option (see dns/edns.ts). */
  readonly wantsSource: boolean
}

export interface Client {
  readonly address: string
  readonly transport: 'udp' | 'tcp'
  readonly view: View
}

/**
 * A question that passed the check of its header and form: QUERY, QR=0, RD=1, exactly one question,
 * at most one OPT of version 0.
 */
export interface Query {
  readonly id: number
  readonly question: Question
  readonly authenticData: boolean
  readonly checkingDisabled: boolean
  readonly edns: ClientEdns | undefined
  readonly client: Client
}

/** The purpose of a question, and its deadline (`Clock.nowMs` time). */
export interface Ask {
  readonly purpose: 'client' | 'refresh' | 'probe' | 'cover'
  readonly deadlineMs: number
  /** When the caller began, if that was just now (`Clock.nowMs` time). Absent: unknown. */
  readonly startedMs?: number | undefined
  /**
   * Set for a client that has more queries in progress than others: it waits behind them for
   * anything scarce.
   */
  readonly givesWay?: true | undefined
  /**
   * Called each time just before the query is written to a resolver. False: the answer is no longer
   * needed from it, and the exchange rejects with `closed`.
   */
  mayLeave?(): boolean
}

/**
 * A complete answer. `wire` is a complete response with ID 0, the question lower-cased, AA clear,
 * RA set, and no OPT; it is never changed after it is made. `rcode` is the full 12 bits. `storeS`:
 * how long it may be kept in seconds ('no': only for the clients that wait now).
 */
export interface Answer {
  readonly wire: Uint8Array
  readonly rcode: Rcode
  readonly storeS: number | 'no'
  readonly ede?: Ede
  readonly from: Source
  /** It came from a server of this network (see `Side`), and is forgotten when that changes. */
  readonly ofNetwork?: true
  /**
   * Offset of the TTL of each record of `wire`, if known: then the cache need not search for them.
   */
  readonly ttlAts?: readonly number[]
}
/**
 * What made an answer. `policy`: a rule of this program (a list, `hosts`, `answers`, a local name).
 * The setting `policy` and its gate make no answers.
 */
export type Source =
  | 'policy'
  | 'failure'
  | 'stale'
  | 'cache'
  | 'portal'
  | 'split-dns'
  | { readonly upstream: string; readonly transport: Transport }

/** Whether a server has sent the answer just now, so that it is evidence about the path to it. */
export function isFromServer(source: Source): boolean {
  return typeof source !== 'string' || source === 'split-dns'
}

export type { Transport } from './transports.ts'

interface Session {
  /** Null: the transport does not use TLS. */
  readonly tlsVersion: string | null
  readonly cipher: string
  readonly resumed: boolean
  /** The group of the key exchange; absent: Node does not tell it. */
  readonly group?: string
  /**
   * The first message with a group that resists quantum computers got no answer; without it, it
   * did.
   */
  readonly groupForced?: true
  /** The dates of the peer's certificate (wall clock). */
  readonly validity?: Validity
}

/** From when until when a proof is valid (wall clock). */
export interface Validity {
  readonly notBeforeMs: number
  readonly notAfterMs: number
}
/**
 * How a peer proved its identity: by a chain of certificates, by a pinned key too, or by a
 * certificate that the pinned key of its provider signed (DNSCrypt).
 */
export const PROOFS_OF_IDENTITY = ['ca', 'ca+spki', 'provider-key'] as const
export type ProofOfIdentity = (typeof PROOFS_OF_IDENTITY)[number]

/**
 * The peer proved its identity according to the trusted set: a valid chain for its authentication
 * domain name, and a leaf SPKI pin if pins are set.
 */
export interface Authenticated extends Session {
  readonly authenticated: true
  readonly by: ProofOfIdentity
}
/**
 * Encrypted, but the peer is not authenticated; `why` states the missing proof (usage profile
 * `opportunistic` only, RFC 8310 section 5).
 */
export interface Unauthenticated extends Session {
  readonly authenticated: false
  readonly why: ErrorCode
}
export type Protection = Authenticated | Unauthenticated

/**
 * The content of the OPT of a message (RFC 6891 section 6.1). `at` and `end` bound the record in
 * the message.
 */
export interface Opt {
  readonly at: number
  readonly end: number
  readonly udpSize: number
  /** The upper eight bits of the RCODE. */
  readonly extendedRcode: number
  readonly version: number
  readonly dnssecOk: boolean
  readonly padded: boolean
  readonly keepaliveMs: number | undefined
  readonly ede: Ede | undefined
}

/** Everything needed from a reply, found in one walk over its records. */
export interface ReplyReading {
  readonly opt: Opt | undefined
  /** The full 12 bits: the upper eight are in the OPT (RFC 6891 section 6.1.3). */
  readonly rcode: Rcode
  /** Why it cannot be passed on as a DNS message; the other fields are valid all the same. */
  readonly malformed: string | undefined
  /** Offset of the first record of the hop; undefined: there is none. The message is cut there. */
  readonly cutAt: number | undefined
  readonly additionalBeforeCut: number
  /** In seconds, capped at seven days; undefined: there is no record. */
  readonly lowestTtlS: number | undefined
  /** The value in the message, without a cap. */
  readonly highestTtlS: number
  /** The lowest of the answer section, at most the lifetime of a negative answer. */
  readonly chainTtlS: number
  /** There is a record of the requested type. */
  readonly hasType: boolean
  /** There is a name that is not a pointer to the question's name. */
  readonly otherNames: boolean
  /** The lifetime of a negative answer according to the SOA (RFC 2308 section 5). */
  readonly negativeTtlS: number | undefined
  /** The end of the last record. */
  readonly end: number
  /** Offset of the TTL of each record before the cut. */
  readonly ttlAts: readonly number[]
}

/**
 * The judgement of a reply by its 12-bit RCODE and its extended error (see
 * upstream/classification.ts).
 */
export interface ReplyVerdict {
  /**
   * It settles its question: it is about the name, or a final failure. To ask another operator
   * would only reveal the name to a second party.
   */
  readonly final: boolean
  /** It is about the resolver or the hop, and not about the name. */
  readonly blamesResolver: boolean
  /** It is about the hop, and does not settle the question. */
  readonly ofHop: boolean
}

/** A reply that came over a link. `rttMs` counts from the write. */
export interface Carried<P extends Protection = Protection> {
  /**
   * Belongs to the carrier and is wiped after the call that delivers it. A receiver that keeps it
   * uses `keptCopy` (dns/response.ts).
   */
  readonly wire: Uint8Array
  readonly rttMs: number
  /** When it came, if that was just now (`Clock.nowMs` time). Absent: unknown. */
  readonly cameMs?: number | undefined
  readonly protection: P
  /**
   * DoH: seconds the reply had spent in an HTTP cache; lifetimes are shorter by it (RFC 8484
   * section 5.1).
   */
  readonly ageS?: number
  /** The parsed `wire`. The first reader that needs it parses it (`readingOf`, dns/response.ts). */
  reading?: ReplyReading | undefined
}

/**
 * The receiver of a reply. Exactly one of the two is called, once, possibly before the call that
 * asked returns. `More`: further values besides the reply.
 */
export interface Receiver<P extends Protection, More extends readonly unknown[] = []> {
  // Properties, not methods: with methods the compiler would accept an unauthenticated link where a
  // strict one is required.
  readonly carried: (carried: Carried<P>, ...more: More) => void
  readonly failed: (error: EnigmError) => void
}

/**
 * The path to one first hop, as an observer sees it. `request` is a whole DNS query (it is not
 * changed; the link writes its own ID into a copy). A reply that does not match by ID and question
 * is ignored and counted. DoT then continues to wait; DoH fails that stream at once. It dials at
 * the first query, redials with backoff, and retries once on a fresh connection inside the
 * deadline. Any number of requests may be in flight.
 */
export interface Link<P extends Protection = Protection> {
  readonly id: string
  readonly transport: Transport
  /**
   * The state of a link that queries do not open: it serves, it fails (it may be asked all the
   * same), or it is in standby and refuses queries. Absent: any query opens it.
   */
  readonly state?: 'serving' | 'failing' | 'standby'
  /** Sends the request and calls `to` with the outcome by the deadline of `ask`. */
  readonly send: (request: Uint8Array, ask: Ask, to: Receiver<P>) => void
  /**
   * Lets requests in flight finish until their deadlines, then closes. Later calls fail with
   * `closed`.
   */
  close(): Promise<void>
}

/**
 * A link driven by a schedule: every record is sent when its holder requests it, and all records
 * have one size. It never retries, sends no probe and dials only on `open`: the schedule decides
 * these.
 */
export interface ScheduledLink<P extends Protection = Protection> {
  readonly id: string
  readonly transport: Transport
  /** Rejects with an EnigmError. */
  exchange(request: Uint8Array, ask: Ask): Promise<Carried<P>>
  close(): Promise<void>
  /**
   * Dials if there is no connection. Resolves when there is one, or when the network changed during
   * the dial: then the next call dials again. Rejects with the reason why there is none, at once
   * during the backoff. May be called repeatedly.
   */
  open(): Promise<void>
  /**
   * Whether `exchange` would write its first record in this turn. If false, `exchange` rejects with
   * `connection-lost`.
   */
  readonly ready: boolean
  /**
   * Queries of clients met silence, and no cover or probe was sent since: a probe in the next slot
   * shows whether the connection is dead or a name is slow.
   */
  readonly doubtful: boolean
  /**
   * The last request has records left to send: `more` writes the next one, and nothing else may be
   * sent before.
   */
  readonly unfinished: boolean
  more(): void
  /**
   * Octets of a request that fills `records` records (the maximum for one record over HTTP/2);
   * undefined while there is no connection.
   */
  octets(records: number): number | undefined
}

/** Makes one schedule per observed path. A shaper takes a link and returns a link. */
export type Shaper = <P extends Protection>(link: Link<P>) => Link<P>

/**
 * One trusted resolver. `message` is a query without OPT and with ID 0 (see dns/message.ts
 * `upstreamQuery`); `dnssecOk` goes into the OPT it adds. Never changes `message`; any number of
 * questions may be in progress.
 */
export interface Upstream<P extends Protection = Protection> {
  readonly id: string
  /**
   * The query that tests whether it is alive (see upstream/classification.ts); absent: a root
   * query.
   */
  readonly probe?: Uint8Array
  readonly ask: (message: Uint8Array, dnssecOk: boolean, ask: Ask, to: Receiver<P, [transport: Transport, verdict: ReplyVerdict]>) => void
  close(): Promise<void>
}

/** Questions that must not be answered from memory now: those of a captive portal (portal/). */
export interface CacheBypass {
  /** A plain read. While it is false, no question bypasses the cache. */
  readonly on: boolean
  takes(question: Question): boolean
}

/** The part of the resolver that listeners use. */
export interface Responder {
  /**
   * Answers from memory: writes the reply at `at` in `out`, at most `limit` octets, and returns its
   * length, or 0 if the question must be asked. `view`: the client's, the same as for `later`.
   * Synchronous; never throws.
   */
  now(packet: Uint8Array, start: number, end: number, out: Uint8Array, at: number, limit: number, view: View): number
  /**
   * Asks the question of the packet that `now` received last and could not answer; the packet is
   * copied at once. `done` is called once, during the call or later, with the reply in the first
   * `length` octets of `octets`, which are reused after it returns; 0: no reply is due. Never
   * throws. A failure is a reply too (a SERVFAIL with an EDE).
   */
  later(client: Client, done: (octets: Uint8Array, length: number) => void): void
}
