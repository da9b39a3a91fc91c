import type { Traced } from '../trace/tracer.ts'
import type { WorkerReport } from './protocol.ts'

/** What one message holds at most. */
const MOST_TRACED = 1024

/** Reports what is traced, all of one turn of the event loop in one message. */
export function batchTraced(report: (message: WorkerReport) => void): (traced: Traced) => void {
  let traced: Traced[] = []
  let missed = 0
  const flush = () => {
    report({ type: 'traced', traced, missed })
    traced = []
    missed = 0
  }
  return (one) => {
    if (traced.length === 0) setImmediate(flush)
    if (traced.length < MOST_TRACED) traced.push(one)
    else missed++
  }
}
