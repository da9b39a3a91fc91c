import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import { type Judge, ours, readOurs } from '../files/reading.ts'
import { type FileCalls, makeDirectory, openToAppend, syncDirectory, systemCalls } from '../files/writing.ts'
import { type AuditDetail, asEntry, chained, type Head, START } from './audit-chain.ts'

/** What an entry is made of; see audit-chain.ts. */
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
  let head: Head | undefined
  let torn = false
  let lost = 0
  let entries = 0
  let unwritten = 0
  let writable = true
  let tokens = BURST
  let filledMs = o.clock.nowMs()

  const find = (): Head => {
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
    return START
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
      const why = ours(found)
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
  const octets = readOurs(path, MAX_READ_OCTETS, ours)
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
export function isForeignLog(path: string, judge: Judge = ours): boolean {
  const octets = readOurs(path, MAX_READ_OCTETS, judge)
  if (octets === undefined) return false
  if (typeof octets === 'string') return true
  const text = octets.toString('utf8')
  // A crash may leave a torn line and nothing else.
  const torn = !text.includes('\n') && (text.startsWith(BEGINNING) || BEGINNING.startsWith(text))
  return !torn && text.split('\n').every((line) => asEntry(line) === undefined)
}

/** Of every line. */
const BEGINNING = '{"n":'
