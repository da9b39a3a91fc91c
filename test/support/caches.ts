import { AnswerCache } from '../../src/cache/answer-cache.ts'
import type { CacheEntry } from '../../src/cache/answer-record.ts'
import { askedBy, askedByScan } from '../../src/cache/key.ts'
import { newScan, scanQuery } from '../../src/dns/query-scan.ts'
import type { Asked } from '../../src/job.ts'
import type { Query } from '../../src/resolve.ts'
import { view } from './rules.ts'

/** A cache with a seed that is always the same. */
export function cacheOf(maxBytes: number, staleMaxS = 0): AnswerCache {
  return new AnswerCache({ maxBytes, staleMaxS, seed: 0x5eed })
}

/** What a packet asks for, to keep: `askedByScan` gives one object for all. */
export function askedInPacket(packet: Uint8Array, of = 0): Asked {
  const scan = newScan()
  scanQuery(packet, 0, packet.length, scan)
  return { ...askedByScan(packet, scan, view(of)) }
}

/** What a query asks for, to keep. */
export function askedIn(query: Query): Asked {
  return askedBy(query)
}

/** What is kept for a question, expired or not, without a use of it; a copy. */
export function peek(
  cache: AnswerCache,
  { octets, from, end, mark }: Asked,
): Pick<CacheEntry, 'storedAtMs' | 'expiresAtMs' | 'rcode' | 'hits'> | undefined {
  const question = Buffer.from(octets.subarray(from, end)).toString('latin1').toLowerCase()
  for (const entry of cache.walk()) {
    const own = Buffer.from(entry.octets.subarray(entry.at + 12, entry.at + 12 + end - from)).toString('latin1')
    if (entry.mark !== mark || own.toLowerCase() !== question) continue
    const { storedAtMs, expiresAtMs, rcode, hits } = entry
    return { storedAtMs, expiresAtMs, rcode, hits }
  }
  return undefined
}
