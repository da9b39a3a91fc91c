import { isIP } from 'node:net'
import { canonical, unmapped } from './cidr.ts'

/**
 * Reads and writes DNS stamps (draft-denis-dns-stamps). A stamp is one text that holds everything
 * that is needed to reach a resolver or a relay.
 */

/** The claims of a stamp about a resolver. The author of the stamp makes them. */
export interface StampProperties {
  readonly dnssec: boolean
  readonly noLogs: boolean
  readonly noFilter: boolean
}

/** The names of the protocols, by their identifier in a stamp. Plain DNS (0) is refused. */
const PROTOCOLS = {
  1: 'dnscrypt',
  2: 'doh',
  3: 'dot',
  4: 'doq',
  5: 'odoh-target',
  129: 'dnscrypt-relay',
  133: 'odoh-relay',
} as const

export type StampProtocol = (typeof PROTOCOLS)[keyof typeof PROTOCOLS]

const PORTS: Readonly<Record<StampProtocol, number>> = {
  dnscrypt: 443,
  doh: 443,
  dot: 853,
  doq: 853,
  'odoh-target': 443,
  'dnscrypt-relay': 443,
  'odoh-relay': 443,
}

/** The content of a stamp, in canonical spelling. */
export interface Stamp {
  readonly protocol: StampProtocol
  /** Absent for a DNSCrypt relay: its stamp has no field for them. */
  readonly properties?: StampProperties
  /** An IP address without brackets. Absent: only the name is known. */
  readonly address?: string
  readonly port: number
  /** The name in the certificate. Absent for DNSCrypt, which has no TLS certificate. */
  readonly hostname?: string
  readonly path?: string
  /**
   * SHA-256 of the signed part (TBSCertificate) of certificates in the chain, in base64. One match
   * is enough.
   */
  readonly certHashes: readonly string[]
  /** The Ed25519 key that signs DNSCrypt certificates, base64. */
  readonly publicKey?: string
  readonly providerName?: string
}

/** A stamp, or a clause that says why it is refused. */
export type StampReading = { readonly stamp: Stamp; readonly fault?: never } | { readonly stamp?: never; readonly fault: string }

const MAX_TEXT = 4096
const MAX_HASHES = 32
/** The bits of the properties, a little-endian number of 64 bits. Other bits have no meaning. */
const [DNSSEC, NO_LOGS, NO_FILTER] = [1, 2, 4]

/** A fault of a stamp. It is thrown and caught in this file only. */
class Refused extends Error {}

/** Reads a stamp. Never throws. */
export function readStamp(text: string): StampReading {
  try {
    return { stamp: parse(octetsOf(text)) }
  } catch (error) {
    if (error instanceof Refused) return { fault: error.message }
    throw error
  }
}

function octetsOf(text: string): Buffer {
  const [, body] = /^sdns:(?:\/\/)?([A-Za-z0-9_-]*)={0,2}$/i.exec(text.length > MAX_TEXT ? '' : text) ?? []
  if (text.length > MAX_TEXT) throw new Refused(`is longer than ${MAX_TEXT} characters, so it is not a stamp`)
  if (body === undefined) throw new Refused('is not a stamp: write sdns:// and base64url, as in sdns://AgcAAAAA...')
  const octets = Buffer.from(body, 'base64url')
  // Base64 of another length, or with bits after the last octet, lost a character.
  if (octets.toString('base64url') !== body) throw new Refused('is damaged: its base64url has a wrong length or end; copy it again')
  return octets
}

