import { clientOf, hashOf } from '../client-shares.ts'
import type { Random } from '../clock.ts'
import { UDP_SIZE } from '../dns/edns.ts'
import { nameLength } from '../dns/name.ts'

/**
 * Replies per second to one client (an IPv4 address, an IPv6 /64) and to its network (an IPv4 /24,
 * an IPv6 /56). The same number may come at once.
 */
const PER_CLIENT = 200
const PER_NETWORK = 2000
/** How many times more replies without content are allowed; these are no larger than the query. */
const TRUNCATED_TIMES = 5
const BUCKETS = 8192

const HEADER = 12
const TYPE_OPT = 41
const OPT_OCTETS = 11

/** Whether a client is on this host, so that its address cannot be forged. `address` is numeric. */
export function isLocal(address: string): boolean {
  return address.startsWith('127.') || address === '::1' || address === '0:0:0:0:0:0:0:1'
}

/**
 * Limits how many replies this host can be made to send to an address that did not ask (reflection
 * and amplification: the sender of a UDP packet may forge any address in `allowFrom`). An honest
 * client beyond the limit asks again over TCP, which proves its address. Not used for clients on
 * this host (`isLocal`). Memory is bounded: clients share buckets by a seeded hash. Used from one
 * thread; each worker has its own. Memory is allocated when the first other host asks.
 */
export class ReplyRate {
  readonly #seed: number
  /**
   * The time until which a bucket has used up its replies (clock time, ms), as if they came at
   * equal intervals. Four rows: full and empty replies, of clients and of networks.
   */
  #usedUntilMs: Float64Array | undefined
  readonly #limited: () => void

  /** `limited` is called for each query that gets no full reply. */
  constructor(random: Random, limited: () => void) {
    this.#seed = random.below(2 ** 32)
    this.#limited = limited
  }

  /**
   * Checks a query from `address` (numeric, without zone). Undefined: it gets its answer. Otherwise
   * the length of the reply written at `at` of `out`, 0: no reply.
   */
  limitedReply(address: string, nowMs: number, packet: Uint8Array, out: Uint8Array, at: number): number | undefined {
    this.#usedUntilMs ??= new Float64Array(4 * BUCKETS)
    const used = this.#usedUntilMs
    const client = clientOf(address)
    const one = hashOf(client, this.#seed) % BUCKETS
    const network = BUCKETS + (hashOf(networkOf(client), this.#seed) % BUCKETS)
    if (takeReply(used, one, PER_CLIENT, network, PER_NETWORK, nowMs)) return undefined
    this.#limited()
    const [client2, network2] = [one + 2 * BUCKETS, network + 2 * BUCKETS]
    const empty = takeReply(used, client2, PER_CLIENT * TRUNCATED_TIMES, network2, PER_NETWORK * TRUNCATED_TIMES, nowMs)
    return empty ? truncatedReply(packet, out, at) : 0
  }
}

function takeReply(used: Float64Array, one: number, perSecond: number, network: number, networkPerSecond: number, nowMs: number): boolean {
  // One second ahead: the size of a burst.
  if (used[one]! > nowMs + 1000 || used[network]! > nowMs + 1000) return false
  used[one] = Math.max(used[one]!, nowMs) + 1000 / perSecond
  used[network] = Math.max(used[network]!, nowMs) + 1000 / networkPerSecond
  return true
}

/** The /24 of an IPv4 address, or the /56 of an IPv6 /64, as text for comparisons. */
function networkOf(client: string): string {
  if (!client.includes(':')) return client.slice(0, client.lastIndexOf('.'))
  const groups = client.split(':')
  return `${groups.slice(0, 3).join(':')}:${Number.parseInt(groups[3] ?? '0', 16) >>> 8}`
}

/**
 * Writes the reply that means "ask over TCP" (TC, RFC 1035 section 4.2.1) at `at` of `out` and
 * returns its length: header, question, and an OPT if the query has one directly after the question
 * (RFC 6891 section 6.1.1). It is never longer than the query. 0 if the packet is not a plain
 * query: it gets no reply.
 */
export function truncatedReply(packet: Uint8Array, out: Uint8Array, at: number): number {
  if (packet.length < HEADER || (packet[2]! & 0xf8) !== 0 || packet[4] !== 0 || packet[5] !== 1) return 0
  const name = nameLength(packet, HEADER)
  const end = HEADER + name + 4
  if (name === 0 || end > packet.length || end + OPT_OCTETS > UDP_SIZE) return 0
  out.set(packet.subarray(0, end), at)
  out[at + 2] = 0x82 | (packet[2]! & 0x01)
  out[at + 3] = 0x80 | (packet[3]! & 0x10)
  out.fill(0, at + 6, at + HEADER)
  const hasOpt = end + OPT_OCTETS <= packet.length && packet[end] === 0 && packet[end + 1] === 0 && packet[end + 2] === TYPE_OPT
  if (!hasOpt) return end
  out[at + 11] = 1
  out.fill(0, at + end, at + end + OPT_OCTETS)
  out[at + end + 2] = TYPE_OPT
  out[at + end + 3] = UDP_SIZE >> 8
  out[at + end + 4] = UDP_SIZE & 255
  // DO is copied (RFC 3225 section 3).
  out[at + end + 7] = packet[end + 7]! & 0x80
  return end + OPT_OCTETS
}
