import type { AnswerCache } from './cache/answer-cache.ts'
import type { CacheEntry } from './cache/answer-record.ts'
import { askedBy, askedByScan } from './cache/key.ts'
import type { Prefetch } from './cache/prefetch.ts'
import type { Clock } from './clock.ts'
import { isLoopback } from './config/cidr.ts'
import { UDP_SIZE } from './dns/edns.ts'
import { questionOf } from './dns/message.ts'
import { copyOf } from './dns/octets.ts'
import { newScan, type QueryScan, scanQuery, VERDICT } from './dns/query-scan.ts'
import { errorReply, type ReplySource, udpLimit, writeReply } from './dns/reply.ts'
import { synthesise } from './dns/response.ts'
import { clientView, EnigmError, isBug } from './errors.ts'
import type { Emit } from './events.ts'
import { Job, type Outcome, type Stage } from './job.ts'
import type { PolicyGate } from './policy/gate.ts'
import type { Answer, CacheBypass, Client, Query, Responder, Source, View } from './resolve.ts'
import type { BlockedAtOnce } from './rules/judge-lists.ts'
import type { Tracer } from './trace/query-trace.ts'

/**
 * The responder's dependencies; `stages` and `timeoutMs` are read at each query, so that a reload
 * replaces them.
 */
export interface ResponderParts {
  readonly cache: AnswerCache
  readonly clock: Clock
  readonly emit: Emit
  readonly current: () => {
    readonly stages: readonly Stage[]
    readonly timeoutMs: number
    /** Answers what a list blocks, without the stages; absent: they judge it. */
    readonly blockedAtOnce?: BlockedAtOnce | undefined
  }
  /** Counts for the status file; nothing about the questions. */
  readonly counts: { hits: number; misses: number }
  /** While it is closed no question is answered from memory. */
  readonly gate: PolicyGate
  /** Decides which questions bypass the cache; absent: none. */
  readonly bypass?: CacheBypass
  /** Renews popular answers; absent: all answers expire. */
  readonly prefetch?: Prefetch
  /** Receives questions while a trace is active. */
  readonly tracer?: Tracer
}

const RCODE_OF_VERDICT = {
  [VERDICT.formErr]: 1,
  [VERDICT.notImp]: 4,
  [VERDICT.refused]: 5,
  [VERDICT.badVers]: 16,
  [VERDICT.badType]: 1,
} as const
/** Invalid Query Type (RFC 9824 section 3.5). */
const EDE_BAD_TYPE = { code: 30 } as const
const MAX_MESSAGE_OCTETS = 65535
const NO_OCTETS = new Uint8Array(0)

/** A renewal is not made on behalf of the client whose hit caused it. */
const NO_CLIENT = { address: '', transport: 'udp' } as const

/** The receiver of a reply, see `Responder.later`. */
type Done = (octets: Uint8Array, length: number) => void

/** Answers packets: from the cache at once, or by asking. */
export function createResponder(parts: ResponderParts): Responder {
  const { cache, clock, counts, prefetch, tracer, gate, bypass } = parts
  /** The packet of the last call of `now`, and the time. */
  const last = { packet: NO_OCTETS as Uint8Array, nowMs: 0 }
  let scan = newScan()
  let verdict: number = VERDICT.drop
  /** The cache's hash of its question; 0: not computed. */
  let hash = 0
  /** The reply to a question that a list blocks, see `Responder.now`. */
  const blockedNow = (out: Uint8Array, at: number, room: number, packet: Uint8Array, view: View, nowMs: number): number => {
    const source = parts.current().blockedAtOnce?.source(packet, scan, view)
    if (source === undefined) return 0
    counts.misses++
    if (tracer?.on === true) tracer.note(questionOf(packet, scan), 'policy', source.rcode, source.ede, nowMs)
    return writeReply(out, at, room, source, packet, scan, 0, undefined)
  }
  return {
    now(packet, start, end, out, at, limit, view) {
      last.packet = packet
      // The only time that is read for a cache miss until its query is written.
      const nowMs = clock.nowMs()
      last.nowMs = nowMs
      hash = 0
      verdict = scanQuery(packet, start, end, scan)
      if (gate.closed || verdict !== VERDICT.ok || scan.wantsSource || bypass?.on === true) return 0
      // A limit above that of a UDP listener means TCP, and the client's UDP size does not apply.
      const room = limit > UDP_SIZE ? limit : Math.min(limit, udpLimit(scan))
      const asked = askedByScan(packet, scan, view)
      const entry = cache.get(asked, nowMs)
      hash = asked.hash
      if (entry === undefined) return blockedNow(out, at, room, packet, view, nowMs)
      counts.hits++
      if (tracer?.on === true) tracer.note(questionOf(packet, scan), 'cache', entry.rcode, entry.ede, nowMs)
      if (cache.counts(entry, nowMs) && prefetch?.hit(entry, nowMs) === true)
        prefetch.renew(queryOf(packet, scan, { ...NO_CLIENT, view }), entry.expiresAtMs)
      return writeReply(out, at, room, entry, packet, scan, elapsedS(entry, nowMs), undefined)
    },
    later(client, done) {
      if (verdict === VERDICT.drop) return done(NO_OCTETS, 0)
      if (verdict !== VERDICT.ok) {
        const ede = verdict === VERDICT.badType ? EDE_BAD_TYPE : undefined
        const reply = errorReply(last.packet, scan, RCODE_OF_VERDICT[verdict as keyof typeof RCODE_OF_VERDICT], ede)
        return done(reply, reply.length)
      }
      // Of the packet, its question and its parsed form are used until it is answered.
      const question = copyOf(last.packet, scan.questionAt, scan.questionEnd)
      const own = scan
      scan = newScan()
      own.questionAt = 0
      own.questionEnd = question.length
      ask(parts, question, own, client, hash, last.nowMs, done)
    },
  }
}

