import { createHash } from 'node:crypto'
import { join } from 'node:path'
import * as v from 'valibot'
import { EnigmError, systemCode } from '../../errors.ts'
import {
  type Captured,
  capture,
  holdsSame,
  makeParents,
  missingParents,
  putCaptured,
  removeEmpty,
  replacementFault,
} from '../../files/captured.ts'
import { readPrivateJson } from '../../files/json.ts'
import { anyOwner, readUnlinked } from '../../files/reading.ts'
import { makeDirectory, putInPlace, remove, replaceFile } from '../../files/writing.ts'
import { ENABLED, FORMER, JOURNAL_DIRECTORY, PENDING, PUBLIC_STATE } from './places.ts'

const MAX_JOURNAL_OCTETS = 1 << 20

/** A path and its planned content. */
export interface PlannedChange {
  readonly path: string
  readonly ours: Captured
  /**
   * Whether the owner of the network writes this file too, at each lease. Then an undo restores the
   * owner's last version and not the first one.
   */
  readonly shared?: true
}

const captured = v.variant('kind', [
  v.object({ kind: v.literal('absent') }),
  v.object({ kind: v.literal('link'), target: v.string(), uid: v.number(), gid: v.number() }),
  v.object({
    kind: v.literal('file'),
    content: v.string(),
    mode: v.number(),
    uid: v.number(),
    gid: v.number(),
    mtimeMs: v.optional(v.number()),
  }),
])

const change = v.object({
  path: v.string(),
  /** The former content, byte for byte. */
  before: captured,
  ours: captured,
  /** SHA-256 of our content (for a link: of its target), in hex. */
  sha256: v.string(),
  shared: v.optional(v.boolean(), false),
})

const unit = v.object({ name: v.string(), enabled: v.boolean(), active: v.boolean() })

const journal = v.object({
  version: v.literal(1),
  /** Identifies one change or one undo. A timer acts only on the change with its id. */
  id: v.string(),
  /** Whether files may have been changed. Then their owner must read them again after an undo. */
  switched: v.boolean(),
  backend: v.picklist(['resolved', 'networkmanager', 'resolvconf', 'file']),
  /** A description of the former owner. */
  owner: v.string(),
  address: v.string(),
  vpnDns: v.picklist(['leave', 'override']),
  /** The names of the parts that were switched together with the DNS. */
  parts: v.array(v.string()),
  changes: v.array(change),
  /** The directories that were made for the changes, the outermost first. */
  directories: v.array(v.string()),
  /** The former state of this service's units. */
  units: v.array(unit),
  startedAt: v.string(),
})

/** All data needed to undo or to repair a change. */
export type Journal = v.InferOutput<typeof journal>
export type JournalChange = Journal['changes'][number]
export type UnitState = Journal['units'][number]

/**
 * Reads the journal at one of the two places. Undefined: there is none. Throws an EnigmError
 * `state` if it is damaged, or if this user may not read it.
 */
export function readJournal(path: typeof PENDING | typeof ENABLED): Journal | undefined {
  try {
    if (readUnlinked(path, MAX_JOURNAL_OCTETS, anyOwner) === undefined) return undefined
  } catch (error) {
    if (systemCode(error) === 'EACCES') throw new EnigmError('state', `${path} can be read by root only; run it as root, with sudo`)
  }
  const read = readPrivateJson(path, journal)
  if (read === undefined) throw new EnigmError('state', `${path} is damaged; docs/system.md says how to undo its changes by hand`)
  return read
}

/** Writes the journal of a change that begins. It is on disk when this function returns. */
export function writePending(of: Journal): void {
  makeParents(PENDING)
  replaceFile(PENDING, `${JSON.stringify(of)}\n`, 0o600)
}

/** Marks the change as proven: from now on it stays. */
export async function commit(of: Journal): Promise<void> {
  replaceFile(PENDING, `${JSON.stringify(of)}\n`, 0o600)
  await putInPlace(PENDING, ENABLED)
  writePublic(of)
}

/** Replaces the journal of a change that stays. */
export function rewriteEnabled(of: Journal): void {
  replaceFile(ENABLED, `${JSON.stringify(of)}\n`, 0o600)
  writePublic(of)
}

/**
 * Marks the change as one to undo. Any process that finds the journal from now on continues the
 * undo. `id` is the id of the undo.
 */
export async function reopen(of: Journal, id: string): Promise<void> {
  rewriteEnabled({ ...of, id })
  remove(PUBLIC_STATE)
  await putInPlace(ENABLED, PENDING)
}

/** Removes the journal, because the undo is complete. */
export function forgetPending(): void {
  remove(PUBLIC_STATE)
  remove(PENDING)
  removeEmpty(JOURNAL_DIRECTORY)
}

