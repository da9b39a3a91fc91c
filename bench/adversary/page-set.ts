import type { Chance } from '../observer/chance.ts'
import type { Entry } from '../observer/line-up.ts'
import { networkOctets } from '../observer/observed.ts'
import { KNOBS, type Visit, visits } from '../observer/pages.ts'
import { resolverModel } from '../observer/resolver-model.ts'
import { Looks } from './closed-world.ts'
import { quantile } from './metrics.ts'

/** What a defence costs on the page workload. */
export interface Cost {
  readonly cellsPerQuery: number
  readonly cellsPerPage: number
  readonly kilobytesPerPage: number
  readonly waitP50Ms: number
  readonly waitP95Ms: number
}

/** `each` visits of `sites` sites, defended and looked at. */
export function pageSet(entry: Entry, sites: number, each: number, root: Chance): { readonly looks: Looks; readonly cost: Cost } {
  return lookedAt(entry, visits(sites, each, root, { ...KNOBS, ...entry.traits }), sites * each, root)
}

/** The same for visits that stand ready. */
export function lookedAt(
  entry: Entry,
  visits: Iterable<Visit>,
  pages: number,
  root: Chance,
): { readonly looks: Looks; readonly cost: Cost } {
  const looks = new Looks(pages)
  const waits: Float64Array[] = []
  let [cells, queries, octets, page] = [0, 0, 0, 0]
  for (const one of visits) {
    const resolver = resolverModel(entry.covers, root.fork(`resolver ${page}`))
    const defended = entry.defence(one, root.fork(`defence ${page}`), resolver)
    looks.put(page++, one.site, defended.seen, isMarked(one))
    cells += defended.cells
    queries += defended.queries
    octets += networkOctets(defended.seen)
    waits.push(defended.waitsMs)
  }
  const sorted = joinedSorted(waits)
  return {
    looks,
    cost: {
      cellsPerQuery: cells / Math.max(1, queries),
      cellsPerPage: cells / pages,
      kilobytesPerPage: octets / pages / 1000,
      waitP50Ms: quantile(sorted, 0.5),
      waitP95Ms: quantile(sorted, 0.95),
    },
  }
}

/** Whether one of its replies takes more than a block. */
const isMarked = ({ replyBlocks }: Visit) => replyBlocks.some((blocks) => blocks > 1)

function joinedSorted(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all.sort()
}
