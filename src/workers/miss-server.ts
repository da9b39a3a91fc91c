import type { AnswerCache } from '../cache/answer-cache.ts'
import type { CacheEntry } from '../cache/answer-record.ts'
import { askedBy } from '../cache/key.ts'
import { renewFromMs } from '../cache/lifetime.ts'
import type { Clock } from '../clock.ts'
import { rewriteTtls } from '../dns/response.ts'
import { EnigmError } from '../errors.ts'
import { Job, type Stage } from '../job.ts'
import type { PolicyGate } from '../policy/gate.ts'
import type { CacheBypass, Query, View } from '../resolve.ts'
import { type AskRecord, decodeAsks, encodeReplies, type ReplyRecord } from './miss-codec.ts'

/** The parts that the main thread needs to answer workers. */
export interface MissServerParts {
  /**
   * The main thread's cache: it holds all that any worker asked for, so that a name is asked
   * upstream once, and not once per worker.
   */
  readonly cache: AnswerCache
  readonly clock: Clock
  readonly current: () => { readonly stages: readonly Stage[]; readonly view: (address: string) => View }
  readonly gate: PolicyGate
  /** Decides which questions bypass the cache; absent: none. */
  readonly bypass?: CacheBypass
}

/**
 * Handles the messages of one worker and posts the answers, all of one turn in one message. `post`
 * takes ownership of the buffer.
 */
export function missServer(parts: MissServerParts, post: (message: Buffer) => void): (message: Uint8Array) => void {
  let replies: ReplyRecord[] = []
  const flush = () => {
    const message = encodeReplies(replies)
    replies = []
    post(message)
  }
  const reply = (record: ReplyRecord) => {
    if (replies.length === 0) setImmediate(flush)
    replies.push(record)
  }
  return (message) => {
    for (const ask of decodeAsks(message)) serve(ask, parts, reply)
  }
}

/**
 * The query with the view that its client has now: the worker may not know the latest
 * configuration yet. A renewal has no client.
 */
function viewed(query: Query, viewOf: (address: string) => View): Query {
  const { client } = query
  const view = client.address === '' ? client.view : viewOf(client.address)
  return view === client.view ? query : { ...query, client: { ...client, view } }
}

function serve({ id, query: asIs, remainingMs, purpose }: AskRecord, parts: MissServerParts, post: (record: ReplyRecord) => void): void {
  const query = viewed(asIs, parts.current().view)
  // The worker would store the answer under the view that it knows.
  const reply = (record: ReplyRecord) =>
    post(query === asIs || !('answer' in record) ? record : { ...record, answer: { ...record.answer, storeS: 'no' } })
  const nowMs = parts.clock.nowMs()
  const asked = askedBy(query)
  const past = parts.gate.closed || (parts.bypass?.on === true && parts.bypass.takes(query.question))
  const kept = past ? undefined : parts.cache.get(asked, nowMs)
  // Another worker may have renewed the answer just now: then it is not renewed again.
  const due = purpose === 'refresh' && kept !== undefined && nowMs >= renewFromMs(kept)
  if (kept !== undefined && !due) {
    reply({ id, ...fromCache(kept, nowMs) })
    return
  }
  const job = new Job(parts.current().stages, query, { purpose, deadlineMs: nowMs + remainingMs }, (outcome) =>
    reply(outcome instanceof EnigmError ? { id, failed: outcome.code, hop: outcome.hop } : { id, answer: outcome, agedMs: 0 }),
  )
  job.asked = asked
  job.start()
}

/**
 * TTLs count whole seconds. The rest of the age is sent with the answer, so that every worker shows
 * the same TTL at the same moment.
 */
function fromCache(kept: CacheEntry, nowMs: number): Omit<Extract<ReplyRecord, { answer: object }>, 'id'> {
  const wire = Uint8Array.prototype.slice.call(kept.octets, kept.at, kept.at + kept.length)
  const elapsedS = Math.floor((nowMs - kept.storedAtMs) / 1000)
  const agedMs = nowMs - kept.storedAtMs - elapsedS * 1000
  rewriteTtls(wire, (ttlS) => Math.max(0, ttlS - elapsedS))
  const storeS = (kept.expiresAtMs - nowMs + agedMs) / 1000
  return {
    answer: {
      wire,
      rcode: kept.rcode,
      storeS,
      ...(kept.ede && { ede: kept.ede }),
      ...(kept.ofNetwork && { ofNetwork: true }),
      from: 'cache',
    },
    agedMs,
  }
}
