import { systemClock, systemRandom } from '../../src/clock.ts'
import { targetKeyOf } from '../../src/config/odoh-config.ts'
import { createAuthority } from '../../src/demo/authority.ts'
import { newKeyPair, openQuery } from '../../src/demo/oblivious-pair.ts'
import { repadded } from '../../src/dns/edns.ts'
import type { ErrorCode } from '../../src/errors.ts'
import type { Event } from '../../src/events.ts'
import { createLink, createScheduledLink, type RenewableLink, type RenewableScheduledLink } from '../../src/link/create-link.ts'
import type { StrictEndpoint } from '../../src/link/dial/endpoint.ts'
import type { DialHop } from '../../src/link/dial/hops.ts'
import { tlsSessions } from '../../src/link/dial/sessions.ts'
import { SEAL_OCTETS, TargetKeys } from '../../src/link/odoh/target-keys.ts'
import type { CarrierFactory } from '../../src/link/transports.ts'
import type { Ask, Authenticated, Carried, Transport } from '../../src/resolve.ts'
import { nativeQuic } from '../../src/system/quic.ts'
import { requestFor } from '../shaping/paced-rig.ts'
import { PROVIDER, Provider, startDnscrypt } from '../support/dnscrypt.ts'
import { nodeH2Carrier } from '../support/doh-h2.ts'
import { type DohPeer, type DohReply, startDoh, startDohH1 } from '../support/doh-server.ts'
import { startDoq } from '../support/doq-server.ts'
import { startDot } from '../support/dot-server.ts'
import { endpointAt, NAME, pause } from '../support/link-rig.ts'
import { exchange } from '../support/links.ts'
import { hopTo, startProxy } from '../support/proxies.ts'
import { freePace } from '../support/rules.ts'

const authority = await createAuthority()
const identity = await authority.issue({ name: NAME })
const provider = new Provider()
const stranger = await authority.issue({ name: 'somebody.else.test' })

/** What carries queries, by what the server speaks and by the client that speaks to it. */
export interface Way {
  readonly name: string
  readonly transport: Transport
  readonly speaks: 'dot' | 'h2' | 'h1' | 'odoh' | 'dnscrypt' | 'doq'
  /** The HTTP/2 client, if it is not the program's. */
  readonly h2?: CarrierFactory
  /**
   * Replies find their queries by ID: what matches none is passed over. Else each reply belongs to
   * one request, and fails it.
   */
  readonly byId: boolean
  /** Has records of one size. */
  readonly cells: boolean
  /** Several requests are under way at once. */
  readonly parallel: boolean
  /** Datagrams: nobody ends a connection, and no certificate of X.509 is shown. */
  readonly connectionless?: true
}

/** How a peer proves its identity, and the code for one that is somebody else. */
export const proofOf = ({ connectionless }: Way) =>
  connectionless === true
    ? ({ by: 'provider-key', stranger: 'pin-mismatch' } as const)
    : ({ by: 'ca', stranger: 'certificate-name' } as const)

const EVERYWHERE: readonly Way[] = [
  { name: 'DoT', transport: 'dot', speaks: 'dot', byId: true, cells: true, parallel: true },
  { name: 'DoH over HTTP/2', transport: 'doh', speaks: 'h2', byId: false, cells: true, parallel: true },
  { name: 'DoH over HTTP/2 by node:http2', transport: 'doh', speaks: 'h2', h2: nodeH2Carrier, byId: false, cells: false, parallel: true },
  { name: 'DoH over HTTP/1.1', transport: 'doh', speaks: 'h1', byId: false, cells: false, parallel: false },
  { name: 'ODoH', transport: 'odoh', speaks: 'odoh', byId: false, cells: true, parallel: true },
  { name: 'DNSCrypt', transport: 'dnscrypt', speaks: 'dnscrypt', byId: false, cells: false, parallel: true, connectionless: true },
]

/** What only a newer Node has; see test/link/doq/contract.test.ts. */
const NEWER: readonly Way[] = [{ name: 'DoQ', transport: 'doq', speaks: 'doq', byId: false, cells: false, parallel: true }]

export const WAYS = process.env.IN_NEWER_NODE === undefined ? EVERYWHERE : NEWER

