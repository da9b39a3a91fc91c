import { FairShares } from '../client-shares.ts'
import type { Random } from '../clock.ts'
import { EnigmError } from '../errors.ts'
import type { Asked, Entered, Job, Outcome, Stage } from '../job.ts'
import { hasMark, type View } from '../resolve.ts'
import { askedOf } from './key.ts'

/**
 * Limits of questions in progress, and of clients that wait for one of them. A query beyond either
 * fails at once (DNSBomb; CVE-2025-5994).
 */
export interface CoalesceLimits {
  /** Divided fairly among clients; a question counts for the client that asked it first. */
  readonly questions: number
  /** The limit for clients that give way; for others it is twice as high. */
  readonly waitersPerQuestion: number
}

const DEFAULT_LIMITS: CoalesceLimits = { questions: 4096, waitersPerQuestion: 1024 }
/** Chains of questions in progress, by the low bits of their hash. */
const CHAINS = 4096

/**
 * Identical questions in progress share one upstream query: a later client waits for the first one,
 * and gets the same answer or the same error. `hashOf` is the one of the cache. `viewOf`: the views
 * that clients have now, if they may change while questions wait: then a client with another view
 * goes on by itself.
 */
export function coalesce(
  hashOf: (asked: Asked) => number,
  random: Random,
  viewOf: ((address: string) => View) | undefined,
  limits = DEFAULT_LIMITS,
): Stage {
  const shares = new FairShares(limits.questions, 1, random)
  // The links are fields of the jobs: a Map would keep finished jobs alive, see containers.ts.
  const chains: (Job | undefined)[] = new Array<Job | undefined>(CHAINS).fill(undefined)
  const chainOf = (job: Job) => hashOf(askedOf(job)) & (CHAINS - 1)

  const stage: Stage = {
    enter(job) {
      const chain = chainOf(job)
      const leader = hasMark(job.query.client.view, 'unshared') ? undefined : find(chains[chain], job)
      if (leader !== undefined) return follow(job, leader, limits)
      if (!shares.take(job.query.client.address, 1)) return refuse(job, 'Too many questions are under way.')
      job.next = chains[chain]
      chains[chain] = job
      return 'on'
    },
    leave(job) {
      if (job.leader !== undefined) return 'on'
      const chain = chainOf(job)
      if (chains[chain] === job) chains[chain] = job.next
      else unlink(chains[chain], job)
      job.next = undefined
      shares.give(job.query.client.address, 1)
      const { waiting, outcome } = job
      // The client that asked first gets its answer first.
      if (waiting !== undefined) job.afterwards = () => release(waiting, outcome)
      return 'on'
    },
  }
  const release = (waiting: readonly Job[], outcome: Outcome | undefined) => {
    for (const one of waiting) {
      const { address, view } = one.query.client
      if (viewOf === undefined || address === '' || viewOf(address) === view) one.outcome = outcome
      one.resume(stage)
    }
  }
  return stage
}

/** Returns undefined if the same question is not in progress. */
function find(first: Job | undefined, job: Job): Job | undefined {
  const own = askedOf(job)
  for (let one = first; one !== undefined; one = one.next) if (isSame(askedOf(one), own)) return one
  return undefined
}

/** Both names are lower-case. */
function isSame(a: Asked, b: Asked): boolean {
  if (a.hash !== b.hash || a.mark !== b.mark) return false
  const length = a.end - a.from
  for (let i = 0; i < length; i++) if (a.octets[a.from + i] !== b.octets[b.from + i]) return false
  return true
}

function unlink(first: Job | undefined, job: Job): void {
  for (let one = first; one !== undefined; one = one.next) if (one.next === job) one.next = job.next
}

function follow(job: Job, leader: Job, { waitersPerQuestion }: CoalesceLimits): Entered {
  const most = waitersPerQuestion * (job.givesWay === true ? 1 : 2)
  leader.waiting ??= []
  // The leader counts as one of them.
  if (leader.waiting.length + 1 >= most) return refuse(job, 'Too many clients wait for this question.')
  leader.waiting.push(job)
  job.leader = leader
  return 'waits'
}

function refuse(job: Job, what: string): Entered {
  job.outcome = new EnigmError('overloaded', what)
  return 'answered'
}
