import type { Clock, Timer } from '../clock.ts'
import type { StatusDocument } from '../posture/document.ts'

/**
 * Time between two samples. A count that changes every second would reveal when somebody sends a
 * query.
 */
export const RESOLUTION_MS = 60_000
/** Number of kept minutes: three hours. */
export const MINUTES = 180

/**
 * The sample of one minute. Counts are of that minute; undefined if the shaping profile forbids to
 * show them.
 */
export interface Minute {
  readonly atMs: number
  readonly state: StatusDocument['state']
  readonly hits: number | undefined
  readonly misses: number | undefined
  /** The value of the fastest resolver that answers. */
  readonly p50Ms: number | undefined
  /** Failed exchanges and dials by code, summed over all resolvers. */
  readonly failures: Readonly<Record<string, number>>
  /** Rules of the policy that ceased to be met in that minute, by code. */
  readonly violations: readonly string[]
}

/** The status at the last full minute, and the earlier minutes. */
export interface Sampler {
  /** The counts of the last sample: they do not change between samples. */
  counted(): StatusDocument
  minutes(): readonly Minute[]
  stop(): void
}

type CountsByCode = Readonly<Record<string, number>>

/** The sources of samples. */
export interface Sampled {
  readonly document: () => StatusDocument
  /** How often each rule of the policy ceased to be met since the start, by code. */
  readonly violations: () => CountsByCode
  readonly clock: Clock
}

/**
 * Takes a sample now and once a minute. Bounded to three hours. `document` and `violations` are
 * called at each sample only.
 */
export function sampleEachMinute({ document, violations, clock }: Sampled): Sampler {
  let last = document()
  let broken = { ...violations() }
  const minutes: Minute[] = []
  let timer: Timer
  const sample = () => {
    const now = document()
    const brokenNow = { ...violations() }
    minutes.push({ ...minuteOf(last, now, clock.wallMs()), violations: Object.keys(more(broken, brokenNow)) })
    if (minutes.length > MINUTES) minutes.shift()
    last = now
    broken = brokenNow
    timer = clock.setTimer(RESOLUTION_MS, sample)
  }
  timer = clock.setTimer(RESOLUTION_MS, sample)
  return { counted: () => last, minutes: () => minutes, stop: () => timer.cancel() }
}

function minuteOf(before: StatusDocument, now: StatusDocument, wallMs: number): Omit<Minute, 'violations'> {
  const fastest = now.resolvers.flatMap(({ state, rttMs }) => (state === 'answering' && rttMs !== null ? [rttMs.p50] : []))
  return {
    atMs: Math.floor(wallMs / RESOLUTION_MS) * RESOLUTION_MS,
    state: now.state,
    hits: grown(before.cache.hits, now.cache.hits),
    misses: grown(before.cache.misses, now.cache.misses),
    p50Ms: fastest.length === 0 ? undefined : Math.min(...fastest),
    failures: failed(before, now),
  }
}

/** A resolver that a reload removed or replaced has no earlier value: it counts from zero. */
function failed(before: StatusDocument, now: StatusDocument): Minute['failures'] {
  const grown = new Map<string, number>()
  for (const { id, failures } of now.resolvers)
    for (const [code, count] of Object.entries(more(before.resolvers.find((r) => r.id === id)?.failures ?? {}, failures)))
      grown.set(code, (grown.get(code) ?? 0) + count)
  return Object.fromEntries(grown)
}

/** The increase of each count, without those that did not grow. */
function more(before: CountsByCode, now: CountsByCode): CountsByCode {
  const grown = Object.entries(now).map(([code, count]) => [code, count - (before[code] ?? 0)] as const)
  return Object.fromEntries(grown.filter(([, count]) => count > 0))
}

function grown(before: number | undefined, now: number | undefined): number | undefined {
  return before === undefined || now === undefined ? undefined : Math.max(0, now - before)
}
