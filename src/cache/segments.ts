const UNIT_OCTETS = 16
const MOST_SEGMENT_OCTETS = 256 * 1024
const LEAST_SEGMENT_OCTETS = 4096
/** Small caches get small segments: cleaning one must not empty the cache. */
const SEGMENTS = 16
/** Above this share of the memory nothing that has expired is worth keeping. */
const CROWDED = 0.75

/** A piece of memory that is filled from its beginning. */
export interface Segment {
  readonly index: number
  readonly octets: Uint8Array
  readonly words: Int32Array
  readonly doubles: Float64Array
  /** Units. */
  readonly capacity: number
  /** Where the next record goes. */
  endUnit: number
  liveUnits: number
  /**
   * Which filling of memory this is: another number once its records are moved or let go of, and
   * never one that any segment had before. A unit that was found under it begins a record.
   */
  filling: number
}

/**
 * Memory for records of whole units of 16 octets, bounded. A place is a number: the segment's index
 * and the
 * unit in it. What is larger than a segment gets one alone.
 */
export class Segments {
  readonly #maxOctets: number
  readonly #shift: number
  /** A power of 2 is 20 ns: these are read several times a look-up. */
  readonly #usual: number
  readonly #unitMask: number
  readonly #segments: (Segment | undefined)[] = []
  readonly #octets: Uint8Array[] = []
  readonly #words: Int32Array[] = []
  readonly #doubles: Float64Array[] = []
  readonly #free: number[] = []
  /** By index, the one that was begun longest ago first; the last one is being filled. */
  #order: number[] = []
  #taken = 0
  #live = 0
  #fillings = 0

  constructor(maxOctets: number) {
    this.#maxOctets = maxOctets
    const wanted = Math.min(MOST_SEGMENT_OCTETS, Math.max(LEAST_SEGMENT_OCTETS, maxOctets / SEGMENTS))
    this.#shift = Math.floor(Math.log2(wanted / UNIT_OCTETS))
    this.#usual = 1 << this.#shift
    this.#unitMask = this.#usual - 1
  }

  get octets(): number {
    return this.#taken
  }
  get liveUnits(): number {
    return this.#live
  }
  get crowded(): boolean {
    return this.#taken > this.#maxOctets * CROWDED
  }

  mayHold(units: number): boolean {
    return Math.max(units, this.#usual) * UNIT_OCTETS <= this.#maxOctets
  }

  place(index: number, unit: number): number {
    return (index << this.#shift) + unit
  }
  unitOf(place: number): number {
    return place & this.#unitMask
  }
  octetsOf(place: number): Uint8Array {
    return this.#octets[place >>> this.#shift]!
  }
  wordsOf(place: number): Int32Array {
    return this.#words[place >>> this.#shift]!
  }
  doublesOf(place: number): Float64Array {
    return this.#doubles[place >>> this.#shift]!
  }
  at(index: number): Segment | undefined {
    return this.#segments[index]
  }
  /** The index that comes next, round and round. */
  after(index: number): number {
    return index + 1 < this.#segments.length ? index + 1 : 0
  }

  /** A place for a record of so many units, or -1: first another segment must be cleaned. */
  append(units: number): number {
    const last = this.#segments[this.#order.at(-1) ?? -1]
    const segment = last !== undefined && last.endUnit + units <= last.capacity ? last : this.#another(units)
    if (segment === undefined) return -1
    const place = this.place(segment.index, segment.endUnit)
    segment.endUnit += units
    segment.liveUnits += units
    this.#live += units
    return place
  }

  /**
   * The one whose cleaning gives most if that is half of it, else the oldest; undefined where there
   * is none.
   */
  victim(): Segment | undefined {
    let best = this.#segments[this.#order[0] ?? -1]
    let share = 0.5
    for (const index of this.#order) {
      const segment = this.#segments[index]
      if (segment === undefined || segment.liveUnits / segment.capacity >= share) continue
      best = segment
      share = segment.liveUnits / segment.capacity
    }
    return best
  }

  died(place: number, units: number): void {
    const segment = this.#segments[place >>> this.#shift]
    if (segment !== undefined) segment.liveUnits -= units
    this.#live -= units
  }

  move(segment: Segment, from: number, to: number, units: number): void {
    segment.octets.copyWithin(to * UNIT_OCTETS, from * UNIT_OCTETS, (from + units) * UNIT_OCTETS)
  }

  /**
   * Only the first `endUnit` units are left of it, and it is filled next; one of another size
   * without a record is let go of.
   */
  cleaned(segment: Segment, endUnit: number): void {
    if (endUnit === 0 && segment.capacity !== this.#usual) {
      this.release(segment)
      return
    }
    this.#live += endUnit - segment.liveUnits
    segment.endUnit = endUnit
    segment.liveUnits = endUnit
    segment.filling = ++this.#fillings
    this.#order = this.#order.filter((index) => index !== segment.index)
    this.#order.push(segment.index)
  }

  /** The one that was begun longest ago. Throws where there is none: `mayHold` was not asked. */
  oldest(): Segment {
    const segment = this.#segments[this.#order[0] ?? -1]
    if (segment === undefined) throw new Error('no segment is left')
    return segment
  }

  /** Lets go of its memory. */
  release(segment: Segment): void {
    this.#live -= segment.liveUnits
    segment.liveUnits = 0
    segment.endUnit = 0
    segment.filling = ++this.#fillings
    this.#order = this.#order.filter((index) => index !== segment.index)
    this.#segments[segment.index] = undefined
    this.#free.push(segment.index)
    this.#taken -= segment.octets.length
  }

  /** The newest ones that come to at most so many units, the oldest of them first. */
  newest(units: number): readonly number[] {
    let left = units
    let from = this.#order.length
    while (from > 0) {
      left -= this.#segments[this.#order[from - 1] ?? -1]?.liveUnits ?? 0
      if (left < 0) break
      from--
    }
    return this.#order.slice(from)
  }

  /** Lets go of everything, wiped. */
  wipe(): void {
    for (const segment of this.#segments) {
      if (segment === undefined) continue
      segment.octets.fill(0)
      segment.filling = ++this.#fillings
    }
    for (const list of [this.#segments, this.#octets, this.#words, this.#doubles, this.#free, this.#order]) list.length = 0
    this.#taken = 0
    this.#live = 0
  }

  #another(units: number): Segment | undefined {
    const capacity = Math.max(units, this.#usual)
    const octets = capacity * UNIT_OCTETS
    if (this.#taken + octets > this.#maxOctets) return undefined
    const buffer = new ArrayBuffer(octets)
    const index = this.#free.pop() ?? this.#segments.length
    const views = { octets: new Uint8Array(buffer), words: new Int32Array(buffer), doubles: new Float64Array(buffer) }
    const filling = ++this.#fillings
    const segment: Segment = { index, ...views, capacity, endUnit: 0, liveUnits: 0, filling }
    this.#segments[index] = segment
    this.#octets[index] = segment.octets
    this.#words[index] = segment.words
    this.#doubles[index] = segment.doubles
    this.#order.push(index)
    this.#taken += octets
    return segment
  }
}
