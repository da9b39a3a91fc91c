import { EnigmError } from '../../errors.ts'
import { type Endpoint, interleaved } from '../dial/endpoint.ts'
import { relayHead } from './codec.ts'

/** One address to send packets to, and how to reach one address of the server through it. */
export interface DnscryptPlace {
  /** Differs between the places of one resolver. */
  readonly id: string
  readonly providerName: string
  /** The Ed25519 key of the provider. */
  readonly publicKey: Uint8Array
  /** The octets before each packet to a relay. Undefined: packets go to the server directly. */
  readonly head: Uint8Array | undefined
  /** The address of the relay if there is one, else of the server. */
  readonly address: string
  readonly port: number
}

/**
 * The places to dial one after another, by their ids. Through a relay these are all pairs of one of
 * its addresses and one of the server: either of the two may be the one that does not answer.
 */
export function placesOf(endpoint: Endpoint): ReadonlyMap<string, DnscryptPlace> {
  const { dnscrypt } = endpoint
  if (dnscrypt === undefined) throw new EnigmError('connect-failed', `${endpoint.resolver} does not offer dnscrypt`)
  const common = { providerName: dnscrypt.providerName, publicKey: Buffer.from(dnscrypt.publicKey, 'base64') }
  const servers = interleaved(endpoint.addresses)
  const { through } = dnscrypt
  const places =
    through === undefined
      ? servers.map((address) => ({ ...common, id: address, head: undefined, address, port: dnscrypt.port }))
      : pairs(interleaved(through.addresses), servers).map(([address, server]) => {
          const id = `${address} ${server}`
          return { ...common, id, head: relayHead(server, dnscrypt.port), address, port: through.port }
        })
  return new Map(places.map((place) => [place.id, place]))
}

/**
 * All pairs. Each step takes the next address of both. Where that would begin anew, the addresses
 * of the server are shifted by one.
 */
function pairs(relays: readonly string[], servers: readonly string[]): readonly (readonly [string, string])[] {
  if (servers.length === 0) return []
  let period = relays.length
  while (period % servers.length !== 0) period += relays.length
  return Array.from({ length: relays.length * servers.length }, (_, step): [string, string] => {
    const shift = Math.floor(step / period)
    return [relays[step % relays.length] ?? '', servers[(step + shift) % servers.length] ?? '']
  })
}
