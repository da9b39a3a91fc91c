import { monitorEventLoopDelay } from 'node:perf_hooks'
import { type ClosedWorld, crossValidated, Looks } from '../../adversary/closed-world.ts'
import type { TaskPool } from '../../adversary/task-pool.ts'
import { type Chance, chance } from '../chance.ts'
import { type Entry, LINE_UP } from '../line-up.ts'
import type { Seen } from '../observed.ts'
import { makeSite, type Visit, visit } from '../pages.ts'
import { resolverModel } from '../resolver-model.ts'
import { type Lane, openLane } from './lane.ts'
import { microTiming, type TimingRow } from './micro-timing.ts'
import { startWireResolver } from './resolver.ts'
import { type Watched, watched } from './servers.ts'
import type { WireRow } from './wire-row.ts'

const SITES = 20
const VISITS = 20
/** Page loads at once, each through a server of its own. */
const LANES = 8
const FOLDS = 5
const TREES = 200
/** Pages are cut here, on the wire and in virtual time alike: real time is dear. */
const LONGEST_PAGE_MS = 15_000
const TIMED = ['lite', 'balanced', 'always-on']
const TIMED_PAGES = 100
const STALL_RESOLUTION_MS = 10
const SAMPLE_MS = 20_000

/**
 * Sends 20 sites x 20 visits through every server whose id is in `ids` (or all), time not scaled,
 * and attacks what a tap saw; beside it the same visits in virtual time.
 */
export async function onTheWire(
  ids: readonly string[],
  pool: TaskPool,
  seed: string,
  say: (text: string) => void,
  found: (row: WireRow) => void,
): Promise<void> {
  const root = chance(seed).fork('wire')
  const pages = wirePages(root)
  for (const one of watched().filter(({ id }) => ids.length === 0 || ids.includes(id))) {
    const beganMs = performance.now()
    try {
      const row = await watch(one, pages, pool, root)
      found(row)
      const { a1, a2, a3, a4, a4plus } = row.wire
      const shown = [a1, a2, a3, a4, a4plus].map(({ value }) => `${(value * 100).toFixed(1)} %`).join(', ')
      say(
        `on the wire, ${one.id}: A1 to A4+ ${shown}, ${row.wireCellsPerPage.toFixed(0)} records out a page, stalls p99 ${(row.stallP99Ms ?? 0).toFixed(0)} ms, ${((performance.now() - beganMs) / 1000).toFixed(0)} s`,
      )
    } catch (error) {
      say(`on the wire, ${one.id}: left out: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}

/**
 * Real cells against covers by when they leave, for the profiles that have both: a hundred pages.
 */
export async function timingOnTheWire(
  ids: readonly string[],
  pool: TaskPool,
  seed: string,
  say: (text: string) => void,
  found: (row: TimingRow) => void,
): Promise<void> {
  const root = chance(seed).fork('timing')
  const pages = wirePages(root).slice(0, TIMED_PAGES)
  for (const one of watched().filter(({ id }) => TIMED.includes(id) && (ids.length === 0 || ids.includes(id)))) {
    const row = await microTiming(one, pages, pool, root)
    found(row)
    say(`on the wire, ${one.id}: real cells told from covers by their timing: ${(row.accuracy.value * 100).toFixed(1)} % of ${row.cells}`)
  }
}

/**
 * Visit by visit, not site by site, so that whatever the machine does meanwhile falls on all sites
 * alike.
 */
function wirePages(root: Chance): readonly Visit[] {
  const sites = Array.from({ length: SITES }, (_, id) => makeSite(id, root))
  return Array.from({ length: VISITS }, (_, i) => sites.map((site) => shortened(visit(site, root.fork(`visit ${site.id} ${i}`))))).flat()
}

function shortened(page: Visit): Visit {
  const end = page.atMs.findIndex((atMs) => atMs > LONGEST_PAGE_MS)
  return end < 0 ? page : { ...page, atMs: page.atMs.subarray(0, end) }
}

async function watch(one: Watched, pages: readonly Visit[], pool: TaskPool, root: Chance): Promise<WireRow> {
  const stalls = monitorEventLoopDelay({ resolution: STALL_RESOLUTION_MS })
  stalls.enable()
  const seen = await loadAll(one, pages, root)
  stalls.disable()
  const entry = LINE_UP.find(({ id }) => id === one.predictedBy)
  const virtual = entry === undefined ? undefined : inVirtualTime(entry, pages, root)
  const sizes = new Map<number, number>()
  for (const { octets } of seen) for (const size of octets) sizes.set(size, (sizes.get(size) ?? 0) + 1)
  const [sample] = seen
  return {
    id: one.id,
    title: one.title,
    role: one.peer.role === 'ours' ? 'ours' : 'peer',
    sites: SITES,
    visits: pages.length,
    wire: await attacked(seen, pages, one.id, pool),
    virtual: virtual === undefined ? undefined : await attacked(virtual, pages, one.id, pool),
    wireCellsPerPage: sent(seen),
    virtualCellsPerPage: virtual === undefined ? undefined : sent(virtual),
    stallP99Ms: Math.max(0, stalls.percentile(99) / 1e6 - STALL_RESOLUTION_MS),
    sizes: [...sizes].sort((a, b) => b[1] - a[1]),
    sample: sample === undefined ? [] : sampleOf(sample),
  }
}

async function loadAll(one: Watched, pages: readonly Visit[], root: Chance): Promise<readonly Seen[]> {
  const resolver = await startWireResolver(root.fork(`resolver ${one.id}`))
  const hop = await one.hop?.()
  const lanes: Lane[] = []
  try {
    for (let i = 0; i < LANES; i++) lanes.push(await openLane(one.peer, resolver, hop))
    const seen: Seen[] = []
    const left = [...pages.entries()].reverse()
    await Promise.all(
      lanes.map(async (lane) => {
        for (let next = left.pop(); next !== undefined; next = left.pop()) seen[next[0]] = await lane.load(next[1], one.windowMs)
      }),
    )
    return seen
  } finally {
    await Promise.all(lanes.map((lane) => lane.close()))
    await hop?.stop()
    await resolver.close()
  }
}

function inVirtualTime(entry: Entry, pages: readonly Visit[], root: Chance): readonly Seen[] {
  return pages.map(
    (page, i) => entry.defence(page, root.fork(`virtual ${entry.id} ${i}`), resolverModel(entry.covers, root.fork(`resolver ${i}`))).seen,
  )
}

function attacked(seen: readonly Seen[], pages: readonly Visit[], id: string, pool: TaskPool): Promise<ClosedWorld> {
  const looks = new Looks(pages.length)
  seen.forEach((one, page) => {
    looks.put(page, pages[page]?.site ?? 0, one)
  })
  const folds = crossValidated(
    pages.map((_, page) => Math.floor(page / SITES)),
    FOLDS,
  )
  return looks.attack(pool, folds, { classes: SITES, trees: TREES, seed: `wire ${id}`, mostNearest: pages.length })
}

const sent = (seen: readonly Seen[]) => seen.reduce((sum, { octets }) => sum + octets.filter((size) => size > 0).length, 0) / seen.length

function sampleOf({ atMs, octets }: Seen): readonly (readonly [number, number])[] {
  return [...atMs].flatMap((at, i) => (at > SAMPLE_MS ? [] : [[Math.round(at * 10) / 10, octets[i] ?? 0] as const]))
}
