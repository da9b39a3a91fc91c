import { EnigmError } from '../../errors.ts'
import { type Endpoint, interleaved } from '../dial/endpoint.ts'
import { relayHead } from './codec.ts'

/** One address to send packets to, and how to reach one server through it. */
export interface DnscryptPlace {
  readonly providerName: string
  /** The Ed25519 key of the provider. */
  readonly publicKey: Uint8Array
  /** The octets before each packet to a relay. Undefined: packets go to the server directly. */
  readonly head: Uint8Array | undefined
  /** The address of the relay if there is one, else of the server. */
  readonly address: string
  readonly port: number
}

/** The addresses to dial one after another: those of the relay if there is one. */
export function placesOf(endpoint: Endpoint): ReadonlyMap<string, DnscryptPlace> {
  const { dnscrypt } = endpoint
  if (dnscrypt === undefined) throw new EnigmError('connect-failed', `${endpoint.resolver} does not offer dnscrypt`)
  const common = { providerName: dnscrypt.providerName, publicKey: Buffer.from(dnscrypt.publicKey, 'base64') }
  const servers = interleaved(endpoint.addresses)
  const { through } = dnscrypt
  if (through === undefined)
    return new Map(servers.map((address) => [address, { ...common, head: undefined, address, port: dnscrypt.port }]))
  // Each address of the relay is paired with a different one of the server, so that all are tried.
  const places = interleaved(through.addresses).map((address, i): [string, DnscryptPlace] => {
    const server = servers[i % servers.length] ?? ''
    return [address, { ...common, head: relayHead(server, dnscrypt.port), address, port: through.port }]
  })
  return new Map(places)
}
