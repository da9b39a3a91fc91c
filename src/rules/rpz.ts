import { addressOctets } from '../config/cidr.ts'
import { ALLOW, BLOCK, type BlockedReply, type RuleKind, type RuleTaker } from './list-kinds.ts'
import { isTooLarge, labelCount, nameOctets } from './list-names.ts'

const TYPES = new Set(
  'A AAAA CNAME DNAME TXT MX NS SOA PTR SRV HTTPS SVCB CAA DS NAPTR TLSA LOC RRSIG DNSKEY NSEC NSEC3 NSEC3PARAM'.split(' '),
)
/** The end of an owner whose trigger is not a name. */
const SPECIAL = /(?:^|\.)rpz-(ip|client-ip|nsip|nsdname)$/
const replying = (reply: BlockedReply): RuleKind => ({ ...BLOCK, reply })
const NXDOMAIN = replying('nxdomain')
const NODATA = replying('nodata')
const NULL_ADDRESS = replying('null-address')
const NULL_DATA = new Set(['0.0.0.0', '127.0.0.1', '::', '::1'])

/**
 * Reads a response policy zone (draft-vixie-dnsop-dns-rpz): a zone file whose owners are triggers
 * and whose records are actions. Names, addresses of answers and addresses of clients are triggers
 * here; what a stub cannot see is counted by its name.
 */
export class RpzReader {
  readonly #taker: RuleTaker
  readonly #name = new Uint8Array(256)
  /** The zone that contains all owners: the owner of the SOA, else the first origin. */
  #soa: string | undefined
  #firstOrigin: string | undefined
  #origin = ''
  #owner = ''
  /** Number of open parentheses: most SOA records have several lines. */
  #open = 0

  constructor(taker: RuleTaker) {
    this.#taker = taker
  }

  /** Reads one line of the zone file. */
  line(octets: Uint8Array, from: number, end: number): void {
    const text = withoutComment(Buffer.from(octets.buffer, octets.byteOffset + from, end - from).toString('latin1'))
    if (text.trim() === '') return
    const inside = this.#open > 0
    this.#open = Math.max(0, this.#open + count(text, '(') - count(text, ')'))
    if (inside) return
    const words = text.trim().split(/[ \t]+/)
    if (text.startsWith('$')) {
      this.#directive(words)
      return
    }
    if (!/^[ \t]/.test(text)) this.#owner = (words.shift() ?? '').toLowerCase()
    while (words.length > 0 && (/^\d+[smhdw\d]*$/i.test(words[0] ?? '') || /^(IN|CH|HS)$/i.test(words[0] ?? ''))) words.shift()
    const [type = '', ...data] = words
    this.#record(type.toUpperCase(), data)
  }

  #directive([word = '', value = '']: readonly string[]): void {
    if (/^\$ORIGIN$/i.test(word)) {
      this.#origin = this.#absolute(value.toLowerCase())
      // BIND writes `$ORIGIN .` before the SOA, whose owner is the zone.
      if (this.#origin !== '.') this.#firstOrigin ??= this.#origin
    } else if (!/^\$TTL$/i.test(word)) this.#taker.skip('not-a-name')
  }

  #record(type: string, data: readonly string[]): void {
    if (!TYPES.has(type)) {
      this.#taker.skip('not-a-name')
      return
    }
    const owner = this.#ownName()
    if (type === 'SOA' && (owner.endsWith('.') || this.#origin !== '')) this.#soa ??= owner
    if (type === 'SOA' || type === 'NS' || type === 'RRSIG' || type === 'DNSKEY' || type.startsWith('NSEC')) return
    const trigger = this.#trigger()
    if (trigger === '') return
    if (trigger === undefined) {
      this.#taker.skip('rpz-outside')
      return
    }
    const special = SPECIAL.exec(trigger)
    if (special !== null && (special[1] === 'nsip' || special[1] === 'nsdname')) {
      this.#taker.skip(`rpz-${special[1]}`)
      return
    }
    const kind = this.#action(type, (data[0] ?? '').toLowerCase(), trigger)
    if (kind === undefined) return
    if (special === null) this.#nameRule(trigger, kind)
    else this.#addressRule(trigger.slice(0, special.index), special[1] === 'client-ip' ? 'clients' : 'addresses', kind)
  }

  /**
   * The owner relative to the zone; empty: the zone itself; undefined: it lies outside the zone.
   */
  #trigger(): string | undefined {
    const name = this.#ownName()
    if (!name.endsWith('.') && this.#origin === '') return name
    const apex = this.#soa ?? this.#firstOrigin
    if (name === apex) return ''
    return apex !== undefined && name.endsWith(`.${apex}`) ? name.slice(0, -apex.length - 1) : undefined
  }

  #ownName(): string {
    return this.#owner === '@' ? this.#origin : this.#absolute(this.#owner)
  }

