import { Worker } from 'node:worker_threads'
import type { BuiltLists, ListFault, ListSpec } from '../rules/list-build.ts'
import type { BuildInit } from './build-worker.ts'

/** The file extension depends on the build: the compiler rewrites imports, but not URLs. */
const ENTRY = new URL(import.meta.url.endsWith('.ts') ? './build-worker.ts' : './build-worker.js', import.meta.url)
/**
 * Heap limit of the thread in MB. The largest list needs less, even if every line exceeds a limit.
 */
const MAX_HEAP_MB = 256

export type BuildOutcome = BuiltLists | { readonly faults: readonly ListFault[] }

/**
 * Builds the table of all lists in a worker thread (see `buildLists`). If the thread dies,
 * `outcome` has a fault for every list. It never rejects.
 */
export function buildInThread(init: BuildInit): { readonly outcome: Promise<BuildOutcome>; cancel(): void } {
  const worker = new Worker(ENTRY, { workerData: init, name: 'enigm-dns lists', resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB } })
  const outcome = new Promise<BuildOutcome>((resolve) => {
    const died = () => resolve({ faults: init.specs.map(({ id }: ListSpec) => ({ id, message: 'the thread that reads lists has died' })) })
    worker.once('message', (built: BuildOutcome) => resolve(built))
    worker.once('error', died)
    worker.once('exit', died)
  })
  worker.unref()
  return { outcome, cancel: () => void worker.terminate() }
}
