import { createHash } from 'node:crypto'
import { lstatSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import type { Clock } from '../clock.ts'
import { systemCode } from '../errors.ts'
import { type FileCheck, ownFile, readUnlinked } from '../files/reading.ts'
import { appendFault, type FileCalls, makeDirectory, openToAppend, syncDirectory, systemCalls } from '../files/writing.ts'
import { SIGNAL_NAMES, type Verdict } from './verdict.ts'

/** The content of one entry, without the chain. */
export interface AuditEvent {
  readonly what: string
  readonly detail: AuditDetail
}

export interface AuditState {
  readonly state: 'writing' | 'unwritable'
  readonly entries: number
  /** Number of events that were not written, or were removed, since this process began. */
  readonly lost: number
}

/** An append-only log of events, each chained to the previous one. */
export interface AuditLog {
  /**
   * Writes entries and syncs them to disk before it returns, or counts them as lost. Never
   * throws. Each call costs one fsync.
   */
  append(...events: readonly AuditEvent[]): void
  /**
   * Tries to record missing entries as a gap. Notices entries that were removed from the disk since
   * the last write. Never throws.
   */
  retry(): void
  readonly now: AuditState
  /** Why the log cannot be written: the system's code, or a clause. Undefined: it can. */
  readonly fault: string | undefined
}

export interface AuditLogOptions {
  readonly stateDir: string
  readonly clock: Clock
  readonly fs?: FileCalls
  /** Maximum octets of one file. When the newest is full, the oldest of `FILES` is removed. */
  readonly maxOctets?: number
}

type FileMark = Pick<Stats, 'dev' | 'ino' | 'size'>

/** The number of files. The newest is audit.jsonl, then audit.1.jsonl ... */
const FILES = 5
const MAX_OCTETS = 1 << 20
/**
 * Limit of entries: this many at once, then one per interval. So a state that changes all the time
 * cannot push older entries out of the log. The next entry holds the number of those left out.
 */
const BURST = 40
const ONE_EVERY_MS = 30_000

/** The paths of the log files in `stateDir`, oldest first. Some may not exist. */
export function auditFiles(stateDir: string): readonly string[] {
  const older = Array.from({ length: FILES - 1 }, (_, i) => join(stateDir, `audit.${FILES - 1 - i}.jsonl`))
  return [...older, join(stateDir, 'audit.jsonl')]
}

/**
 * Opens the log and continues the existing chain. An incomplete last line after a crash is recorded
 * as a gap.
 */
export function openAuditLog(o: AuditLogOptions): AuditLog {
  const fs = o.fs ?? systemCalls
  const files = auditFiles(o.stateDir)
  const file = files.at(-1) ?? ''
  let head: ChainHead | undefined
  let torn = false
  /** Whether the newest file ends in the middle of a line. */
  let unended = false
  let lost = 0
  let entries = 0
  let unwritten = 0
  /** The newest file as the last write left it. */
  let left: FileMark | undefined
  let fault: string | undefined
  let tokens = BURST
  let filledMs = o.clock.nowMs()

  const lose = (count: number) => {
    lost += count
    unwritten += count
  }
  const find = (): ChainHead => {
    makeDirectory(o.stateDir, 0o700, fs)
    if (isForeignLog(file)) throw new Error(`${file} is not a log of enigm-dns`)
    for (const path of files.toReversed()) {
      const text = textOfLog(path)
      const lines = text.split('\n').filter((line) => line !== '')
      if (path === file) unended = text !== '' && !text.endsWith('\n')
      if (lines.length === 0) continue
      const whole = lines.map(asEntry)
      torn = whole.at(-1) === undefined
      const last = whole.findLast((e) => e !== undefined)
      if (last !== undefined) return { n: last.n, hash: last.hash }
    }
    return CHAIN_START
  }
  /**
   * Finds the head again if the newest file was removed, replaced, cut off or written by another
   * process. Entries that are gone are counted.
   */
  const current = (): ChainHead => {
    if (head !== undefined && isAsLeft()) return head
    head = undefined
    const found = find()
    const gone = Math.max(0, entries - found.n)
    entries -= gone
    lose(gone)
    return found
  }
  const isAsLeft = () => {
    try {
      const found = lstatSync(file, { throwIfNoEntry: false })
      return left === undefined || (found?.dev === left.dev && found.ino === left.ino && found.size === left.size)
    } catch {
      return false
    }
  }
  const rotate = () => {
    const size = lstatSync(file, { throwIfNoEntry: false })?.size ?? 0
    if (size < (o.maxOctets ?? MAX_OCTETS)) return
    for (let i = 1; i < files.length; i++) {
      const [older, newer] = [files[i - 1] ?? '', files[i] ?? '']
      if (lstatSync(newer, { throwIfNoEntry: false }) !== undefined) fs.renameSync(newer, older)
    }
  }
  const write = (start: ChainHead, events: readonly AuditEvent[]) => {
    rotate()
    let last = start
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
      // Ends an incomplete line first, so that the new entry stays intact.
      const text = Buffer.from(`${unended && found.size > 0 ? '\n' : ''}${lines.join('')}`)
      if (fs.writeSync(fd, text) !== text.length) throw new Error('short write')
      fs.fsyncSync(fd)
      if (found.size === 0) syncDirectory(o.stateDir)
      left = { dev: found.dev, ino: found.ino, size: found.size + text.length }
    } catch (error) {
      // It is not known how much was written; the next attempt finds out.
      head = undefined
      throw error
    } finally {
      fs.closeSync(fd)
    }
    head = last
    unended = false
    entries = last.n
  }
  const attempt = (events: readonly AuditEvent[]): boolean => {
    try {
      head = current()
      const gap = torn || unwritten > 0 ? [{ what: 'gap', detail: { lost: unwritten, torn } }] : []
      if (gap.length + events.length > 0) write(head, [...gap, ...events])
      torn = false
      unwritten = 0
      fault = undefined
    } catch (error) {
      fault = systemCode(error) ?? (error instanceof Error ? error.message : 'unknown error')
    }
    return fault === undefined
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
      if (fault !== undefined || (unwritten > 0 && tokens > 0) || (head !== undefined && !isAsLeft())) attempt([])
    },
    get now(): AuditState {
      return { state: fault === undefined ? 'writing' : 'unwritable', entries, lost }
    },
    get fault() {
      return fault
    },
  }
}

