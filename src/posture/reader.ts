import { EXIT, type ExitCode, STATUS_EXIT } from '../exit-codes.ts'
import { isRecord } from '../files/json.ts'
import { asStatusDocument, SCHEMA, type StatusDocument } from './document.ts'
import type { Verification } from './signature.ts'
import { readPlainFile } from './status-file.ts'

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
  | 'not-verified'

/** Whether a status file can be believed now. `exitCode`: the exit code of `status`. */
export interface StatusReading {
  readonly path: string
  readonly judgement: Judgement
  readonly exitCode: ExitCode
  /** One sentence for a person. Empty if the file is current. It contains no text from the file. */
  readonly message: string
  /**
   * The document as written, if it could be parsed. Trust it only if the judgement is `current`.
   */
  readonly document?: StatusDocument
  /** The document including keys that this version does not know. */
  readonly raw?: Readonly<Record<string, unknown>>
  /** Present only if it was requested. */
  readonly verification?: Verification
}

export interface HostFacts {
  readonly wallMs: number
  /**
   * Whether process `pid` is alive and started at `start` (undefined: the writer did not record
   * it). Undefined: not known; then the age of the file decides.
   */
  readonly isSame: (pid: number, start: string | undefined) => boolean | undefined
}

const HEARTBEATS_TO_STALE = 3

/**
 * Reads and judges a status file. Never throws, and never blocks on a file that is not regular.
 * `owner`: refuse a file of any other user.
 */
export function readStatus(path: string, witness: HostFacts, owner?: number): StatusReading {
  const got = readPlainFile(path, owner)
  return typeof got === 'string' ? judgeText(path, got, witness) : { path, exitCode: EXIT.cannotTell, ...got }
}

/**
 * Combines the reading with the result of its signature check. An invalid signature overrides
 * everything else.
 */
export function withVerification(r: StatusReading, verification: Verification): StatusReading {
  if (verification.verdict === 'valid') return { ...r, verification }
  if (r.document === undefined && r.judgement !== 'malformed')
    return { ...r, verification, exitCode: verification.verdict === 'unsigned' ? EXIT.cannotTell : EXIT.proofFailed }
  return { ...r, verification, judgement: 'not-verified', exitCode: EXIT.proofFailed, message: verification.message }
}

/** Judges the text of a status file. */
export function judgeText(path: string, text: string, witness: HostFacts): StatusReading {
  const no = (judgement: Judgement, message: string) => ({ path, judgement, message, exitCode: EXIT.cannotTell }) as const
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return no('not-json', 'This is not a status file: it is not JSON.')
  }
  if (!isRecord(value) || value.schema !== SCHEMA) return no('foreign-schema', `This is not a status file of schema ${SCHEMA}.`)
  const document = asStatusDocument(value)
  if (document === undefined) return no('malformed', `The file names schema ${SCHEMA} but does not follow it.`)
  const but = (judgement: Judgement, message: string) => ({ ...no(judgement, message), document, raw: value }) as const

  // The process is checked first, because the result is more precise than "stale" and does not
  // depend on the wall clock.
  if (witness.isSame(document.pid, document.processStart) === false) {
    return but('not-running', `Not running: process ${document.pid}, which wrote this file, has ended.`)
  }
  const heartbeatMs = document.heartbeatS * 1000
  const ageMs = witness.wallMs - Date.parse(document.updatedAt)
  if (ageMs < -heartbeatMs) return but('future', 'The file is dated in the future: the clock has moved, so its age is unknown.')
  if (ageMs > HEARTBEATS_TO_STALE * heartbeatMs)
    return but('stale', `Stale: written ${Math.round(ageMs / 1000)} s ago; the service hangs, or cannot write the file.`)
  return { path, judgement: 'current', message: '', exitCode: STATUS_EXIT[document.state], document, raw: value }
}

/**
 * The reading to show if no file is named: the first current one, else the first with a document,
 * else the first. `readings` are in order of preference.
 */
export function mostRelevant(readings: readonly StatusReading[]): StatusReading | undefined {
  return (
    readings.find((r) => r.judgement === 'current') ??
    readings.find((r) => r.document !== undefined) ??
    readings.find((r) => r.judgement !== 'not-found') ??
    readings[0]
  )
}

/**
 * The document for `status --json`. `state` is always present. It is never `protected` if the
 * document is not current.
 */
export function judgedDocument(r: StatusReading): Readonly<Record<string, unknown>> {
  const verification = r.verification === undefined ? {} : { verification: r.verification }
  if (r.judgement === 'current' && r.raw !== undefined) return { ...r.raw, ...verification }
  const judgement = { verdict: r.judgement, message: r.message }
  if (r.document === undefined) return { schema: SCHEMA, state: 'offline', judgement, ...verification }
  const mend = r.judgement === 'not-verified' ? 'Find out who wrote the file. Do not trust its content.' : 'Start it: enigm-dns run'
  const reasons = [{ code: r.judgement, severity: 'bad', message: r.message, mend }]
  const signals = Object.fromEntries(
    Object.entries(r.document.signals).map(([name, s]) => [
      name,
      { state: 'unknown', since: s.since, reasons: name === 'service' ? reasons : [] },
    ]),
  )
  return { ...r.raw, state: 'offline', signals, judgement, ...verification }
}

/**
 * The reasons of a service that has reported its end. It is no longer a writer, although its
 * process may still exist.
 */
const ENDING = new Set(['stopping', 'stopped'])

/**
 * The process that already writes the status file at `path`, if it is alive and is not `self`. With
 * two writers the file would alternate between two states.
 */
export function otherWriter(path: string, witness: HostFacts, self: number): number | undefined {
  const { document } = readStatus(path, witness)
  if (document === undefined || document.pid === self) return undefined
  if (document.signals.service.reasons.some(({ code }) => ENDING.has(code))) return undefined
  return witness.isSame(document.pid, document.processStart) === true ? document.pid : undefined
}
