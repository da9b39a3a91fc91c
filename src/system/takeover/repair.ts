import { join } from 'node:path'
import * as v from 'valibot'
import { capture } from '../../files/captured.ts'
import { readPrivateJson, writePrivateJson } from '../../files/json.ts'
import { remove } from '../../files/writing.ts'
import type { TakeoverHost } from './backend.ts'
import { backendOf } from './choose.ts'
import { isHook } from './file.ts'
import { exclusively } from './guard.ts'
import { drifted, type Journal, makeChanges, readJournal, rewriteEnabled } from './journal.ts'
import { observe, tellObserved } from './observe.ts'
import { ENABLED, OBSERVED, REPAIRS_A_MINUTE, RUNTIME_DIRECTORY } from './places.ts'
import { proveWithin, updateStatus } from './proof.ts'

/** The file with the times of the last repairs, in boot time. A boot removes it. */
const HISTORY = join(RUNTIME_DIRECTORY, 'repairs.json')
const history = v.object({ atMs: v.array(v.number()) })
const MINUTE_MS = 60_000
const PROOF_MS = 3000

/** The result of a repair. */
export type Repaired =
  | { readonly outcome: 'not-enabled' | 'not-needed' }
  | { readonly outcome: 'repaired' | 'failed' | 'given-up'; readonly by: string; readonly faults: readonly string[] }

/**
 * Makes the system use this service again. It uses only the journal. If the owner of the network
 * has written to a shared file meanwhile, that content is kept for a later disable. At the fourth
 * time within a minute it stops: another program wants the same files, and a person must stop it.
 */
export function repair(host: TakeoverHost): Promise<Repaired> {
  return exclusively(host, 'wait', async () => {
    const journal = readJournal(ENABLED)
    if (journal === undefined) return { outcome: 'not-enabled' }
    const state = { ...journal, files: journal.changes }
    const before = await observe(host.run, state)
    const { takenBy: by } = before
    tellObserved(before)
    if (by === undefined) return { outcome: 'not-needed' }
    const nowMs = host.clock.nowMs()
    const recent = (readPrivateJson(HISTORY, history)?.atMs ?? []).filter((ms) => nowMs - ms < MINUTE_MS)
    if (recent.length >= REPAIRS_A_MINUTE) {
      tellObserved({ ...before, gaveUp: true })
      return { outcome: 'given-up', by, faults: [] }
    }
    writePrivateJson(HISTORY, { atMs: [...recent, nowMs] }, 'the process')
    const kept = withLatest(journal)
    rewriteEnabled(kept)
    const changed = makeChanges(kept, host.step)
    const backend = backendOf(kept.backend)
    await backend.apply(host, kept, changed)
    const { faults } = await proveWithin(host, PROOF_MS, () => backend.verify(host, kept))
    tellObserved(await observe(host.run, state))
    await updateStatus(host)
    return { outcome: faults.length === 0 ? 'repaired' : 'failed', by, faults }
  })
}

/** Forgets earlier repairs, because a person has enabled the change again. */
export function forgetRepairs(): void {
  remove(HISTORY)
  remove(OBSERVED)
}

/**
 * The journal with the present content of shared files as the content to restore. If the owner
 * reports over one of our hooks, another program (such as a VPN) wrote the file, and its content is
 * not kept.
 */
function withLatest(journal: Journal): Journal {
  if (journal.changes.some(({ path }) => isHook(path))) return journal
  const lost = new Set(drifted(journal).map(({ path }) => path))
  const changes = journal.changes.map((one) => (one.shared && lost.has(one.path) ? { ...one, before: capture(one.path) } : one))
  return { ...journal, changes }
}
