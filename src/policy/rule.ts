import type { Answer, Question } from '../resolve.ts'

/** Where a question stands in a zone: at its apex, at another name the zone is known to have, or at any other name below. */
export type ZonePosition = 'apex' | 'known' | 'below'

/** What a zone does with a question in it: answer, or let it go upstream ('forward') where an RFC asks for that. */
export type ZoneAction = (question: Question, place: ZonePosition) => Answer | 'forward'

/** One line of the policy: everything at and below `zone` is `action`'s, unless a longer zone matches. */
export interface ZoneRule {
  /** Text form, lower-case, with its closing dot. */
  readonly zone: string
  /** Names below the apex that exist (their empty ancestors too then, RFC 8020), so that no NXDOMAIN is told for them. */
  readonly names?: readonly string[]
  readonly action: ZoneAction
  /** The public DNS's denial does not go with it: what is answered here contradicts it. */
  readonly unprovable?: true
}
