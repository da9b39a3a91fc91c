import type { World } from '../adversary/open-world.ts'

/** How large a run is. */
export interface Scale {
  readonly name: 'full' | 'quick' | 'smoke'
  readonly sites: number
  readonly visitsToLearn: number
  readonly visitsToTest: number
  readonly trees: number
  /** Of the tested pages, how many at most A3 compares. */
  readonly mostNearest: number
  readonly onsetWindows: number
  readonly pairs: number
  /** Of each kind of load. */
  readonly hours: number
  readonly world: World
  readonly many:
    | { readonly sites: number; readonly visitsToLearn: number; readonly visitsToTest: number; readonly trees: number }
    | undefined
}

/** What the gates are about. */
export const FULL: Scale = {
  name: 'full',
  sites: 100,
  visitsToLearn: 30,
  visitsToTest: 40,
  trees: 30,
  mostNearest: 1000,
  onsetWindows: 2000,
  pairs: 1000,
  hours: 60,
  world: { monitored: 10, visitsToLearn: 60, visitsToTest: 40, othersToLearn: 600, othersToTest: 800 },
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
  hours: 30,
  world: { monitored: 10, visitsToLearn: 20, visitsToTest: 10, othersToLearn: 200, othersToTest: 300 },
  many: undefined,
}

/** That every row still gives a figure; what it is says nothing. */
export const SMOKE: Scale = {
  name: 'smoke',
  sites: 6,
  visitsToLearn: 4,
  visitsToTest: 2,
  trees: 4,
  mostNearest: 12,
  onsetWindows: 40,
  pairs: 20,
  hours: 4,
  world: { monitored: 2, visitsToLearn: 4, visitsToTest: 3, othersToLearn: 10, othersToTest: 10 },
  many: undefined,
}

/** A hard case: A3, which knows neither slots nor large sizes, is met on few pages. */
export const hard = (scale: Scale): Scale => ({ ...scale, mostNearest: Math.min(400, scale.mostNearest) })
