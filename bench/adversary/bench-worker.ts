import { parentPort } from 'node:worker_threads'
import { nearest } from './edit-distance.ts'
import { type ForestPlan, grow, type Table } from './forest.ts'

/**
 * What a thread of the bench is asked to do: a share of a forest's trees, or of the rows that
 * neighbours are looked for.
 */
export type Task =
  | {
      readonly kind: 'forest'
      readonly table: Table
      readonly labels: Uint16Array
      readonly training: Uint32Array
      readonly tested: Uint32Array
      readonly plan: ForestPlan
      readonly first: number
      readonly every: number
    }
  | {
      readonly kind: 'nearest'
      readonly symbols: Uint8Array
      readonly labels: Uint16Array
      readonly training: Uint32Array
      readonly tested: Uint32Array
      readonly classes: number
    }

parentPort?.on('message', (task: Task) => {
  const result =
    task.kind === 'forest'
      ? grow(task.table, task.labels, task.training, task.tested, task.plan, task.first, task.every)
      : nearest(task.symbols, task.labels, task.training, task.tested, task.classes)
  parentPort?.postMessage(result, [result.buffer as ArrayBuffer])
})
