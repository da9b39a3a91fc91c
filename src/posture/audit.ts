import { createHash } from 'node:crypto'
import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import type { Clock } from '../clock.ts'
import { type FileCheck, ownFile, readUnlinked } from '../files/reading.ts'
import { type FileCalls, makeDirectory, openToAppend, syncDirectory, systemCalls } from '../files/writing.ts'
import { SIGNAL_NAMES, type Verdict } from './verdict.ts'

/** What an entry is made of; the chain is below. */
export interface AuditEvent {
  readonly what: string
  readonly detail: AuditDetail
}

export interface AuditState {
  readonly state: 'writing' | 'unwritable'
  readonly entries: number
  /** Events that are not in the log, since this process began. */
  readonly lost: number
}

/** An append-only log of events, each chained to the one before. */
export interface AuditLog {
  /**
   * Writes entries and has them on the disk before it returns, or counts them as lost. Never
   * throws. One call costs one fsync.
   */
  append(...events: readonly AuditEvent[]): void
  /** Tries to write what is missing down as a gap. Never throws. */
  retry(): void
  readonly now: AuditState
}

export interface AuditLogOptions {
  readonly stateDir: string
  readonly clock: Clock
  readonly fs?: FileCalls
  /** Octets of one file; the oldest of `FILES` goes when the newest is full. */
  readonly maxOctets?: number
}

/** The newest first: audit.jsonl, audit.1.jsonl ... */
const FILES = 5
const MAX_OCTETS = 1 << 20
/**
 * Something that flaps must not write history out of the log: so many at once, then one in this
 * time; what is left out is counted in the next entry.
 */
const BURST = 40
const ONE_EVERY_MS = 30_000

/** The files of the log in `stateDir`, oldest first, whether they exist or not. */
export function auditFiles(stateDir: string): readonly string[] {
  const older = Array.from({ length: FILES - 1 }, (_, i) => join(stateDir, `audit.${FILES - 1 - i}.jsonl`))
  return [...older, join(stateDir, 'audit.jsonl')]
}

/**
 * Opens the log, continuing the chain that is there. A last line that a crash tore off is noted as
 * a gap.
 */
export function openAuditLog(o: AuditLogOptions): AuditLog {
  const fs = o.fs ?? systemCalls
  const files = auditFiles(o.stateDir)
  const file = files.at(-1) ?? ''
  let head: ChainHead | undefined
  let torn = false
  let lost = 0
  let entries = 0
  let unwritten = 0
  let writable = true
  let tokens = BURST
  let filledMs = o.clock.nowMs()

  const find = (): ChainHead => {
    makeDirectory(o.stateDir, 0o700, fs)
    if (isForeignLog(file)) throw new Error(`${file} is not a log of ours`)
    for (const path of files.toReversed()) {
      const lines = linesOf(path)
      if (lines.length === 0) continue
      const whole = lines.map(asEntry)
      torn = whole.at(-1) === undefined
      const last = whole.findLast((e) => e !== undefined)
      if (last !== undefined) return { n: last.n, hash: last.hash }
    }
    return CHAIN_START
  }
  const rotate = () => {
    const size = lstatSync(file, { throwIfNoEntry: false })?.size ?? 0
    if (size < (o.maxOctets ?? MAX_OCTETS)) return
    for (let i = 1; i < files.length; i++) {
      const [older, newer] = [files[i - 1] ?? '', files[i] ?? '']
      if (lstatSync(newer, { throwIfNoEntry: false }) !== undefined) fs.renameSync(newer, older)
    }
  }
  const write = (events: readonly AuditEvent[]) => {
    rotate()
    let last = head ?? find()
    const at = new Date(o.clock.wallMs()).toISOString()
    const lines = events.map(({ what, detail }) => {
      const entry = chained(last, at, what, detail)
      last = { n: entry.n, hash: entry.hash }
      return `${JSON.stringify(entry)}\n`
    })
    const fd = openToAppend(file, fs)
    try {
      const found = fs.fstatSync(fd)
      const why = ownFile(found)
      if (!found.isFile() || why !== undefined) throw new Error(`${file} ${why ?? 'is not a regular file'}`)
      // A torn line ends here, so that it spoils no other.
      const text = Buffer.from(`${torn && found.size > 0 ? '\n' : ''}${lines.join('')}`)
      if (fs.writeSync(fd, text) !== text.length) throw new Error('short write')
      fs.fsyncSync(fd)
      if (found.size === 0) syncDirectory(o.stateDir)
    } catch (error) {
      // How much of it is in the file is not known: it is found out at the next attempt.
      head = undefined
      throw error
    } finally {
      fs.closeSync(fd)
    }
    head = last
    entries = last.n
  }
  const attempt = (events: readonly AuditEvent[]): boolean => {
    try {
      head ??= find()
      const gap = torn || unwritten > 0 ? [{ what: 'gap', detail: { lost: unwritten, torn } }] : []
      if (gap.length + events.length > 0) write([...gap, ...events])
      torn = false
      unwritten = 0
      writable = true
    } catch {
      writable = false
    }
    return writable
  }
  const lose = (count: number) => {
    lost += count
    unwritten += count
  }

  return {
    append(...events) {
      const nowMs = o.clock.nowMs()
      const earned = Math.floor((nowMs - filledMs) / ONE_EVERY_MS)
      tokens = Math.min(BURST, tokens + earned)
      filledMs += earned * ONE_EVERY_MS
      const written = events.slice(0, tokens)
      tokens -= written.length
      if (written.length > 0 && !attempt(written)) lose(written.length)
      lose(events.length - written.length)
    },
    retry() {
      if (!writable || (unwritten > 0 && tokens > 0)) attempt([])
    },
    get now(): AuditState {
      return { state: writable ? 'writing' : 'unwritable', entries, lost }
    },
  }
}

