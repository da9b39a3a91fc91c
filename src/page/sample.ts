import type { Clock, Timer } from '../clock.ts'
import type { StatusDocument } from '../posture/document.ts'

/** How fine the page is at most: a count that moves by the second tells when somebody asks. */
export const RESOLUTION_MS = 60_000
/** Minutes that are kept: three hours. */
export const MINUTES = 180

/** What one minute came to. Counts are of that minute; undefined where the shaping profile forbids to tell. */
export interface Minute {
  readonly atMs: number
  readonly state: StatusDocument['state']
  readonly hits: number | undefined
  readonly misses: number | undefined
  /** Of the fastest resolver that answers. */
  readonly p50Ms: number | undefined
}

/** The status at the last full minute, and the minutes before. */
export interface Sampler {
  /** The counts of the last sample: they do not move between two. */
  counted(): StatusDocument
  minutes(): readonly Minute[]
  stop(): void
}

/** Takes a sample now and once a minute. Bounded: three hours. `document` is asked for at each sample only. */
export function sampleEachMinute(document: () => StatusDocument, clock: Clock): Sampler {
  let last = document()
  const minutes: Minute[] = []
  let timer: Timer
  const sample = () => {
    const now = document()
    minutes.push(minuteOf(last, now, clock.wallMs()))
    if (minutes.length > MINUTES) minutes.shift()
    last = now
    timer = clock.setTimer(RESOLUTION_MS, sample)
  }
  timer = clock.setTimer(RESOLUTION_MS, sample)
  return { counted: () => last, minutes: () => minutes, stop: () => timer.cancel() }
}

function minuteOf(before: StatusDocument, now: StatusDocument, wallMs: number): Minute {
  const fastest = now.resolvers.flatMap(({ state, rttMs }) => (state === 'answering' && rttMs !== null ? [rttMs.p50] : []))
  return {
    atMs: Math.floor(wallMs / RESOLUTION_MS) * RESOLUTION_MS,
    state: now.state,
    hits: grown(before.cache.hits, now.cache.hits),
    misses: grown(before.cache.misses, now.cache.misses),
    p50Ms: fastest.length === 0 ? undefined : Math.min(...fastest),
  }
}

function grown(before: number | undefined, now: number | undefined): number | undefined {
  return before === undefined || now === undefined ? undefined : Math.max(0, now - before)
}
