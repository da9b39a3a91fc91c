import { questionEnd } from '../../src/dns/name.ts'
import { CoverQuestions } from '../../src/shaping/cover.ts'
import type { Unlikeness } from '../../src/shaping/likeness.ts'
import { PACES, type PacedProfile } from '../../src/shaping/profiles.ts'
import type { Chance } from './chance.ts'
import { LARGE_SHARE, MISS_SHARE, makeSite, visit } from './pages.ts'
import { answerMs } from './resolver-model.ts'
import { COVER, emitted } from './slots.ts'

/** How long answers live, s, and the share of names that have it. */
export type Ttls = 'mixed' | 'short' | 'long'
const TTLS: Readonly<Record<Ttls, readonly (readonly [ttlS: number, share: number])[]>> = {
  mixed: [
    [60, 0.08],
    [300, 0.27],
    [900, 0.1],
    [3600, 0.35],
    [14_400, 0.1],
    [86_400, 0.1],
  ],
  long: [
    [3600, 0.6],
    [14_400, 0.2],
    [86_400, 0.2],
  ],
  short: [
    [60, 0.5],
    [300, 0.5],
  ],
}

/** A resolver with so many caches, one of them drawn for each query. */
export interface CacheScene {
  readonly caches: number
  readonly ttls: Ttls
}

/** Those that are measured. */
export const SCENES: readonly CacheScene[] = [
  { caches: 1, ttls: 'mixed' },
  { caches: 1, ttls: 'short' },
  { caches: 1, ttls: 'long' },
  { caches: 8, ttls: 'mixed' },
]

/** What a day of covers comes to. */
export interface CoverDay {
  readonly profile: PacedProfile
  readonly scene: CacheScene
  /** The share of covers that the resolver had to look up, by hour. A quarter of real ones is. */
  readonly missedByHour: readonly number[]
  /** At its end: the share of rare names, and why the status says `not in force`, if it does. */
  readonly rareShare: number
  readonly unlikeness: Unlikeness | undefined
  /** Whether each cover of the last hour was looked up, in their order. */
  readonly tape: Uint8Array
}

const HOURS = 24
const HOUR_MS = 3_600_000
const PAGES_AN_HOUR = 40
/** How often others ask one cache for a popular name, and for one of the tail, per second. */
const OTHERS = { usual: 1 / 5, rare: 1 / 7200, large: 1 / 600 }
const BLOCK = 468

/**
 * A day of 40 pages an hour under one profile, in virtual time: the product's own covers, against
 * caches that keep what covers asked for. Others ask too, popular names often and rare ones hardly.
 */
export function coverDay(profile: PacedProfile, scene: CacheScene, root: Chance): CoverDay {
  const chance = root.fork(`day ${profile} ${scene.caches} ${scene.ttls}`)
  const { atMs, which } = emitted(PACES[profile], dayOfPages(chance.fork('pages')), HOURS * HOUR_MS, chance.fork('slots'))
  const questions = new CoverQuestions(chance.fork('covers'))
  const caches = new Caches(scene, chance.fork('caches'))
  const [asked, missed] = [new Float64Array(HOURS), new Float64Array(HOURS)]
  const tape: number[] = []
  atMs.forEach((nowMs, slot) => {
    if ((which[slot] ?? COVER) >= 0) {
      questions.real(answerMs(MISS_SHARE, chance), chance.hit(LARGE_SHARE) ? 2 * BLOCK : BLOCK)
      return
    }
    const cover = questions.unconditional() ?? questions.next(nowMs)
    const name = Buffer.from(cover.message.subarray(12, questionEnd(cover.message))).toString('latin1')
    const { miss, ttlS } = caches.ask(name, nowMs / 1000, OTHERS[cover.kind])
    const octets = cover.kind === 'large' ? 2 * BLOCK : BLOCK
    questions.answered(cover, { nowMs, rttMs: answerMs(miss ? 1 : 0, chance), octets, ttlS: () => ttlS })
    const hour = Math.floor(nowMs / HOUR_MS)
    asked[hour]! += 1
    missed[hour]! += Number(miss)
    if (hour === HOURS - 1) tape.push(Number(miss))
  })
  const missedByHour = [...missed].map((sum, hour) => sum / Math.max(1, asked[hour] ?? 0))
  return {
    profile,
    scene,
    missedByHour,
    unlikeness: questions.unlikeness,
    rareShare: questions.latencies.rareShare(),
    tape: Uint8Array.from(tape),
  }
}

function dayOfPages(chance: Chance): Float64Array {
  const all: number[] = []
  for (let page = 0; page < PAGES_AN_HOUR * HOURS; page++) {
    const beginsMs = chance.between(0, HOURS * HOUR_MS)
    for (const atMs of visit(makeSite(page, chance), chance).atMs) all.push(beginsMs + atMs)
  }
  return Float64Array.from(all).sort()
}

/** Caches that answer one resolver's queries, each with what it holds by itself. */
class Caches {
  readonly #scene: CacheScene
  readonly #chance: Chance
  /** Until when each name is there, s; one map a cache. */
  readonly #until: readonly Map<string, number>[]

  constructor(scene: CacheScene, chance: Chance) {
    this.#scene = scene
    this.#chance = chance
    this.#until = Array.from({ length: scene.caches }, () => new Map<string, number>())
  }

  /** Asks one of them; what it has not got it has from then on. `perS`: how often others ask it. */
  ask(name: string, nowS: number, perS: number): { readonly miss: boolean; readonly ttlS: number } {
    const cache = this.#until[this.#chance.below(this.#until.length)]
    const ttlS = ttlOf(name, this.#scene.ttls)
    const until = this.#refilled(cache?.get(name), ttlS, nowS, perS)
    if (until > nowS) {
      cache?.set(name, until)
      return { miss: false, ttlS: until - nowS }
    }
    cache?.set(name, nowS + ttlS)
    return { miss: true, ttlS }
  }

  /** Until when it is there, as others ask for it as well. */
  #refilled(known: number | undefined, ttlS: number, nowS: number, perS: number): number {
    const cycleS = ttlS + 1 / perS
    if (known === undefined || nowS - known > 5 * cycleS)
      return this.#chance.hit(ttlS / cycleS) ? nowS + this.#chance.between(0, ttlS) : Number.NEGATIVE_INFINITY
    let until = known
    while (until <= nowS) {
      const askedS = until + this.#chance.exponential(1 / perS)
      if (askedS >= nowS) return Number.NEGATIVE_INFINITY
      until = askedS + ttlS
    }
    return until
  }
}

/** One name's, the same at every cache. */
export function ttlOf(name: string, ttls: Ttls): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  let left = ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32
  for (const [ttlS, share] of TTLS[ttls]) {
    left -= share
    if (left < 0) return ttlS
  }
  return 300
}
