const UNIT_OCTETS = 16
const MOST_SEGMENT_OCTETS = 256 * 1024
const LEAST_SEGMENT_OCTETS = 4096
/** Small caches get small segments: cleaning one segment must not empty the cache. */
const SEGMENTS = 16
/** If more than this share of the memory is allocated, no expired answer is kept. */
const CROWDED = 0.75

/** A piece of memory that is filled from its start. */
export interface Segment {
  readonly index: number
  readonly octets: Uint8Array
  readonly words: Int32Array
  readonly doubles: Float64Array
  /** Size in units. */
  readonly capacity: number
  /** The unit at which the next record goes. */
  endUnit: number
  liveUnits: number
  /**
   * Changes when records are moved or dropped, and no segment ever reuses a number. As long as it
   * is the same, a unit that was found to begin a record still begins one.
   */
  generation: number
}

/**
 * Memory for records of whole units of 16 octets, bounded. A place is a number made of the
 * segment's index and the unit in it. A record larger than a segment gets a segment of its own
 * size.
 */
export class Segments {
  readonly #maxOctets: number
  readonly #shift: number
  /** A power of two costs 20 ns to compute, and these values are read several times per lookup. */
  readonly #usual: number
  readonly #unitMask: number
  readonly #segments: (Segment | undefined)[] = []
  readonly #octets: Uint8Array[] = []
  readonly #words: Int32Array[] = []
  readonly #doubles: Float64Array[] = []
  readonly #free: number[] = []
  /** By index, the oldest first; the last one is being filled. */
  #order: number[] = []
  #taken = 0
  #live = 0
  #generations = 0

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
  /** The next index, in a cycle. */
  after(index: number): number {
    return index + 1 < this.#segments.length ? index + 1 : 0
  }

  /** A place for a record of `units` units, or -1 if another segment must be cleaned first. */
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
   * The segment whose cleaning frees the most, if that is at least half of it; else the oldest.
   * Undefined if there is no segment.
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
   * After cleaning, only the first `endUnit` units are in use, and the segment is filled next. An
   * empty segment of unusual size is released.
   */
  cleaned(segment: Segment, endUnit: number): void {
    if (endUnit === 0 && segment.capacity !== this.#usual) {
      this.release(segment)
      return
    }
    this.#live += endUnit - segment.liveUnits
    segment.endUnit = endUnit
    segment.liveUnits = endUnit
    segment.generation = ++this.#generations
    this.#order = this.#order.filter((index) => index !== segment.index)
    this.#order.push(segment.index)
  }

  /** The oldest segment. Throws if there is none: the caller did not check `mayHold`. */
  oldest(): Segment {
    const segment = this.#segments[this.#order[0] ?? -1]
    if (segment === undefined) throw new Error('no segment is left')
    return segment
  }

  /** Releases its memory. */
  release(segment: Segment): void {
    this.#live -= segment.liveUnits
    segment.liveUnits = 0
    segment.endUnit = 0
    segment.generation = ++this.#generations
    this.#order = this.#order.filter((index) => index !== segment.index)
    this.#segments[segment.index] = undefined
    this.#free.push(segment.index)
    this.#taken -= segment.octets.length
  }

  /** The newest segments that hold at most `units` units together, the oldest of them first. */
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

  /** Wipes and releases all segments. */
  wipe(): void {
    for (const segment of this.#segments) {
      if (segment === undefined) continue
      segment.octets.fill(0)
      segment.generation = ++this.#generations
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
    const generation = ++this.#generations
    const segment: Segment = { index, ...views, capacity, endUnit: 0, liveUnits: 0, generation }
    this.#segments[index] = segment
    this.#octets[index] = segment.octets
    this.#words[index] = segment.words
    this.#doubles[index] = segment.doubles
    this.#order.push(index)
    this.#taken += octets
    return segment
  }
}