/**
 * The system's code if an entry could not be written now. Undefined: it could. Changes nothing.
 * The content of the files is not checked.
 */
export function auditFault(stateDir: string): string | undefined {
  return appendFault(auditFiles(stateDir).at(-1) ?? '')
}

function textOfLog(path: string): string {
  const octets = readUnlinked(path, MAX_READ_OCTETS, ownFile)
  if (typeof octets === 'string') throw new Error(`${path} ${octets}`)
  return octets?.toString('utf8') ?? ''
}

/** Limit for reading one log file. A file has at most 1 MB plus one entry. */
const MAX_READ_OCTETS = 1 << 21

/**
 * Whether the file at `path` is not part of an audit log. Nothing may be appended to such a file.
 * Throws the system's error.
 */
export function isForeignLog(path: string, judge: FileCheck = ownFile): boolean {
  const octets = readUnlinked(path, MAX_READ_OCTETS, judge)
  if (octets === undefined) return false
  if (typeof octets === 'string') return true
  const text = octets.toString('utf8')
  // After a crash an incomplete line may be all there is.
  const torn = !text.includes('\n') && (text.startsWith(BEGINNING) || BEGINNING.startsWith(text))
  return !torn && text.split('\n').every((line) => asEntry(line) === undefined)
}

/** Every line of a log begins with this text. */
const BEGINNING = '{"n":'

/** The hash before the first entry of a log. */
export const NO_HASH = '0'.repeat(64)
const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))

/**
 * One line of the log. `what` names the event. `detail` holds only predefined words and counts: no
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

/** The end of the chain: the number of the last entry and its hash. */
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

/** The hash of an entry: over the JSON of a list in fixed order, with the detail sorted by key. */
function hashOf({ n, at, what, detail, prev }: Omit<AuditEntry, 'hash'>): string {
  const sorted = Object.entries(detail).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return createHash('sha256')
    .update(JSON.stringify([n, at, what, sorted, prev]))
    .digest('hex')
}

