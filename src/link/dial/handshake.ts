import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { EnigmError, type ErrorCode } from '../../errors.ts'
import type { Protection, Transport } from '../../resolve.ts'
import type { Place } from '../../route.ts'
import { type TlsGroup, tlsGroupOf } from '../../tls-groups.ts'
import { TRANSPORTS } from '../../transports.ts'
import { openTls, type TlsStream, tlsOver } from './byte-stream.ts'
import type { Endpoint } from './endpoint.ts'
import type { DialHop } from './hops.ts'
import { evidenceOf, identityFault, type PeerProof } from './identity.ts'
import type { AddressAttempt } from './race.ts'
import { type SavedSession, sessionKey, type TlsSessions } from './sessions.ts'
import { certificateCode, dialFault } from './tls-faults.ts'
import { contextOf, type GroupOffer, groupOffer, isAgreeable, noGroup } from './tls-settings.ts'
import type { Tunnel } from './tunnel.ts'

/** A byte stream to which no octet of DNS has been written yet, and its protection. */
export interface Secured {
  readonly stream: Duplex
  readonly protection: Protection
  /** The negotiated protocol (ALPN), if there is one. */
  readonly protocol: string | undefined
  /** The peer's certificate; undefined if the session was resumed. */
  certificate(): X509Certificate | undefined
  /**
   * Whether the peer has sent close_notify (RFC 8446 section 6.1), known after the end. Absent:
   * unknown.
   */
  readonly closeNotified?: () => boolean
}

/**
 * Endpoints that negotiated HTTP/1.1 last time. Only HTTP/1.1 has bodies that end with the
 * connection, so only there it matters how the connection ended.
 */
const http1 = new WeakSet<Endpoint>()

function refuseLookup(): never {
  throw new EnigmError('internal', 'a resolver is dialled by address: nothing is looked up')
}

/** What a handshake needs besides an address. */
export interface HandshakeOptions {
  readonly endpoint: Endpoint
  readonly transport: Transport
  readonly sessions: TlsSessions
  /** Offers no group that needs a long ClientHello. */
  readonly classical?: boolean
}

/**
 * Connects to one address, directly or through the proxies of the endpoint's route, and performs
 * the TLS handshake. Under `strict` the result is an authenticated connection or an error, and no
 * octet of DNS is written before the peer is verified. `progress` is called when TCP is up, and
 * after each hop.
 */
export function handshake(to: HandshakeOptions, address: string, port: number, progress: () => void): AddressAttempt<Secured> {
  const { route = [] } = to.endpoint
  if (route.length > 0) return behindHops(to, route, { host: address, port }, progress)
  const place = { host: address, port, lookup: refuseLookup }
  return secure(to, (options, held) => openTls({ ...options, ...place }, held), progress)
}

/** The same through proxies. The code for proxies is loaded when it is first needed. */
function behindHops(to: HandshakeOptions, route: readonly DialHop[], target: Place, progress: () => void): AddressAttempt<Secured> {
  let tunnel: Tunnel | undefined
  let inner: AddressAttempt<Secured> | undefined
  let abandoned: EnigmError | undefined
  const result = async (): Promise<Secured> => {
    const { openTunnel } = await import('./tunnel.ts')
    if (abandoned !== undefined) throw abandoned
    tunnel = openTunnel(route, target, progress)
    const stream = await tunnel.opened
    if (abandoned !== undefined) throw abandoned
    inner = secure(to, (options, held) => tlsOver(stream, options, held), progress)
    return inner.result
  }
  return {
    result: result(),
    heard: () => tunnel?.heard() === true,
    abandon(error) {
      abandoned = error
      if (inner === undefined) tunnel?.abandon(error)
      else inner.abandon(error)
    },
    overdue: () => (inner === undefined ? tunnel?.overdue() : undefined),
  }
}

