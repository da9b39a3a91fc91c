import { join } from 'node:path'
import * as v from 'valibot'
import { readPrivateJson, writePrivateJson } from './private-json.ts'

const kept = v.object({ bootId: v.string(), starts: v.pipe(v.number(), v.safeInteger(), v.minValue(0)), clean: v.boolean() })

/** How often the service was started before in this boot, and whether the run before this one ended by itself. */
export interface Starts {
  readonly count: number
  readonly clean: boolean
  /** To be called at the end of a run that ends by itself. */
  ended(): void
}

/** Counts this start in `stateDir`; undefined where that cannot be written or this boot cannot be told from another. */
export function countStart(stateDir: string, bootId: string | undefined): Starts | undefined {
  if (bootId === undefined) return undefined
  const file = join(stateDir, 'starts.json')
  const before = readPrivateJson(file, kept)
  const same = before?.bootId === bootId
  const count = same ? before.starts : 0
  const now = { bootId, starts: count + 1, clean: false }
  if (!writePrivateJson(file, now)) return undefined
  // What a reboot ended is no fault of the service.
  return { count, clean: !same || before.clean, ended: () => void writePrivateJson(file, { ...now, clean: true }) }
}
