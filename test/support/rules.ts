import type { Clock } from '../../src/clock.ts'
import { DialPace } from '../../src/link/dial/dial-pace.ts'
import { PolicyGate } from '../../src/policy/gate.ts'
import type { View } from '../../src/resolve.ts'

/** A policy's gate that was judged, and lets everything pass. */
export function openGate(): PolicyGate {
  const gate = new PolicyGate()
  gate.set(undefined)
  return gate
}

/** The pace of dials that nothing forbids or holds back. */
export const freePace = (clock: Clock) => Object.assign(new DialPace(clock, () => undefined), { add: () => {} })

/** A view by its number. */
export const view = (number: number) => number as View
