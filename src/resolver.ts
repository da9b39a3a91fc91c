import { admit } from './cache/admission.ts'
import type { AnswerCache } from './cache/answer-cache.ts'
import { coalesce } from './cache/coalesce.ts'
import { Failures } from './cache/failures.ts'
import { askedBy } from './cache/key.ts'
import { remember } from './cache/memory.ts'
import { serveStale } from './cache/serve-stale.ts'
import type { Clock, Random } from './clock.ts'
import { EnigmError } from './errors.ts'
import type { Job, SideAsker, Stage } from './job.ts'
import { LocalProofs, type ProofMemory, type ProofsByView } from './local-names/local-proofs.ts'
import { type RebindingRules, refuseRebinding } from './local-names/rebinding.ts'
import type { SelfCanary } from './local-names/self-canary.ts'
import { specialNames } from './local-names/special-names.ts'
import { type Gate, gateStage } from './policy/gate.ts'
import type { PortalSwitch } from './portal/portal-switch.ts'
import type { View } from './resolve.ts'
import { chooseSide } from './rules/choose-side.ts'
import { judgeByLists } from './rules/judge-lists.ts'
import type { ListsInForce } from './rules/lists-in-force.ts'
import type { Loops } from './rules/loops.ts'
import type { Sides } from './rules/sides.ts'
import { askSide } from './upstream/ask.ts'

/** What the pipeline is made of. It handles queries that the cache cannot answer. */
export interface PipelineParts {
  readonly cache: AnswerCache
  /** Where each name is resolved: by the general resolvers, or by those of a forward zone. */
  readonly sides: Sides
  /** The resolvers to ask on each side, by the side's number. */
  readonly askers: readonly SideAsker[]
  readonly loops: Loops
  readonly clock: Clock
  readonly random: Random
  /** Stored failures. Set if the caller must be able to clear them. */
  readonly failures?: Failures
  readonly rebinding: RebindingRules
  /** Counts for the status file; nothing about the questions. */
  readonly tally?: StageCounts
  readonly gate: Gate
  /** Hosts files and own answers. Absent: only local names are answered here. */
  readonly own?: Stage | undefined
  /** Absent: no list is configured. */
  readonly lists?: ListsInForce | undefined
  /** The views that clients have now; undefined: they do not change. */
  readonly viewOf: ((address: string) => View) | undefined
  readonly canary?: SelfCanary
  readonly portal?: PortalSwitch
}

/** Counts of questions, in addition to hits and misses. */
export interface StageCounts {
  /** Expired answers that were served. */
  stale: number
  /** Answers renewed before a client had to wait for them. */
  renewed: number
  /** Questions refused because too many were in progress. */
  overloaded: number
  /**
   * Queries above a rate limit of one client. There are two limits: one for UDP replies to other
   * hosts, and one for all queries (`clientQueriesPerS`).
   */
  limited: number
  /** Upstream answers with private addresses, which were refused. */
  rebinding: number
}

export const newStageCounts = (): StageCounts => ({ stale: 0, renewed: 0, overloaded: 0, limited: 0, rebinding: 0 })

/**
 * Makes the pipeline. A question goes down this list, and its outcome goes back up (job.ts). So a
 * stage that is before another one sees its questions first, and its answers last. A name that a
 * list blocks may get its answer before the pipeline: `BlockedAtOnce` (rules/judge-lists.ts), used
 * by responder.ts. docs/how-it-works.md and the README show this list.
 */
export function pipeline(parts: PipelineParts): readonly Stage[] {
  const { rebinding, gate, tally = newStageCounts(), failures = new Failures(parts.clock) } = parts
  const stale = { served: () => tally.stale++, closed: () => gate.closed }
  const { cache, clock } = parts
  const proofs = new Map<View, LocalProofs>()
  const memory: ProofMemory = {
    generation: () => cache.epoch,
    keep: (query, answer, epoch) => cache.put(askedBy(query), answer, epoch, clock.nowMs()),
  }
  const proofsOf: ProofsByView = (view) => {
    const known = proofs.get(view) ?? new LocalProofs(clock, memory, view)
    proofs.set(view, known)
    return known
  }
  const askerOf = (job: Job): SideAsker => {
    const { number } = job.side ?? parts.sides.of(job.query.question.lower, job.query.client.view)
    const asker = parts.askers[number]
    if (asker === undefined) throw new EnigmError('internal', 'a side without resolvers')
    return asker
  }
  return [
    ...(parts.canary === undefined ? [] : [parts.canary.stage()]), // before all others: it only records that a query arrived, and nothing of it is kept
    ...(parts.portal === undefined ? [] : [parts.portal.stage()]), // before everything that stores or checks answers: the answers of the network's own resolver about its login page are only for the client that asked
    chooseSide(parts.sides, parts.loops), // before everything that depends on where a name is resolved
    serveStale({ cache: parts.cache, clock: parts.clock, ...stale }), // before everything that may fail, including overload: a stale answer is better than none
    admit({ random: parts.random, turnedAway: () => tally.overloaded++ }), // before coalesce: a client that waits for the question of another one uses memory too
    coalesce((asked) => cache.hashOf(asked), parts.random, parts.viewOf), // before all other work: a hundred tabs that ask one name are one question, one insert, one upstream query
    remember(parts.cache, parts.clock, failures), // before every stage that answers, so that an answer which a stage itself makes is a hit the next time too
    ...(parts.own === undefined ? [] : [parts.own, chooseSide(parts.sides, parts.loops)]), // before everything that judges a name: a configured name is answered as written. The target of a configured alias goes through all later stages, and may belong to another side, so the side is chosen again
    ...(parts.lists === undefined ? [] : [judgeByLists(parts.lists)]), // before everything that may send a query, so that a blocked name is not sent. On the way up it judges what servers have answered
    specialNames(proofsOf), // before every stage that may send a query: these names have no meaning outside this host or network, and a query would reveal them
    gateStage(gate), // after the names that are never sent, before every stage that may send a query
    refuseRebinding(rebinding, () => tally.rebinding++), // after every stage that itself makes answers: these may hold private addresses, and answers of resolvers may not
    askSide(askerOf), // the last stage: asks the resolvers of one side. It never asks those of another side
  ]
}
