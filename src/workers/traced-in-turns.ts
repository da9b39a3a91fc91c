import type { Traced } from '../trace/tracer.ts'
import type { Report } from './protocol.ts'

/** What one message holds at most. */
const MOST = 1024

/** Reports what is traced, all of one turn of the event loop in one message. */
export function tracedInTurns(report: (message: Report) => void): (traced: Traced) => void {
  let traced: Traced[] = []
  let missed = 0
  const flush = () => {
    report({ type: 'traced', traced, missed })
    traced = []
    missed = 0
  }
  return (one) => {
    if (traced.length === 0) setImmediate(flush)
    if (traced.length < MOST) traced.push(one)
    else missed++
  }
}
