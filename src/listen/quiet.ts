import type { Clock } from '../clock.ts'

/** Resolves when the event loop has looked at every socket once more: what the kernel held before is in our hands then. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

/** Resolves when a whole turn of the event loop brought nothing (`arrived` stood still), or after `limitMs`: clients that never stop must not hold up an end. */
export async function untilQuiet(arrived: () => number, clock: Clock, limitMs: number): Promise<void> {
  const untilMs = clock.nowMs() + limitMs
  for (let before = Number.NaN; before !== arrived() && clock.nowMs() < untilMs; ) {
    before = arrived()
    await nextTurn()
  }
}
