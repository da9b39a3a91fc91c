import { EnigmError } from '../../errors.ts'
import type { Authenticated, Transport } from '../../resolve.ts'
import type { Opened } from '../carriers/carrier.ts'
import { AddressTurns, type ConnectOptions, HANDSHAKE_TIMEOUT_MS } from '../dial/connect.ts'
import type { Endpoint } from '../dial/endpoint.ts'
import { type AddressAttempt, race } from '../dial/race.ts'
import { UdpPath } from '../dial/udp-path.ts'
import { DnscryptCarrier, type DnscryptParts } from './carrier.ts'
import type { Certificate } from './certificate.ts'
import { sessionKeys } from './codec.ts'
import { type DnscryptPlace, placesOf } from './place.ts'
import { CertificateShelf, type FetchTools, fetchCertificate } from './shelf.ts'

/** The options of any transport (../transports.ts). DNSCrypt also needs `random` and `emit`. */
interface DnscryptOptions extends ConnectOptions, Partial<FetchTools> {
  readonly clock: ConnectOptions['clock']
  readonly probe?: Uint8Array
}

/** One per link, because each link has its own endpoint object. */
const shelves = new WeakMap<Endpoint, CertificateShelf>()

function shelfOf(endpoint: Endpoint): CertificateShelf {
  const shelf = shelves.get(endpoint) ?? new CertificateShelf()
  shelves.set(endpoint, shelf)
  return shelf
}

/**
 * Opens a UDP socket to a server or to its relay, and gets the server's certificate. If a usable
 * certificate is known, nothing is sent: the first query then shows whether the server answers.
 * Rejects with an EnigmError, always before a query is written.
 */
export async function openDnscrypt(endpoint: Endpoint, _transport: Transport, options: DnscryptOptions): Promise<Opened<Authenticated>> {
  const { clock, random, emit, probe } = options
  if (random === undefined || emit === undefined) throw new EnigmError('internal', 'DNSCrypt needs the options random and emit')
  const startMs = clock.nowMs()
  const found = await partsOf(endpoint, { clock, random, emit }, options)
  const { path, place, certificate } = found
  const protection: Authenticated = {
    authenticated: true,
    by: 'provider-key',
    tlsVersion: null,
    cipher: 'XChaCha20-Poly1305',
    group: 'X25519',
    resumed: false,
    validity: certificate.validity,
  }
  const established = {
    ...{ address: place.address, protection, handshakeMs: clock.nowMs() - startMs },
    certificate: () => undefined,
  }
  return {
    ...established,
    carry: (tools) => new DnscryptCarrier(established, found, probe === undefined ? tools : { ...tools, probe }),
    close: () => path.close(),
  }
}

async function partsOf(endpoint: Endpoint, tools: FetchTools, options: DnscryptOptions): Promise<DnscryptParts> {
  const places = placesOf(endpoint)
  const shelf = shelfOf(endpoint)
  const known = shelf.usable(tools.clock)
  const place = places.get(shelf.lastPlace ?? '')
  if (known !== undefined && place !== undefined)
    return withKeys({ path: await UdpPath.open(place.address, place.port), place, certificate: known, shelf })
  const won = await raced(places, tools, { ...options, first: options.first === undefined ? undefined : shelf.lastPlace })
  const parts = withKeys({ ...won, certificate: shelf.keep(won.certificate, tools.clock), shelf })
  shelf.lastPlace = won.place.id
  return parts
}

/**
 * Makes the keys of a connection before the dial ends. So an unusable key of the server fails the
 * dial and does not end the process. The next dial fetches the certificate again.
 */
function withKeys(parts: Omit<DnscryptParts, 'keys'>): DnscryptParts {
  try {
    return { ...parts, keys: sessionKeys(parts.certificate.serverKey) }
  } catch (error) {
    parts.shelf.doubt()
    parts.path.close()
    throw error
  }
}

interface Won {
  readonly path: UdpPath
  readonly place: DnscryptPlace
  readonly certificate: Certificate
}

function raced(places: ReadonlyMap<string, DnscryptPlace>, tools: FetchTools, options: DnscryptOptions): Promise<Won> {
  const { clock, pace, signal, first, turns = new AddressTurns() } = options
  return race(
    turns.order([...places.keys()], first),
    (id) => {
      turns.tried()
      const place = places.get(id)
      if (place === undefined) throw new EnigmError('internal', 'an unknown place')
      return attemptAt(place, tools, () => turns.worked())
    },
    {
      clock,
      timeoutMs: HANDSHAKE_TIMEOUT_MS,
      awaited: 'certificate',
      turnInMs: () => pace.turnInMs(),
      ...(signal === undefined ? {} : { signal }),
    },
  )
}

function attemptAt(place: DnscryptPlace, tools: FetchTools, worked: () => void): AddressAttempt<Won> {
  let path: UdpPath | undefined
  let over = false
  let cancel = () => {}
  const begin = async (): Promise<Won> => {
    path = await UdpPath.open(place.address, place.port)
    if (over) {
      path.close()
      throw new EnigmError('closed', 'another attempt won, or the dial ended')
    }
    const fetching = fetchCertificate(path, place, tools)
    cancel = fetching.cancel
    try {
      const certificate = await fetching.result
      worked()
      return { path, place, certificate }
    } catch (error) {
      path.close()
      throw error
    }
  }
  return {
    result: begin(),
    heard: () => path?.heard === true,
    abandon: () => {
      over = true
      cancel()
      path?.close()
    },
  }
}
