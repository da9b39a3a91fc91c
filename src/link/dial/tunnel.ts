import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { EnigmError, isAuthenticationFailure, isOurs } from '../../errors.ts'
import { MOST_HOPS, type Place } from '../../route.ts'
import { HopFault } from './hop-reading.ts'
import { calledHop, type DialHop } from './hops.ts'
import { connectByHttp } from './http-connect.ts'
import { identityFault } from './identity.ts'
import { connectBySocks5 } from './socks5.ts'
import { dialFault } from './tls-faults.ts'
import { contextOf, groupOffer, isAgreeable, noGroup } from './tls-settings.ts'

/** A byte stream to a target through every hop of a route. */
export interface Tunnel {
  /** Rejects with an EnigmError that names the hop at fault. */
  readonly opened: Promise<Socket>
  /** Whether a hop has sent anything. */
  heard(): boolean
  /** Ends the tunnel. If `opened` still resolves, its socket is destroyed. */
  abandon(error: EnigmError): void
  /** The error to report at the time limit. It names the hop that has not answered. */
  overdue(): EnigmError
}

/**
 * Opens TCP to the first hop, and asks each hop for a connection to the next one. This host sends
 * no packet to `target` itself. `progress` is called after each step.
 */
export function openTunnel(route: readonly DialHop[], target: Place, progress: () => void): Tunnel {
  const places = [...route.map(({ hop }) => hop), target]
  const [first] = route
  if (first === undefined || route.length > MOST_HOPS) throw new EnigmError('internal', `a route has 1 to ${MOST_HOPS} hops`)
  const { host, port } = first.hop
  const tcp = connectTcp({ host, port, lookup: refuseLookup })
  tcp.setNoDelay(true)
  let stream = tcp
  let at = first
  /** An `error` event without a listener would end the process. */
  const ignore = () => {}
  tcp.on('error', ignore)

  const open = async (): Promise<Socket> => {
    await connected(tcp)
    progress()
    for (const [i, dialHop] of route.entries()) {
      const next = places[i + 1] ?? target
      at = dialHop
      try {
        if (dialHop.hop.protection.by === 'tls') {
          stream = await securedHop(stream, dialHop)
          stream.on('error', ignore)
          progress()
        }
        await ask(stream, dialHop, next)
      } catch (error) {
        throw faultOf(error, dialHop, route[i + 1])
      }
      progress()
    }
    return stream
  }
  const opened = open().catch((error: unknown) => {
    stream.destroy()
    tcp.destroy()
    throw error
  })
  return {
    opened,
    heard: () => tcp.bytesRead > 0,
    abandon(error) {
      opened.then((socket) => socket.destroy()).catch(ignore)
      stream.destroy(error)
      tcp.destroy(error)
    },
    overdue: () => new EnigmError('hop-unreachable', `${calledHop(at)} has not answered in time`, { hop: at.hop.name }),
  }

  function connected(socket: Socket): Promise<void> {
    return new Promise((resolve, reject) => {
      socket.once('connect', resolve)
      const failed = (error: unknown) => reject(unreachable(at, error))
      socket.once('error', failed)
      socket.once('close', () => failed(undefined))
    })
  }
}

function refuseLookup(): never {
  throw new EnigmError('internal', 'the first hop is dialled by address: nothing is looked up')
}

async function ask(stream: Socket, { hop, login }: DialHop, next: Place): Promise<void> {
  if (hop.kind === 'socks5') await connectBySocks5(stream, next, login?.(), hop.credentials === 'per-operator')
  else if (hop.kind === 'http-connect') await connectByHttp(stream, next, login?.())
  else throw new EnigmError('internal', `${hop.kind} carries no byte stream`)
  // TLS clients speak first, so the next host has sent nothing yet. Octets that are here already
  // come from the hop itself.
  if (stream.readableLength > 0) throw new HopFault('hop-failed', 'sent data that nobody asked for')
}

/**
 * Performs the TLS handshake with the hop. The hop must be authenticated, because it may get the
 * user name and the password.
 */
function securedHop(socket: Socket, dialHop: DialHop): Promise<TLSSocket> {
  const { hop, spkiPins } = dialHop
  if (hop.protection.by !== 'tls') throw new EnigmError('internal', 'no TLS is configured')
  const { authenticationDomainName } = hop.protection
  const offer = groupOffer(undefined, false)
  if (offer === undefined) throw noGroup(undefined)
  let fault: EnigmError | undefined
  return new Promise((resolve, reject) => {
    const tls = connectTls({
      socket,
      secureContext: contextOf(dialHop, offer),
      ...(hop.kind === 'http-connect' ? { ALPNProtocols: ['http/1.1'] } : {}),
      rejectUnauthorized: true,
      checkServerIdentity: (_host, certificate) => {
        fault = identityFault({ authenticationDomainName, spkiPins }, certificate)
        return fault
      },
      ...(isIP(authenticationDomainName) === 0 ? { servername: authenticationDomainName } : {}),
    })
    const failed = (error: unknown) => {
      tls.destroy()
      reject(fault ?? (error instanceof HopFault ? error : dialFault(error, true)))
    }
    tls.once('error', failed)
    const closed = () => failed(new HopFault('hop-failed', 'closed the connection'))
    tls.once('close', closed)
    tls.once('secureConnect', () => {
      // Node itself refuses such a peer because of `rejectUnauthorized`. This is a second lock.
      if (!tls.authorized) return failed(new HopFault('hop-untrusted', 'did not prove its identity'))
      if (!isAgreeable({ cipher: tls.getCipher().name, tlsVersion: tls.getProtocol(), group: undefined }, offer))
        return failed(new HopFault('hop-failed', 'chose a TLS parameter that was not offered'))
      tls.off('close', closed)
      tls.off('error', failed)
      resolve(tls)
    })
  })
}

/**
 * Converts the error of one hop to the error of the dial. `next`: the hop behind it, if any. A
 * fault is about 'next' if the hop says that it cannot reach the host behind it (hop-reading.ts).
 */
function faultOf(error: unknown, at: DialHop, next: DialHop | undefined): EnigmError {
  const named = (code: EnigmError['code'], { hop }: DialHop, message: string) =>
    new EnigmError(code, message, { cause: error, hop: hop.name })
  if (error instanceof HopFault) {
    const said = `${calledHop(at)} ${error.message}`
    if (error.about !== 'next') return named(error.about, at, said)
    if (next === undefined) return new EnigmError(error.nextCode, said, { cause: error })
    return named('hop-unreachable', next, `${calledHop(next)} cannot be reached: ${said}`)
  }
  const fault = error instanceof EnigmError ? error : dialFault(error, true)
  if (isOurs(fault.code)) return fault
  if (!isAuthenticationFailure(fault.code)) return named('hop-failed', at, `TLS with ${calledHop(at)} failed: ${fault.message}`)
  return named('hop-untrusted', at, `${calledHop(at)} was refused (${fault.code}): ${fault.message}`)
}

function unreachable(at: DialHop, error: unknown): EnigmError {
  const options = { hop: at.hop.name }
  if (error === undefined) return new EnigmError('hop-unreachable', `${calledHop(at)} closed the connection`, options)
  const cause = dialFault(error, false)
  return new EnigmError('hop-unreachable', `${calledHop(at)} cannot be reached: ${cause.message}`, { ...options, cause })
}