function linesOf(path: string): readonly string[] {
  const octets = readUnlinked(path, MAX_READ_OCTETS, ownFile)
  if (octets === undefined) return []
  if (typeof octets === 'string') throw new Error(`${path} ${octets}`)
  return octets
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
}

/** A file of the log is a megabyte, and the entry that filled it. */
const MAX_READ_OCTETS = 1 << 21

/**
 * Whether what lies at `path` is something else than a file of an audit log, which a log must not
 * be added to. Throws the system's error.
 */
export function isForeignLog(path: string, judge: FileCheck = ownFile): boolean {
  const octets = readUnlinked(path, MAX_READ_OCTETS, judge)
  if (octets === undefined) return false
  if (typeof octets === 'string') return true
  const text = octets.toString('utf8')
  // A crash may leave a torn line and nothing else.
  const torn = !text.includes('\n') && (text.startsWith(BEGINNING) || BEGINNING.startsWith(text))
  return !torn && text.split('\n').every((line) => asEntry(line) === undefined)
}

/** Of every line. */
const BEGINNING = '{"n":'

/** What is before the first entry of a log. */
export const NO_HASH = '0'.repeat(64)
const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))

/**
 * One line of the log. `what` names the event; `detail` holds words of closed lists and counts: no
 * query name, no address.
 */
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
export interface ChainHead {
  readonly n: number
  readonly hash: string
}
export const CHAIN_START: ChainHead = { n: 0, hash: NO_HASH }

/** The next entry after `head`. */
export function chained(head: ChainHead, at: string, what: string, detail: AuditDetail): AuditEntry {
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
  readonly first?: ChainHead
  readonly head?: ChainHead
  /** Entries by which the log itself says that something is missing. */
  readonly gaps: number
  /**
   * Whether the entry of a head that was kept elsewhere is in the chain; undefined where none was
   * given.
   */
  readonly holdsHead?: 'yes' | 'no' | 'rotated-away'
}

/**
 * Checks lines, oldest first. Whoever can write the files can write another chain as consistent as
 * this one: only a head kept elsewhere shows that.
 */
export function judgeChain(lines: readonly string[], kept?: ChainHead): ChainVerdict {
  let head: ChainHead | undefined
  let first: ChainHead | undefined
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
    // A line that a crash tore off is no entry of anybody's; the next one says so, and the chain
    // goes on past it.
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
export function headText({ n, hash }: ChainHead): string {
  return `${n}:${hash}`
}
export function asHead(text: string): ChainHead | undefined {
  const found = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text.trim())
  return found === null ? undefined : { n: Number(found[1]), hash: found[2] ?? '' }
}

/** Writes down what changed between one judgement and the next: states, signals, rules. */
export interface AuditRecorder {
  judged(verdict: Verdict): void
  /** A new configuration is in force. */
  reloaded(): void
  stopped(): void
}

/**
 * A recorder into `log`. The first judgement is compared with nothing known. Entries hold words of
 * ours and no others: no detail, no name of a resolver.
 */
export function auditRecorder(log: AuditLog, version: string): AuditRecorder {
  const known = new Map<string, string>()
  const changes = (what: string, of: string, now: string): readonly AuditEvent[] => {
    const key = `${what === 'violation' ? 'rule' : what} ${of}`
    const was = known.get(key) ?? 'unknown'
    known.set(key, now)
    return was === now ? [] : [{ what, detail: { ...(of === '' ? {} : { of }), from: was, to: now } }]
  }
  log.append({ what: 'start', detail: { version } })
  return {
    judged(verdict) {
      const found = [
        ...changes('state', '', verdict.state),
        ...SIGNAL_NAMES.flatMap((name) => changes('signal', name, verdict.signals[name].state)),
        ...verdict.rules.flatMap(({ rule, verdict: said }) =>
          changes(said === 'not-met' ? 'violation' : 'rule', rule, said === 'cannot-tell' ? 'unknown' : said),
        ),
      ]
      if (found.length > 0) log.append(...found)
      else log.retry()
    },
    reloaded: () => log.append({ what: 'reload', detail: {} }),
    stopped: () => log.append({ what: 'stop', detail: {} }),
  }
}
