import type { Authenticated, Protection, Transport } from '../resolve.ts'
import type { Carrier, CarrierTools } from './carrier.ts'
import { type Connection, connect } from './connect.ts'
import type { KeeperTools, Wiring } from './connections.ts'
import { H1Carrier } from './doh-h1.ts'
import { H2Carrier } from './doh-h2.ts'
import { DotCarrier } from './dot.ts'
import type { Endpoint, StrictEndpoint } from './endpoint.ts'
import { KeptLink, type RenewableLink } from './kept-link.ts'
import type { TlsSessions } from './sessions.ts'

export type { RenewableLink } from './kept-link.ts'

export interface LinkTools extends KeeperTools {
  readonly sessions: TlsSessions
}

/** The link to one resolver over one transport. Nothing is dialled before the first query. */
export function createLink(endpoint: StrictEndpoint, transport: Transport, tools: LinkTools): RenewableLink<Authenticated>
export function createLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewableLink
export function createLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewableLink {
  const { clock, sessions } = tools
  const wiring: Wiring<Protection> = {
    resolver: endpoint.resolver,
    transport,
    dial: (signal, first) => connect(endpoint, transport, { clock, sessions, signal, first }),
    carry: (connection, carrierTools) => carry(endpoint, transport, connection, carrierTools),
    forgetSessions: () => sessions.flush(endpoint.resolver),
  }
  return new KeptLink(wiring, tools)
}

function carry(endpoint: Endpoint, transport: Transport, connection: Connection, tools: CarrierTools): Carrier {
  if (transport === 'dot') return new DotCarrier(connection, tools)
  return connection.socket.alpnProtocol === 'h2' ? new H2Carrier(connection, endpoint, tools) : new H1Carrier(connection, endpoint, tools)
}
