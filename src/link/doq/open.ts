import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { rootCertificates } from 'node:tls'
import type { Timer } from '../../clock.ts'
import { asEnigmError, EnigmError, type ErrorCode } from '../../errors.ts'
import { missingQuic, type Quic, type QuicConnection, type QuicSession } from '../../quic.ts'
import type { Protection, Transport } from '../../resolve.ts'
import { tlsGroupOf } from '../../tls-groups.ts'
import type { Established, Opened } from '../carriers/carrier.ts'
import { HelloMemory, withClassicalRetry } from '../dial/classical-retry.ts'
import { AddressTurns, type ConnectOptions, HANDSHAKE_TIMEOUT_MS } from '../dial/connect.ts'
import { type Endpoint, interleaved, portOf } from '../dial/endpoint.ts'
import { evidenceOf, identityFault, linkedChain } from '../dial/identity.ts'
import { type AddressAttempt, race } from '../dial/race.ts'
import { groupOffer, noGroup } from '../dial/tls-settings.ts'
import { UdpPath } from '../dial/udp-path.ts'
import { DOQ, DoqCarrier } from './carrier.ts'

/** The options of any transport (../transports.ts). DoQ also needs `quic`. */
interface DoqOptions extends ConnectOptions {
  readonly probe?: Uint8Array
  readonly quic?: () => Promise<Quic | undefined>
}

/** Codes for OpenSSL's verification results (x509_vfy.h). Others are `certificate-untrusted`. */
const VERIFY_CODES: Readonly<Record<number, ErrorCode>> = {
  9: 'certificate-not-yet-valid',
  10: 'certificate-expired',
  62: 'certificate-name',
  64: 'certificate-name',
}

interface Won {
  readonly connection: QuicConnection
  readonly path: UdpPath
  readonly address: string
  readonly protection: Protection
  readonly certificate: X509Certificate
}

/**
 * Opens a QUIC connection to one of the pinned addresses. Rejects with an EnigmError. Under
 * `strict` the connection is always authenticated, and no query is written before that is verified.
 */
export async function openDoq(endpoint: Endpoint, transport: Transport, options: DoqOptions): Promise<Opened<Protection>> {
  const { clock, pace, signal, first, turns = new AddressTurns(), hellos = new HelloMemory(), probe } = options
  const port = portOf(endpoint, transport)
  if (port === undefined) throw new EnigmError('connect-failed', `${endpoint.resolver} does not offer ${transport}`)
  const quic = await options.quic?.()
  if (quic === undefined)
    throw new EnigmError('connect-failed', missingQuic() ?? 'DNS over QUIC needs the optional package koffi, and Linux')
  const startMs = clock.nowMs()
  // A port that is closed (ICMP) says nothing about the ClientHello.
  const retrying = { clock, hellos, turnInMs: () => pace.turnInMs(), afterClose: false }
  const won = await race(
    turns.order(interleaved(endpoint.addresses), first),
    (address, progress) => {
      turns.tried()
      const to = { endpoint, address, port, progress }
      return withClassicalRetry(endpoint.tls, () => {}, {
        ...retrying,
        dial: (classical, onUp) => new Attempt({ ...to, classical, onUp }, quic, clock),
      })
    },
    { clock, timeoutMs: HANDSHAKE_TIMEOUT_MS, turnInMs: () => pace.turnInMs(), ...(signal === undefined ? {} : { signal }) },
  )
  turns.worked()
  const { connection, path } = won
  const established: Established = {
    ...{ address: won.address, protection: won.protection, handshakeMs: clock.nowMs() - startMs },
    certificate: () => won.certificate,
  }
  return {
    ...established,
    carry: (tools) => new DoqCarrier(established, connection, path, probe === undefined ? tools : { ...tools, probe }),
    close: () => {
      connection.close(DOQ.noError)
      path.close()
    },
  }
}

/** What one handshake needs. */
interface AttemptTarget {
  readonly endpoint: Endpoint
  readonly address: string
  readonly port: number
  /** Offers no group that needs a ClientHello of two datagrams. */
  readonly classical: boolean
  /** Called when the first datagrams leave. */
  readonly onUp: () => void
  /** Called for each datagram of the peer. */
  readonly progress: () => void
}

/** One handshake at one address. */
class Attempt implements AddressAttempt<Won> {
  readonly result: Promise<Won>
  readonly #endpoint: Endpoint
  readonly #address: string
  readonly #onUp: () => void
  readonly #progress: () => void
  readonly #clock: ConnectOptions['clock']
  #path: UdpPath | undefined
  #connection: QuicConnection | undefined
  #timer: Timer | undefined
  #over = false
  #resolve: (won: Won) => void = () => {}
  #reject: (error: EnigmError) => void = () => {}

