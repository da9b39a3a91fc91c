import { parentPort, workerData } from 'node:worker_threads'
import { buildLists, type ListSpec } from '../rules/list-build.ts'
import { yieldThread } from '../system/hardening.ts'

/** What the thread that reads lists is started with. */
export interface BuildInit {
  readonly specs: readonly ListSpec[]
  readonly key: Uint8Array
  /** Whether it gives way to other threads. Not at the start, because questions wait for it. */
  readonly givesWay: boolean
}

/** The entry of the thread: it makes one table, passes it on, and ends. */
if (parentPort !== null) {
  const { specs, key, givesWay } = workerData as BuildInit
  if (givesWay) yieldThread()
  parentPort.postMessage(buildLists(specs, key))
}
