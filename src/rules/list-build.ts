import { createHash } from 'node:crypto'
import { firstBits } from '../config/cidr.ts'
import { MAX_LIST_OCTETS } from '../config/lists.ts'
import { EnigmError, systemCode } from '../errors.ts'
import { minisignCheck, minisignKey } from '../files/minisign.ts'
import { anyOwner, readParts } from '../files/reading.ts'
import type { ListFormat, RuleKind, RuleTaker, Scope, SkipReason } from './list-kinds.ts'
import { ListParser } from './list-parser.ts'
import { MOST_GROUPS, NEW, NO_ROOM, SAME, TableBuilder, type TableData } from './names-table.ts'

const LF = 10

/** A list to read. */
export interface ListSpec {
  readonly id: string
  /** The path of its file. */
  readonly path: string
  readonly format: ListFormat
  readonly action: 'block' | 'allow'
  /** The SHA-256 that its content must have, in hexadecimal; undefined: not checked. */
  readonly sha256?: string | undefined
  /**
   * The minisign public key that must have signed it. `signature`: the text of the .minisig file.
   * `fileName`: the name that a `file:` in its trusted comment must have.
   */
  readonly signed?: { readonly key: string; readonly signature: string; readonly fileName: string } | undefined
  /** Whether rules of this list are in force. A list that loses all of them at once is damaged. */
  readonly hasRules?: boolean
}

/**
 * Rules of one list with the same scope and kind. The table stores the index of the group for each
 * name.
 */
export interface RuleGroup {
  /** The index of the list. */
  readonly list: number
  readonly scope: Scope
  readonly kind: RuleKind
}

/** The unused lines of a list that have the same reason. */
export interface Skipped {
  readonly reason: SkipReason
  /** The modifier, for the reason `modifier`. */
  readonly detail: string | undefined
  count: number
  /** The number of the first such line; lines count from 1. */
  readonly line: number
}

/** The result of reading one list. */
export interface ListReport {
  readonly id: string
  readonly format: ListFormat
  readonly octets: number
  readonly lines: number
  /** Number of rules without duplicates. */
  rules: number
  /**
   * Number of rules for a name, address range or client range for which an earlier list has a rule,
   * by the id of that list.
   */
  readonly overlaps: Record<string, number>
  /** Number of those rules that allow what the earlier list blocks, or the other way round. */
  contradictions: number
  readonly skipped: readonly Skipped[]
}

/**
 * A rule for all questions of some clients. `octets` is the address (4 or 16 octets); only its
 * first `prefix` bits count.
 */
export interface ClientRule {
  readonly octets: Uint8Array
  readonly prefix: number
  /** The index of its group. */
  readonly group: number
}

/**
 * All lists: the rules about names and about addresses in answers in one table, and the rules about
 * clients.
 */
export interface BuiltLists {
  readonly table: TableData
  readonly groups: readonly RuleGroup[]
  readonly clients: readonly ClientRule[]
  readonly reports: readonly ListReport[]
}

/**
 * Why a list cannot be used. `message` is a clause that follows "the list X cannot be used:",
 * without a final dot.
 */
export interface ListFault {
  readonly id: string
  readonly message: string
}

/**
 * Reads all lists and builds one table. If a list cannot be used, returns the faults of all lists
 * and no table. Two million names take about 1 s, so callers run it in a worker thread. `key`: 8
 * random octets for the hash.
 */
