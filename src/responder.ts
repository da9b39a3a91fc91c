import type { AnswerCache } from './cache/answer-cache.ts'
import type { Entry } from './cache/answer-record.ts'
import { askedByScan, keyOfScan } from './cache/key.ts'
import type { Prefetch } from './cache/prefetch.ts'
import type { Clock } from './clock.ts'
import { isLoopback } from './config/cidr.ts'
import { UDP_SIZE } from './dns/edns.ts'
import { questionOf } from './dns/message.ts'
import { copyOf } from './dns/octets.ts'
import { newScan, type QueryScan, scanQuery, VERDICT } from './dns/query-scan.ts'
import { errorReply, type Kept, udpLimit, writeReply } from './dns/reply.ts'
import { synthesise } from './dns/response.ts'
import { asEnigmError, clientView, isBug } from './errors.ts'
import type { Emit } from './events.ts'
import type { PolicyGate } from './policy/gate.ts'
import type { Answer, Client, Query, Resolve, Responder, Source } from './resolve.ts'
import type { Tracer } from './trace/tracer.ts'

/** What the responder needs; `resolve` and `timeoutMs` are read at each query, so that a reload replaces them. */
export interface ResponderParts {
  readonly cache: AnswerCache
  readonly clock: Clock
  readonly emit: Emit
  readonly current: () => { readonly resolve: Resolve; readonly timeoutMs: number }
  /** Counts, for the status file; nothing about what was asked. */
  readonly counts: { hits: number; misses: number }
  /** While it is closed nothing is answered from memory. */
  readonly gate: PolicyGate
  /** Renews what is asked often; without it everything expires. */
  readonly prefetch?: Prefetch
  /** Told what is asked while it is on. */
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
const DROP = Promise.resolve(undefined)

/** A renewal is not on behalf of the client whose hit led to it. */
const NOBODY = { address: '', transport: 'udp' } as const

/** Turns packets into replies: from the cache at once, or by asking. */
export function createResponder(parts: ResponderParts): Responder {
  const hot = newScan()
  const { cache, clock, counts, prefetch, tracer, gate } = parts
  return {
    now(packet, start, end, out, at, limit, view) {
      if (gate.closed || scanQuery(packet, start, end, hot) !== VERDICT.ok || hot.wantsSource) return 0
      const nowMs = clock.nowMs()
      // Above what a UDP listener gives it is TCP, and the client's UDP size means nothing.
      const room = limit > UDP_SIZE ? limit : Math.min(limit, udpLimit(hot))
      const entry = cache.get(askedByScan(packet, hot, view), nowMs)
      if (entry === undefined) return 0
      counts.hits++
      if (tracer?.on === true) tracer.note(questionOf(packet, hot), 'cache', entry.rcode, entry.ede, nowMs)
      if (cache.counts(entry, nowMs) && prefetch?.hit(entry, nowMs) === true)
        prefetch.renew(queryOf(packet, hot, { ...NOBODY, view }, keyOfScan(packet, hot, view)), entry.expiresAtMs)
      return writeReply(out, at, room, entry, packet, hot, elapsedS(entry, nowMs), undefined)
    },
    later(packet, client) {
      const copy = copyOf(packet)
      const scan = newScan()
      const verdict = scanQuery(copy, 0, copy.length, scan)
      if (verdict === VERDICT.drop) return DROP
      if (verdict !== VERDICT.ok) {
        const ede = verdict === VERDICT.badType ? EDE_BAD_TYPE : undefined
        return Promise.resolve(errorReply(copy, scan, RCODE_OF_VERDICT[verdict], ede))
      }
      return reply(parts, copy, scan, client)
    },
  }
}

/** Chained promises and no async function: that costs 1.4 KB of garbage a call on Node 20. */
function reply(parts: ResponderParts, packet: Uint8Array, scan: QueryScan, client: Client): Promise<Uint8Array> {
  const { cache, clock, counts, tracer } = parts
  const key = keyOfScan(packet, scan, client.view)
  const nowMs = clock.nowMs()
  const entry = parts.gate.closed ? undefined : cache.get(askedByScan(packet, scan, client.view), nowMs)
  if (entry !== undefined) {
    counts.hits++
    if (tracer?.on === true) tracer.note(questionOf(packet, scan), 'cache', entry.rcode, entry.ede, nowMs)
    return Promise.resolve(assemble(entry, packet, scan, client, elapsedS(entry, nowMs), 'cache'))
  }
  const { resolve, timeoutMs } = parts.current()
  const query = queryOf(packet, scan, client, key)
  return resolve(query, { purpose: 'client', deadlineMs: nowMs + timeoutMs }).then(
    (answer) => {
      // With several workers the main thread's cache may have had it.
      if (answer.from === 'cache') counts.hits++
      else counts.misses++
      if (tracer?.on === true) tracer.note(query.question, answer.from, answer.rcode, answer.ede, nowMs)
      return assemble(keptOf(answer), packet, scan, client, 0, answer.from)
    },
    (error: unknown) => {
      counts.misses++
      const answer = failure(parts, query, error)
      if (tracer?.on === true) tracer.note(query.question, asEnigmError(error).code, answer.rcode, answer.ede, nowMs)
      return assemble(keptOf(answer), packet, scan, client, 0, 'failure')
    },
  )
}

function elapsedS({ storedAtMs }: Entry, nowMs: number): number {
  return Math.floor((nowMs - storedAtMs) / 1000)
}

function queryOf(packet: Uint8Array, scan: QueryScan, client: Client, cacheKey: string): Query {
  return {
    cacheKey,
    id: scan.id,
    question: questionOf(packet, scan),
    authenticData: (scan.flags & 0x20) !== 0,
    checkingDisabled: (scan.flags & 0x10) !== 0,
    edns: scan.hasOpt ? { udpSize: scan.udpSize, dnssecOk: scan.dnssecOk, wantsSource: scan.wantsSource } : undefined,
    client,
  }
}

function failure(parts: ResponderParts, query: Query, error: unknown): Answer {
  const fault = asEnigmError(error)
  if (isBug(fault.code)) parts.emit({ type: 'fault', where: 'resolve' })
  const { rcode, ede } = clientView(fault.code)
  return { wire: synthesise(query.question, { rcode }), rcode, storeS: 'no', ede, from: 'failure' }
}

function keptOf({ wire, rcode, ede }: Answer): Kept {
  return { page: wire, at: 0, length: wire.length, ttlCount: 0, rcode, ede }
}

/** A reply is written here and copied out at its size: nothing runs between. */
const desk = Buffer.allocUnsafeSlow(MAX_MESSAGE_OCTETS)

function assemble(kept: Kept, packet: Uint8Array, scan: QueryScan, client: Client, elapsedS: number, from: Source): Uint8Array {
  const limit = client.transport === 'udp' ? udpLimit(scan) : MAX_MESSAGE_OCTETS
  // Whoever learns that an answer came from memory learns that somebody else asked.
  const source = scan.wantsSource && isLoopback(client.address) ? sourceText(from) : undefined
  return copyOf(desk, 0, writeReply(desk, 0, limit, kept, packet, scan, elapsedS, source))
}

function sourceText(from: Source): string {
  return typeof from === 'string' ? from : `${from.upstream}/${from.transport}`
}
