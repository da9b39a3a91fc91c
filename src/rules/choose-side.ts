import type { Stage } from '../job.ts'
import type { Loops } from './loops.ts'
import type { Sides } from './sides.ts'

/**
 * Decides where each name is resolved. It decides once, before any server or table is consulted. It
 * also fails questions of forward zones whose server forwards to this service. A follow-up question
 * of a later stage does not pass here again: it starts below that stage.
 */
export function chooseSide(sides: Sides, loops: Loops): Stage {
  return {
    enter(job) {
      if (job.side !== undefined) return 'on'
      const { question, client } = job.query
      const side = sides.of(question.lower, client.view)
      job.side = side
      job.outcome = loops.begin(job, side)
      return job.outcome === undefined ? 'on' : 'answered'
    },
    leave(job) {
      if (job.side?.zone !== undefined) loops.end(job, job.side)
      return 'on'
    },
  }
}
