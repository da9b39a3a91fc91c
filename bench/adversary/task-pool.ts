import { Worker } from 'node:worker_threads'
import type { Task } from './bench-worker.ts'
import { nearest } from './edit-distance.ts'
import { type ForestPlan, grow, type Table } from './forest.ts'

/** Rows to learn from and rows to be tested on. */
export interface Rows {
  readonly training: Uint32Array
  readonly tested: Uint32Array
}

/** Who does the heavy work. */
export interface TaskPool {
  forest(table: Table, labels: Uint16Array, rows: Rows, plan: ForestPlan): Promise<Float32Array>
  nearest(symbols: Uint8Array, labels: Uint16Array, rows: Rows, classes: number): Promise<Uint16Array>
  close(): Promise<void>
}

/**
 * The work is always cut in two, whoever does it: figures do not depend on the number of threads.
 */
const SHARES = 2

/** In this thread: for tests. */
export const alone: TaskPool = {
  async forest(table, labels, { training, tested }, plan) {
    const parts = [0, 1].map((first) => grow(table, labels, training, tested, plan, first, SHARES))
    return added(parts)
  },
  nearest: async (symbols, labels, { training, tested }, classes) => nearest(symbols, labels, training, tested, classes),
  close: async () => {},
}

/** Two threads beside this one. */
export function startTaskPool(): TaskPool {
  const workers = Array.from({ length: SHARES }, () => new Worker(new URL('./bench-worker.js', import.meta.url)))
  const queue: Promise<unknown>[] = workers.map(() => Promise.resolve())
  const ask = <T>(at: number, task: Task): Promise<T> => {
    const worker = workers[at]
    const run = () =>
      new Promise<T>((resolve, reject) => {
        const settle = (fn: () => void) => {
          worker?.off('message', onMessage)
          worker?.off('error', onError)
          fn()
        }
        const onMessage = (result: T) => settle(() => resolve(result))
        const onError = (error: Error) => settle(() => reject(error))
        worker?.on('message', onMessage)
        worker?.on('error', onError)
        worker?.postMessage(task)
      })
    const result = (queue[at] ?? Promise.resolve()).then(run)
    queue[at] = result.catch(() => {})
    return result
  }
  return {
    async forest(table, labels, rows, plan) {
      const task = { kind: 'forest', table, labels, ...rows, plan, every: SHARES } as const
      return added(await Promise.all(workers.map((_, first) => ask<Float32Array>(first, { ...task, first }))))
    },
    async nearest(symbols, labels, { training, tested }, classes) {
      const middle = tested.length >> 1
      const halves = [tested.slice(0, middle), tested.slice(middle)]
      const task = { kind: 'nearest', symbols, labels, training, classes } as const
      const parts = await Promise.all(halves.map((half, at) => ask<Uint16Array>(at, { ...task, tested: half })))
      return Uint16Array.from(parts.flatMap((part) => [...part]))
    },
    close: async () => void (await Promise.all(workers.map((worker) => worker.terminate()))),
  }
}

function added(parts: readonly Float32Array[]): Float32Array {
  const [sum = new Float32Array(0), ...others] = parts
  for (const part of others) for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (part[i] ?? 0)
  return sum
}