export function buildLists(specs: readonly ListSpec[], key: Uint8Array): BuiltLists | { readonly faults: readonly ListFault[] } {
  const faults: ListFault[] = []
  const orFault = <T>(spec: ListSpec, work: () => T): T | undefined => {
    try {
      return work()
    } catch (error) {
      faults.push({ id: spec.id, message: faultOf(error) })
      return undefined
    }
  }
  const sizes = specs.map((spec) => orFault(spec, () => sizeOf(spec)) ?? { lines: 0, octets: 0 })
  // The others are read too, so that the faults of all lists are known at once.
  const readable = specs.filter(({ id }) => !faults.some((fault) => fault.id === id))
  let entries = sizes.reduce((sum, { lines }) => sum + lines, 0)
  // Every rule takes at least one octet of text, so a table with this many entries is never full.
  const mostEntries = sizes.reduce((sum, { octets }) => sum + octets, entries)
  for (let tries = 0; ; ) {
    const build = new Build(readable, entries, key)
    const reports = readable.map((spec, index) => orFault(spec, () => build.read(index)))
    if (faults.length > 0) return { faults }
    // One line of a hosts file may have several names, and many lines may contain no rule.
    const nextEntries = build.isFull ? Math.min(mostEntries, 2 * entries) : build.used < entries / 2 ? build.used : entries
    // A full table lacks rules, so it is always built again. A table that is not full is accepted
    // after MOST_TRIES tries even if its size is not ideal.
    if (!build.isFull && tries++ === MOST_TRIES) entries = nextEntries
    if (nextEntries === entries)
      return { table: build.data(), groups: build.groups, clients: build.clients, reports: reports.filter((one) => one !== undefined) }
    entries = nextEntries
  }
}

const MOST_TRIES = 6
/** Why a list has no effect, as a clause. */
export const EMPTY = 'it is empty or has only comments'
/** Limit of rules about clients: they are objects, not table cells, so they cost more memory. */
const MOST_CLIENT_RULES = 65_536

/** One pass over all lists into a table of one size. */
class Build {
  readonly groups: RuleGroup[] = []
  readonly clients: ClientRule[] = []
  isFull = false
  readonly #specs: readonly ListSpec[]
  readonly #table: TableBuilder
  readonly #numbers = new Map<string, number>()
  /** The last group of each range of clients. */
  readonly #clientRanges = new Map<string, number>()

  constructor(specs: readonly ListSpec[], entries: number, key: Uint8Array) {
    this.#specs = specs
    this.#table = new TableBuilder(entries, key)
  }

  get used(): number {
    return this.#table.used
  }

  data(): TableData {
    return this.#table.data()
  }

