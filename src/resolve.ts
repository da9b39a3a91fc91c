import type { Ede, EnigmError, ErrorCode, Rcode } from './errors.ts'
import type { Transport } from './transports.ts'

declare const view: unique symbol
/**
 * Which set of answers a client is entitled to, 16 bits. Part of every cache key. Not any number:
 * `viewFor` makes it.
 */
export type View = number & { readonly [view]: true }

/** Everybody's answers. */
export const EVERYBODYS = 0 as View

/**
 * Which answers the client at `address` is entitled to. The one place that makes a view: every
 * listener of every thread asks here, once a packet or connection, and the view goes with the
 * client (`Client.view`) from then on. So an answer cannot be kept under one view and looked for
 * under another.
 */
export function viewFor(_address: string): View {
  return EVERYBODYS
}

/** One question as it stood in a message: QNAME, QTYPE, QCLASS. */
export interface Question {
  /**
   * Its octets, uncompressed (RFC 1035 section 4.1.2), A-Z of the QNAME lowered byte by byte (RFC
   * 4343). A private copy.
   */
  readonly lower: Uint8Array
  readonly type: number
  readonly class: number
}

/** What the client's OPT said (RFC 6891). */
export interface ClientEdns {
  readonly udpSize: number
  readonly dnssecOk: boolean
  /** The client asks, by our private option, where the answer came from (see dns/edns.ts). */
  readonly wantsSource: boolean
}

export interface Client {
  readonly address: string
  readonly transport: 'udp' | 'tcp'
  readonly view: View
}

/**
 * A question that passed the gate: QUERY, QR=0, RD=1, exactly one question, at most one OPT of
 * version 0.
 */
export interface Query {
  readonly id: number
  readonly question: Question
  readonly authenticData: boolean
  readonly checkingDisabled: boolean
  readonly edns: ClientEdns | undefined
  readonly client: Client
}

/** Why it is asked and until when (`Clock.nowMs` time). */
export interface Ask {
  readonly purpose: 'client' | 'refresh' | 'probe' | 'cover'
  readonly deadlineMs: number
  /**
   * When the caller began (`Clock.nowMs` time), if that was just now; absent: the clock is read.
   */
  readonly startedMs?: number
  /**
   * For a client that has more under way than others have: it waits behind theirs wherever
   * something is scarce.
   */
  readonly givesWay?: true | undefined
  /**
   * Called in the moment before the query is written to a resolver, and each time it is; false:
   * nobody needs it there, and the exchange rejects with `closed`.
   */
  mayLeave?(): boolean
}

/**
 * A final answer. `wire` is a whole response with ID 0, the question lower-cased, AA clear, RA set,
 * and no OPT; it is never changed after it is made. `rcode` is the full 12 bits. `storeS` is how
 * long it may be kept in seconds ('no': only for those who wait for it now).
 */
export interface Answer {
  readonly wire: Uint8Array
  readonly rcode: Rcode
  readonly storeS: number | 'no'
  readonly ede?: Ede
  readonly from: Source
  /**
   * Where the TTL of each record of `wire` stands, where that is known: the cache need not look for
   * them.
   */
  readonly ttlAts?: readonly number[]
}
export type Source = 'policy' | 'failure' | 'stale' | 'cache' | 'portal' | { readonly upstream: string; readonly transport: Transport }

export type { Transport } from './transports.ts'

interface Session {
  readonly tlsVersion: string
  readonly cipher: string
  readonly resumed: boolean
}
/**
 * The peer proved that it is who the trusted set says: a valid chain for its authentication domain
 * name, and a leaf SPKI pin where pins are set.
 */
export interface Authenticated extends Session {
  readonly authenticated: true
  readonly by: 'ca' | 'ca+spki'
}
/**
 * Encrypted to somebody; `why` says what was not proved (usage profile `opportunistic` only, RFC
 * 8310 section 5).
 */
export interface Unauthenticated extends Session {
  readonly authenticated: false
  readonly why: ErrorCode
}
export type Protection = Authenticated | Unauthenticated

/**
 * What the OPT of a message says (RFC 6891 section 6.1). `at` and `end` bound the record in the
 * message.
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

/** All that is asked of a reply, found in one walk over its records. */
export interface ReplyReading {
  readonly opt: Opt | undefined
  /** The full 12 bits: the upper eight are in the OPT (RFC 6891 section 6.1.3). */
  readonly rcode: Rcode
  /**
   * Why it is no DNS message that could be passed on; what it says beside that holds all the same.
   */
  readonly malformed: string | undefined
  /** Where the first record of the hop begins; undefined: there is none. It is cut off there. */
  readonly cutAt: number | undefined
  readonly additionalBeforeCut: number
  /** In seconds, capped at seven days; undefined: there is no record. */
  readonly lowestTtlS: number | undefined
  /** As it stands there, no cap. */
  readonly highestTtlS: number
  /** The lowest of the answer section, at most what a negative answer lives. */
  readonly chainTtlS: number
  /** There is a record of the type that was asked for. */
  readonly hasType: boolean
  /** There is a name that is not simply a pointer to the question's. */
  readonly otherNames: boolean
  /** What the SOA says of how long a negative answer lives (RFC 2308 section 5). */
  readonly negativeTtlS: number | undefined
  /** Behind the last record. */
  readonly end: number
  /** Where the TTL of each record before the cut stands. */
  readonly ttlAts: readonly number[]
}