/** Reads the fields of a stamp one after the other. A field that is cut short throws `Refused`. */
class Fields {
  readonly #octets: Buffer
  #at = 0
  constructor(octets: Buffer) {
    this.#octets = octets
  }
  take(length: number): Buffer {
    if (this.#octets.length - this.#at < length) throw new Refused('is cut short: copy the whole stamp')
    this.#at += length
    return this.#octets.subarray(this.#at - length, this.#at)
  }
  octet(): number {
    return this.take(1).readUInt8()
  }
  /** LP(x): a length, then that many octets. */
  counted(): Buffer {
    return this.take(this.octet())
  }
  text(): string {
    const octets = this.counted()
    if (octets.some((octet) => octet < 0x21 || octet > 0x7e)) throw new Refused('holds characters that no address, name or path has')
    return octets.toString('latin1')
  }
  /** VLP(x...): the high bit of a length says that another one follows. */
  set(): readonly Buffer[] {
    const found: Buffer[] = []
    for (;;) {
      const length = this.octet()
      const one = this.take(length & 0x7f)
      if (one.length > 0) found.push(one)
      if (found.length > MAX_HASHES) throw new Refused(`holds more than ${MAX_HASHES} hashes or addresses`)
      if (length < 0x80) return found
    }
  }
  get over(): boolean {
    return this.#at === this.#octets.length
  }
}

function parse(octets: Buffer): Stamp {
  const fields = new Fields(octets)
  const number = fields.octet()
  if (number === 0) throw new Refused('is for plain DNS, which this program never uses; take a stamp for DoT, DoH, DoQ or DNSCrypt')
  const protocol = Object.hasOwn(PROTOCOLS, number) ? PROTOCOLS[number as keyof typeof PROTOCOLS] : undefined
  if (protocol === undefined) throw new Refused(`is for a protocol (${number}) that this program does not know`)
  const stamp = partsOf(protocol, fields)
  if (!fields.over) throw new Refused('has octets after its end: copy it again')
  return stamp
}

function partsOf(protocol: StampProtocol, fields: Fields): Stamp {
  if (protocol === 'dnscrypt-relay') return { protocol, ...addressed(required(fields.text()), PORTS[protocol]), certHashes: [] }
  const properties = propertiesOf(fields.take(8))
  if (protocol === 'dnscrypt') {
    const where = addressed(required(fields.text()), PORTS[protocol])
    const key = fields.counted()
    if (key.length !== 32) throw new Refused(`holds a public key of ${key.length} octets, not 32`)
    const providerName = nameOf(fields.text(), 'provider name')
    return { protocol, properties, ...where, certHashes: [], publicKey: key.toString('base64'), providerName }
  }
  if (protocol === 'odoh-target') {
    const { hostname, port = PORTS[protocol] } = hostOf(fields.text())
    return { protocol, properties, port, hostname, path: pathOf(fields.text()), certHashes: [] }
  }
  const where = fields.text()
  const certHashes = fields.set().map(hashOf)
  const host = hostOf(fields.text())
  const path = protocol === 'dot' || protocol === 'doq' ? {} : { path: pathOf(fields.text()) }
  // Unencrypted resolvers that could look up the address. They are never asked.
  if (!fields.over) fields.set()
  const named = host.port ?? PORTS[protocol]
  return { protocol, properties, ...addressed(where, named), hostname: host.hostname, ...path, certHashes: [...new Set(certHashes)] }
}

function propertiesOf(octets: Buffer): StampProperties {
  const bits = octets.readUInt8(0)
  return { dnssec: (bits & DNSSEC) !== 0, noLogs: (bits & NO_LOGS) !== 0, noFilter: (bits & NO_FILTER) !== 0 }
}

function hashOf(octets: Buffer): string {
  if (octets.length !== 32) throw new Refused(`holds a certificate hash of ${octets.length} octets, not 32`)
  return octets.toString('base64')
}

function required(text: string): string {
  if (text === '' || (text.startsWith(':') && isIP(text) === 0)) throw new Refused('holds no address, which this protocol needs')
  return text
}

/**
 * Reads an address field: "", ":PORT", "1.2.3.4", "1.2.3.4:PORT", "[::1]" or "[::1]:PORT". An IPv6
 * address may lack brackets.
 */
function addressed(text: string, fallback: number): { readonly address?: string; readonly port: number } {
  if (isIP(text) !== 0) return { address: literal(text), port: fallback }
  const [, six, four, port] = /^(?:\[([^\]]*)\]|([0-9.]*))(?::(\d+))?$/.exec(text) ?? ['', '', 'x']
  const address = six ?? four ?? ''
  const numbered = port === undefined ? fallback : portOf(port)
  if (text === '' || (address === '' && six === undefined)) return { port: numbered }
  return { address: literal(address), port: numbered }
}