function writePublic({ backend, owner, address, vpnDns, changes, startedAt }: Journal): void {
  const files = changes.map(({ path, sha256 }) => ({ path, sha256 }))
  replaceFile(PUBLIC_STATE, `${JSON.stringify({ backend, owner, address, vpnDns, files, startedAt })}\n`, 0o644)
}

/** SHA-256 of the content of a path (a file's octets, or a link's target), in hex. */
export function hashOf(held: Captured): string {
  const octets = held.kind === 'file' ? Buffer.from(held.content, 'base64') : held.kind === 'link' ? held.target : ''
  return createHash('sha256').update(octets).digest('hex')
}

/** The changes of a plan with the present content of their paths, and the directories to make. */
export function recorded(planned: readonly PlannedChange[]): Pick<Journal, 'changes' | 'directories'> {
  const changes = planned.map(({ path, ours, shared = false }) => ({ path, before: capture(path), ours, sha256: hashOf(ours), shared }))
  return { changes, directories: [...new Set(planned.flatMap(({ path }) => missingParents(path)))] }
}

/** Sentences that say why the changes cannot be made, one for each path. Changes nothing. */
export function changeFaults(planned: readonly Pick<PlannedChange, 'path'>[]): readonly string[] {
  return [...new Set(planned.map(({ path }) => path))].flatMap((path) => {
    const code = replacementFault(path)
    if (code === undefined) return []
    if (code === 'EROFS') return [`${path} is on a read-only file system: make that writable`]
    if (code === 'EPERM') return [`${path} is immutable; run: chattr -i ${path}`]
    return [`${path} cannot be replaced (${code})`]
  })
}

/** Writes our content to every path that does not have it. Returns the changed paths. */
export function makeChanges({ changes }: Journal, step: (name: string) => void): readonly string[] {
  return changes.flatMap(({ path, ours }) => {
    if (holdsSame(capture(path), ours)) return []
    step(`change ${path}`)
    makeParents(path)
    putCaptured(path, ours)
    return [path]
  })
}

/** The paths that do not have our content, with their present content. */
export function drifted({ changes }: Journal): readonly { readonly path: string; readonly now: Captured }[] {
  return changes.flatMap((one) => {
    const now = capture(one.path)
    return holdsSame(now, one.ours) ? [] : [{ path: one.path, now }]
  })
}

/** The content that an undo restores. */
type Latest = (change: JournalChange) => Captured
const former: Latest = ({ before }) => before

/**
 * What an undo does at a path: the content to restore, `kept` if another program has changed the
 * path since then, or undefined if nothing is to do.
 */
function undoOf(one: JournalChange, latest: Latest): Captured | 'kept' | undefined {
  const now = capture(one.path)
  const wanted = one.shared ? latest(one) : one.before
  if (holdsSame(now, wanted)) return undefined
  if (holdsSame(now, one.ours)) return wanted
  return holdsSame(now, one.before) ? undefined : 'kept'
}

/** The paths that an undo would restore, and those that it would keep. Changes nothing. */
export function undoPlan({ changes }: Journal, latest: Latest = former) {
  const acts = changes.map((one) => ({ one, act: undoOf(one, latest) }))
  const restored = acts.flatMap(({ one, act }) => (act === undefined || act === 'kept' ? [] : [one.path]))
  return { restored, kept: acts.flatMap(({ one, act }) => (act === 'kept' ? [one] : [])) }
}

/**
 * Restores the former content in reverse order, and removes the directories that were made. For a
 * shared file, `latest` returns the content to restore. Paths that another program has changed
 * since then stay as they are; they are returned. May be called again after a kill.
 */
export function undoChanges({ changes, directories }: Journal, step: (name: string) => void, latest: Latest = former): readonly string[] {
  const foreign: string[] = []
  for (const one of changes.toReversed()) {
    const act = undoOf(one, latest)
    if (act === 'kept') foreign.push(one.path)
    else if (act !== undefined) {
      step(`undo ${one.path}`)
      putCaptured(one.path, act)
    }
  }
  for (const directory of directories.toReversed()) removeEmpty(directory)
  return foreign
}

/** A path that an undo keeps, because another program has changed it, and what was there before. */
export interface Kept {
  readonly path: string
  readonly before: Captured
  /** The path of a copy of `before`. Undefined: there was nothing, or nothing is undone. */
  readonly copy?: string
}

/**
 * Copies what was at these paths before the change to `FORMER`, so that it outlives the journal.
 * The directory is private, because the copies have the modes of their originals. Throws the
 * system's error.
 */
export function keepFormer({ changes }: Journal, paths: readonly string[]): readonly Kept[] {
  return changes.flatMap(({ path, before }): readonly Kept[] => {
    if (!paths.includes(path)) return []
    if (before.kind === 'absent') return [{ path, before }]
    const copy = join(FORMER, path)
    makeDirectory(FORMER, 0o700)
    makeParents(copy)
    putCaptured(copy, before)
    return [{ path, before, copy }]
  })
}
