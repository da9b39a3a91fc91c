import { ReplySizes } from '../../src/shaping/likeness.ts'
import { PACES, type Pace, type PacedProfile } from '../../src/shaping/profiles.ts'
import { type CacheScene, coverDay } from './caches.ts'
import { chance } from './chance.ts'
import { constantRate } from './constant-rate.ts'
import { PLAIN, SIGNED_SHARE, type Traits } from './pages.ts'
import type { Covers } from './resolver-model.ts'
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
  /** A gate holds the profile to its bound on this row: which profile, and the row's name. */
  readonly gated?: { readonly profile: PacedProfile; readonly row: string }
  readonly covers: Covers
  readonly traits: Traits
}

/** What the product comes to where real replies are large as often as they usually are. */
const LARGE_COVERS = new ReplySizes().largeShare()

export const MATCHED: Covers = { misses: 'matched', largeShare: LARGE_COVERS }
const usual = { covers: MATCHED, traits: PLAIN }
export const PACED = ['lite', 'balanced', 'always-on'] as const satisfies readonly PacedProfile[]

/** A hard case, for each profile that keeps a schedule. */
interface HardRow {
  readonly id: string
  readonly row: string
  readonly traits?: Partial<Traits>
  readonly covers: (profile: PacedProfile) => Partial<Covers>
  /** Not the product: what it would be without one of its measures. */
  readonly without?: true
}

/** The tape of a day's last hour, made once it is needed. */
function dayOf(profile: PacedProfile, scene: CacheScene): () => Uint8Array {
  let tape: Uint8Array | undefined
  return () => {
    tape ??= coverDay(profile, scene, chance('caches')).tape
    return tape
  }
}

const none = () => ({ largeShare: 0 })

const HARD: readonly HardRow[] = [
  { id: 'rate', row: 'own miss rate', traits: { names: 'by rate' }, covers: () => ({}) },
  { id: 'names', row: 'own miss rate and distance', traits: { names: 'by name' }, covers: () => ({}) },
  { id: 'cache', row: 'one cache, after a day', covers: (profile) => ({ misses: dayOf(profile, { caches: 1, ttls: 'mixed' }) }) },
  { id: 'large', row: 'large replies', traits: { replies: 'large' }, covers: () => ({}) },
  { id: 'do', row: 'DO', traits: { replies: 'signed' }, covers: () => ({ signedShare: SIGNED_SHARE }) },
  { id: 'long', row: 'long names', traits: { long: true }, covers: () => ({}) },
  { id: 'hits', row: 'if covers always hit the resolver’s cache', covers: () => ({ misses: 'hits' }), without: true },
  { id: 'large-none', row: 'large replies, if no cover has one', traits: { replies: 'large' }, covers: none, without: true },
  { id: 'do-none', row: 'DO, if no cover has it', traits: { replies: 'signed' }, covers: none, without: true },
]

const hardRows: readonly Entry[] = HARD.flatMap(({ id, row, traits = {}, covers, without }) =>
  PACED.map(
    (profile): Entry => ({
      id: `${profile}-${id}`,
      title: `\`${profile}\`, ${row}`,
      defence: constantRate(PACES[profile]),
      covers: { ...MATCHED, ...covers(profile) },
      traits: { ...PLAIN, ...traits },
      ...(without === undefined ? { gated: { profile, row } } : { skipped: true }),
    }),
  ),
)

const paced = (profile: PacedProfile) => ({
  ...usual,
  id: profile,
  title: `\`${profile}\``,
  defence: constantRate(PACES[profile]),
  profile,
  wide: true,
  deep: true,
  gated: { profile, row: 'plain' },
})

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
  ...PACED.map(paced),
  ...hardRows,
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