function literal(text: string): string {
  if (isIP(text) === 0 || text.includes('%')) throw new Refused('holds an address that is no IP address')
  // An IPv4 address in IPv6 form is reached over IPv4, and the trusted set has one spelling for it.
  return canonical(unmapped(text))
}

function portOf(text: string): number {
  const port = Number(text)
  if (!(port >= 1 && port <= 65_535)) throw new Refused(`holds the port ${text.slice(0, 8)}, which does not exist`)
  return port
}

function hostOf(text: string): { readonly hostname: string; readonly port?: number } {
  const [, bracketed, bare = '', port] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(text) ?? []
  const hostname = isIP(text) !== 0 ? canonical(text) : bracketed === undefined ? nameOf(bare, 'host name') : literal(bracketed)
  return { hostname, ...(port === undefined || isIP(text) !== 0 ? {} : { port: portOf(port) }) }
}

function nameOf(text: string, what: string): string {
  const name = text.replace(/\.$/, '').toLowerCase()
  const isName = /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/.test(name) && name.length <= 253
  if (!isName) throw new Refused(`holds no ${what} in ASCII (xn-- form)`)
  return name
}

/** The path for POST: the URI template without its variable (RFC 8484 section 4.1). */
function pathOf(text: string): string {
  const path = text.replace(/\{\?dns\}$/, '')
  if (!/^\/[^\s{}?#]*$/.test(path)) throw new Refused('holds no absolute path, such as /dns-query')
  return path
}

/**
 * Writes a stamp. `readStamp` returns an equal one from the result. Throws a RangeError if a part
 * is too long.
 */
export function writeStamp(stamp: Stamp): string {
  const { protocol, port, address, hostname = '', path = '', certHashes } = stamp
  const number = Number(Object.entries(PROTOCOLS).find(([, name]) => name === protocol)?.[0])
  const shown = port === PORTS[protocol] ? '' : `:${port}`
  const place = lp(address === undefined ? shown : `${address.includes(':') ? `[${address}]` : address}${shown}`)
  const host = isIP(hostname) === 6 ? `[${hostname}]` : hostname
  const parts: readonly Buffer[] = {
    dnscrypt: () => [place, lp(Buffer.from(stamp.publicKey ?? '', 'base64')), lp(stamp.providerName ?? '')],
    doh: () => [place, vlp(certHashes), lp(host), lp(path)],
    dot: () => [place, vlp(certHashes), lp(host)],
    doq: () => [place, vlp(certHashes), lp(host)],
    'odoh-target': () => [lp(`${host}${shown}`), lp(path)],
    'dnscrypt-relay': () => [place],
    'odoh-relay': () => [place, vlp(certHashes), lp(host), lp(path)],
  }[protocol]()
  const flags = protocol === 'dnscrypt-relay' ? [] : [propertyOctets(stamp.properties)]
  return `sdns://${Buffer.concat([Buffer.of(number), ...flags, ...parts]).toString('base64url')}`
}

function propertyOctets(properties: StampProperties | undefined): Buffer {
  const octets = Buffer.alloc(8)
  octets[0] =
    (properties?.dnssec === true ? DNSSEC : 0) +
    (properties?.noLogs === true ? NO_LOGS : 0) +
    (properties?.noFilter === true ? NO_FILTER : 0)
  return octets
}

function lp(value: string | Buffer): Buffer {
  const octets = typeof value === 'string' ? Buffer.from(value, 'latin1') : value
  return Buffer.concat([Buffer.of(checkedLength(octets, 255)), octets])
}

function vlp(hashes: readonly string[]): Buffer {
  const all = hashes.map((hash) => Buffer.from(hash, 'base64'))
  if (all.length === 0) return Buffer.of(0)
  return Buffer.concat(all.flatMap((one, i) => [Buffer.of(checkedLength(one, 127) | (i < all.length - 1 ? 0x80 : 0)), one]))
}

function checkedLength({ length }: Buffer, most: number): number {
  if (length > most) throw new RangeError(`a part of ${length} octets does not fit into a stamp`)
  return length
}