  constructor({ endpoint, address, port, classical, onUp, progress }: AttemptTarget, quic: Quic, clock: ConnectOptions['clock']) {
    this.#endpoint = endpoint
    this.#address = address
    this.#onUp = onUp
    this.#progress = progress
    this.#clock = clock
    const offer = groupOffer(endpoint.tls, classical)
    if (offer === undefined) throw noGroup(endpoint.tls)
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    UdpPath.open(address, port).then(
      (path) => {
        if (this.#over) return path.close()
        this.#path = path
        this.#guarded(() => this.#begin(quic, path, port, offer.ecdhCurve))
      },
      (error: EnigmError) => this.#fail(error),
    )
  }

  #begin(quic: Quic, path: UdpPath, port: number, groups: string): void {
    const { authenticationDomainName: name, ca, usageProfile } = this.#endpoint
    this.#connection = quic.connect({
      ...{ address: this.#address, port, groups, roots: ca ?? rootCertificates.join('\n') },
      serverName: isIP(name) === 0 ? name : undefined,
      verify: usageProfile === 'strict',
      send: (datagram) => path.send(datagram),
    })
    path.listen({ datagram: (octets) => this.#guarded(() => this.#came(octets)), broken: (error) => this.#fail(error) })
    this.#onUp()
    this.#step()
  }

  /** Runs `work`. If it throws, this attempt fails; an exception would end the whole process. */
  #guarded(work: () => void): void {
    try {
      work()
    } catch (cause) {
      this.#fail(asEnigmError(cause))
    }
  }

  heard(): boolean {
    return this.#path?.heard === true
  }

  abandon(error: EnigmError): void {
    this.#fail(error)
  }

  #came(octets: Uint8Array): void {
    if (this.#over) return
    this.#progress()
    this.#connection?.receive(octets)
    this.#step()
  }

  #step(): void {
    const connection = this.#connection
    if (this.#over || connection === undefined) return
    this.#timer?.cancel()
    const found = connection.handshake()
    if (found === 'more') {
      const timeoutMs = connection.timeoutMs()
      if (timeoutMs === undefined) return
      this.#timer = this.#clock.setTimer(timeoutMs, () =>
        this.#guarded(() => {
          connection.drive()
          this.#step()
        }),
      )
    } else if (typeof found === 'number') this.#fail(failure(found))
    else this.#judge(connection, found)
  }

  /** Verifies the peer before any query is written. In doubt the attempt fails. */
  #judge(connection: QuicConnection, session: QuicSession): void {
    const path = this.#path
    const strict = this.#endpoint.usageProfile === 'strict'
    const [certificate, ...above] = session.chain.map((der) => new X509Certificate(der))
    if (certificate === undefined || path === undefined) {
      this.#fail(new EnigmError('tls-failed', 'the peer showed no certificate'))
      return
    }
    const legacy = linkedChain(certificate, above)
    const fault = session.verifyResult === 0 ? identityFault(this.#endpoint, legacy) : failure(session.verifyResult)
    if (fault !== undefined && strict) {
      this.#fail(fault)
      return
    }
    const group = session.group === undefined ? undefined : tlsGroupOf(session.group)
    const shared = { tlsVersion: 'TLSv1.3', cipher: session.cipher, resumed: false, ...(group === undefined ? {} : { group }) }
    const { by, notBeforeMs, notAfterMs } = evidenceOf(this.#endpoint, legacy)
    const protection: Protection =
      fault === undefined
        ? { ...shared, authenticated: true, by, validity: { notBeforeMs, notAfterMs } }
        : { ...shared, authenticated: false, why: fault.code }
    this.#over = true
    this.#timer?.cancel()
    this.#resolve({ connection, path, address: this.#address, protection, certificate })
  }

  #fail(error: EnigmError): void {
    if (this.#over) return
    this.#over = true
    this.#timer?.cancel()
    this.#reject(error)
    try {
      this.#connection?.close(DOQ.noError)
    } catch {
      // The connection is dead already, and `error` was reported.
    }
    this.#path?.close()
  }
}

function failure(verifyResult: number): EnigmError {
  if (verifyResult === 0) return new EnigmError('tls-failed', 'the QUIC handshake failed')
  return new EnigmError(VERIFY_CODES[verifyResult] ?? 'certificate-untrusted', 'the certificate chain is not valid')
}
