import { type Clock, systemClock, systemRandom } from '../../src/clock.ts'
import { EnigmError, type ErrorCode } from '../../src/errors.ts'
import type { Event } from '../../src/events.ts'
import { createLink } from '../../src/link/create-link.ts'
import type { StrictEndpoint } from '../../src/link/dial/endpoint.ts'
import { type TlsSessions, tlsSessions } from '../../src/link/dial/sessions.ts'
import type { CarrierFactory } from '../../src/link/transports.ts'
import type { Ask, Transport } from '../../src/resolve.ts'
import { exchange } from './links.ts'
import { freePace } from './rules.ts'

/** The name that test servers go by. */
export const NAME = 'resolver.test'

/** An endpoint for a server on loopback that offers both transports at `port`. */
export function endpointAt(port: number, more: Partial<StrictEndpoint> & { readonly ca: string }): StrictEndpoint {
  return {
    resolver: 'test',
    addresses: ['127.0.0.1'],
    authenticationDomainName: NAME,
    dot: { port },
    doh: { port, path: '/dns-query' },
    spkiPins: [],
    usageProfile: 'strict',
    ...more,
  }
}

/** A link with everything it needs, and what it reported. */
export function linkTo(
  endpoint: StrictEndpoint,
  transport: Transport,
  more: { readonly clock?: Clock; readonly sessions?: TlsSessions; readonly h2?: CarrierFactory | undefined } = {},
) {
  const clock = more.clock ?? systemClock()
  const sessions = more.sessions ?? tlsSessions(clock)
  const events: Event[] = []
  const tools = { clock, dialPace: freePace(clock), sessions, random: systemRandom, emit: (event: Event) => void events.push(event) }
  const link = createLink(endpoint, transport, more.h2 === undefined ? tools : { ...tools, h2: more.h2 })
  const within = (ms: number): Ask => ({ purpose: 'client', deadlineMs: clock.nowMs() + ms })
  const count = (type: Event['type']) => events.filter((event) => event.type === type).length
  return { link, events, sessions, within, count, ask: (request: Uint8Array, ms = 4000) => exchange(link, request, within(ms)) }
}

/** The code that a promise rejects with, or the text `answered`. */
export async function codeOf(promise: Promise<unknown>): Promise<ErrorCode | 'answered' | 'not an EnigmError'> {
  try {
    await promise
    return 'answered'
  } catch (error) {
    return error instanceof EnigmError ? error.code : 'not an EnigmError'
  }
}

/** A real pause, for what only the kernel can tell the end of. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
