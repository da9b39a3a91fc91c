import { addressOctets, allowList, parseCidr } from '../config/cidr.ts'
import type { Dns64Settings } from '../config/dns64.ts'
import { labelsOf } from '../dns/name.ts'
import { ipv6Text } from '../dns/rdata-text.ts'
import { isFinalFailure } from '../dns/response.ts'
import { type PlainRecord, plainRecords, responseOf } from '../dns/rewrite.ts'
import { type Answer, isFromServer, type Query, type Question } from '../resolve.ts'
import { reverseName } from './own-names.ts'

const A = 1
const PTR = 12
const AAAA = 28
const RRSIG = 46
const NXDOMAIN = 3
/**
 * The highest TTL of a synthesised record, in seconds, if the resolver sent no SOA (RFC 6147
 * section 5.1.7).
 */
const MAX_TTL_WITHOUT_SOA_S = 600
const WELL_KNOWN = '64:ff9b::/96'

/**
 * DNS64 (RFC 6147): makes IPv6 addresses for hosts that have none, from their IPv4 addresses and
 * the NAT64 prefix of the network. Pure: the stage asks for the IPv4 addresses.
 */
export class Dns64 {
  readonly #prefix: Uint8Array
  /** Octets of the prefix. */
  readonly #length: number
  readonly #isWellKnown: boolean
  readonly #isExcluded: (address: string) => boolean
  readonly #isGlobal: (address: string) => boolean

  constructor({ prefix, exclude }: Dns64Settings) {
    const cidr = parseCidr(prefix)
    this.#prefix = addressOctets(cidr?.address ?? '::')
    this.#length = (cidr?.prefix ?? 96) / 8
    const known = parseCidr(WELL_KNOWN)
    this.#isWellKnown = known !== undefined && this.#length === 12 && sameOctets(this.#prefix, addressOctets(known.address))
    this.#isExcluded = allowList(exclude)
    const isLocal = allowList(NOT_GLOBAL)
    this.#isGlobal = (address) => !isLocal(address)
  }

  /**
   * Decides whether a reply to an AAAA question needs synthesis. Returns the answer to use, without
   * excluded addresses, or `needs-ipv4`. Only answers of resolvers are changed. A client that
   * validates DNSSEC itself (DO and CD set) gets the signed answer unchanged (RFC 6147 section
   * 5.5).
   */
  judge({ question, checkingDisabled, edns }: Query, answer: Answer): Answer | 'needs-ipv4' {
    const { rcode, ede } = answer
    if (question.type !== AAAA || !isFromServer(answer.from)) return answer
    if (checkingDisabled && edns?.dnssecOk === true) return answer
    if (rcode === NXDOMAIN || isFinalFailure(rcode, ede?.code)) return answer
    if (rcode !== 0) return 'needs-ipv4'
    const records = plainRecords(answer.wire)
    const isBad = ({ section, type, rdata }: PlainRecord) => section === 1 && type === AAAA && this.#isExcluded(ipv6Text(rdata))
    const addresses = records.filter(({ section, type }) => section === 1 && type === AAAA)
    const good = addresses.filter((one) => !isBad(one))
    if (good.length === 0) return 'needs-ipv4'
    if (good.length === addresses.length) return answer
    const { ttlAts: _ofOther, ...rest } = answer
    return {
      ...rest,
      wire: responseOf(
        question,
        answer.wire,
        records.filter((one) => !isBad(one) && !signs(one, AAAA)),
      ),
    }
  }

  /**
   * Makes the answer to an AAAA question from the answer to the A question (`ipv4`). `absent` is
   * the AAAA answer without addresses; it is returned if there is no IPv4 address either.
   */
  synthesise(question: Question, absent: Answer, ipv4: Answer): Answer {
    if (ipv4.rcode !== 0 && ipv4.rcode !== NXDOMAIN) {
      const { ttlAts: _ofOther, ...rest } = ipv4
      return { ...rest, wire: responseOf(question, ipv4.wire, plainRecords(ipv4.wire)) }
    }
    const limitS = absent.storeS === 'no' || absent.rcode !== 0 ? MAX_TTL_WITHOUT_SOA_S : absent.storeS
    const records = plainRecords(ipv4.wire).flatMap((one) => {
      if (one.section !== 1) return [one]
      if (one.type === A)
        return this.#mayEmbed(one.rdata) ? [{ ...one, type: AAAA, ttlS: Math.min(one.ttlS, limitS), rdata: this.embed(one.rdata) }] : []
      return signs(one, A) ? [] : [one]
    })
    if (!records.some(({ section, type }) => section === 1 && type === AAAA)) return absent
    const { ttlAts: _ofOther, ...rest } = ipv4
    return { ...rest, wire: responseOf(question, ipv4.wire, records), storeS: ipv4.storeS === 'no' ? 'no' : Math.min(ipv4.storeS, limitS) }
  }

  /** The IPv6 address that embeds an IPv4 address (RFC 6052 section 2.2). */
  embed(ipv4: Uint8Array): Uint8Array {
    const address = this.#prefix.slice()
    for (const [i, at] of this.#places().entries()) address[at] = ipv4[i] ?? 0
    return address
  }

  /**
   * For a PTR question about an address under our prefix: the reverse name of the embedded IPv4
   * address (RFC 6147 section 5.3.1). Undefined: any other question.
   */
  ipv4Reverse({ lower, type }: Question): Uint8Array | undefined {
    if (type !== PTR) return undefined
    const address = addressOfReverse(lower)
    if (address === undefined) return undefined
    const places = this.#places()
    const ipv4 = Uint8Array.from(places, (at) => address[at] ?? 0)
    return sameOctets(this.embed(ipv4), address) ? reverseName(ipv4) : undefined
  }

  /** RFC 6052 section 3.1: the well-known prefix embeds public IPv4 addresses only. */
  #mayEmbed(ipv4: Uint8Array): boolean {
    return !this.#isWellKnown || this.#isGlobal(ipv4.join('.'))
  }

  /** The positions of the four IPv4 octets in the address; octet 8 is skipped and stays 0. */
  #places(): readonly number[] {
    return [0, 1, 2, 3].map((i) => this.#length + i).map((at) => (this.#length <= 8 && at >= 8 ? at + 1 : at))
  }
}

/**
 * Address blocks that are not global (RFC 6890). The list omits 192.0.0.0/24, because ipv4only.arpa
 * has its addresses there (RFC 7050), and the documentation networks.
 */
const NOT_GLOBAL = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '224.0.0.0/3',
]

function signs({ type, rdata }: PlainRecord, covered: number): boolean {
  return type === RRSIG && rdata[0] === covered >> 8 && rdata[1] === (covered & 0xff)
}

/** The IPv6 address of a reverse name in ip6.arpa; undefined: it is no full reverse name. */
function addressOfReverse(lower: Uint8Array): Uint8Array | undefined {
  const labels = labelsOf(lower)
  if (labels.length !== 34 || labels[32] !== 'ip6' || labels[33] !== 'arpa') return undefined
  const nibbles = labels.slice(0, 32).reverse()
  if (!nibbles.every((label) => /^[0-9a-f]$/.test(label))) return undefined
  return Uint8Array.from(Buffer.from(nibbles.join(''), 'hex'))
}

const sameOctets = (one: Uint8Array, other: Uint8Array) => one.length === other.length && one.every((octet, at) => octet === other[at])
