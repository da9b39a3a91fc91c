import { nameFromText } from '../dns/name.ts'
import { u16 } from '../dns/octets.ts'
import type { Stage } from '../job.ts'
import type { Answer, Question } from '../resolve.ts'
import { CANARY } from './canary.ts'
import { noSuchName, soaRecord } from './local-answer.ts'
import type { LocalProofs, Subject } from './local-proofs.ts'
import { LOCALHOST } from './localhost.ts'
import { PRIVATE_REVERSE } from './private-reverse.ts'
import { RESERVED_NAMES } from './reserved-names.ts'
import type { ZoneRule } from './rule.ts'
import { isInfrastructure, isNumber } from './top-label.ts'
import { once } from './zone-actions.ts'
import { zoneTree } from './zone-tree.ts'

/** Every zone that is answered here, in the order of the files that say why. */
export const SPECIAL_ZONES: readonly ZoneRule[] = [...LOCALHOST, ...RESERVED_NAMES, ...PRIVATE_REVERSE, ...CANARY]

/** An answer made here, and what its proof is about; undefined: none goes with it. */
interface LocalAnswer {
  readonly answer: Answer
  readonly subject: Subject | undefined
}

/**
 * Answers what must not leave this host: special-use names (RFC 6761 registry), reverse zones of private addresses (RFC 6303, RFC 7793), single labels, addresses that
 * were asked for as names, and the canary of browsers. Everything else, and DS at the apex of zones
 * that the public DNS delegates unsigned, goes on. With `proofs`,
 * a negative answer to a query with DO carries the public DNS's denial; that is asked of the stages
 * below. Questions of class IN only: the gate lets no other pass.
 */
export function specialNames(proofs?: LocalProofs): Stage {
  const answerHere = localAnswers(SPECIAL_ZONES, (top) => proofs?.denies(top) === true)
  const stage: Stage = {
    enter(job) {
      const { query } = job
      const local = answerHere(query.question)
      if (local === undefined) return 'on'
      const { answer, subject } = local
      if (query.edns?.dnssecOk !== true || proofs === undefined || subject === undefined) {
        job.outcome = answer
        return 'answered'
      }
      void proofs
        .prove(answer, subject, query, job, (query, ask) => job.below(stage, query, ask))
        .then((proven) => {
          job.outcome = proven
          job.resume(stage)
        })
      return 'waits'
    },
  }
  return stage
}

/** Undefined: not answered here. `denied`: whether a top-level name is known not to be in the root. */
function localAnswers(rules: readonly ZoneRule[], denied: (top: Uint8Array) => boolean): (question: Question) => LocalAnswer | undefined {
  const tree = zoneTree(rules)
  const subjects = new Map(rules.map((rule) => [rule, once(() => ({ kind: 'zone', name: nameFromText(rule.zone) }) as const)]))
  const nothingBelow = (question: Question, top: Uint8Array): LocalAnswer => ({
    answer: noSuchName(question, soaRecord(top)),
    subject: { kind: 'top', name: top },
  })
  return (question) => {
    const match = tree.match(question)
    if (match !== undefined) {
      const answer = match.rule.action(question, match.place)
      if (answer === 'forward') return undefined
      return { answer, subject: match.rule.unprovable === true || hasData(answer) ? undefined : subjects.get(match.rule)?.() }
    }
    if (tree.labelCount === 0) return undefined
    const isNumeric = isNumber(question.lower, tree.topLabelAt)
    if (tree.labelCount > 1 && !isNumeric) return undefined
    const top = question.lower.slice(tree.topLabelAt, -4)
    return isNumeric || !isInfrastructure(question.type) || denied(top) ? nothingBelow(question, top) : undefined
  }
}

const hasData = (answer: Answer) => u16(answer.wire, 6) > 0
