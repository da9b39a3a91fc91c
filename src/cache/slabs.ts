/** A place in a page; `size` is the class it was cut to. */
export interface Place {
  readonly page: Uint8Array
  readonly at: number
  readonly size: number
  readonly home: Page
}

/** Many places of one size, cut from one piece of memory. */
export interface Page {
  readonly memory: Uint8Array
  /** Where `Slabs.memories` has it. */
  readonly index: number
  /** Its index in SIZES, or -1: one place that is larger than any class. */
  readonly sizeClass: number
  readonly places: Place[]
  readonly free: Place[]
  /** Where the next place is cut. */
  cutAt: number
  live: number
}

const MOST_PAGE_OCTETS = 256 * 1024
const LEAST_PAGE_OCTETS = 4096
/** Small caches get small pages: every class may have one that is half empty. */
const PAGES = 64
/** Steps of a quarter: at most a fifth of a chunk is wasted, and 33 classes cover 64 octets to 16 KiB. Larger ones get a page of their own. */
const SIZES = sizesUpTo(16 * 1024)

function sizesUpTo(limit: number): readonly number[] {
  const sizes = [64]
  for (let size = 64; size < limit; ) {
    size = Math.ceil((size * 1.2) / 16) * 16
    sizes.push(size)
  }
  return sizes
}

/**
 * Memory for answers, cut from pages. A Buffer of its own per answer costs some 185 octets of heap more, and 100,000 of them keep the collector busy. Freed places
 * are used again for the same class; a page changes its class only through `emptiest`, so that a flood of answers of ever new sizes cannot make it grow without end.
 */
export class Slabs<P extends Place> {
  readonly #make: (place: Place) => P
  readonly #pageOctets: number
  readonly #pages = new Set<Page>()
  /** The memory of every page by its index; undefined where the page was let go of. */
  readonly memories: (Uint8Array | undefined)[] = []
  readonly #freeIndices: number[] = []
  /** Pages with room, by class. */
  readonly #open: Page[][] = SIZES.map(() => [])
  #octets = 0
  /** How far `next` has come. */
  #round: { readonly pages: Iterator<Page>; page: Page | undefined; at: number } | undefined

  /** `make` is called for a place that is new; one that was given back is handed out as it is. `budget`: octets that all pages may come to, roughly. */
  constructor(make: (place: Place) => P, budget: number) {
    this.#make = make
    this.#pageOctets = Math.max(LEAST_PAGE_OCTETS, Math.min(MOST_PAGE_OCTETS, Math.floor(budget / PAGES)))
  }

  /** What all pages come to, used or not. */
  get octets(): number {
    return this.#octets
  }

  /** A place of at least `octets`, with whatever was in it before; undefined if that needs a page and `octets` of all pages would go beyond `limit`. */
  take(octets: number, limit = Number.POSITIVE_INFINITY): P | undefined {
    const index = classOf(octets)
    const size = SIZES[index]
    if (size === undefined) return this.#large(octets, limit)
    const open = this.#open[index]!
    const page = open[open.length - 1] ?? this.#newPage(index, size, limit)
    if (page === undefined) return undefined
    page.live++
    const place = (page.free.pop() as P | undefined) ?? this.#cut(page, size)
    if (page.free.length === 0 && page.cutAt + size > page.memory.length) open.pop()
    return place
  }

  /** Gives a place back; the caller holds it no more. */
  give(place: P): void {
    const { home } = place
    home.live--
    if (home.sizeClass < 0) {
      this.drop(home)
      return
    }
    if (home.free.length === 0 && home.cutAt + place.size > home.memory.length) this.#open[home.sizeClass]!.push(home)
    home.free.push(place)
  }

  /** The page that loses least if all in it must go; undefined if there is none. */
  emptiest(): Page | undefined {
    let best: Page | undefined
    let bestShare = Number.POSITIVE_INFINITY
    for (const page of this.#pages) {
      const share = (page.live * (SIZES[page.sizeClass] ?? page.memory.length)) / page.memory.length
      if (share >= bestShare) continue
      best = page
      bestShare = share
      if (share === 0) break
    }
    return best
  }

  /** Every place in turn, used or not, page by page and round and round; undefined once at the end of a round. Any other call may come between. */
  next(): P | undefined {
    this.#round ??= { pages: this.#pages.values(), page: undefined, at: 0 }
    const round = this.#round
    while (round.page === undefined || round.at >= round.page.places.length) {
      const { value, done } = round.pages.next()
      if (done === true) {
        this.#round = undefined
        return undefined
      }
      round.page = value
      round.at = 0
    }
    return round.page.places[round.at++] as P
  }

  /** Lets go of a page in which nothing lives. */
  drop(page: Page): void {
    if (!this.#pages.delete(page)) return
    this.#octets -= page.memory.length
    this.memories[page.index] = undefined
    this.#freeIndices.push(page.index)
    const open = this.#open[page.sizeClass]
    const at = open?.indexOf(page) ?? -1
    if (at >= 0) open?.splice(at, 1)
  }

  /** Lets go of every page, wiped: nothing may live in them any more. */
  wipe(): void {
    for (const page of this.#pages) page.memory.fill(0)
    this.#pages.clear()
    this.#round = undefined
    this.memories.length = 0
    this.#freeIndices.length = 0
    for (const open of this.#open) open.length = 0
    this.#octets = 0
  }

  #large(octets: number, limit: number): P | undefined {
    const page = this.#allocate(octets, -1, limit)
    if (page === undefined) return undefined
    page.live = 1
    return this.#cut(page, octets)
  }

  #newPage(index: number, size: number, limit: number): Page | undefined {
    const page = this.#allocate(Math.max(size, Math.floor(this.#pageOctets / size) * size), index, limit)
    if (page !== undefined) this.#open[index]!.push(page)
    return page
  }

  #allocate(octets: number, sizeClass: number, limit: number): Page | undefined {
    if (this.#octets + octets > limit) return undefined
    const index = this.#freeIndices.pop() ?? this.memories.length
    const page: Page = { memory: Buffer.allocUnsafeSlow(octets), index, sizeClass, places: [], free: [], cutAt: 0, live: 0 }
    this.memories[index] = page.memory
    this.#pages.add(page)
    this.#octets += octets
    return page
  }

  #cut(home: Page, size: number): P {
    const place = this.#make({ page: home.memory, at: home.cutAt, size, home })
    home.cutAt += size
    home.places.push(place)
    return place
  }
}

function classOf(octets: number): number {
  let low = 0
  let high = SIZES.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (SIZES[middle]! < octets) low = middle + 1
    else high = middle
  }
  return low
}
