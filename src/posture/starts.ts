import { join } from 'node:path'
import * as v from 'valibot'
import { readPrivateJson, writePrivateJson } from '../files/json.ts'
import type { Witness } from './reader.ts'

const kept = v.object({
  bootId: v.string(),
  starts: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  clean: v.boolean(),
  /** Who started last; not in the files of older versions. */
  pid: v.optional(v.number()),
  processStart: v.optional(v.string()),
})

/** How often the service was started before in this boot, and whether the run before this one ended by itself. */
export interface Starts {
  readonly count: number
  readonly clean: boolean
  /** The process that started here before and runs still: two of them share what is kept in `stateDir`. */
  readonly other: number | undefined
  /** To be called at the end of a run that ends by itself. */
  ended(): void
}

/** Who starts; undefined parts: this system does not tell. */
export interface Starter {
  readonly bootId: string | undefined
  readonly pid: number
  readonly processStart: string | undefined
}

/** Counts this start in `stateDir`; undefined where that cannot be written or this boot cannot be told from another. */
export function countStart(stateDir: string, { bootId, pid, processStart }: Starter, isSame: Witness['isSame']): Starts | undefined {
  if (bootId === undefined || processStart === undefined) return undefined
  const file = join(stateDir, 'starts.json')
  const before = readPrivateJson(file, kept)
  const same = before?.bootId === bootId
  const count = same ? before.starts : 0
  const now = { bootId, starts: count + 1, clean: false, pid, processStart }
  // It counts within one boot: a power cut ends what it says anyway.
  if (!writePrivateJson(file, now, 'the process')) return undefined
  const runs = same && !before.clean && before.pid !== undefined && before.pid !== pid && isSame(before.pid, before.processStart) === true
  return {
    count,
    // What a reboot ended is no fault of the service, and what runs still has not ended.
    clean: !same || before.clean || runs,
    other: runs ? before.pid : undefined,
    ended: () => void writePrivateJson(file, { ...now, clean: true }, 'the process'),
  }
}