/** Performs the TLS handshake with the resolver, over the stream that `open` returns. */
function secure(
  { endpoint, transport, sessions, classical = false }: HandshakeOptions,
  open: (options: ConnectionOptions, held: boolean) => TlsStream,
  progress: () => void,
): AddressAttempt<Secured> {
  const strict = endpoint.usageProfile === 'strict'
  const offer = groupOffer(endpoint.tls, classical)
  if (offer === undefined) throw noGroup(endpoint.tls)
  const { alpnRequired } = TRANSPORTS[transport]
  const alpn: readonly string[] = TRANSPORTS[transport].alpn
  const mayBeHttp1 = alpn.includes('http/1.1')
  const key = sessionKey(endpoint, transport)
  const offered = sessions.take(key)
  const checked: { evidence?: PeerProof; fault?: EnigmError } = {}
  const name = endpoint.authenticationDomainName
  const options: ConnectionOptions = {
    secureContext: contextOf(endpoint, offer),
    ALPNProtocols: [...alpn],
    rejectUnauthorized: strict,
    checkServerIdentity: (_host, certificate) => {
      const fault = identityFault(endpoint, certificate)
      if (fault === undefined) checked.evidence = evidenceOf(endpoint, certificate)
      else checked.fault = fault
      return fault
    },
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ...(offered === undefined ? {} : { session: offered.session }),
  }
  const { socket, tcp, closeNotified } = open(options, mayBeHttp1 && http1.has(endpoint))
  tcp.setNoDelay(true)

  let tcpUp = !tcp.connecting
  const result = new Promise<Secured>((resolve, reject) => {
    // A TLS 1.2 ticket arrives before the certificate is verified, a TLS 1.3 ticket after that. No
    // ticket is kept before the certificate is verified.
    const early: Buffer[] = []
    let evidence: PeerProof | undefined
    // Node 20 returns the certificate only on the first call.
    let certificate: X509Certificate | undefined
    const keep = (session: Buffer) => evidence !== undefined && sessions.keep(key, { session, evidence })
    socket.on('session', (session: Buffer) => void (evidence === undefined ? early.push(session) : keep(session)))
    tcp.once('connect', () => {
      tcpUp = true
      progress()
    })
    const fail = (error: unknown) => {
      socket.destroy()
      reject(dialFault(error, tcpUp))
    }
    const ended = () => fail(new EnigmError(tcpUp ? 'tls-failed' : 'connect-failed', 'the peer ended the handshake'))
    socket.on('error', fail)
    socket.on('close', ended)
    socket.once('secureConnect', () => {
      const verdict = judge(socket, { offered, offer, checked, endpoint })
      if (verdict instanceof EnigmError) return fail(verdict)
      if (alpnRequired && !alpn.includes(String(socket.alpnProtocol))) {
        return fail(new EnigmError('alpn-missing', `the peer agreed on none of ${alpn.join(', ')}`))
      }
      if (socket.alpnProtocol === 'http/1.1') http1.add(endpoint)
      else if (mayBeHttp1) http1.delete(endpoint)
      evidence = verdict.evidence
      for (const session of early.splice(0)) keep(session)
      socket.off('close', ended)
      resolve({
        stream: socket,
        protection: verdict.protection,
        protocol: socket.alpnProtocol || undefined,
        certificate: () => (certificate ??= socket.getPeerX509Certificate()),
        ...(closeNotified === undefined ? {} : { closeNotified }),
      })
    })
  })
  return {
    result,
    heard: () => tcp.bytesRead > 0,
    abandon: (error) => void socket.destroy(error),
  }
}

/**
 * Verifies the peer and the negotiated parameters. A resumed session relies on the proof of its
 * original handshake. It does not rely on Node's checks alone: it refuses a cipher that was not
 * offered, and under `strict` a peer that did not prove its identity.
 */
function judge(
  socket: TLSSocket,
  o: {
    readonly offered: SavedSession | undefined
    readonly offer: GroupOffer
    readonly checked: { readonly evidence?: PeerProof; readonly fault?: EnigmError }
    readonly endpoint: Endpoint
  },
): EnigmError | { readonly evidence: PeerProof | undefined; readonly protection: Protection } {
  const resumed = socket.isSessionReused()
  const group = groupOf(socket)
  const session = { tlsVersion: socket.getProtocol() ?? 'unknown', cipher: socket.getCipher().name, resumed }
  if (!isAgreeable({ ...session, group }, o.offer, o.endpoint.tls))
    return new EnigmError('tls-failed', 'the peer chose a TLS parameter that was not offered')
  const evidence = resumed ? o.offered?.evidence : o.checked.evidence
  const found = { ...session, ...(group === undefined ? {} : { group }) }
  if (evidence !== undefined && socket.authorized) {
    const { by, notBeforeMs, notAfterMs } = evidence
    return { evidence, protection: { ...found, authenticated: true, by, validity: { notBeforeMs, notAfterMs } } }
  }
  const why: ErrorCode = o.checked.fault?.code ?? certificateCode(String(socket.authorizationError ?? ''))
  if (o.endpoint.usageProfile === 'strict') return new EnigmError(why, 'the peer did not prove its identity')
  return { evidence: undefined, protection: { ...found, authenticated: false, why } }
}

/** The group of the key exchange. Undefined: this version of Node does not report it. */
function groupOf(socket: TLSSocket): TlsGroup | undefined {
  const info: unknown = socket.getEphemeralKeyInfo()
  const name = typeof info === 'object' && info !== null ? Reflect.get(info, 'name') : undefined
  return typeof name === 'string' ? tlsGroupOf(name) : undefined
}
