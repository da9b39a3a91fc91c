import type { Protocol } from '../../test/support/faults/fault.ts'
import type { Scene, SceneWish } from './scene.ts'

/** One measured thing and its limit. */
export interface Check {
  readonly what: string
  readonly figure: number
  /** At most, or at least. */
  readonly limit: readonly ['<=' | '>=', number]
  readonly unit: string
  readonly pass: boolean
}

/** What a row is given. */
export interface Chaos {
  /** Waits shortened so that the row takes less than 10 s. */
  readonly fast: boolean
  /** Limits of time are multiplied by it: 1, more on a machine that others use. */
  readonly slack: number
  readonly seed: number
  scene(wish: SceneWish): Promise<Scene>
  /** A limit in time: `slack` applies. */
  within(what: string, figureMs: number, limitMs: number): void
  /** Any other limit. */
  check(what: string, figure: number, op: '<=' | '>=', limit: number, unit?: string): void
  /** A figure without a limit, or how the row was shortened. */
  note(text: string): void
}

/** A row of the chaos table. */
export interface Row {
  readonly name: string
  /** As the table says it. */
  readonly fault: string
  readonly over?: Protocol
  /** Not in the subset that tests run. */
  readonly slow?: boolean
  run(chaos: Chaos): Promise<void>
}
