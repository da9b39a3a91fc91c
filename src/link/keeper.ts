import { EnigmError } from '../errors.ts'
import type { Authenticated, PacedLink, Protection, Transport } from '../resolve.ts'
import type { Carrier, CarrierTools } from './carriers/carrier.ts'
import { DotCarrier } from './carriers/dot.ts'
import { leanH2Carrier } from './carriers/h2/connection.ts'
import { AddressTurns, type Connection, type ConnectOptions, connect } from './dial/connect.ts'
import type { Endpoint, StrictEndpoint } from './dial/endpoint.ts'
import type { TlsSessions } from './dial/sessions.ts'
import type { KeeperTools, Wiring } from './kept.ts'
import { KeptLink, type RenewableLink } from './kept-link.ts'
import { LinkOnSchedule } from './paced-link.ts'
import type { Renewable } from './renewable.ts'

export type { RenewableLink } from './kept-link.ts'
export type RenewablePacedLink<P extends Protection = Protection> = PacedLink<P> & Renewable

export interface LinkTools extends KeeperTools {
  readonly sessions: TlsSessions
  /** Which HTTP/2 client carries DoH: the one made for it in h2/ (the default), or Node's own. */
  readonly dohClient?: 'node' | 'lean'
  /** What shows that the resolver lives, as for an `Upstream`. Default: the root. */
  readonly probe?: Uint8Array
  /** How one address is dialled; replaced where there is no network. */
  readonly handshake?: NonNullable<ConnectOptions['handshake']>
}

/** The link to one resolver over one transport. Nothing is dialled before the first query. */
export function createLink(endpoint: StrictEndpoint, transport: Transport, tools: LinkTools): RenewableLink<Authenticated>
export function createLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewableLink
export function createLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewableLink {
  return new KeptLink(wiringOf(endpoint, transport, tools), tools)
}

/** The same for a schedule to drive. DoH goes over the lean client, whatever `dohClient` says: only it writes constant records. */
export function createPacedLink(endpoint: StrictEndpoint, transport: Transport, tools: LinkTools): RenewablePacedLink<Authenticated>
export function createPacedLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewablePacedLink
export function createPacedLink(endpoint: Endpoint, transport: Transport, tools: LinkTools): RenewablePacedLink {
  return new LinkOnSchedule(wiringOf(endpoint, transport, { ...tools, dohClient: 'lean' }), tools)
}

function wiringOf(
  endpoint: Endpoint,
  transport: Transport,
  { clock, sessions, dohClient, dialPace, handshake, probe }: LinkTools,
): Wiring<Protection> {
  const turns = new AddressTurns()
  return {
    resolver: endpoint.resolver,
    transport,
    dial: async (signal, first) => {
      const options: ConnectOptions = {
        ...{ clock, sessions, signal, first, turns, pace: dialPace },
        ...(handshake === undefined ? {} : { handshake }),
      }
      return equipped(await connect(endpoint, transport, options), transport, dohClient)
    },
    carry: (connection, carrierTools) =>
      carry(endpoint, transport, connection, probe === undefined ? carrierTools : { ...carrierTools, probe }, dohClient),
    forgetSessions: () => sessions.flush(endpoint.resolver),
  }
}

/** Loaded when a connection needs one: hardly any resolver speaks HTTP/1.1. */
const clients: { h1?: typeof import('./carriers/doh-h1.ts'); node?: typeof import('./carriers/doh-h2.ts') } = {}

/** The same connection, once the client for it is loaded. Rejects when it is gone by then. */
async function equipped<P extends Protection>(
  connection: Connection<P>,
  transport: Transport,
  dohClient: LinkTools['dohClient'],
): Promise<Connection<P>> {
  const { socket } = connection
  const h2 = socket.alpnProtocol === 'h2'
  if (transport === 'dot' || (h2 ? dohClient !== 'node' || clients.node : clients.h1)) return connection
  const ignore = () => {}
  socket.on('error', ignore)
  if (h2) clients.node = await import('./carriers/doh-h2.ts')
  else clients.h1 = await import('./carriers/doh-h1.ts')
  socket.off('error', ignore)
  if (socket.destroyed) throw new EnigmError('connection-lost', 'the connection closed at once')
  return connection
}

function carry(
  endpoint: Endpoint,
  transport: Transport,
  connection: Connection,
  tools: CarrierTools,
  dohClient: LinkTools['dohClient'],
): Carrier {
  if (transport === 'dot') return new DotCarrier(connection, tools)
  if (connection.socket.alpnProtocol === 'h2' && dohClient !== 'node') return leanH2Carrier(connection, endpoint, tools)
  if (connection.socket.alpnProtocol === 'h2' && clients.node) return new clients.node.H2Carrier(connection, endpoint, tools)
  if (clients.h1) return new clients.h1.H1Carrier(connection, endpoint, tools)
  throw new EnigmError('internal', 'no client was loaded for this connection')
}
