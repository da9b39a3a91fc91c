import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { asStatusDocument, SCHEMA, type StatusDocument } from './document.ts'

export type Judgement =
  | 'current'
  | 'not-found'
  | 'permission-denied'
  | 'unreadable'
  | 'not-json'
  | 'foreign-schema'
  | 'malformed'
  | 'future'
  | 'stale'
  | 'not-running'

/** What a status file is worth at this moment. `exitCode`: 0 protected; 1 degraded; 2 exposed or offline; 3 everything that is not current. */
export interface Reading {
  readonly path: string
  readonly judgement: Judgement
  readonly exitCode: 0 | 1 | 2 | 3
  /** One sentence for a person; empty when the file is current. Holds nothing that was read from the file. */
  readonly message: string
  /** As it was written, whenever it could be understood: believe it only when the judgement is `current`. */
  readonly document?: StatusDocument
  /** The document with keys that this version does not know. */
  readonly raw?: Readonly<Record<string, unknown>>
}

export interface Witness {
  readonly wallMs: number
  /** Whether process `pid` lives and began at `start` (undefined: the writer did not say); undefined: it cannot be told, so the age must do. */
  readonly isSame: (pid: number, start: string | undefined) => boolean | undefined
}

/** A document is some kilobytes; what is far larger is none. */
const MAX_OCTETS = 1 << 20
const HEARTBEATS_TO_STALE = 3

/** Reads and judges. Never throws, and never hangs on what is not a plain file. `owner`: refuse the file of any other user. */
export function readStatus(path: string, witness: Witness, owner?: number): Reading {
  const got = readText(path, owner)
  return typeof got === 'string' ? judgeText(path, got, witness) : { path, exitCode: 3, ...got }
}

/** Judges the text of a status file. */
export function judgeText(path: string, text: string, witness: Witness): Reading {
  const no = (judgement: Judgement, message: string) => ({ path, judgement, message, exitCode: 3 }) as const
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return no('not-json', 'This is no status file: it is not JSON.')
  }
  if (!isRecord(value) || value.schema !== SCHEMA) return no('foreign-schema', `This is no status file of schema ${SCHEMA}.`)
  const document = asStatusDocument(value)
  if (document === undefined) return no('malformed', `The file names schema ${SCHEMA} but does not follow it.`)
  const but = (judgement: Judgement, message: string) => ({ ...no(judgement, message), document, raw: value }) as const

  // The process first: it says more than "stale", and it holds whatever the wall clock did.
  if (witness.isSame(document.pid, document.processStart) === false) {
    return but('not-running', `Not running: process ${document.pid}, which wrote this, is gone.`)
  }
  const heartbeatMs = document.heartbeatS * 1000
  const ageMs = witness.wallMs - Date.parse(document.updatedAt)
  if (ageMs < -heartbeatMs) return but('future', 'The file is dated in the future: the clock has moved, so its age is unknown.')
  if (ageMs > HEARTBEATS_TO_STALE * heartbeatMs) return but('stale', `Stale: written ${Math.round(ageMs / 1000)} s ago; the service hangs.`)
  return { path, judgement: 'current', message: '', exitCode: EXIT[document.state], document, raw: value }
}

const EXIT = { protected: 0, degraded: 1, exposed: 2, offline: 2 } as const

/**
 * The reading a person most likely means when no file was named: a current one, else one that says something, else the first.
 * `readings` come in order of preference.
 */
export function mostTelling(readings: readonly Reading[]): Reading | undefined {
  return (
    readings.find((r) => r.judgement === 'current') ??
    readings.find((r) => r.document !== undefined) ??
    readings.find((r) => r.judgement !== 'not-found') ??
    readings[0]
  )
}

/** The reading as a program should get it: a document that is not current never says `protected`, and there is always a `state`. */
export function asJudged(r: Reading): Readonly<Record<string, unknown>> {
  if (r.judgement === 'current' && r.raw !== undefined) return r.raw
  const judgement = { verdict: r.judgement, message: r.message }
  if (r.document === undefined) return { schema: SCHEMA, state: 'offline', judgement }
  const reasons = [{ code: r.judgement, severity: 'bad', message: r.message, mend: 'Start it: enigm-dns run' }]
  const signals = Object.fromEntries(
    Object.entries(r.document.signals).map(([name, s]) => [
      name,
      { state: 'unknown', since: s.since, reasons: name === 'service' ? reasons : [] },
    ]),
  )
  return { ...r.raw, state: 'offline', signals, judgement }
}

function readText(path: string, owner: number | undefined): string | { readonly judgement: Judgement; readonly message: string } {
  let fd: number | undefined
  try {
    // Non-blocking, so that a FIFO without a writer cannot hold the command.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stat = fstatSync(fd)
    if (!stat.isFile() || stat.size > MAX_OCTETS) return { judgement: 'unreadable', message: 'This is no status file.' }
    if (owner !== undefined && stat.uid !== owner)
      return { judgement: 'unreadable', message: 'The status file here belongs to another user.' }
    const bytes = Buffer.alloc(stat.size)
    let done = 0
    for (let n = 1; n > 0 && done < bytes.length; done += n) n = readSync(fd, bytes, done, bytes.length - done, null)
    return bytes.toString('utf8', 0, done)
  } catch (error) {
    return refusal(error)
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function refusal(error: unknown): { readonly judgement: Judgement; readonly message: string } {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return { judgement: 'not-found', message: 'No status file here: the service has not run, or writes elsewhere.' }
  if (code === 'EACCES' || code === 'EPERM') {
    return {
      judgement: 'permission-denied',
      message: 'The status file may not be read by this user: try as root or as a member of its group.',
    }
  }
  return { judgement: 'unreadable', message: 'The status file cannot be read.' }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
