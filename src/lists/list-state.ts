import type { ListConfig } from '../config/lists.ts'
import type { ListReport } from '../rules/list-build.ts'

/** The state of one list, for the status document. */
export interface ListStatus {
  readonly id: string
  readonly action: 'block' | 'allow'
  readonly source: 'file' | 'url'
  /**
   * `missing`: it has never been usable, or is empty, so it has no effect. `paused`: by the
   * command `pause`. `resting`: it does not apply at this time of day.
   */
  readonly state: 'in-force' | 'loading' | 'missing' | 'paused' | 'resting'
  readonly rules: number
  /** Number of unused lines. */
  readonly skipped: number
  /** Number of questions blocked since the start. Cache hits are not counted. */
  readonly blocked: number
  /** When its rules were read: wall clock, ms since 1970. */
  readonly readAtMs: number | undefined
  readonly pausedUntilMs: number | undefined
  /** Why its latest content is not used, as a clause. */
  readonly fault: string | undefined
}

/** A configured list and its state. */
export interface ListState {
  readonly list: ListConfig
  report: ListReport | undefined
  /** The list as it was configured when `report` was made. */
  reported: ListConfig | undefined
  readAtMs: number | undefined
  fault: string | undefined
}

/** Whether the content of one list is also valid for the other. */
export function isSameSource(one: ListConfig, other: ListConfig): boolean {
  const keys = ['url', 'file', 'format', 'action', 'sha256', 'minisignKey'] as const
  return keys.every((key) => one[key] === other[key])
}