/** Parses a line. Undefined: it is not an entry. */
export function asEntry(line: string): AuditEntry | undefined {
  try {
    const parsed = v.safeParse(entry, JSON.parse(line))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}

/** The result of a check of a log. */
export interface ChainVerdict {
  readonly consistent: boolean
  /** The first fault, in a sentence. */
  readonly fault?: string
  readonly first?: ChainHead
  readonly head?: ChainHead
  /** Whether the log ends with an incomplete line, as after a crash or on a full disk. */
  readonly torn: boolean
  /** Number of entries in which the log itself records that something is missing. */
  readonly gaps: number
  /**
   * Whether the chain contains the entry of a head that was stored elsewhere. Undefined: no head
   * was given.
   */
  readonly holdsHead?: 'yes' | 'no' | 'rotated-away'
}

/**
 * Checks the lines of a log, oldest first. A person who can write the files can write another valid
 * chain. Only a head that is stored elsewhere reveals that.
 */
export function judgeChain(lines: readonly string[], kept?: ChainHead): ChainVerdict {
  let head: ChainHead | undefined
  let first: ChainHead | undefined
  let gaps = 0
  let found = false
  const end = lines.findLastIndex((line) => !isFragment(line)) + 1
  let next = 0
  const entryAfter = (index: number) => {
    if (next <= index) next = index + 1
    while (next < lines.length && asEntry(lines[next] ?? '') === undefined) next++
    return asEntry(lines[next] ?? '')
  }
  for (const [index, line] of lines.entries()) {
    const e = asEntry(line)
    const no = (fault: string): ChainVerdict => ({
      consistent: false,
      fault: `line ${index + 1}: ${fault}`,
      torn: false,
      gaps,
      ...(first && { first }),
      ...(head && { head }),
    })
    // An incomplete line after a crash is no entry. On a full disk there may be several. The next
    // entry records it, and the chain continues after it.
    if (e === undefined && (index >= end || entryAfter(index)?.detail.torn === true)) continue
    if (e === undefined) return no('this is not an entry')
    if (hashOf(e) !== e.hash) return no('the entry was changed: its hash does not match')
    if (head !== undefined && e.prev !== head.hash) return no('an entry was changed, removed or added before this one')
    if (head !== undefined && e.n !== head.n + 1) return no(`entry ${head.n + 1} is missing`)
    if (head === undefined && (e.n === 1) !== (e.prev === NO_HASH)) return no('this is not the beginning of a log')
    if (e.what === 'gap') gaps++
    head = { n: e.n, hash: e.hash }
    first ??= head
    if (kept !== undefined && e.n === kept.n && e.hash === kept.hash) found = true
  }
  const holdsHead =
    kept === undefined ? {} : ({ holdsHead: found ? 'yes' : first !== undefined && kept.n < first.n ? 'rotated-away' : 'no' } as const)
  return { consistent: true, torn: end < lines.length, gaps, ...(first && { first }), ...(head && { head }), ...holdsHead }
}

/** Whether a line is the beginning of an entry, or what a power cut leaves in its place. */
function isFragment(line: string): boolean {
  return asEntry(line) === undefined && (line.startsWith(BEGINNING) || BEGINNING.startsWith(line) || /^\0+$/.test(line))
}

/** Formats a head as `audit head` prints it. */
export function headText({ n, hash }: ChainHead): string {
  return `${n}:${hash}`
}
export function asHead(text: string): ChainHead | undefined {
  const found = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text.trim())
  return found === null ? undefined : { n: Number(found[1]), hash: found[2] ?? '' }
}

/** Records the changes between two verdicts: states, signals, rules. */
export interface AuditRecorder {
  judged(verdict: Verdict): void
  /** A new configuration is in force. */
  reloaded(): void
  stopped(): void
}

/**
 * Makes a recorder that writes to `log`. The first verdict is compared with an empty state. Entries
 * hold only predefined words: no details and no names of resolvers.
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
