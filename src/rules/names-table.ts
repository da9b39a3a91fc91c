import { putU16, u32 } from '../dns/octets.ts'

/**
 * A set of names and addresses, each with a number: an open-addressing table of keyed 64-bit cells
 * in shared memory. It holds no text. A name is found by a hash over its labels, beginning at the
 * root. So one pass over a name gives the hashes of the name and of every name above it.
 *
 * A cell holds 52 bits of the hash and the number of a rule (12 bits). 32 other bits of the hash
 * give the slot. An absent name is mistaken for a present one with a probability of 2^-52 for each
 * compared cell. At the planned share of used cells, a lookup compares 3 to 6 cells for each label.
 *
 * A filter has a bit for the last two labels of each name, as `example.com`. It is small enough for
 * the caches of a processor, and ends most lookups before the cells, which are not.
 */

/** The data of a finished table. It can be sent to another thread without a copy. */
export interface TableData {
  /** Two 32-bit words for each cell. */
  readonly cells: Int32Array
  /** Bits; their number is a power of two. */
  readonly filter: Int32Array
  /** The key of the hash. */
  readonly key: readonly [number, number]
  /** The fewest labels of a name in the table. */
  readonly leastLabels: number
  /** The prefix lengths of its address blocks (IPv4, then IPv6), the longest first. */
  readonly prefixes4: readonly number[]
  readonly prefixes6: readonly number[]
}

/** Limit of rule groups. A cell has the number of its group. */
export const MOST_GROUPS = 4096
const RULE_BITS = MOST_GROUPS - 1
/**
 * The planned share of used cells. At this share, a lookup of an absent name compares 3 to 6 cells.
 */
const FULL = 0.66
/** The highest share of used cells. `add` refuses more, because probing would become slow. */
const FULLEST = 0.85
/** Limit of rules found for one name; the rest is ignored. */
export const MOST_FOUND = 64

/**
 * Results of `add`: the name is new, or it already has this rule. A result >= 0 is another rule of
 * the name.
 */
export const NEW = -1
export const SAME = -2
/** Result of `add`: the table is full, and nothing was added. */
export const NO_ROOM = -3

const MOST_LABELS = 128
const labelAt = new Uint8Array(MOST_LABELS)
/**
 * Hashes of the suffixes of the last hashed name: low word, high word, slot. The whole name is
 * first.
 */
const hashes = new Int32Array(3 * MOST_LABELS)
/** Where each suffix begins in the table, and the low word that is there. */
const slotsOf = new Int32Array(MOST_LABELS)
const firstCells = new Int32Array(MOST_LABELS)

const SUFFIXES = 1
const WHOLE = 0
/** The labels of a name by which the filter knows it. */
const FILTERED_LABELS = 2
/** Bits of the filter for each name that is expected: one in nine domains passes it by chance. */
const FILTER_BITS = 8
const NO_FILTER = new Int32Array(0)
/** The longest suffix of the last hashed name that may be in the table. */
let longestFiltered = 0

/** Whether the filter has the bit of the hash whose low word this is. */
function passes(filter: Int32Array, low: number): boolean {
  const bit = low & (32 * filter.length - 1)
  return (filter[bit >>> 5]! & (1 << (bit & 31))) !== 0
}

/**
 * Hashes the name in wire form at `at`, and with SUFFIXES every name above it with at least `least`
 * labels. The hash is HalfSipHash-1-3 (Aumasson, Bernstein) over the labels from the root. The last
 * word of each label holds its length, so that no two names give the same words. Returns the number
 * of labels. With a filter that does not pass the name, it ends at the last two labels, and
 * `longestFiltered` is the suffix below them.
 */
