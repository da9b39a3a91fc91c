import type { AnswerCache } from '../../src/cache/answer-cache.ts'
import { askedByScan } from '../../src/cache/key.ts'
import type { Clock } from '../../src/clock.ts'
import { newScan, scanQuery, VERDICT } from '../../src/dns/query-scan.ts'
import { udpLimit, writeReply } from '../../src/dns/reply.ts'
import type { Responder } from '../../src/resolve.ts'

const UDP_LIMIT = 1232

/**
 * What `createResponder(...).now` does, line by line, without the gate, the trace, the counts and
 * the popularity of answers.
 */
export function bareHit(cache: AnswerCache, clock: Clock): Responder['now'] {
  const hot = newScan()
  return (packet, start, end, out, at, limit, view) => {
    if (scanQuery(packet, start, end, hot) !== VERDICT.ok || hot.wantsSource) return 0
    const nowMs = clock.nowMs()
    const room = limit > UDP_LIMIT ? limit : Math.min(limit, udpLimit(hot))
    const entry = cache.get(askedByScan(packet, hot, view), nowMs)
    if (entry === undefined) return 0
    return writeReply(out, at, room, entry, packet, hot, Math.floor((nowMs - entry.storedAtMs) / 1000), undefined)
  }
}
