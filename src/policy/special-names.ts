import type { Answer, Question, Stage } from '../resolve.ts'
import { CANARY } from './canary.ts'
import { LOCALHOST } from './localhost.ts'
import { PRIVATE_REVERSE } from './private-reverse.ts'
import { RESERVED_NAMES } from './reserved-names.ts'
import type { Rule } from './rule.ts'
import { singleLabelAnswer } from './single-label.ts'
import { zoneTree } from './zone-tree.ts'

/** Every zone that is answered here, in the order of the files that say why. */
export const SPECIAL_ZONES: readonly Rule[] = [...LOCALHOST, ...RESERVED_NAMES, ...PRIVATE_REVERSE, ...CANARY]

/**
 * Answers what must not leave this host: special-use names (RFC 6761 registry), reverse zones of private addresses (RFC 6303, RFC 7793), single labels, and
 * the canary of browsers. Everything else, and DS at the apex of zones that the public DNS delegates unsigned, goes to `next`. Questions of class IN only:
 * the gate lets no other pass.
 */
export function specialNames(): Stage {
  const tree = zoneTree(SPECIAL_ZONES)
  const answerHere = (question: Question): Answer | undefined => {
    const match = tree.match(question)
    if (match === undefined) return tree.labelCount === 1 ? singleLabelAnswer(question) : undefined
    const answer = match.action(question, match.place)
    return answer === 'forward' ? undefined : answer
  }
  return (next) => (query, ask) => {
    const answer = answerHere(query.question)
    return answer === undefined ? next(query, ask) : Promise.resolve(answer)
  }
}
