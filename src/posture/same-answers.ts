import type { Event } from '../events.ts'
import { addRtt, type RttRing } from './rtt.ts'
import { PADDING_WINDOW, repliesPadded, SHAPED_WINDOW, type State } from './state.ts'

type Answered = Extract<Event, { type: 'upstream.answered' }>

/** How old the time of the last answer may be told at most: nobody reads it finer than in seconds. */
const FRESH_MS = 50

/** Tells an answer that says nothing new from one that does. */
export interface SameAnswers {
  /** Whether the event needs no reducing: it follows one that was just like it and was reduced less than 50 ms ago. Its round trip is noted. */
  again(event: Answered, nowMs: number): boolean
  /** An event was reduced, and this came of it. */
  took(event: Event, state: State, nowMs: number): void
  /** The state was replaced. */
  forget(): void
}

/** A busy resolver answers thousands of times a second, each time the same way: reducing each costs 3 us with its garbage, this 0.2 us. */
export function sameAnswers(): SameAnswers {
  let last: Answered | undefined
  let ring: RttRing | undefined
  let atMs = 0
  return {
    again(event, nowMs) {
      if (last === undefined || ring === undefined || nowMs - atMs >= FRESH_MS) return false
      if (event.resolver !== last.resolver || event.transport !== last.transport) return false
      if (event.protection !== last.protection || event.paddedReply !== last.paddedReply) return false
      addRtt(ring, event.rttMs)
      return true
    },
    took(event, state, nowMs) {
      last = undefined
      if (event.type !== 'upstream.answered') return
      const resolver = state.resolvers.find(({ setup }) => setup.id === event.resolver)
      // Until the window is full each reply counts for the verdict on padding.
      if (resolver === undefined || resolver.paddedKnown < PADDING_WINDOW) return
      // And where padding tells whether a profile is in force, each that is not like all before it.
      if (state.setup.paced && (resolver.shapedKnown < SHAPED_WINDOW || repliesPadded(resolver) === 'mixed')) return
      last = event
      ring = resolver.rtt
      atMs = nowMs
    },
    forget() {
      last = undefined
    },
  }
}