function hashName(
  name: Uint8Array,
  at: number,
  key0: number,
  key1: number,
  least: number,
  what: number,
  filter: Int32Array = NO_FILTER,
): number {
  let labels = 0
  longestFiltered = 0
  for (let p = at; name[p] !== 0; p += name[p]! + 1) labelAt[labels++] = p - at
  let v0 = key0
  let v1 = key1
  let v2 = 0x6c796765 ^ key0
  let v3 = 0x74656462 ^ key1
  for (let k = labels - 1; k >= 0; k--) {
    const length = name[at + labelAt[k]!]!
    const end = at + labelAt[k]! + 1 + length
    for (let i = end - length; ; i += 4) {
      const rest = end - i
      let word = rest > 0 ? name[i]! : 0
      if (rest > 1) word |= name[i + 1]! << 8
      if (rest > 2) word |= name[i + 2]! << 16
      word |= (rest > 3 ? name[i + 3]! : length | 0x80) << 24
      v3 ^= word
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (v0 + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
      v0 ^= word
      if (rest < 4) break
    }
    if (k > 0 && labels - k !== FILTERED_LABELS && (what === WHOLE || labels - k < least)) continue
    let f0 = v0
    let f1 = v1
    let f2 = v2 ^ 0xee
    let f3 = v3
    for (let round = 0; round < 3; round++) {
      f0 = (f0 + f1) | 0
      f1 = ((f1 << 5) | (f1 >>> 27)) ^ f0
      f0 = (f0 << 16) | (f0 >>> 16)
      f2 = (f2 + f3) | 0
      f3 = ((f3 << 8) | (f3 >>> 24)) ^ f2
      f0 = (f0 + f3) | 0
      f3 = ((f3 << 7) | (f3 >>> 25)) ^ f0
      f2 = (f2 + f1) | 0
      f1 = ((f1 << 13) | (f1 >>> 19)) ^ f2
      f2 = (f2 << 16) | (f2 >>> 16)
    }
    const low = f1 ^ f3
    hashes[3 * k] = low === 0 ? 1 : low
    hashes[3 * k + 1] = f0 ^ f2
    hashes[3 * k + 2] = (f0 + f3) | 0
    if (labels - k === FILTERED_LABELS && filter.length > 0 && !passes(filter, hashes[3 * k]!)) {
      longestFiltered = k + 1
      return labels
    }
  }
  return labels
}

/**
 * Scratch buffer for an address block, written as a name. Its second label cannot occur in a rule's
 * name.
 */
const block = new Uint8Array(32)
/** First octet of the last label of an address block. */
const BLOCK = 0xff

/**
 * Writes into `block` the address block with this prefix length that contains the address at `at`.
 */
function putBlock(octets: Uint8Array, at: number, length: 4 | 16, prefix: number): void {
  block[0] = length
  for (let i = 0; i < length; i++) {
    const bits = Math.min(8, Math.max(0, prefix - 8 * i))
    block[1 + i] = octets[at + i]! & (0xff00 >> bits)
  }
  block[1 + length] = 2
  putU16(block, 2 + length, (BLOCK << 8) | prefix)
  block[4 + length] = 0
}

/** Builds a table of fixed size. One thread fills it before others read it. */
export class TableBuilder {
  readonly #cells: Int32Array
  readonly #filter: Int32Array
  readonly #slots: number
  readonly #key: readonly [number, number]
  readonly #prefixes = { 4: new Set<number>(), 16: new Set<number>() }
  #used = 0
  #leastLabels = MOST_LABELS

  /** `entries`: the expected number of names and blocks. `key`: 8 random octets. */
  constructor(entries: number, key: Uint8Array) {
    this.#slots = Math.ceil(entries / FULL) + 16
    this.#cells = new Int32Array(new SharedArrayBuffer(8 * this.#slots))
    const bits = FILTER_BITS * Math.min(MOST_FILTERED, Math.max(LEAST_FILTERED, entries))
    this.#filter = new Int32Array(new SharedArrayBuffer(2 ** Math.ceil(Math.log2(bits)) / 8))
    this.#key = [u32(key, 0) | 0, u32(key, 4) | 0]
  }

  /** Number of used cells. A name with two rules uses two. */
  get used(): number {
    return this.#used
  }

  /**
   * Adds a rule for the name at `at` (wire form, lower-case). Returns NEW, SAME, NO_ROOM, or
   * another rule of the name.
   */
  add(name: Uint8Array, at: number, rule: number): number {
    const labels = hashName(name, at, this.#key[0], this.#key[1], 0, WHOLE)
    // The root has no label and gets no cell.
    if (labels === 0) return SAME
    if (labels < this.#leastLabels) this.#leastLabels = labels
    if (labels >= FILTERED_LABELS) {
      const bit = hashes[3 * (labels - FILTERED_LABELS)]! & (32 * this.#filter.length - 1)
      this.#filter[bit >>> 5] = this.#filter[bit >>> 5]! | (1 << (bit & 31))
    }
    return this.#put(rule)
  }

  /**
   * Adds a rule for an address block: 4 or 16 octets, of which the first `prefix` bits count.
   * Returns the same as `add`.
   */
  addBlock(octets: Uint8Array, length: 4 | 16, prefix: number, rule: number): number {
    this.#prefixes[length].add(prefix)
    putBlock(octets, 0, length, prefix)
    hashName(block, 0, this.#key[0], this.#key[1], 0, WHOLE)
    return this.#put(rule)
  }

  /** The finished table. */
  data(): TableData {
    const longestFirst = (set: ReadonlySet<number>) => [...set].sort((a, b) => b - a)
    return {
      cells: this.#cells,
      filter: this.#filter,
      key: this.#key,
      leastLabels: this.#leastLabels,
      prefixes4: longestFirst(this.#prefixes[4]),
      prefixes6: longestFirst(this.#prefixes[16]),
    }
  }

  #put(rule: number): number {
    if (this.#used >= this.#slots * FULLEST) return NO_ROOM
    const cells = this.#cells
    const low = hashes[0]!
    const high = hashes[1]! & ~RULE_BITS
    let met = NEW
    let slot = slotOf(hashes[2]!, this.#slots)
    for (;;) {
      const found = cells[2 * slot]!
      if (found === 0) break
      if (found === low && (cells[2 * slot + 1]! & ~RULE_BITS) === high) {
        const other = cells[2 * slot + 1]! & RULE_BITS
        if (other === rule) return SAME
        met = other
      }
      if (++slot === this.#slots) slot = 0
    }
    cells[2 * slot] = low
    cells[2 * slot + 1] = high | rule
    this.#used++
    return met
  }
}

const LEAST_FILTERED = 128
/** The number of a bit has at most 30 bits. */
const MOST_FILTERED = 2 ** 27
const TWO_32 = 2 ** 32
const slotOf = (hash: number, slots: number) => (((hash >>> 0) / TWO_32) * slots) | 0

/** Reads a finished table. Any number of threads may read it; none may write it. */
export class NamesTable {
  readonly #cells: Int32Array
  readonly #filter: Int32Array
  readonly #slots: number
  readonly #key0: number
  readonly #key1: number
  readonly #leastLabels: number
  readonly #prefixes4: readonly number[]
  readonly #prefixes6: readonly number[]
  /** The numbers of the rules that the last lookup found. */
  readonly rules = new Uint16Array(MOST_FOUND)
  /**
   * For each rule of `rules`: number of leftmost labels that its name lacks. 0: the rule has the
   * whole name.
   */
  readonly depths = new Uint8Array(MOST_FOUND)

  constructor({ cells, filter, key, leastLabels, prefixes4, prefixes6 }: TableData) {
    this.#cells = cells
    this.#filter = filter
    this.#slots = cells.length / 2
    this.#key0 = key[0]
    this.#key1 = key[1]
    this.#leastLabels = leastLabels
    this.#prefixes4 = prefixes4
    this.#prefixes6 = prefixes6
  }

  /** Memory of the table, in octets. */
  get octets(): number {
    return this.#cells.byteLength + this.#filter.byteLength
  }
  /** Whether it holds address blocks. */
  get hasBlocks(): boolean {
    return this.#prefixes4.length + this.#prefixes6.length > 0
  }

  /**
   * Finds the rules of the name at `at` (wire form, lower-case, well formed) and of every name
   * above it. Writes them to `rules` and `depths`, the shortest name first, and returns their
   * number.
   */
  find(name: Uint8Array, at: number): number {
    const least = this.#leastLabels
    const cells = this.#cells
    const slots = this.#slots
    const longest = hashName(name, at, this.#key0, this.#key1, least, SUFFIXES, this.#filter) - least
    const first = longestFiltered
    // A table of millions of names is in no cache of the processor: the first cells of all suffixes
    // are fetched from memory at the same time, and not one after the other.
    for (let k = longest; k >= first; k--) {
      const slot = slotOf(hashes[3 * k + 2]!, slots)
      slotsOf[k] = slot
      firstCells[k] = cells[2 * slot]!
    }
    let count = 0
    for (let k = longest; k >= first; k--) if (firstCells[k] !== 0) count = this.#probe(k, slotsOf[k]!, count)
    return count
  }

  /**
   * Finds the rules of the blocks that contain the address at `at` of `octets`. Returns their
   * number, like `find`.
   */
  findAddress(octets: Uint8Array, at: number, length: 4 | 16): number {
    const prefixes = length === 4 ? this.#prefixes4 : this.#prefixes6
    let count = 0
    for (let i = 0; i < prefixes.length; i++) {
      putBlock(octets, at, length, prefixes[i]!)
      hashName(block, 0, this.#key0, this.#key1, 0, WHOLE)
      count = this.#probe(0, slotOf(hashes[2]!, this.#slots), count)
    }
    return count
  }

  /** Adds the rules of a suffix, or of a block, to those found; its cells begin at `first`. */
  #probe(k: number, first: number, count: number): number {
    const cells = this.#cells
    const low = hashes[3 * k]!
    const high = hashes[3 * k + 1]! & ~RULE_BITS
    const slots = this.#slots
    let found = count
    for (let slot = first; ; ) {
      const cell = cells[2 * slot]!
      if (cell === 0) return found
      if (cell === low && (cells[2 * slot + 1]! & ~RULE_BITS) === high && found < MOST_FOUND) {
        this.rules[found] = cells[2 * slot + 1]! & RULE_BITS
        this.depths[found++] = k
      }
      if (++slot === slots) slot = 0
    }
  }
}
