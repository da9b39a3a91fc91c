import type { ClosedWorld } from '../../adversary/closed-world.ts'

/**
 * What was taken from the wire of one server, beside the same visits in virtual time where there is
 * a model of it.
 */
export interface WireRow {
  readonly id: string
  readonly title: string
  readonly role: 'ours' | 'peer'
  readonly sites: number
  readonly visits: number
  readonly wire: ClosedWorld
  readonly virtual: ClosedWorld | undefined
  readonly wireCellsPerPage: number
  readonly virtualCellsPerPage: number | undefined
  /**
   * How late this process was while it watched, ms: of a machine that is busy otherwise, times on
   * the wire say little. Not in results that are older than it.
   */
  readonly stallP99Ms?: number
  /**
   * Distinct sizes of records with application data, most frequent first: octets, below zero comes
   * in, and how many.
   */
  readonly sizes: readonly (readonly [octets: number, count: number])[]
  /** The first visit's first 20 s as the tap saw it: ms, and octets of record body. */
  readonly sample: readonly (readonly [atMs: number, octets: number])[]
}