/** The server's end of the connection that a query came over. */
export interface Peer {
  /** 1 for the first connection that the server ever had. */
  readonly connection: number
  /** Ends it without a word. */
  kill(): void
}

export type Answer = (query: Uint8Array, peer: Peer) => Uint8Array | undefined | Promise<Uint8Array | undefined>

export interface Server {
  readonly port: number
  /** TCP connections so far, and queries. */
  readonly counts: { readonly tcp: number; readonly queries: number }
  /** Names to come with another certificate. */
  impersonate(): void
  close(): Promise<void>
}

/** A server for one way that does what `answer` says. */
export async function serve({ speaks }: Way, answer: Answer, port = 0): Promise<Server> {
  const counts = { tcp: 0, queries: 0 }
  const count = (query: Uint8Array, connection: number, kill: () => void) => {
    counts.queries++
    return answer(query, { connection, kill })
  }
  const sealed = async (body: Uint8Array, peer: DohPeer): Promise<DohReply | undefined> => {
    const opened = openQuery(targetKeys, body)
    if (opened === undefined) return { status: 401 }
    const reply = await count(opened.query, peer.connection, () => peer.kill())
    return reply && { headers: { 'content-type': 'application/oblivious-dns-message' }, body: [opened.reply(reply)] }
  }
  if (speaks === 'doq') {
    const found = startDoq({ identity, port, answer: (q, peer) => count(q, peer.connection, () => peer.kill()) })
    return {
      port: found.port,
      get counts() {
        return { tcp: found.counts.connections, queries: counts.queries }
      },
      impersonate: () => found.present(stranger),
      close: () => found.close(),
    }
  }
  if (speaks === 'dnscrypt') {
    const found = await startDnscrypt({
      certificates: [provider.certify()],
      port,
      answer: (q, { connection }) => count(q, connection, () => {}),
    })
    return {
      port: found.port,
      get counts() {
        return { tcp: found.counts.clients, queries: counts.queries }
      },
      impersonate: () => found.present(new Provider().certify()),
      close: () => found.close(),
    }
  }
  const server =
    speaks === 'odoh'
      ? await startDoh({ identity, port, answer: sealed })
      : speaks === 'dot'
        ? await startDot({ identity, port, answer: (q, peer) => count(q, peer.number, () => peer.reset()) })
        : await (speaks === 'h2' ? startDoh : startDohH1)({
            identity,
            port,
            answer: (q, peer) => count(q, peer.connection, () => peer.kill()),
          })
  return {
    port: server.port,
    get counts() {
      return { tcp: server.counts.tcp, queries: counts.queries }
    },
    impersonate: () => server.present(stranger),
    close: () => server.close(),
  }
}

/**
 * How a link is asked, whatever keeps it: by itself, or by a schedule, for which this stands in.
 */
export interface Asked {
  readonly link: RenewableLink<Authenticated> | RenewableScheduledLink<Authenticated>
  readonly events: readonly Event[]
  /** The request that asks for `name`. */
  requestFor(name: string): Uint8Array
  ask(name: string, more?: { readonly ms?: number; readonly mayLeave?: () => boolean }): Promise<Carried<Authenticated>>
  askWith(request: Uint8Array, ms?: number): Promise<Carried<Authenticated>>
}

export const KINDS = ['on demand', 'on a schedule'] as const
export type Kind = (typeof KINDS)[number]

/** The keys of the target behind every relay here: relay and target are one server. */
const targetKeys = newKeyPair()

const pinned = targetKeyOf(targetKeys.configs)
if (typeof pinned === 'string') throw new Error(pinned)
const keys = new TargetKeys({ clock: systemClock(), pinned, fetch: undefined })
await keys.ready()

/** The same endpoint as a relay; the other transports are not those of a relay. */
function relayAt({ dot: _dot, doh, ...endpoint }: StrictEndpoint): StrictEndpoint {
  return {
    ...endpoint,
    odoh: { relay: 'relay', port: doh?.port ?? 0, path: '/proxy?targethost=target.test&targetpath=%2F', keys, sealOctets: SEAL_OCTETS },
  }
}

