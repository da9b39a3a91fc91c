import { EnigmError } from '../errors.ts'
import type { Authenticated, Transport } from '../resolve.ts'
import type { Carrier, CarrierTools, Opened } from './carriers/carrier.ts'
import { DotCarrier } from './carriers/dot.ts'
import { leanH2Carrier } from './carriers/h2/connection.ts'
import { type Connection, type ConnectOptions, connect } from './dial/connect.ts'
import type { Endpoint, StrictEndpoint } from './dial/endpoint.ts'

/** How a connection is opened, whatever the transport. */
export interface OpenOptions extends ConnectOptions {
  /** What speaks HTTP/2; another than the client in h2/ in tests only. */
  readonly h2?: Client
  /** What shows that the resolver lives, as for an `Upstream`. Default: the root. */
  readonly probe?: Uint8Array
}

/** Dials, proves who the peer is, and yields what will carry requests. */
type Open = (endpoint: Endpoint, transport: Transport, options: OpenOptions) => Promise<Opened>
/** What speaks a protocol on a byte stream. */
export type Client = (connection: Connection, endpoint: Endpoint, tools: CarrierTools) => Carrier
/** The client for what was agreed on; a promise where it must be loaded first. */
type ClientFor = (protocol: string | undefined, options: OpenOptions) => Client | Promise<Client>

/**
 * How each transport of src/transports.ts is opened. One that runs on no byte stream of its own (a
 * QUIC connection, say) has an `Open` of another kind: links ask no more of it than a `Carrier`.
 */
const OPEN: Readonly<Record<Transport, Open>> = {
  dot: overTls(() => (connection, _endpoint, tools) => new DotCarrier(connection, tools)),
  doh: overTls((protocol, { h2 = leanH2Carrier }) => (protocol === 'h2' ? h2 : h1Client())),
}

/**
 * A connection to a resolver at its pinned addresses, on which nothing was written yet. `strict` gives an authenticated one or rejects with an EnigmError;
 * see `connect`.
 */
export function openTransport(endpoint: StrictEndpoint, transport: Transport, options: OpenOptions): Promise<Opened<Authenticated>>
export function openTransport(endpoint: Endpoint, transport: Transport, options: OpenOptions): Promise<Opened>
export function openTransport(endpoint: Endpoint, transport: Transport, options: OpenOptions): Promise<Opened> {
  return OPEN[transport](endpoint, transport, options)
}

function overTls(clientFor: ClientFor): Open {
  return async (endpoint, transport, options) => {
    const { probe } = options
    const connection = await connect(endpoint, transport, options)
    const client = await held(connection, clientFor(connection.protocol, options))
    const { stream, address, protection, handshakeMs } = connection
    return {
      ...{ address, protection, handshakeMs },
      certificate: () => connection.certificate(),
      carry: (tools) => client(connection, endpoint, probe === undefined ? tools : { ...tools, probe }),
      close: () => void stream.on('error', ignore).destroy(),
    }
  }
}

/** The client, while the connection is held. Rejects where it is gone by then. */
async function held({ stream }: Connection, client: Client | Promise<Client>): Promise<Client> {
  if (!(client instanceof Promise)) return client
  stream.on('error', ignore)
  const loaded = await client
  stream.off('error', ignore)
  if (stream.destroyed) throw new EnigmError('connection-lost', 'the connection closed at once')
  return loaded
}

function ignore(): void {}

/** Loaded when a connection needs it: hardly any resolver speaks HTTP/1.1. */
const loaded: { h1?: Client } = {}

function h1Client(): Client | Promise<Client> {
  return loaded.h1 ?? import('./carriers/doh-h1.ts').then(({ H1Carrier }) => (loaded.h1 = (...parts) => new H1Carrier(...parts)))
}
