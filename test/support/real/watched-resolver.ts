import { readOpt, withPaddedOpt } from '../../../src/dns/edns.ts'
import { labelsOf, questionEnd } from '../../../src/dns/name.ts'
import { u16 } from '../../../src/dns/octets.ts'
import { startDot } from '../dot-server.ts'
import { addressRecord, replyTo } from '../replies.ts'
import { entryOf } from './daemon.ts'
import type { Identity } from './server-process.ts'

/** A query as the resolver got it. */
export interface WatchedQuery {
  /** Lower case, without the last dot. */
  readonly name: string
  readonly type: number
  readonly dnssecOk: boolean
  /** Of the whole message. */
  readonly octets: number
  readonly atMs: number
}

/** What is said to a query: an RCODE, nothing at all, or an answer of so many blocks of padding. */
export type Reaction = { readonly rcode: number } | 'silence' | { readonly blocks: number }

const BLOCK = 468

/**
 * A DoT resolver on loopback that pads its replies to 468 octets and does what `react` says; by
 * default it answers everything after 5 ms.
 */
export async function startWatchedResolver(
  id: string,
  identity: Identity,
  react: (query: WatchedQuery) => Reaction = () => ({ blocks: 1 }),
) {
  const asked: WatchedQuery[] = []
  const server = await startDot({
    identity,
    answer(query) {
      const watched = watchedQuery(query)
      asked.push(watched)
      const reaction = react(watched)
      if (reaction === 'silence') return undefined
      return new Promise((resolve) => setTimeout(() => resolve(padded(query, reaction)), 5))
    },
  })
  return {
    port: server.port,
    asked,
    entry: entryOf({ kind: id, dotPort: server.port, dohPort: undefined }, ['dot']),
    close: () => server.close(),
  }
}

function watchedQuery(query: Uint8Array): WatchedQuery {
  const end = questionEnd(query)
  return {
    name: labelsOf(query.subarray(12)).join('.').toLowerCase(),
    type: u16(query, end - 4),
    dnssecOk: readOpt(query)?.dnssecOk === true,
    octets: query.length,
    atMs: performance.now(),
  }
}

function padded(query: Uint8Array, reaction: Exclude<Reaction, 'silence'>): Uint8Array {
  const rcode = 'rcode' in reaction ? reaction.rcode : 0
  const bare = rcode === 0 ? replyTo(query, [addressRecord()]) : replyTo(query, [], 0x8180 | rcode)
  const block = 'blocks' in reaction ? reaction.blocks * BLOCK : BLOCK
  return withPaddedOpt(bare, { dnssecOk: readOpt(query)?.dnssecOk === true, block, keepalive: false })
}
