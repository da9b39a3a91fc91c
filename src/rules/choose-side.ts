import type { Stage } from '../job.ts'
import type { Loops } from './loops.ts'
import type { Sides } from './sides.ts'

/**
 * Decides where each name is resolved, once, before anything is asked or looked up for it, and ends
 * questions of zones that lead back here. Questions that a stage asks come past it again below that
 * stage.
 */
export function chooseSide(sides: Sides, loops: Loops): Stage {
  return {
    enter(job) {
      if (job.side !== undefined) return 'on'
      const { question, client } = job.query
      const side = sides.of(question.lower, client.view)
      job.side = side
      job.outcome = loops.entered(job, side)
      return job.outcome === undefined ? 'on' : 'answered'
    },
    leave(job) {
      if (job.side?.zone !== undefined) loops.left(job, job.side)
      return 'on'
    },
  }
}
