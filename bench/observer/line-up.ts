import { PACES, type Pace, type PacedProfile } from '../../src/shaping/profiles.ts'
import { constantRate } from './constant-rate.ts'
import type { Names } from './pages.ts'
import { additive, bare, batched, type Defence, jittered, oneOf, padded } from './simple-defences.ts'

/** One row of the report. */
export interface Entry {
  readonly id: string
  readonly title: string
  readonly defence: Defence
  /** The product's profile that it is, if any. */
  readonly profile?: 'off' | 'jitter' | PacedProfile
  /** Measured on wider sets too: five hundred sites, and on the wire. */
  readonly wide?: boolean
  /** Met by A5 to A7 too. */
  readonly deep?: boolean
  /** Left out of a quick run. */
  readonly skipped?: boolean
  readonly covers: 'matched' | 'hits'
  readonly names: Names
}

const usual = { covers: 'matched', names: 'alike' } as const
const paced = (profile: PacedProfile) => constantRate(PACES[profile])

/** Undefended first. */
export const LINE_UP: readonly Entry[] = [
  { ...usual, id: 'padded', title: 'undefended, sizes equal (`off`)', defence: padded, profile: 'off', wide: true, deep: true },
  { ...usual, id: 'bare', title: 'undefended, no padding', defence: bare, skipped: true },
  { ...usual, id: 'jitter-20', title: 'jitter 0 to 20 ms (`jitter`)', defence: jittered(20), profile: 'jitter', wide: true, deep: true },
  { ...usual, id: 'jitter-100', title: 'jitter 0 to 100 ms', defence: jittered(100), deep: true, skipped: true },
  { ...usual, id: 'jitter-500', title: 'jitter 0 to 500 ms', defence: jittered(500) },
  { ...usual, id: 'batch-250', title: 'batches of 250 ms', defence: batched(250), skipped: true },
  { ...usual, id: 'additive-2', title: 'additive Poisson cover, 2/s', defence: additive(2), skipped: true },
  { ...usual, id: 'additive-10', title: 'additive Poisson cover, 10/s', defence: additive(10), deep: true },
  { ...usual, id: 'one-of-3', title: 'observer on 1 of 3 paths', defence: oneOf(3), skipped: true },
  { ...usual, id: 'lite', title: '`lite`', defence: paced('lite'), profile: 'lite', wide: true, deep: true },
  { ...usual, id: 'balanced', title: '`balanced`', defence: paced('balanced'), profile: 'balanced', wide: true, deep: true },
  { ...usual, id: 'always-on', title: '`always-on`', defence: paced('always-on'), profile: 'always-on', wide: true, deep: true },
  { ...usual, covers: 'hits', id: 'lite-hits', title: '`lite` if covers always hit the resolver’s cache', defence: paced('lite') },
  { ...usual, covers: 'hits', id: 'balanced-hits', title: '`balanced` if covers always hit', defence: paced('balanced'), skipped: true },
  { ...usual, names: 'by name', id: 'lite-names', title: '`lite` if each name has its own miss rate and distance', defence: paced('lite') },
  {
    ...usual,
    names: 'by name',
    id: 'balanced-names',
    title: '`balanced` if each name has its own',
    defence: paced('balanced'),
    skipped: true,
  },
  {
    ...usual,
    names: 'by name',
    id: 'always-on-names',
    title: '`always-on` if each name has its own',
    defence: paced('always-on'),
    skipped: true,
  },
]

/** Even slots, sessions in steps: for sweeps. */
export const evenPace = (perSecond: number, stepS: number, idleS: number, opening: Pace['opening'] = []): Pace => ({
  opening,
  everyMs: 1000 / perSecond,
  stepMs: stepS * 1000,
  idleMs: idleS * 1000,
  alwaysOn: false,
  coversADay: Number.POSITIVE_INFINITY,
})
