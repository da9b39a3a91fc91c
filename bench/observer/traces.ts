import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { chance } from './chance.ts'
import { freshMissMs, MISS_SHARE, type Visit } from './pages.ts'

const FORMAT = 'enigm-dns/traces/1'
const MOST_QUERIES = 10_000
/** What TLS and the length in front add to a message; what padding and keepalive options add. */
const RECORD = 19
const FRAME = 2
const PADDING = 4
const OPTIONS = PADDING + 4
const CELL = 128
const BLOCK = 468

const octets = v.pipe(v.number(), v.integer(), v.minValue(12), v.maxValue(16_384))
const query = v.strictObject({
  atMs: v.pipe(v.number(), v.finite(), v.minValue(0)),
  queryOctets: v.optional(octets, 40),
  replyOctets: v.optional(octets, 120),
  missed: v.optional(v.boolean()),
})
const document = v.strictObject({
  format: v.literal(FORMAT),
  source: v.optional(v.pipe(v.string(), v.maxLength(300)), 'an external file'),
  visits: v.array(
    v.strictObject({
      site: v.pipe(v.string(), v.minLength(1), v.maxLength(255)),
      queries: v.pipe(v.array(query), v.minLength(1), v.maxLength(MOST_QUERIES)),
    }),
  ),
})

/** Page loads that somebody recorded. Site by site, the same number of visits of each. */
export interface Traces {
  readonly source: string
  readonly sites: number
  readonly each: number
  readonly visits: readonly Visit[]
  /** Sites left out because they had fewer visits than the others. */
  readonly leftOut: number
}

/**
 * Reads a trace file. Sites with fewer than `least` visits are left out, and of the others as many
 * visits are taken as the one with the fewest has: an attacker must not win by knowing which sites
 * are visited often. Throws a sentence that names the place of the first fault.
 */
export function readTraces(file: string, least = 5): Traces {
  return tracesOf(JSON.parse(readFileSync(file, 'utf8')), least)
}

/** The same for what was parsed. */
export function tracesOf(json: unknown, least = 5): Traces {
  const parsed = v.safeParse(document, json)
  if (!parsed.success) {
    const [issue] = parsed.issues
    throw new Error(`not a trace file: ${v.getDotPath(issue) ?? 'the whole'}: ${issue.message}`)
  }
  const bySite = new Map<string, (typeof parsed.output.visits)[number][]>()
  for (const visit of parsed.output.visits) bySite.set(visit.site, [...(bySite.get(visit.site) ?? []), visit])
  const kept = [...bySite.values()].filter((all) => all.length >= least)
  if (kept.length < 2) throw new Error(`not enough: two sites with at least ${least} visits are needed`)
  const each = Math.min(...kept.map((all) => all.length))
  const random = chance('traces')
  const visits = kept.flatMap((all, site) => all.slice(0, each).map(({ queries }) => visitOf(site, queries)))
  return { source: parsed.output.source, sites: kept.length, each, visits, leftOut: bySite.size - kept.length }

  function visitOf(site: number, unsorted: v.InferOutput<typeof document>['visits'][number]['queries']): Visit {
    const queries = [...unsorted].sort((a, b) => a.atMs - b.atMs)
    const startMs = queries[0]?.atMs ?? 0
    return {
      site,
      atMs: Float64Array.from(queries, ({ atMs }) => atMs - startMs),
      queryOctets: Uint16Array.from(queries, ({ queryOctets }) => queryOctets),
      replyOctets: Uint16Array.from(queries, ({ replyOctets }) => replyOctets),
      queryCells: Uint8Array.from(queries, ({ queryOctets }) => Math.ceil((queryOctets - RECORD + OPTIONS + FRAME) / (CELL + FRAME))),
      replyBlocks: Uint8Array.from(queries, ({ replyOctets }) => Math.max(1, Math.ceil((replyOctets - RECORD + PADDING) / BLOCK))),
      missChance: Float32Array.from(queries, ({ missed }) => (missed === undefined ? MISS_SHARE : Number(missed))),
      missMs: Float32Array.from(queries, () => freshMissMs(random)),
    }
  }
}
