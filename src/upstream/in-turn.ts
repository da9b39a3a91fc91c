import type { Clock } from '../clock.ts'
import { EnigmError, isOurs, mayBeTheName } from '../errors.ts'
import type { Ask, Protection } from '../resolve.ts'
import { MOST_TOLD, type Selected } from './flight.ts'
import type { Candidate, Roster } from './roster.ts'
import { type Failure, mostTelling } from './telling.ts'
import { verdictOn } from './verdict.ts'

/**
 * One query over shaped links: one resolver at a time, the next only where the network failed the one before or the resolver could not read what came. Nothing is asked twice at once, nothing because an
 * answer is slow or of a kind that another operator might better: a session that opens on a second link because of what a query met would tell of the query.
 */
export async function askInTurn<P extends Protection>(
  roster: Roster<P>,
  clock: Clock,
  message: Uint8Array,
  dnssecOk: boolean,
  ask: Ask,
): Promise<Selected<P>> {
  const failures: Failure[] = []
  const asked: Candidate<P>[] = []
  let told = 0
  while (told < MOST_TOLD) {
    const startedMs = clock.nowMs()
    const candidate = startedMs < ask.deadlineMs ? roster.next(asked) : undefined
    if (candidate === undefined) break
    asked.push(candidate)
    candidate.standing.lastTriedMs = startedMs
    const upstream = candidate.upstream.id
    let tells = 0
    const noted: Ask = { ...ask, mayLeave: () => ++tells > 0 }
    try {
      const carried = await candidate.upstream.exchange(message, dnssecOk, noted)
      const nowMs = clock.nowMs()
      const { final, ofHop, rcode } = verdictOn(carried.wire)
      if (ofHop) {
        failures.push({ who: upstream, error: roster.spokeOfHop(candidate, rcode) })
        continue
      }
      if (final) roster.answered(candidate, carried.rttMs, nowMs - startedMs, nowMs)
      else roster.unsettled(candidate)
      return { ...carried, upstream }
    } catch (error) {
      const fault = roster.rejected(candidate, error, startedMs)
      failures.push({ who: upstream, error: fault })
      if (isOurs(fault.code) || mayBeTheName(fault.code)) break
    } finally {
      if (tells > 0) told++
    }
  }
  if (failures.length === 0) throw new EnigmError('deadline', 'no time left to ask')
  throw mostTelling('no resolver answered', failures)
}
