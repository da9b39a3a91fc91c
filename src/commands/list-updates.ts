import { statSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import type { Clock, Random, Timer } from '../clock.ts'
import { fileList, judgeList, keepList, keptFile, type ListReading, type ListSource, type RawList } from '../config/kept-lists.ts'
import type { Checked, Loaded } from '../config/load.ts'
import { type EntryChange, isWithdrawn } from '../config/set-merge.ts'
import { keyOf } from '../config/set-pairs.ts'
import {
  type AppliedChange,
  asEntries,
  faultsOf,
  type ListedChanges,
  listedChanges,
  relayEntries,
  withLists,
} from '../config/source-lists.ts'
import { MAX_LIST_OCTETS } from '../config/stamp-list.ts'
import { asEnigmError } from '../errors.ts'
import type { Emit, Observation } from '../events.ts'
import { fetchBuffer } from '../fetcher/fetch-source.ts'
import { MAX_SIGNATURE_OCTETS } from '../files/minisign.ts'
import { aheadOf } from '../files/signed.ts'

/** The services that a fetch of lists uses. `lookup` resolves a host through this service only. */
export interface ListWorld {
  readonly clock: Clock
  readonly lookup: (host: string) => Promise<readonly string[]>
  /**
   * With `"updates": "apply"`: why a list must not be kept, as a clause; undefined: the
   * configuration can be used with it.
   */
  readonly unfit?: (source: ListSource, reading: ListReading) => Promise<string | undefined>
  /** CA certificates in PEM that replace those of Node. */
  readonly ca?: string
}

/** The outcome of one source. */
export interface SourceOutcome {
  readonly source: ListSource
  /**
   * Why nothing new was saved, as a clause. Undefined: it was saved, or it is the same as the kept
   * copy.
   */
  readonly refused?: string
  /** Whether it was refused because of its signature, not because it could not be fetched. */
  readonly unproven?: true
  /** Whether it was refused only because it could not be saved. */
  readonly unsaved?: true
}

/** Fetches and checks each source, and saves it if it is valid. Never rejects. */
export async function updateLists(sources: readonly ListSource[], stateDir: string, world: ListWorld): Promise<readonly SourceOutcome[]> {
  const outcomes: SourceOutcome[] = []
  // One after another: nobody waits for them, and a burst would be a visible pattern.
  for (const source of sources) outcomes.push(await updateList(source, stateDir, world))
  return outcomes
}

/**
 * Why a list must not be kept, from a check of the configuration with it. Undefined: the check has
 * no problem that comes from this list.
 */
export function unfitness({ unfit }: Pick<Checked, 'unfit'>, { id }: ListSource): string | undefined {
  return unfit?.ids.includes(id) === true ? `changes resolvers so that ${unfit.why}` : undefined
}

async function updateList(source: ListSource, stateDir: string, world: ListWorld): Promise<SourceOutcome> {
  try {
    const raw = source.url === undefined ? fileList(source.file ?? '') : await fetched(source.url, world)
    if (typeof raw === 'string') return { source, refused: raw }
    const found = judgeList(source, raw, stateDir)
    if (found.refused !== undefined) return { source, refused: found.refused, ...(found.unproven === undefined ? {} : { unproven: true }) }
    const ahead = aheadOf(found.list.signedS, world.clock.wallMs())
    if (ahead !== undefined) return { source, refused: ahead, unproven: true }
    const unfit = await world.unfit?.(source, found)
    if (unfit !== undefined) return { source, refused: unfit }
    const unsaved = keepList(source, raw, found.list.signedS, stateDir)
    return unsaved === undefined ? { source } : { source, refused: unsaved, unsaved: true }
  } catch (error) {
    return { source, refused: asEnigmError(error).message }
  }
}

/** Fetches a list from its URL, with its signature if `signed`. Rejects with an EnigmError. */
export async function fetched(url: string, world: ListWorld, signed = true): Promise<RawList> {
  const signature = signed ? (await fetchBuffer({ url: `${url}.minisig`, maxOctets: MAX_SIGNATURE_OCTETS }, world)).body : undefined
  const { body: data } = await fetchBuffer({ url, maxOctets: MAX_LIST_OCTETS }, world)
  return { data: data ?? Buffer.alloc(0), signature: signature?.toString('utf8') }
}

/** Keeps the lists of a running service up to date. */
export interface ListUpdates {
  /** Replaces the sources with those of a configuration that is in force now. */
  adopt(loaded: Loaded): void
  stop(): void
}

const DAY_MS = 86_400_000
/** Delay before a failed fetch is retried. */
const RETRY_MS = 3_600_000
/** Delay of the first fetch after a start, so that queries of clients come first. */
const FIRST_MS = 1000
const POLL_MS = 3000

/**
 * Keeps the lists of a service up to date. Checks files every 3 s, and fetches URLs once a day at a
 * random time. Reports changes of the lists to resolvers in use.
 */
export function listUpdates(o: ListWorld & { readonly random: Random; readonly report: Emit }): ListUpdates {
  const { clock, random } = o
  let loaded: Loaded | undefined
  let timer: Timer | undefined
  let reported: unknown
  let files = ''
  let copies = ''
  let stopped = false
  let busy = false
  let dueMs = 0
  let outcomes: readonly SourceOutcome[] = []

  const tell = () => {
    if (loaded === undefined) return
    const event = seen(loaded, outcomes)
    if (isDeepStrictEqual(event, reported)) return
    reported = event
    o.report(event)
  }
  const look = async () => {
    if (busy || loaded === undefined) return
    busy = true
    try {
      if (await lookAt(loaded.config)) tell()
    } finally {
      busy = false
    }
  }
  /** Returns whether a source was due for a fetch, or its kept copy has changed. */
  const lookAt = async ({ sources = [], stateDir }: Loaded['config']): Promise<boolean> => {
    const now = fingerprint(sources.flatMap(({ file }) => (file === undefined ? [] : [file, `${file}.minisig`])))
    const fetchNow = clock.nowMs() >= dueMs
    const due = sources.filter(({ url }) => (url === undefined ? now !== files : fetchNow))
    files = now
    if (fetchNow) dueMs = clock.nowMs() + DAY_MS + random.below(RETRY_MS)
    const fresh = await updateLists(due, stateDir, o)
    // Tried again at the next look: the file stays the same when the disk has space again.
    if (fresh.some(({ unsaved }) => unsaved)) files = ''
    if (fresh.some(({ source, refused }) => source.url !== undefined && refused !== undefined)) dueMs = clock.nowMs() + RETRY_MS
    outcomes = [...outcomes.filter(({ source }) => !due.includes(source) && sources.includes(source)), ...fresh]
    // A command may have updated the kept copies meanwhile.
    const before = copies
    copies = fingerprint(sources.map((source) => keptFile(stateDir, source)))
    return due.length > 0 || copies !== before
  }
  // A fault of a list never ends the service: the check is repeated later.
  const again = () => later(POLL_MS)
  const later = (ms: number) => {
    timer?.cancel()
    if (stopped) return
    timer = clock.setTimer(ms, () => void look().then(again, again))
  }
  return {
    adopt(next) {
      const before = loaded?.config.sources
      loaded = next
      if (!isDeepStrictEqual(before, next.config.sources)) {
        files = ''
        // A kept copy of the last hours need not be fetched again.
        dueMs = (next.config.sources ?? []).every((source) => ageMs(next, source, clock) < DAY_MS) ? clock.nowMs() + DAY_MS : 0
        outcomes = []
      }
      // Another configuration may be usable with a list that was refused before.
      if (outcomes.some(({ refused }) => refused !== undefined)) files = ''
      tell()
      if ((next.config.sources ?? []).length === 0) timer?.cancel()
      else later(before === undefined ? FIRST_MS : 0)
    },
    stop() {
      stopped = true
      timer?.cancel()
    },
  }
}

function ageMs({ config }: Loaded, source: ListSource, clock: Clock): number {
  if (source.url === undefined) return 0
  return clock.wallMs() - (statOf(keptFile(config.stateDir, source))?.mtimeMs ?? 0)
}

/** The stat of a file; undefined: it does not exist, or it is not accessible. */
function statOf(path: string) {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

/** A text that changes whenever one of the files changes. */
function fingerprint(paths: readonly string[]): string {
  return JSON.stringify(
    paths.map((path) => {
      const found = statOf(path)
      return [path, found?.ino, found?.size, found?.mtimeMs]
    }),
  )
}

type SeenSources = Extract<Observation, { readonly type: 'seen.sources' }>

function seen(loaded: Loaded, outcomes: readonly SourceOutcome[]): SeenSources {
  const { resolvers } = loaded
  const { sources = [], stateDir } = loaded.config
  const entries = [...asEntries(resolvers), ...relayEntries(resolvers)]
  const inUse = new Set(entries.map(({ kind, value }) => keyOf(kind, value.id)))
  const found = listedChanges(entries, sources, stateDir, { inUse })
  const applied = appliedChanges(loaded)
  return { type: 'seen.sources', sources: found.map((one) => sourceReport(one, applied, outcomes)) }
}

/** The changes of resolvers that need no person: those in force, and those of the next reload. */
function appliedChanges({ resolvers, applied = [], config }: Loaded): readonly AppliedChange[] {
  const { sources = [], stateDir, updates } = config
  if (updates !== 'apply') return []
  const isUsed = ({ change }: AppliedChange) => resolvers.some(({ id }) => id === change.id)
  // A withdrawn resolver stays in use if `use` names it.
  const now = applied.filter((one) => isWithdrawn(one.change) !== isUsed(one))
  const next = withLists(resolvers, sources, stateDir).applied.filter(({ change }) => !isWithdrawn(change))
  return [...now, ...next]
}

function sourceReport(
  { source, reading, change }: ListedChanges,
  applied: readonly AppliedChange[],
  outcomes: readonly SourceOutcome[],
): SeenSources['sources'][number] {
  const own = applied.filter(({ list }) => list === source.id).map((one) => one.change)
  const waiting = change.filter((one) => !own.some((other) => other.id === one.id && isDeepStrictEqual(other.keys, one.keys)))
  const latest = outcomes.find((one) => one.source.id === source.id)
  // Without an outcome, a list that was never kept is about to be read or fetched: no fault.
  const expected = reading.refused !== undefined && reading.absent === true && latest === undefined
  const why = expected ? [] : faultsOf(reading, latest?.refused)
  return {
    id: source.id,
    state: reading.refused === undefined ? (why.length === 0 ? 'current' : 'old') : 'none',
    ...(why.length === 0 ? {} : { why: why.join('; ') }),
    ...(reading.refused === undefined ? { entries: reading.list.entries.length } : {}),
    ...(reading.refused === undefined && reading.list.signedS !== undefined ? { signedS: reading.list.signedS } : {}),
    changes: [...waiting.map(changeReport), ...own.map((one) => ({ ...changeReport(one), applied: true as const }))],
  }
}

/** Limit of a text in characters; longer texts are cut. */
const MAX_TEXT = 200

function changeReport({ id, what, keys, before }: EntryChange) {
  const text = (of: object) => JSON.stringify(of).slice(0, MAX_TEXT)
  return { id, what, from: text(before), to: text(keys) }
}