/** `packet` holds only the question. `hash` is 0 if the cache was not searched. */
function ask(parts: ResponderParts, packet: Uint8Array, scan: QueryScan, client: Client, hash: number, nowMs: number, done: Done): void {
  const { cache, counts, tracer, bypass } = parts
  const reply = (kept: ReplySource, elapsedS: number, from: Source) => done(scratch, assemble(kept, packet, scan, client, elapsedS, from))
  const past = hash !== 0 || parts.gate.closed || (bypass?.on === true && bypass.takes(questionOf(packet, scan)))
  const entry = past ? undefined : cache.get(askedByScan(packet, scan, client.view), nowMs)
  if (entry !== undefined) {
    counts.hits++
    if (tracer?.on === true) tracer.note(questionOf(packet, scan), 'cache', entry.rcode, entry.ede, nowMs)
    reply(entry, elapsedS(entry, nowMs), 'cache')
    return
  }
  const { stages, timeoutMs, blockedAtOnce } = parts.current()
  const query = queryOf(packet, scan, client)
  const settled = (outcome: Outcome) => {
    const failed = outcome instanceof EnigmError
    const answer = failed ? failure(parts, query, outcome) : outcome
    // With several workers the answer may come from the main thread's cache.
    if (answer.from === 'cache') counts.hits++
    else counts.misses++
    if (tracer?.on === true) tracer.note(query.question, failed ? outcome.code : answer.from, answer.rcode, answer.ede, nowMs)
    reply(keptOf(answer), 0, answer.from)
  }
  // A blocked name needs nothing of the pipeline, and is not worth a place in the cache.
  const blocked = bypass?.on === true ? undefined : blockedAtOnce?.answer(query)
  if (blocked !== undefined) {
    settled(blocked)
    return
  }
  const job = new Job(stages, query, { purpose: 'client', deadlineMs: nowMs + timeoutMs, startedMs: nowMs }, settled)
  if (hash !== 0) job.asked = askedBy(query, hash)
  job.start()
}

function elapsedS({ storedAtMs }: CacheEntry, nowMs: number): number {
  return Math.floor((nowMs - storedAtMs) / 1000)
}

function queryOf(packet: Uint8Array, scan: QueryScan, client: Client): Query {
  return {
    id: scan.id,
    question: questionOf(packet, scan),
    authenticData: (scan.flags & 0x20) !== 0,
    checkingDisabled: (scan.flags & 0x10) !== 0,
    edns: scan.hasOpt ? { udpSize: scan.udpSize, dnssecOk: scan.dnssecOk, wantsSource: scan.wantsSource } : undefined,
    client,
  }
}

function failure(parts: ResponderParts, query: Query, fault: EnigmError): Answer {
  if (isBug(fault.code)) parts.emit({ type: 'fault', where: 'resolve' })
  const { rcode, ede } = clientView(fault.code, fault.hop)
  return { wire: synthesise(query.question, { rcode }), rcode, storeS: 'no', ede, from: 'failure' }
}

function keptOf({ wire, rcode, ede }: Answer): ReplySource {
  return { octets: wire, at: 0, length: wire.length, ttlCount: 0, rcode, ede }
}

/** A reply is written here, and sent before any other code runs. */
const scratch = Buffer.allocUnsafeSlow(MAX_MESSAGE_OCTETS)

function assemble(kept: ReplySource, packet: Uint8Array, scan: QueryScan, client: Client, elapsedS: number, from: Source): number {
  const limit = client.transport === 'udp' ? udpLimit(scan) : MAX_MESSAGE_OCTETS
  // An answer from memory shows that another client asked, so the source is only shown to this
  // host.
  const source = scan.wantsSource && isLoopback(client.address) ? sourceText(from) : undefined
  return writeReply(scratch, 0, limit, kept, packet, scan, elapsedS, source)
}

function sourceText(from: Source): string {
  return typeof from === 'string' ? from : `${from.upstream}/${from.transport}`
}