  /** The name with the origin appended. Without an origin it stays relative to the zone. */
  #absolute(name: string): string {
    if (name.endsWith('.') || this.#origin === '') return name
    return this.#origin === '.' ? `${name}.` : `${name}.${this.#origin}`
  }

  /** The action of a record; undefined: it is not supported, and is reported as skipped. */
  #action(type: string, data: string, trigger: string): RuleKind | undefined {
    if (type === 'A' || type === 'AAAA') return NULL_DATA.has(data) ? NULL_ADDRESS : this.#unusable('rpz-data')
    if (type !== 'CNAME') return this.#unusable('rpz-data')
    if (data === '.') return NXDOMAIN
    if (data === '*.') return NODATA
    if (data === 'rpz-passthru.' || data === `${trigger}.`) return ALLOW
    // `rpz-drop` gets the reply of the list: without any reply the client would ask another server.
    if (data === 'rpz-drop.') return BLOCK
    return this.#unusable(data === 'rpz-tcp-only.' ? 'rpz-tcp-only' : 'rpz-data')
  }

  #unusable(reason: 'rpz-data' | 'rpz-tcp-only'): undefined {
    this.#taker.skip(reason)
    return undefined
  }

  #nameRule(trigger: string, kind: RuleKind): void {
    const below = trigger.startsWith('*.')
    const text = Buffer.from(below ? trigger.slice(2) : trigger, 'latin1')
    const name = this.#name
    if (nameOctets(text, 0, text.length, name) === 0) this.#taker.skip('not-a-name')
    else if (below && !kind.allows && labelCount(name) === 1 && isTooLarge(name, false)) this.#taker.skip('whole-domain')
    else this.#taker.name(name, below ? 'below' : 'name', kind)
  }

  /** The prefix length, then the address backwards; `zz` stands for `::`. */
  #addressRule(text: string, what: 'clients' | 'addresses', kind: RuleKind): void {
    const [prefix = '', ...parts] = text.split('.')
    const isIpv4 = parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part))
    const backwards = parts.toReversed()
    const address = isIpv4 ? backwards.join('.') : backwards.map((part) => (part === 'zz' ? '' : part)).join(':')
    const octets = isIpv4 ? ipv4Octets(address) : ipv6Octets(address)
    const bits = /^\d{1,3}$/.test(prefix) ? Number(prefix) : 0
    if (octets === undefined || bits < 1 || bits > octets.length * 8) {
      this.#taker.skip('not-a-name')
      return
    }
    // All clients of a block may be exempt, however large it is.
    if (bits < (isIpv4 ? 8 : 16) && !(what === 'clients' && kind.allows)) {
      this.#taker.skip('whole-domain')
      return
    }
    this.#taker[what](octets, bits, kind)
  }
}

function ipv4Octets(address: string): Uint8Array | undefined {
  return address.split('.').every((part) => Number(part) < 256) ? addressOctets(address) : undefined
}

/** Parses an IPv6 address. An empty group at one end is half of a `::`. */
function ipv6Octets(text: string): Uint8Array | undefined {
  const address = text.replace(/^:(?!:)/, '::').replace(/(?<!:):$/, '::')
  return URL.canParse(`http://[${address}]`) ? addressOctets(address) : undefined
}

/** Removes a comment. A semicolon in quotation marks begins no comment. */
function withoutComment(line: string): string {
  if (!line.includes(';')) return line
  return line.replace(/("(?:[^"\\]|\\.)*")|;.*$/g, (_, quoted: string | undefined) => quoted ?? '')
}

function count(text: string, character: string): number {
  let found = 0
  for (const one of text) if (one === character) found++
  return found
}
