import type { Authenticated, Protection, Transport } from '../resolve.ts'
import type { Carrier, CarrierTools } from './carrier.ts'
import { type Connection, connect } from './connect.ts'
import type { KeeperTools, Wiring } from './connections.ts'
import { H1Carrier } from './doh-h1.ts'
import { H2Carrier } from './doh-h2.ts'
import { DotCarrier } from './dot.ts'
import type { Endpoint, StrictEndpoint } from './endpoint.ts'
import { leanH2Carrier } from './h2/connection.ts'
import { KeptLink, type RenewableLink } from './kept-link.ts'
import type { TlsSessions } from './sessions.ts'

export type { RenewableLink } from './kept-link.ts'

export interface LinkTools extends KeeperTools {
  readonly sessions: TlsSessions
  /** Which HTTP/2 client carries DoH: Node's own (the default), or the one made for it in h2/. */
  readonly dohClient?: 'node' | 'lean'
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
    carry: (connection, carrierTools) => carry(endpoint, transport, connection, carrierTools, tools.dohClient),
    forgetSessions: () => sessions.flush(endpoint.resolver),
  }
  return new KeptLink(wiring, tools)
}

function carry(
  endpoint: Endpoint,
  transport: Transport,
  connection: Connection,
  tools: CarrierTools,
  dohClient: LinkTools['dohClient'],
): Carrier {
  if (transport === 'dot') return new DotCarrier(connection, tools)
  if (connection.socket.alpnProtocol !== 'h2') return new H1Carrier(connection, endpoint, tools)
  return dohClient === 'lean' ? leanH2Carrier(connection, endpoint, tools) : new H2Carrier(connection, endpoint, tools)
}
