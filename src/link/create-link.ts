import type { Authenticated, PacedLink, Protection, Transport } from '../resolve.ts'
import { AddressTurns } from './dial/connect.ts'
import type { KeeperTools, Wiring } from './dial/dialler.ts'
import type { Endpoint, StrictEndpoint } from './dial/endpoint.ts'
import { KeptLink, type RenewableLink } from './on-demand.ts'
import type { Renewable } from './renewable.ts'
import { LinkOnSchedule } from './scheduled.ts'
import { type OpenOptions, openTransport } from './transports.ts'

export type { RenewableLink } from './on-demand.ts'
export type RenewablePacedLink<P extends Protection = Protection> = PacedLink<P> & Renewable

/** What a link needs, and how its connections are opened. */
export type LinkTools = KeeperTools & Pick<OpenOptions, 'sessions' | 'h2' | 'probe' | 'handshake'>

/** The link to one resolver over one transport. Nothing is dialled before the first query. */
export function createLink(endpoint: StrictEndpoint, transport: Transport, tools: LinkTools): RenewableLink<Authenticated>
export function createLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewableLink
export function createLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewableLink {
  return new KeptLink(wiringOf(endpoint, transport, tools), tools)
}

/** The same for a schedule to drive. */
export function createPacedLink(endpoint: StrictEndpoint, transport: Transport, tools: LinkTools): RenewablePacedLink<Authenticated>
export function createPacedLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewablePacedLink
export function createPacedLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewablePacedLink {
  return new LinkOnSchedule(wiringOf(endpoint, transport, tools), tools)
}

function wiringOf(endpoint: Endpoint, transport: Transport, tools: LinkTools): Wiring<Protection> {
  const turns = new AddressTurns()
  const { dialPace: pace, sessions, probe } = tools
  return {
    resolver: endpoint.resolver,
    transport,
    dial: (signal, first) => openTransport(endpoint, transport, { ...tools, pace, turns, signal, first }),
    forgetSessions: () => sessions.flush(endpoint.resolver),
    ...(probe === undefined ? {} : { probe }),
  }
}
