import type { Random } from '../clock.ts'
import { EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Quic } from '../quic.ts'
import type { Authenticated, Protection, Transport } from '../resolve.ts'
import { TRANSPORTS } from '../transports.ts'
import type { Carrier, CarrierTools, CellCarrier, Opened } from './carriers/carrier.ts'
import { DotCarrier, DotCellCarrier } from './carriers/dot.ts'
import { leanH2Carrier, leanH2CellCarrier } from './carriers/h2/connection.ts'
import { type Connection, type ConnectOptions, connect } from './dial/connect.ts'
import type { Endpoint, StrictEndpoint } from './dial/endpoint.ts'

/** How a connection is opened, for any transport. */
export interface OpenOptions extends ConnectOptions {
  /** For transports whose dial sends DNS messages (DNSCrypt). */
  readonly random?: Random
  /** Loads QUIC when a connection needs it. Undefined: this host has no QUIC. */
  readonly quic?: () => Promise<Quic | undefined>
  /** Gets an event for each cleartext packet, before the packet leaves. */
  readonly emit?: Emit
  /** The HTTP/2 client of on-demand links; tests use another one than that in h2/. */
  readonly h2?: CarrierFactory
  /**
   * The query that shows that the resolver is alive, as for an `Upstream`. Default: a query for the
   * root.
   */
  readonly probe?: Uint8Array
}

/** Dials, verifies the peer, and returns a connection that can carry requests. */
type Open<C extends Carrier> = (endpoint: Endpoint, transport: Transport, options: OpenOptions) => Promise<Opened<Protection, C>>
/** Makes the carrier of a protocol on a byte stream. */
export type CarrierFactory<C extends Carrier = Carrier> = (connection: Connection, endpoint: Endpoint, tools: CarrierTools) => C
/**
 * Returns the client for the negotiated protocol, or a promise if it must be loaded first. Throws
 * an EnigmError if there is no client for the protocol.
 */
type ClientFor<C extends Carrier> = (protocol: string | undefined, options: OpenOptions) => CarrierFactory<C> | Promise<CarrierFactory<C>>

/** How a transport is opened, for an on-demand link and for a scheduled one. */
interface Ways {
  readonly onDemand: Open<Carrier>
  readonly scheduled: Open<CellCarrier>
}

/**
 * How each transport of src/transports.ts is opened. A transport without a byte stream (QUIC, for
 * example) has another kind of `Open`, because links need only a `Carrier` from it.
 */
const OPEN: Readonly<Record<Transport, Ways>> = {
  doq: {
    onDemand: datagrams(async (...parts) => (await import('./doq/open.ts')).openDoq(...parts)),
    scheduled: noSchedule,
  },
  dnscrypt: {
    // Loaded when a connection needs it: few people use it.
    onDemand: datagrams(async (...parts) => (await import('./dnscrypt/open.ts')).openDnscrypt(...parts)),
    scheduled: noSchedule,
  },
  dot: {
    onDemand: overTls(() => (connection, _endpoint, tools) => new DotCarrier(connection, tools)),
    scheduled: overTls(() => (connection, _endpoint, tools) => new DotCellCarrier(connection, tools)),
  },
  doh: {
    onDemand: overTls((protocol, { h2 = leanH2Carrier }) => (protocol === 'h2' ? h2 : h1Client())),
    scheduled: overTls((protocol) => {
      if (protocol === 'h2') return leanH2CellCarrier
      throw new EnigmError('alpn-missing', 'the resolver speaks no HTTP/2, and HTTP/1.1 has no records of one size')
    }),
  },
  odoh: {
    onDemand: overTls((_protocol, { h2 = leanH2Carrier }) => h2),
    scheduled: overTls(() => leanH2CellCarrier),
  },
}

/**
 * Opens a connection to a resolver at its pinned addresses. No request was written on it yet. With
 * `strict` it is authenticated, or the promise rejects with an EnigmError; see `connect`.
 */
export function openTransport(endpoint: StrictEndpoint, transport: Transport, options: OpenOptions): Promise<Opened<Authenticated>>
export function openTransport(endpoint: Endpoint, transport: Transport, options: OpenOptions): Promise<Opened>
export function openTransport(endpoint: Endpoint, transport: Transport, options: OpenOptions): Promise<Opened> {
  return OPEN[transport].onDemand(endpoint, transport, options)
}

/**
 * The same for a schedule: the carrier writes records of one size. Rejects with `alpn-missing` if
 * the negotiated protocol has no carrier of this kind.
 */
export function openScheduled(endpoint: Endpoint, transport: Transport, options: OpenOptions): Promise<Opened<Protection, CellCarrier>> {
  return OPEN[transport].scheduled(endpoint, transport, options)
}

/** Refuses to dial if the route has a proxy, because no datagrams are sent through a proxy. */
function datagrams(open: Open<Carrier>): Open<Carrier> {
  return (endpoint, transport, options) => {
    if ((endpoint.route ?? []).length === 0) return open(endpoint, transport, options)
    const message = `no proxy carries the datagrams of ${TRANSPORTS[transport].label}, so it is not dialled`
    return Promise.reject(new EnigmError('connect-failed', message))
  }
}

/**
 * Rejects: this transport has no schedule. The configuration refuses this too, see `TRANSPORTS`.
 */
function noSchedule(_endpoint: Endpoint, transport: Transport): Promise<never> {
  return Promise.reject(
    new EnigmError('alpn-missing', `${TRANSPORTS[transport].label} has no records of one size, so it keeps no schedule`),
  )
}

function overTls<C extends Carrier>(clientFor: ClientFor<C>): Open<C> {
  return async (endpoint, transport, options) => {
    const { probe } = options
    const connection = await connect(endpoint, transport, options)
    const { stream, address, protection, handshakeMs, routeRttMs } = connection
    const close = () => void stream.on('error', ignore).destroy()
    try {
      const client = await loadedOn(connection, clientFor(connection.protocol, options))
      return {
        ...{ address, protection, handshakeMs, close },
        ...(routeRttMs === undefined ? {} : { routeRttMs }),
        certificate: () => connection.certificate(),
        carry: (tools) => client(connection, endpoint, probe === undefined ? tools : { ...tools, probe }),
      }
    } catch (error) {
      close()
      throw error
    }
  }
}

/** Loads the client while the connection is held. Rejects if the connection ended meanwhile. */
async function loadedOn<C extends Carrier>(
  { stream }: Connection,
  client: CarrierFactory<C> | Promise<CarrierFactory<C>>,
): Promise<CarrierFactory<C>> {
  if (!(client instanceof Promise)) return client
  stream.on('error', ignore)
  const loaded = await client
  stream.off('error', ignore)
  if (stream.destroyed) throw new EnigmError('connection-lost', 'the connection closed at once')
  return loaded
}

function ignore(): void {}

/** Loaded when a connection needs it: hardly any resolver speaks HTTP/1.1. */
const loaded: { h1?: CarrierFactory } = {}

function h1Client(): CarrierFactory | Promise<CarrierFactory> {
  return loaded.h1 ?? import('./carriers/doh-h1.ts').then(({ H1Carrier }) => (loaded.h1 = (...parts) => new H1Carrier(...parts)))
}
