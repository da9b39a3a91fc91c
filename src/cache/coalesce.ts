import { FairShares } from '../client-shares.ts'
import type { Random } from '../clock.ts'
import { EnigmError } from '../errors.ts'
import type { Asked, Entered, Job, Outcome, Stage } from '../job.ts'
import { askedOf } from './key.ts'

/**
 * Questions under way at once, and clients waiting for one of them: beyond either, a query fails at
 * once (DNSBomb; CVE-2025-5994).
 */
export interface CoalesceLimits {
  /** Shared out fairly: who asked first for a question holds it. */
  readonly questions: number
  /** Of clients that give way; others may be as many again. */
  readonly waitersPerQuestion: number
}

const DEFAULT_LIMITS: CoalesceLimits = { questions: 4096, waitersPerQuestion: 1024 }
/** Chains of questions, by the low bits of their hash. */
const CHAINS = 4096

/**
 * Identical questions in flight share one upstream query: whoever asks while it is under way waits
 * for the first, and gets the same answer or the same error. `hashOf` as the cache has it.
 */
export function coalesce(hashOf: (asked: Asked) => number, random: Random, limits = DEFAULT_LIMITS): Stage {
  const shares = new FairShares(limits.questions, 1, random)
  // Links in the members: a Map of them would keep what was in flight alive, see containers.ts.
  const chains: (Job | undefined)[] = new Array<Job | undefined>(CHAINS).fill(undefined)
  const chainOf = (job: Job) => hashOf(askedOf(job)) & (CHAINS - 1)

  const stage: Stage = {
    enter(job) {
      const chain = chainOf(job)
      const leader = find(chains[chain], job)
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
      // Who asked first hears it first.
      if (waiting !== undefined) job.afterwards = () => release(waiting, outcome)
      return 'on'
    },
  }
  const release = (waiting: readonly Job[], outcome: Outcome | undefined) => {
    for (const one of waiting) {
      one.outcome = outcome
      one.resume(stage)
    }
  }
  return stage
}

/** Only one that is not under way may be asked. */
function find(first: Job | undefined, job: Job): Job | undefined {
  const own = askedOf(job)
  for (let one = first; one !== undefined; one = one.next) if (isSame(askedOf(one), own)) return one
  return undefined
}

/** Both are in small letters. */
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
  // The leader waits as well.
  if (leader.waiting.length + 1 >= most) return refuse(job, 'Too many clients wait for this question.')
  leader.waiting.push(job)
  job.leader = leader
  return 'waits'
}

function refuse(job: Job, what: string): Entered {
  job.outcome = new EnigmError('overloaded', what)
  return 'answered'
}
