import type { Authenticated, Protection, Transport } from '../resolve.ts'
import type { Carrier, Opened } from './carriers/carrier.ts'
import { HelloMemory } from './dial/classical-retry.ts'
import { AddressTurns } from './dial/connect.ts'
import type { DialTarget, DialTools } from './dial/dialler.ts'
import type { Endpoint, StrictEndpoint } from './dial/endpoint.ts'
import { ObliviousLink, ObliviousScheduledLink } from './odoh/oblivious-link.ts'
import { OnDemandLink, type RenewableLink } from './on-demand.ts'
import { CellLink, type RenewableScheduledLink } from './scheduled.ts'
import { type OpenOptions, openScheduled, openTransport } from './transports.ts'

export type { RenewableLink } from './on-demand.ts'
export type { RenewableScheduledLink } from './scheduled.ts'

/** What a link needs to work and to open its connections. */
export type LinkTools = DialTools & Pick<OpenOptions, 'sessions' | 'h2' | 'probe' | 'handshake' | 'quic'>

/** Makes the link to one resolver over one transport. It dials at the first query. */
export function createLink(endpoint: StrictEndpoint, transport: Transport, tools: LinkTools): RenewableLink<Authenticated>
export function createLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewableLink
export function createLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewableLink {
  const link = new OnDemandLink(targetOf(endpoint, tools, transport, openTransport), tools)
  return endpoint.odoh === undefined ? link : new ObliviousLink(link, endpoint.odoh.keys, tools.clock)
}

/** Makes the same link, driven by a schedule. */
export function createScheduledLink(endpoint: StrictEndpoint, transport: Transport, tools: LinkTools): RenewableScheduledLink<Authenticated>
export function createScheduledLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewableScheduledLink
export function createScheduledLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewableScheduledLink {
  const link = new CellLink(targetOf(endpoint, tools, transport, openScheduled), tools)
  return endpoint.odoh === undefined ? link : new ObliviousScheduledLink(link, endpoint.odoh.keys)
}

function targetOf<C extends Carrier>(
  endpoint: Endpoint,
  tools: LinkTools,
  transport: Transport,
  open: (endpoint: Endpoint, transport: Transport, options: OpenOptions) => Promise<Opened<Protection, C>>,
): DialTarget<Protection, C> {
  const turns = new AddressTurns()
  const hellos = new HelloMemory()
  const { dialPace: pace, sessions, probe } = tools
  return {
    resolver: endpoint.resolver,
    transport,
    dial: (signal, first, onOverdue) => open(endpoint, transport, { ...tools, pace, turns, hellos, signal, first, onOverdue }),
    forgetSessions: () => {
      sessions.flush(endpoint.resolver)
      hellos.forget()
    },
    ...(probe === undefined ? {} : { probe }),
  }
}