/** Where a server on loopback is that offers the transport of `way` at `port`. */
export function endpointOf(port: number, { transport }: Pick<Way, 'transport'>, route: readonly DialHop[] = []): StrictEndpoint {
  const dnscrypt = { port, providerName: PROVIDER, publicKey: provider.publicKey }
  const endpoint = endpointAt(port, { ca: authority.certificate, route, dnscrypt, doq: { port } })
  return transport === 'odoh' ? relayAt(endpoint) : endpoint
}

/** The hops on the way to a server. */
export interface Via {
  readonly name: string
  /** The code if nobody listens at the port of the server. */
  readonly refused: ErrorCode
  open(): Promise<{ readonly route: readonly DialHop[]; close(): Promise<void> }>
}

export const DIRECTLY: Via = { name: 'directly', refused: 'connect-refused', open: async () => ({ route: [], close: async () => {} }) }

const login = () => ({ username: 'anna', password: 'secret' })

export const BY_SOCKS5: Via = {
  name: 'by SOCKS5 with credentials',
  refused: 'connect-refused',
  async open() {
    const proxy = await startProxy({ kind: 'socks5', login: login() })
    return { route: [hopTo(proxy, { login, credentials: 'fixed' })], close: proxy.close }
  },
}

/** HTTP CONNECT over TLS, and SOCKS5 behind it. */
export const BY_CONNECT: Via = {
  name: 'by CONNECT over TLS and SOCKS5 behind it',
  refused: 'connect-refused',
  async open() {
    const last = await startProxy({ kind: 'socks5' })
    const first = await startProxy({ kind: 'http-connect', tls: await authority.issue({ name: 'proxy.test' }) })
    const protection = { by: 'tls', authenticated: 'ca', authenticationDomainName: 'proxy.test' } as const
    return {
      route: [hopTo(first, { protection, ca: authority.certificate }), hopTo(last, { name: 'last' })],
      close: async () => void (await Promise.all([first.close(), last.close()])),
    }
  },
}

export function linkOf(kind: Kind, { transport, h2 }: Way, endpoint: StrictEndpoint): Asked {
  const clock = systemClock()
  const events: Event[] = []
  const tools = {
    ...{ clock, dialPace: freePace(clock), random: systemRandom, sessions: tlsSessions(clock), quic: async () => nativeQuic() },
    // The ledger's events are tested with the transport that has them.
    emit: (event: Event) => void (event.type === 'cleartext' || events.push(event)),
    ...(h2 === undefined ? {} : { h2 }),
  }
  const askFor = (ms: number, mayLeave?: () => boolean): Ask => ({
    purpose: 'client',
    deadlineMs: clock.nowMs() + ms,
    ...(mayLeave === undefined ? {} : { mayLeave }),
  })
  if (kind === 'on demand') {
    const link = createLink(endpoint, transport, tools)
    const askWith = (request: Uint8Array, ms = 3000) => exchange(link, request, askFor(ms))
    return {
      ...{ link, events, requestFor, askWith },
      ask: (name, { ms = 3000, mayLeave } = {}) => exchange(link, requestFor(name), askFor(ms, mayLeave)),
    }
  }
  const link = createScheduledLink(endpoint, transport, tools)
  /** One record at a time, each when the last has left. */
  const inTurn = async (): Promise<void> => {
    await link.open()
    for (let i = 0; !link.ready && i < 500; i++) await pause(2)
  }
  const cell = (request: Uint8Array) => repadded(request, link.octets(1) ?? 0) ?? request
  let turn: Promise<unknown> = Promise.resolve()
  const later = (exchange: () => Promise<Carried<Authenticated>>) => {
    // An object, so that whoever waits for the turn does not wait for the answer.
    const mine = turn.then(inTurn).then(() => ({ carried: exchange() }))
    turn = mine.catch(() => {})
    return mine.then(({ carried }) => carried)
  }
  return {
    ...{ link, events, requestFor },
    askWith: (request, ms = 3000) => later(() => link.exchange(cell(request), askFor(ms))),
    ask: (name, { ms = 3000, mayLeave } = {}) => later(() => link.exchange(cell(requestFor(name)), askFor(ms, mayLeave))),
  }
}
