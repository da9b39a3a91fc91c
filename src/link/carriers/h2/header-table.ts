import { type Field, STATIC_TABLE } from './static-table.ts'

const ENTRY_OVERHEAD_OCTETS = 32
/** The size that a table has before anybody says anything (RFC 9113 section 6.5.2). */
const DEFAULT_OCTETS = 4096

/**
 * The static and the dynamic table (RFC 7541 sections 2.3 and 4). We announce HEADER_TABLE_SIZE 0, and peers that honour it say so with their first header block,
 * which empties and closes the dynamic table. The h2o in dnsdist 1.7 does not honour it and goes on to use the default size (measured; RFC 9113 section 6.5.2 warns
 * of such), so until a peer says otherwise the table is there, and is bounded by that default.
 */
export class HeaderTable {
  /** Newest last. */
  #entries: Field[] = []
  #octets = 0
  #capacity = DEFAULT_OCTETS
  /** Changes whenever the dynamic table does: a block that is read between two equal versions meant the same both times. */
  version = 0

  /** By HPACK index, from 1; undefined if there is none. */
  at(index: number): Field | undefined {
    return index <= STATIC_TABLE.length ? STATIC_TABLE[index - 1] : this.#entries[this.#entries.length + STATIC_TABLE.length - index]
  }

  /** False where the size is none that a peer may choose. */
  resize(octets: number): boolean {
    if (octets < 0 || octets > DEFAULT_OCTETS) return false
    if (octets !== this.#capacity) this.version++
    this.#capacity = octets
    this.#evict()
    return true
  }

  /** Older ones go to make room; one that is larger than the table empties it (section 4.4). */
  add(field: Field): void {
    if (this.#capacity === 0) return
    this.version++
    this.#entries.push(field)
    this.#octets += octetsOf(field)
    this.#evict()
  }

  #evict(): void {
    let gone = 0
    while (this.#octets > this.#capacity) this.#octets -= octetsOf(this.#entries[gone++]!)
    if (gone > 0) this.#entries = this.#entries.slice(gone)
  }
}

function octetsOf(field: Field): number {
  return field.name.length + field.value.length + ENTRY_OVERHEAD_OCTETS
}
