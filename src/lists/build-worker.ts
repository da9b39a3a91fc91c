import { parentPort, workerData } from 'node:worker_threads'
import { buildLists, type ListSpec } from '../rules/list-build.ts'

/** What the thread that reads lists is started with. */
export interface BuildInit {
  readonly specs: readonly ListSpec[]
  readonly key: Uint8Array
}

/** The entry of the thread: it makes one table, passes it on, and ends. */
if (parentPort !== null) {
  const { specs, key } = workerData as BuildInit
  parentPort.postMessage(buildLists(specs, key))
}