  /** Reads one list. Throws an EnigmError `source`, or the system's error, if it cannot be used. */
  read(index: number): ListReport {
    const spec = this.#specs[index]!
    const skipped = new Map<string, Skipped>()
    const found = { rules: 0, contradictions: 0, overlaps: {} as Record<string, number> }
    const note = (reason: SkipReason, detail?: string) => {
      const name = `${reason} ${detail ?? ''}`
      const known = skipped.get(name)
      if (known !== undefined) known.count++
      else if (skipped.size < MOST_REASONS) skipped.set(name, { reason, detail, count: 1, line: parser.line })
    }
    const counted = (otherGroup: number, allows: boolean) => {
      if (otherGroup === NO_ROOM) this.isFull = true
      if (otherGroup === NO_ROOM || otherGroup === SAME) return
      found.rules++
      const other = otherGroup < 0 ? undefined : this.groups[otherGroup]
      if (other === undefined || other.list === index) return
      const id = this.#specs[other.list]!.id
      found.overlaps[id] = (found.overlaps[id] ?? 0) + 1
      if (other.kind.allows !== allows) found.contradictions++
    }
    const taker: RuleTaker = {
      name: (name, scope, kind) => {
        const group = this.#groupOf(index, scope, kind)
        if (group < 0) note('too-many-kinds')
        else counted(this.#table.add(name, 0, group), this.groups[group]!.kind.allows)
      },
      addresses: (octets, prefix, kind) => {
        const group = this.#groupOf(index, 'name', kind)
        if (group < 0) note('too-many-kinds')
        else counted(this.#table.addBlock(octets, octets.length as 4 | 16, prefix, group), this.groups[group]!.kind.allows)
      },
      clients: (octets, prefix, kind) => {
        const group = this.#groupOf(index, 'name', kind)
        if (group < 0) note('too-many-kinds')
        else if (this.clients.length === MOST_CLIENT_RULES) note('too-many-clients')
        else counted(this.#addClients(octets, prefix, group), this.groups[group]!.kind.allows)
      },
      skip: note,
    }
    const parser = new ListParser(spec.format, taker)
    const octets = this.#feed(spec, parser)
    const isEmpty = found.rules === 0 && !this.isFull
    if (isEmpty && skipped.size > 0) throw unusable('it contains no valid rule')
    if (isEmpty && spec.hasRules === true) throw unusable(`${EMPTY}, but it had rules before; if it must be empty, restart the service`)
    const all = [...skipped.values()].toSorted((a, b) => b.count - a.count)
    return { id: spec.id, format: parser.format, octets, lines: parser.line, ...found, skipped: all }
  }

  /**
   * Adds a rule about clients. Returns NEW, SAME, or the group of another rule for the same range,
   * like `TableBuilder.add`.
   */
  #addClients(octets: Uint8Array, prefix: number, group: number): number {
    const range = `${octets.length} ${prefix} ${firstBits(octets, prefix)}`
    const otherGroup = this.#clientRanges.get(range) ?? NEW
    if (otherGroup === group) return SAME
    this.#clientRanges.set(range, group)
    this.clients.push({ octets: octets.slice(), prefix, group })
    return otherGroup
  }

  /**
   * Feeds the file to the parser, and checks its SHA-256 and its signature, if the configuration
   * has them.
   */
  #feed(spec: ListSpec, parser: ListParser): number {
    const hash = spec.sha256 === undefined ? undefined : createHash('sha256')
    const key = spec.signed === undefined ? undefined : minisignKey(spec.signed.key)
    const signature =
      spec.signed !== undefined && key !== undefined ? minisignCheck(spec.signed.signature, key, spec.signed.fileName) : undefined
    let octets = 0
    read(spec, (part) => {
      octets += part.length
      hash?.update(part)
      signature?.update(part)
      parser.feed(part)
    })
    parser.end()
    if (hash !== undefined && hash.digest('hex') !== spec.sha256?.toLowerCase())
      throw unusable('its SHA-256 is not the one in the configuration')
    if (spec.signed !== undefined && signature === undefined) throw unusable('the minisign key in the configuration is not valid')
    const verdict = signature?.verdict()
    if (verdict !== undefined && verdict.verdict !== 'valid') throw unusable(verdict.message)
    return octets
  }

  /** The index of the group of a rule; -1: there are too many groups. */
  #groupOf(list: number, scope: Scope, kind: RuleKind): number {
    const { allows, important, reply, except } = kind
    const last = this.#last
    if (last.list === list && last.scope === scope && last.kind === kind) return last.number
    const exceptions = except.map((name) => Buffer.from(name).toString('latin1')).join(' ')
    // In a list of allowed names every rule allows.
    const allowing = allows || this.#specs[list]!.action === 'allow'
    const name = `${list} ${scope} ${allowing} ${important} ${reply} ${exceptions}`
    let number = this.#numbers.get(name)
    if (number === undefined) {
      if (this.groups.length === MOST_GROUPS) return -1
      number = this.groups.length
      this.groups.push({ list, scope, kind: { allows: allowing, important, reply, except } })
      this.#numbers.set(name, number)
    }
    this.#last = { list, scope, kind, number }
    return number
  }
  /** The group of the last rule, because most rules of a list have the same group. */
  #last: { list: number; scope: Scope; kind: RuleKind | undefined; number: number } = {
    list: -1,
    scope: 'name',
    kind: undefined,
    number: 0,
  }
}

/**
 * Limit of distinct reasons in a report: the names of modifiers come from the list, so their number
 * must be bounded.
 */
const MOST_REASONS = 64

function read({ path }: ListSpec, take: (part: Uint8Array) => void): void {
  const why = readParts(path, MAX_LIST_OCTETS, anyOwner, take)
  if (why !== undefined) throw unusable(`its file ${why}`)
}

function sizeOf(spec: ListSpec): { readonly lines: number; readonly octets: number } {
  let lines = 1
  let octets = 0
  read(spec, (part) => {
    octets += part.length
    for (let i = 0; i < part.length; i++) if (part[i] === LF) lines++
  })
  return { lines, octets }
}

function faultOf(error: unknown): string {
  if (error instanceof EnigmError) return error.message
  const code = systemCode(error)
  if (code === 'ENOENT') return 'its file does not exist (ENOENT)'
  return code === 'EACCES' ? 'permission to read its file is denied (EACCES)' : `it cannot be read (${code ?? 'unknown error'})`
}

function unusable(message: string): EnigmError {
  return new EnigmError('source', message)
}
