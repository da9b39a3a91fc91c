import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'
import { ownFileIn, readUnlinked } from '../files/reading.ts'
import { giveToOwner, makeDirectory, replaceFile } from '../files/writing.ts'
import { LISTS_DIRECTORY } from './kept-lists.ts'
import type { EntryChange } from './set-merge.ts'

/**
 * Which changes of signed lists a person has seen. The service may fetch a newer list at any time,
 * so what `resolvers accept` finds may differ from what `resolvers update` showed.
 */

const MAX_OCTETS = 1024 * 1024

const shownFile = (stateDir: string) => join(stateDir, LISTS_DIRECTORY, 'shown.json')

/** The changes that were not shown in exactly this form. Never throws. */
export function notShown(changes: readonly EntryChange[], stateDir: string): readonly EntryChange[] {
  const shown = readShown(stateDir)
  return changes.filter((change) => !shown.has(digestOf(change)))
}

/**
 * Notes that these changes were shown. `add`: those that were shown before still count. Throws the
 * system's error.
 */
export function keepShown(changes: readonly EntryChange[], stateDir: string, { add }: { readonly add: boolean }): void {
  const path = shownFile(stateDir)
  const digests = new Set([...(add ? readShown(stateDir) : []), ...changes.map(digestOf)])
  makeDirectory(dirname(path), 0o700)
  replaceFile(path, JSON.stringify([...digests]), 0o600)
  giveToOwner(stateDir, [dirname(path), path])
}

function readShown(stateDir: string): ReadonlySet<unknown> {
  try {
    const octets = readUnlinked(shownFile(stateDir), MAX_OCTETS, ownFileIn(stateDir))
    const found: unknown = octets === undefined || typeof octets === 'string' ? [] : JSON.parse(octets.toString('utf8'))
    return new Set(Array.isArray(found) ? found : [])
  } catch {
    // A file that cannot be read only means that the changes are shown once more.
    return new Set()
  }
}

function digestOf({ kind, id, what, keys, before }: EntryChange): string {
  return createHash('sha256')
    .update(JSON.stringify([kind, id, what, before, keys]))
    .digest('base64')
}
