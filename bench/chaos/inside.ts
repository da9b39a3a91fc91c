import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { newPlace } from '../children.ts'

/** What the daemon says of itself, one line in 10 s. */
export interface Inside {
  /** Wall clock. */
  readonly atMs: number
  /**
   * The event loop's delay since the start, with the 5 ms of the timer that measures it in each.
   */
  readonly loopMs: { readonly p99: number; readonly p999: number; readonly max: number }
  readonly rssMb: number
  /** After a full collection: once a minute. */
  readonly heapMb?: number
}

/** How to start a daemon that says it, and how to read what it said so far. */
export interface InsideProbe {
  readonly env: Readonly<Record<string, string>>
  read(): readonly Inside[]
}

/** A probe for one daemon; its file is removed with the process that asked. */
export function insideProbe(): InsideProbe {
  const file = join(newPlace('soak'), 'inside.jsonl')
  const probe = pathToFileURL(join(import.meta.dirname, 'inside-probe.js')).href
  return {
    env: { NODE_OPTIONS: `--import ${probe}`, SOAK_PROBE: file },
    read: () => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').filter(Boolean).map(parsed) : []),
  }
}

function parsed(line: string): Inside {
  return JSON.parse(line) as Inside
}

/**
 * The heap after a collection: the last one, and the first one at or after `fromMs` of wall time.
 */
export function heapGrowth(lines: readonly Inside[], fromMs: number): { readonly fromMb: number; readonly toMb: number } {
  const heaps = lines.filter(({ heapMb }) => heapMb !== undefined)
  const first = heaps.find(({ atMs }) => atMs >= fromMs) ?? heaps[0]
  return { fromMb: first?.heapMb ?? Number.NaN, toMb: heaps.at(-1)?.heapMb ?? Number.NaN }
}
