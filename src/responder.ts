import type { AnswerCache } from './cache/answer-cache.ts'
import { keyOfScan } from './cache/key.ts'
import type { Clock } from './clock.ts'
import { questionOf } from './dns/message.ts'
import { newScan, type QueryScan, scanQuery, VERDICT } from './dns/query-scan.ts'
import { errorReply, type Kept, udpLimit, writeReply } from './dns/reply.ts'
import { synthesise } from './dns/response.ts'
import { asEnigmError, clientView } from './errors.ts'
import type { Emit } from './events.ts'
import type { Answer, Client, Query, Resolve, Responder, Source } from './resolve.ts'

/** What the responder needs; `resolve` and `timeoutMs` are read at each query, so that a reload replaces them. */
export interface ResponderParts {
  readonly cache: AnswerCache
  readonly clock: Clock
  readonly emit: Emit
  readonly current: () => { readonly resolve: Resolve; readonly timeoutMs: number }
  /** Counts, for the status file; nothing about what was asked. */
  readonly counts: { hits: number; misses: number }
}

const RCODE_OF_VERDICT = { [VERDICT.formErr]: 1, [VERDICT.notImp]: 4, [VERDICT.refused]: 5, [VERDICT.badVers]: 16 } as const
const MAX_MESSAGE_OCTETS = 65535
/** What a UDP listener gives as `limit` at most (design: 1232); above it, it is TCP and the client's UDP size means nothing. */
const UDP_LIMIT = 1232

/** Turns packets into replies: from the cache at once, or by asking. */
export function createResponder(parts: ResponderParts): Responder {
  const hot = newScan()
  const { cache, clock, counts } = parts
  return {
    now(packet, start, end, out, at, limit, view) {
      if (scanQuery(packet, start, end, hot) !== VERDICT.ok || hot.wantsSource) return 0
      const nowMs = clock.nowMs()
      const entry = cache.get(keyOfScan(packet, hot, view), nowMs)
      if (entry === undefined) return 0
      counts.hits++
      const room = limit > UDP_LIMIT ? limit : Math.min(limit, udpLimit(hot))
      return writeReply(out as Buffer, at, room, entry, packet, hot, Math.floor((nowMs - entry.storedAtMs) / 1000), undefined)
    },
    async later(packet, client) {
      const copy = Buffer.from(packet)
      const scan = newScan()
      const verdict = scanQuery(copy, 0, copy.length, scan)
      if (verdict === VERDICT.drop) return undefined
      if (verdict !== VERDICT.ok) return errorReply(copy, scan, RCODE_OF_VERDICT[verdict])
      return reply(parts, copy, scan, client)
    },
  }
}

async function reply(parts: ResponderParts, packet: Buffer, scan: QueryScan, client: Client): Promise<Uint8Array> {
  const { cache, clock, counts } = parts
  const entry = cache.get(keyOfScan(packet, scan, 0), clock.nowMs())
  if (entry !== undefined) {
    counts.hits++
    return assemble(entry, packet, scan, client, Math.floor((clock.nowMs() - entry.storedAtMs) / 1000), 'cache')
  }
  const answer = await ask(parts, queryOf(packet, scan, client))
  // With several workers the main thread's cache may have had it.
  if (answer.from === 'cache') counts.hits++
  else counts.misses++
  return assemble(keptOf(answer), packet, scan, client, 0, answer.from)
}

function queryOf(packet: Buffer, scan: QueryScan, client: Client): Query {
  return {
    id: scan.id,
    question: questionOf(packet, scan),
    authenticData: (scan.flags & 0x20) !== 0,
    checkingDisabled: (scan.flags & 0x10) !== 0,
    edns: scan.hasOpt ? { udpSize: scan.udpSize, dnssecOk: scan.dnssecOk, wantsSource: scan.wantsSource } : undefined,
    client,
    view: 0,
  }
}

async function ask(parts: ResponderParts, query: Query): Promise<Answer> {
  const { resolve, timeoutMs } = parts.current()
  try {
    return await resolve(query, { purpose: 'client', deadlineMs: parts.clock.nowMs() + timeoutMs })
  } catch (error) {
    const fault = asEnigmError(error)
    if (fault.code === 'internal') parts.emit({ type: 'fault', where: 'resolve' })
    const { rcode, ede } = clientView(fault.code)
    return { wire: synthesise(query.question, { rcode }), rcode, storeS: 'no', ede, from: 'failure' }
  }
}

function keptOf(answer: Answer): Kept {
  const { buffer, byteOffset, length } = answer.wire
  return { page: Buffer.from(buffer, byteOffset, length), at: 0, length, ttlCount: 0, rcode: answer.rcode, ede: answer.ede }
}

function assemble(kept: Kept, packet: Buffer, scan: QueryScan, client: Client, elapsedS: number, from: Source): Uint8Array {
  const limit = client.transport === 'udp' ? udpLimit(scan) : MAX_MESSAGE_OCTETS
  const room = Math.min(limit, kept.length + 1024)
  const out = Buffer.allocUnsafe(Math.max(room, 512))
  const length = writeReply(
    out,
    0,
    Math.min(limit, out.length),
    kept,
    packet,
    scan,
    elapsedS,
    scan.wantsSource ? sourceText(from) : undefined,
  )
  return out.subarray(0, length)
}

function sourceText(from: Source): string {
  return typeof from === 'string' ? from : `${from.upstream}/${from.transport}`
}
