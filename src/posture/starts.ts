import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'

const kept = v.object({ bootId: v.string(), starts: v.pipe(v.number(), v.safeInteger(), v.minValue(0)), clean: v.boolean() })
type Kept = v.InferOutput<typeof kept>

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
  const before = read(file)
  const same = before?.bootId === bootId
  const count = same ? before.starts : 0
  const now = { bootId, starts: count + 1, clean: false }
  if (!write(stateDir, file, now)) return undefined
  // What a reboot ended is no fault of the service.
  return { count, clean: !same || before.clean, ended: () => void write(stateDir, file, { ...now, clean: true }) }
}

function read(file: string): Kept | undefined {
  try {
    const parsed = v.safeParse(kept, JSON.parse(readFileSync(file, 'utf8')))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}

function write(directory: string, file: string, value: Kept): boolean {
  const temporary = `${file}.${process.pid}.tmp`
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    writeFileSync(temporary, JSON.stringify(value), { mode: 0o600 })
    renameSync(temporary, file)
    return true
  } catch {
    return false
  }
}
