import { createHash } from 'node:crypto'
import * as v from 'valibot'

/** What is before the first entry of a log. */
export const NO_HASH = '0'.repeat(64)
const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))

/** One line of the log. `what` names the event; `detail` holds words of closed lists and counts: no query name, no address. */
const entry = v.strictObject({
  n: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  at: v.pipe(v.string(), v.maxLength(40)),
  what: v.pipe(v.string(), v.maxLength(40)),
  detail: v.record(v.pipe(v.string(), v.maxLength(40)), v.union([v.pipe(v.string(), v.maxLength(300)), v.number(), v.boolean()])),
  prev: hash,
  hash,
})
export type AuditEntry = v.InferOutput<typeof entry>
export type AuditDetail = AuditEntry['detail']

/** Where the chain ends: the number of the last entry and its hash. */
export interface Head {
  readonly n: number
  readonly hash: string
}
export const START: Head = { n: 0, hash: NO_HASH }

/** The next entry after `head`. */
export function chained(head: Head, at: string, what: string, detail: AuditDetail): AuditEntry {
  const body = { n: head.n + 1, at, what, detail, prev: head.hash }
  return { ...body, hash: hashOf(body) }
}

/** Over the JSON of a list, whose order is fixed, with the detail sorted by key. */
function hashOf({ n, at, what, detail, prev }: Omit<AuditEntry, 'hash'>): string {
  const sorted = Object.entries(detail).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return createHash('sha256')
    .update(JSON.stringify([n, at, what, sorted, prev]))
    .digest('hex')
}

/** The entry in a line, or undefined. */
export function asEntry(line: string): AuditEntry | undefined {
  try {
    const parsed = v.safeParse(entry, JSON.parse(line))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}

/** What a log says of itself. */
export interface ChainVerdict {
  readonly consistent: boolean
  /** The first thing that does not fit, in a sentence. */
  readonly fault?: string
  readonly first?: Head
  readonly head?: Head
  /** Entries by which the log itself says that something is missing. */
  readonly gaps: number
  /** Whether the entry of a head that was kept elsewhere is in the chain; undefined where none was given. */
  readonly holdsHead?: 'yes' | 'no' | 'rotated-away'
}

/** Checks lines, oldest first. Whoever can write the files can write another chain as consistent as this one: only a head kept elsewhere shows that. */
export function judgeChain(lines: readonly string[], kept?: Head): ChainVerdict {
  let head: Head | undefined
  let first: Head | undefined
  let gaps = 0
  let found = false
  for (const [index, line] of lines.entries()) {
    const e = asEntry(line)
    const no = (fault: string): ChainVerdict => ({
      consistent: false,
      fault: `line ${index + 1}: ${fault}`,
      gaps,
      ...(first && { first }),
      ...(head && { head }),
    })
    // A line that a crash tore off is no entry of anybody's; the next one says so, and the chain goes on past it.
    if (e === undefined && asEntry(lines[index + 1] ?? '')?.detail.torn === true) continue
    if (e === undefined) return no('this is no entry')
    if (hashOf(e) !== e.hash) return no('the entry was changed: its hash does not fit')
    if (head !== undefined && e.prev !== head.hash) return no('an entry was changed, taken out or put in before this one')
    if (head !== undefined && e.n !== head.n + 1) return no(`entry ${head.n + 1} is missing`)
    if (head === undefined && (e.n === 1) !== (e.prev === NO_HASH)) return no('this is not how a log begins')
    if (e.what === 'gap') gaps++
    head = { n: e.n, hash: e.hash }
    first ??= head
    if (kept !== undefined && e.n === kept.n && e.hash === kept.hash) found = true
  }
  const holdsHead =
    kept === undefined ? {} : ({ holdsHead: found ? 'yes' : first !== undefined && kept.n < first.n ? 'rotated-away' : 'no' } as const)
  return { consistent: true, gaps, ...(first && { first }), ...(head && { head }), ...holdsHead }
}

/** A head as `audit head` prints it, and back. */
export function headText({ n, hash }: Head): string {
  return `${n}:${hash}`
}
export function asHead(text: string): Head | undefined {
  const found = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text.trim())
  return found === null ? undefined : { n: Number(found[1]), hash: found[2] ?? '' }
}
