import type { World } from '../adversary/open-world.ts'

/** How large a run is. */
export interface Scale {
  readonly name: 'full' | 'quick'
  readonly sites: number
  readonly visitsToLearn: number
  readonly visitsToTest: number
  readonly trees: number
  /** Of the tested pages, how many at most A3 compares. */
  readonly mostNearest: number
  readonly onsetWindows: number
  readonly pairs: number
  readonly world: World
  readonly many:
    | { readonly sites: number; readonly visitsToLearn: number; readonly visitsToTest: number; readonly trees: number }
    | undefined
}

/** What the gates are about. */
export const FULL: Scale = {
  name: 'full',
  sites: 100,
  visitsToLearn: 60,
  visitsToTest: 40,
  trees: 60,
  mostNearest: 4000,
  onsetWindows: 4000,
  pairs: 2000,
  world: { monitored: 10, visitsToLearn: 60, visitsToTest: 40, othersToLearn: 1500, othersToTest: 2000 },
  many: { sites: 500, visitsToLearn: 30, visitsToTest: 10, trees: 40 },
}

/** A look: the same code on fewer pages, so that its intervals are too wide for the gates. */
export const QUICK: Scale = {
  name: 'quick',
  sites: 100,
  visitsToLearn: 16,
  visitsToTest: 4,
  trees: 30,
  mostNearest: 400,
  onsetWindows: 600,
  pairs: 300,
  world: { monitored: 10, visitsToLearn: 20, visitsToTest: 10, othersToLearn: 200, othersToTest: 300 },
  many: undefined,
}
