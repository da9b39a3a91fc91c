import { parentPort, workerData } from 'node:worker_threads'
import { buildLists, type ListSpec } from '../rules/list-build.ts'
import { yieldThread } from '../system/hardening.ts'

/** The input of the thread that reads lists. */
export interface BuildInit {
  readonly specs: readonly ListSpec[]
  readonly key: Uint8Array
  /**
   * Whether the thread runs with lower priority. False at the start, because questions wait for it.
   */
  readonly lowPriority: boolean
}

/** The entry of the thread. It builds one table, posts it to the parent, and ends. */
if (parentPort !== null) {
  const { specs, key, lowPriority } = workerData as BuildInit
  if (lowPriority) yieldThread()
  parentPort.postMessage(buildLists(specs, key))
}
