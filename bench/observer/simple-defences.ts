import type { Chance } from './chance.ts'
import { type Defended, QUERY_BODY, REPLY_BODY, Recorder, replyBody } from './observed.ts'
import type { Visit } from './pages.ts'
import type { ResolverModel } from './resolver-model.ts'

/**
 * Puts a visit on the wire in virtual time, from 0 on. `untilMs`: how long to look at what never
 * ends by itself.
 */
export type Defence = (visit: Visit, chance: Chance, resolver: ResolverModel, untilMs?: number) => Defended

/** A framed query of 128 octets: what each one more adds to a record. */
const FRAMED_CELL = 130

interface Leaving {
  /** When a query that came at `atMs` is sent. */
  readonly sendMs: (atMs: number, chance: Chance) => number
  /** Sizes are as they are without padding; else equal. */
  readonly bare?: boolean
  /** Padded queries that are sent at one moment leave as one record. */
  readonly joined?: boolean
}

function eachSent({ sendMs, bare = false, joined = false }: Leaving): Defence {
  return (visit, chance, resolver) => {
    const recorder = new Recorder()
    const waitsMs = new Float64Array(visit.atMs.length)
    const together = new Map<number, number>()
    visit.atMs.forEach((atMs, i) => {
      const sentMs = sendMs(atMs, chance)
      waitsMs[i] = sentMs - atMs
      if (joined) together.set(sentMs, (together.get(sentMs) ?? 0) + 1)
      else recorder.add(sentMs, bare ? (visit.queryOctets[i] ?? 0) : QUERY_BODY + ((visit.queryCells[i] ?? 1) - 1) * FRAMED_CELL)
      recorder.add(sentMs + resolver.real(visit, i, chance), -(bare ? (visit.replyOctets[i] ?? 0) : replyBody(visit.replyBlocks[i] ?? 1)))
    })
    for (const [sentMs, queries] of together) recorder.add(sentMs, QUERY_BODY + (queries - 1) * FRAMED_CELL)
    return { seen: recorder.seen(), cells: visit.atMs.length, queries: visit.atMs.length, waitsMs }
  }
}

/** Sent as it comes, no padding. */
export const bare: Defence = eachSent({ sendMs: (atMs) => atMs, bare: true })

/** Sent as it comes, all sizes equal. */
export const padded: Defence = eachSent({ sendMs: (atMs) => atMs })

/**
 * Each query held back on its own for a uniform time. The product's timers know whole milliseconds,
 * and what its event loop finds due in one turn leaves as one record: 39 of 41 are left of a page
 * of the wire runs.
 */
export const jittered = (mostMs: number): Defence =>
  eachSent({ sendMs: (atMs, chance) => Math.ceil(atMs + chance.between(0, mostMs)), joined: true })

/** What came in `everyMs` leaves together. */
export const batched =
  (everyMs: number): Defence =>
  (visit, chance, resolver) => {
    const phase = chance.between(0, everyMs)
    return eachSent({ sendMs: (atMs) => Math.ceil((atMs - phase) / everyMs) * everyMs + phase })(visit, chance, resolver)
  }

const COVERED_MS = 50_000

/**
 * Real queries as they come, and covers at the times of a Poisson process beside them, for 50 s or
 * as long as the page lasts.
 */
export const additive =
  (perSecond: number): Defence =>
  (visit, chance, resolver, untilMs = COVERED_MS) => {
    const recorder = new Recorder()
    const send = (atMs: number, answerMs: number) => {
      recorder.add(atMs, QUERY_BODY)
      recorder.add(atMs + answerMs, -REPLY_BODY)
    }
    visit.atMs.forEach((atMs, i) => {
      send(atMs, resolver.real(visit, i, chance))
    })
    const endMs = Math.max(untilMs, visit.atMs.at(-1) ?? 0)
    let covers = 0
    for (let at = chance.exponential(1000 / perSecond); at < endMs; at += chance.exponential(1000 / perSecond)) {
      send(at, resolver.cover(chance))
      covers++
    }
    const queries = visit.atMs.length
    return { seen: recorder.seen(), cells: queries + covers, queries, waitsMs: new Float64Array(queries) }
  }

/**
 * Every query takes one of `paths` at random, and the observer sits on one of them. Delay and cost
 * are those of all of them.
 */
export const oneOf =
  (paths: number): Defence =>
  (visit, chance, resolver) => {
    const recorder = new Recorder()
    visit.atMs.forEach((atMs, i) => {
      const answerMs = resolver.real(visit, i, chance)
      if (!chance.hit(1 / paths)) return
      recorder.add(atMs, QUERY_BODY)
      recorder.add(atMs + answerMs, -REPLY_BODY)
    })
    const queries = visit.atMs.length
    return { seen: recorder.seen(), cells: queries, queries, waitsMs: new Float64Array(queries) }
  }
