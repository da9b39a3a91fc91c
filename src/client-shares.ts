import type { Random } from './clock.ts'

/** Buckets of a table; a client uses two of them, see FairShares. */
const BUCKETS = 4096
/**
 * A client may hold up to this many times the free part: 8/9 of all if it is alone, 8/(8n + 1) each
 * if there are n of them.
 */
const FREE_TIMES = 8
/** Clients with next to nothing in progress may use this much beyond the capacity. */
const BEYOND = 1 / 16
/** At most this many units count as next to nothing. */
const FEW = 4
/** With fewer units no client counts as heavy. */
const LEAST_HEAVY = 16

/**
 * The client for an address: an IPv4 address, or an IPv6 /64 (a host may choose any address in it;
 * RFC 8981). `address` is a numeric address without zone; all spellings of an IPv6 address give the
 * same result. The result is only for comparisons.
 */
export function clientOf(address: string): string {
  if (!address.includes(':')) return address
  const halves = address.split('::')
  const front = groupsOf(halves[0])
  const back = groupsOf(halves[1])
  const groups = halves.length === 1 ? front : [...front, ...Array<string>(Math.max(0, 8 - front.length - back.length)).fill('0'), ...back]
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')
}

const groupsOf = (half: string | undefined) => (half === undefined || half === '' ? [] : half.split(':'))

/**
 * Divides what all clients use together, by how much each holds. A client may hold most of it while
 * others need little. The fuller it is, the less a heavy client may hold, and what becomes free
 * goes to others. A client that holds next to nothing gets a share while there is any. It makes no
 * object per query, and its memory is bounded: each client is counted in two buckets, by hashes
 * with secret seeds, and the smaller count is used. A client is overcounted only if others share
 * both buckets with it. Used from one thread.
 */
export class FairShares {
  readonly #capacity: number
  readonly #unit: number
  readonly #held = new Float64Array(2 * BUCKETS)
  readonly #seeds: readonly [number, number]
  #total = 0
  #clients = 0
  /** The client of the last lookup, and its buckets, because questions come in bursts. */
  #address: string | undefined
  #one = 0
  #other = 0

  /** `capacity`: the total that may be held. `unit`: the most that one question takes. */
  constructor(capacity: number, unit: number, random: Random) {
    this.#capacity = capacity
    this.#unit = unit
    this.#seeds = [random.below(2 ** 32), random.below(2 ** 32)]
  }

  /** The total that is held. */
  get total(): number {
    return this.#total
  }

  /**
   * Takes `amount` for the client at `address`; the caller must give it back. Returns false if the
   * client has its share, or nothing is left.
   */
  take(address: string, amount: number): boolean {
    const own = this.#ownOf(address) + amount
    const left = this.#capacity - this.#total
    const mayHold = own <= FREE_TIMES * left && amount <= left
    if (!mayHold && !(own <= FEW * this.#unit && amount <= left + BEYOND * this.#capacity)) return false
    this.#add(amount)
    return true
  }

  give(address: string, amount: number): void {
    this.#find(address)
    this.#add(-amount)
  }

  /**
   * Whether the client at `address` holds much more than the average: then it waits behind the
   * others.
   */
  isHeavy(address: string): boolean {
    const own = this.#ownOf(address)
    return own > LEAST_HEAVY * this.#unit && 2 * own * this.#clients > this.#total
  }

  #ownOf(address: string): number {
    this.#find(address)
    return Math.min(this.#held[this.#one]!, this.#held[this.#other]!)
  }

  #add(amount: number): void {
    const held = this.#held
    const before = held[this.#one]!
    held[this.#one] = before + amount
    held[this.#other] = held[this.#other]! + amount
    this.#total += amount
    if (before === 0) this.#clients++
    else if (before + amount === 0) this.#clients--
  }

  #find(address: string): void {
    if (address === this.#address) return
    this.#address = address
    const client = clientOf(address)
    this.#one = hashOf(client, this.#seeds[0]) % BUCKETS
    this.#other = BUCKETS + (hashOf(client, this.#seeds[1]) % BUCKETS)
  }
}

/** Without the seed an attacker cannot choose which clients collide. */
export function hashOf(client: string, seed: number): number {
  let hash = seed
  for (let i = 0; i < client.length; i++) {
    hash = Math.imul(hash ^ client.charCodeAt(i), 0x9e3779b1)
    hash ^= hash >>> 15
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
