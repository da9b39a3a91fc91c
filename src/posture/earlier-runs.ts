import { join } from 'node:path'
import * as v from 'valibot'
import type { Policy } from '../config/policy.ts'
import { readPrivateJson, writePrivateJson } from '../files/json.ts'
import { anyOwner, readUnlinked } from '../files/reading.ts'
import type { HostFacts } from './reader.ts'
import { asPublicKey } from './signature.ts'
import { PUBLIC_KEY, SIGNATURE } from './status-file.ts'

const startsFile = v.object({
  bootId: v.string(),
  starts: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  clean: v.boolean(),
  /** The process that started last. Absent in files of older versions. */
  pid: v.optional(v.number()),
  processStart: v.optional(v.string()),
})

/**
 * How often the service started before in this boot, and whether the previous run ended normally.
 */
export interface EarlierStarts {
  readonly count: number
  readonly clean: boolean
  /**
   * An earlier process that still runs. Two processes would share the files in `stateDir`.
   * Undefined: there is none.
   */
  readonly other: number | undefined
  /** Must be called at the end of a run that ends normally. */
  ended(): void
}

/** The process that starts. Facts that the system does not report are undefined. */
export interface StartingProcess {
  readonly bootId: string | undefined
  readonly pid: number
  readonly processStart: string | undefined
}

/**
 * Counts this start in `stateDir`. Undefined: the file cannot be written, or this boot cannot be
 * distinguished from others.
 */
export function countStart(
  stateDir: string,
  { bootId, pid, processStart }: StartingProcess,
  isSame: HostFacts['isSame'],
): EarlierStarts | undefined {
  if (bootId === undefined || processStart === undefined) return undefined
  const file = join(stateDir, 'starts.json')
  const before = readPrivateJson(file, startsFile)
  const same = before?.bootId === bootId
  const count = same ? before.starts : 0
  const now = { bootId, starts: count + 1, clean: false, pid, processStart }
  // It counts within one boot, so it need not survive a power cut.
  if (!writePrivateJson(file, now, 'the process')) return undefined
  const runs = same && !before.clean && before.pid !== undefined && before.pid !== pid && isSame(before.pid, before.processStart) === true
  return {
    count,
    // A reboot is no fault, and a process that still runs has not crashed.
    clean: !same || before.clean || runs,
    other: runs ? before.pid : undefined,
    ended: () => void writePrivateJson(file, { ...now, clean: true }, 'the process'),
  }
}

/** What another service says about itself in the register. */
export interface StateUser {
  readonly pid: number
  readonly processStart?: string | undefined
  readonly stateDir: string
}

/**
 * Another process that uses `stateDir` now. `starts.json` names only the one that started last, so
 * the registered `services` are asked too. Undefined: there is none. Changes nothing.
 */
export function runningIn(
  stateDir: string,
  { bootId, self, isSame }: { readonly bootId: string | undefined; readonly self: number; readonly isSame: HostFacts['isSame'] },
  services: readonly StateUser[],
): number | undefined {
  const last = readPrivateJson(join(stateDir, 'starts.json'), startsFile)
  const unended = last?.pid === undefined || last.clean || last.bootId !== bootId ? [] : [{ ...last, pid: last.pid, stateDir }]
  const lives = (one: StateUser) => one.stateDir === stateDir && one.pid !== self && isSame(one.pid, one.processStart) === true
  return [...unended, ...services].find(lives)?.pid
}

/** Whether a policy writes an audit log. */
export const keepsAudit = (policy: Policy | undefined) => policy !== undefined && policy.audit !== 'off'

/**
 * Why a start is refused while process `other` uses `stateDir`: the audit log has one writer.
 * Undefined: no audit log is configured, or there is no such process.
 */
export function auditRivalry(
  { stateDir, policy }: { readonly stateDir: string; readonly policy: Policy | undefined },
  other: number | undefined,
): string | undefined {
  if (other === undefined || !keepsAudit(policy)) return undefined
  return `process ${other} also keeps its state in ${stateDir}, and the audit log there (policy.audit) must have one writer: stop that process, or give this service its own stateDir`
}

const MAX_OCTETS = 1 << 20
/** The beginning of a document; a power cut may have damaged the rest. */
const DOCUMENT = /^\s*\{\s*"schema"\s*:\s*"enigm-dns\/status\//
const SIGNATURE_DOCUMENT = /^\s*\{\s*"schema"\s*:\s*"enigm-dns\/status-signature\//

/**
 * Finds foreign files at the paths of the status, its signature and its public key, which would be
 * overwritten. Returns one clause for each. An empty file, and a file that a power cut left without
 * content, may be replaced. Throws the system's error.
 */
export function statusFileConflicts(statusFile: string): readonly string[] {
  const is = (what: RegExp) => (text: string) => what.test(text)
  return [
    ...conflict(statusFile, 'a status of enigm-dns', is(DOCUMENT)),
    ...conflict(statusFile + SIGNATURE, 'the signature of a status', is(SIGNATURE_DOCUMENT)),
    ...conflict(statusFile + PUBLIC_KEY, 'the public key of a status', (text) => asPublicKey(text) !== undefined),
  ]
}

function conflict(path: string, wanted: string, is: (text: string) => boolean): readonly string[] {
  const octets = readUnlinked(path, MAX_OCTETS, anyOwner)
  if (octets === undefined) return []
  const mend = 'remove it, or name another statusFile'
  if (typeof octets === 'string') return [`${path} ${octets}; ${mend}`]
  const text = octets.toString('utf8')
  const blank = text.replaceAll('\0', '').trim() === ''
  return blank || is(text) ? [] : [`${path} is not ${wanted} and would be overwritten; ${mend}`]
}
