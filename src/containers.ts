/**
 * Containers for objects that come and go with every query. A Map or a Set is not suitable: after
 * its table has been promoted, each rehash leaves the old table in old space, which keeps all
 * earlier entries alive until the next major collection (measured: 5.1 us of collector time per
 * cache miss).
 */

/** A member of at most one LinkedSet: it holds the set's links. Only the set writes them. */
export interface Linked<T> {
  before: T | undefined
  after: T | undefined
  /** The set to which it belongs. */
  holder: object | undefined
}

/** A set in insertion order, whose links are fields of its members. */
export class LinkedSet<T extends Linked<T>> {
  #first: T | undefined
  #last: T | undefined
  #size = 0

  get size(): number {
    return this.#size
  }
  get first(): T | undefined {
    return this.#first
  }

  has(member: T): boolean {
    return member.holder === this
  }

  /**
   * Appends a member; one that is already in the set stays where it is. Throws if it is in another
   * set.
   */
  add(member: T): void {
    if (member.holder === this) return
    if (member.holder !== undefined) throw new Error('a member of another set')
    member.holder = this
    member.before = this.#last
    if (this.#last === undefined) this.#first = member
    else this.#last.after = member
    this.#last = member
    this.#size++
  }

  /**
   * Returns whether it was in the set. Its links are cleared, so that it keeps no other member
   * alive.
   */
  delete(member: T): boolean {
    if (member.holder !== this) return false
    const { before, after } = member
    if (before === undefined) this.#first = after
    else before.after = after
    if (after === undefined) this.#last = before
    else after.before = before
    member.before = undefined
    member.after = undefined
    member.holder = undefined
    this.#size--
    return true
  }

  clear(): void {
    for (let member = this.#first; member !== undefined; member = this.#first) this.delete(member)
  }

  /** A copy of the current members, first to last: later changes do not affect it. */
  list(): T[] {
    const members: T[] = []
    for (let member = this.#first; member !== undefined; member = member.after) members.push(member)
    return members
  }
}

const LEAST_PLACES = 16
/** 2^32 divided by the golden ratio: spreads consecutive numbers (Knuth, TAOCP 6.4). */
const SPREAD = 0x9e3779b1

/**
 * Members by a number from 0 to 2^31 - 2, such as a message ID or stream ID. It grows to the
 * largest number of members that it ever held, and does not shrink.
 */
export class NumberTable<T> {
  /** Each number plus 1; 0: free. Linear probing; a freed place is filled by a later entry. */
  #keys = new Int32Array(LEAST_PLACES)
  #members: (T | undefined)[] = new Array<T | undefined>(LEAST_PLACES).fill(undefined)
  #size = 0

  get size(): number {
    return this.#size
  }

  has(key: number): boolean {
    return this.#keys[this.#placeOf(key + 1)] === key + 1
  }

  get(key: number): T | undefined {
    const place = this.#placeOf(key + 1)
    return this.#keys[place] === key + 1 ? this.#members[place] : undefined
  }

  set(key: number, member: T): void {
    if (this.#size * 2 >= this.#keys.length) this.#grow()
    const place = this.#placeOf(key + 1)
    if (this.#keys[place] !== key + 1) this.#size++
    this.#keys[place] = key + 1
    this.#members[place] = member
  }

  /** Returns whether it was present. */
  delete(key: number): boolean {
    let hole = this.#placeOf(key + 1)
    const keys = this.#keys
    if (keys[hole] !== key + 1) return false
    const mask = keys.length - 1
    for (let place = (hole + 1) & mask; keys[place] !== 0; place = (place + 1) & mask) {
      const distance = (place - this.#homeOf(keys[place] as number)) & mask
      if (distance < ((place - hole) & mask)) continue
      keys[hole] = keys[place] as number
      this.#members[hole] = this.#members[place]
      hole = place
    }
    keys[hole] = 0
    this.#members[hole] = undefined
    this.#size--
    return true
  }

  clear(): void {
    this.#keys.fill(0)
    this.#members.fill(undefined)
    this.#size = 0
  }

  /** A copy of the current members, in no order. */
  list(): T[] {
    return this.#size === 0 ? [] : this.#members.filter((member) => member !== undefined)
  }

  #homeOf(stored: number): number {
    return (Math.imul(stored, SPREAD) >>> 16) & (this.#keys.length - 1)
  }

  /** The place of a number, or the place where it would go. */
  #placeOf(stored: number): number {
    const keys = this.#keys
    const mask = keys.length - 1
    let place = this.#homeOf(stored)
    while (keys[place] !== 0 && keys[place] !== stored) place = (place + 1) & mask
    return place
  }

  #grow(): void {
    const [keys, members] = [this.#keys, this.#members]
    this.#keys = new Int32Array(keys.length * 2)
    this.#members = new Array<T | undefined>(keys.length * 2).fill(undefined)
    keys.forEach((stored, from) => {
      if (stored === 0) return
      const place = this.#placeOf(stored)
      this.#keys[place] = stored
      this.#members[place] = members[from]
    })
  }
}