/**
 * What a reply says, by its 12-bit RCODE and its extended error (see upstream/classification.ts).
 */
export interface ReplyVerdict {
  /**
   * It settles its question: it is about the name, or a final failure. Another operator would only
   * be a second party to tell.
   */
  readonly final: boolean
  /** It speaks of the resolver or of the hop, and not of the name. */
  readonly blamesResolver: boolean
  /** It speaks of the hop, and does not settle the question. */
  readonly ofHop: boolean
}

/** What came back over a link. `rttMs` counts from the write. */
export interface Carried<P extends Protection = Protection> {
  /**
   * Belongs to the carrier and is wiped when the call that brings it returns. A receiver that keeps
   * it takes `keptCopy` (dns/response.ts).
   */
  readonly wire: Uint8Array
  readonly rttMs: number
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
 * The receiver of a reply. Exactly one of the two is called, once, maybe before the call that asked
 * returns. `More`: further values beside the reply.
 */
export interface Receiver<P extends Protection, More extends readonly unknown[] = []> {
  // Properties, not methods: with methods the compiler would accept an unauthenticated link where a
  // strict one is required.
  readonly carried: (carried: Carried<P>, ...more: More) => void
  readonly failed: (error: EnigmError) => void
}

/**
 * The path to one first hop as an observer sees it. `request` is a whole DNS query (it is not
 * changed; the link writes its own ID into a copy). The link ignores and counts what does not match
 * by ID and question, and waits on (DoT) or fails that stream at once (DoH). Dials lazily, redials
 * with backoff, retries once on a fresh connection inside the deadline. Any number of requests are
 * under way at once.
 */
export interface Link<P extends Protection = Protection> {
  readonly id: string
  readonly transport: Transport
  /**
   * Of a link whose queries do not open it: whether it may be asked now, fails (it may be asked all
   * the same), or stands by and refuses what it is asked. Absent: any query opens it.
   */
  readonly state?: 'serving' | 'failing' | 'standby'
  /** Sends the request and calls `to` with the outcome by the deadline of `ask`. */
  readonly send: (request: Uint8Array, ask: Ask, to: Receiver<P>) => void
  /**
   * Lets what is in flight finish until its deadline, then closes. Later calls fail with `closed`.
   */
  close(): Promise<void>
}

/**
 * A link driven by a schedule: every record leaves when its holder says so, and all records have
 * one size. It never retries, sends no probe and dials only on `open`: the schedule decides these.
 */
export interface ScheduledLink<P extends Protection = Protection> {
  readonly id: string
  readonly transport: Transport
  /** Rejects with an EnigmError. */
  exchange(request: Uint8Array, ask: Ask): Promise<Carried<P>>
  close(): Promise<void>
  /**
   * Dials if there is no connection. Resolves when there is one, or when the network changed under
   * the dial: then the next call dials again. Rejects with why there is none, at once while backing
   * off. Any number of calls.
   */
  open(): Promise<void>
  /**
   * Whether `exchange` would write its first record in this turn. Where it is false, `exchange`
   * rejects with `connection-lost`.
   */
  readonly ready: boolean
  /**
   * Queries of clients met silence, and no cover or probe was sent since: a probe in the next slot
   * shows whether the connection is dead or a name is slow.
   */
  readonly doubtful: boolean
  /**
   * The request begun last has records to come: `more` writes the next, and nothing else may be
   * sent before.
   */
  readonly unfinished: boolean
  more(): void
  /**
   * Octets of a request that fills so many records (the most for one record over HTTP/2); undefined
   * while there is no connection.
   */
  octets(records: number): number | undefined
}

/** One schedule per observed path. A shaper takes a link and is a link. */
export type Shaper = <P extends Protection>(link: Link<P>) => Link<P>

/**
 * One trusted resolver. `message` is a query without OPT and with ID 0 (see dns/message.ts
 * `upstreamQuery`); `dnssecOk` goes into the OPT it adds. Never changes `message`; any number of
 * questions are under way at once.
 */
export interface Upstream<P extends Protection = Protection> {
  readonly id: string
  /**
   * The message that it is asked to see whether it lives (see upstream/classification.ts); absent:
   * the root.
   */
  readonly probe?: Uint8Array
  readonly ask: (message: Uint8Array, dnssecOk: boolean, ask: Ask, to: Receiver<P, [transport: Transport, verdict: ReplyVerdict]>) => void
  close(): Promise<void>
}

/** Questions that memory must not answer now: those of a captive portal (portal/). */
export interface CacheBypass {
  /** A plain read. While it is false nothing is taken. */
  readonly on: boolean
  takes(question: Question): boolean
}

/** What a listener is given. */
export interface Responder {
  /**
   * Answers from memory: writes the reply at `at` in `out`, at most `limit` octets, and returns its
   * length, or 0 if it must be asked for. `view`: the client's, the same as for `later`. Sync;
   * never throws.
   */
  now(packet: Uint8Array, start: number, end: number, out: Uint8Array, at: number, limit: number, view: View): number
  /**
   * Asks for the packet that `now` received last and could not answer; the packet is copied at
   * once. `done` is called once, during the call or later: the reply is the first `length` octets
   * of `octets`, which are reused after it returns; 0: no reply is due. Never throws. A failure is
   * a reply too (a SERVFAIL with an EDE).
   */
  later(client: Client, done: (octets: Uint8Array, length: number) => void): void
}
