import { type HostsFile, type HostsLine, hostsLines } from '../config/hosts-file.ts'
import { keyOf, nearestAbove, type OwnAnswer, ownNameOf } from '../config/own-answers.ts'
import { rdataFromText, WRITABLE_TYPES } from '../config/record-data.ts'
import { nameFromText } from '../dns/name.ts'

/** The TTL in seconds of an answer without a configured TTL. */
export const DEFAULT_TTL_S = 300
const { A, AAAA, CNAME, PTR } = WRITABLE_TYPES

/** The records of one type at one name. */
export interface OwnRecords {
  readonly ttlS: number
  readonly rdata: readonly Uint8Array[]
}

/** All configured records of one name, by type. */
export type OwnEntry = ReadonlyMap<number, OwnRecords>

/** What is configured for a name, and whether by its own entry or by a wildcard. */
export interface OwnMatch {
  readonly entry: OwnEntry
  /** The configured name in wire form; for the wildcard *.NAME, it is NAME. */
  readonly owner: Uint8Array
  readonly by: 'name' | 'wildcard'
}

/** Limit of addresses of one name and type from hosts files, which may repeat a name. */
const MAX_ADDRESSES = 100
const UNDERSCORE = 0x5f

/**
 * The table of configured names, made of `answers` and hosts files. A lookup is one search in a
 * map, and with wildcards one more for each label.
 */
export class OwnNames {
  readonly #exact = new Map<string, OwnEntry>()
  readonly #below = new Map<string, OwnEntry>()
  #ancestors: ReadonlySet<string> | undefined

  /**
   * If `answers` has an address or an alias for a name, the addresses of hosts files are not used
   * for it.
   */
  constructor(answers: readonly OwnAnswer[], hosts: readonly HostsFile[]) {
    const shared = new Map<string, OwnEntry>()
    for (const file of hosts) for (const line of hostsLines(file)) this.#addLine(line, shared)
    const written = new Map<string, Map<number, OwnRecords>>()
    for (const answer of answers) {
      const { wire, wildcard } = ownNameOf(answer.name)
      const key = `${wildcard ? '*' : '='}${keyOf(wire)}`
      const entry = written.get(key) ?? new Map<number, OwnRecords>()
      addRecord(entry, WRITABLE_TYPES[answer.type], rdataFromText(answer.type, answer.data), answer.ttlS ?? DEFAULT_TTL_S)
      written.set(key, entry)
    }
    for (const [key, entry] of written) {
      const name = key.slice(1)
      if (key.startsWith('*')) this.#below.set(name, entry)
      else this.#exact.set(name, replacingHosts(entry, this.#exact.get(name)))
    }
  }

  /** Number of configured names and wildcards. */
  get size(): number {
    return this.#exact.size + this.#below.size
  }

  /** What is configured for the name: by its own entry, else by the nearest wildcard above it. */
  find(name: Uint8Array): OwnMatch | undefined {
    const entry = this.#exact.get(keyOf(name))
    if (entry !== undefined) return { entry, owner: name, by: 'name' }
    const found = nearestAbove(name, this.#below)
    return found === undefined ? undefined : { entry: found.value, owner: found.above, by: 'wildcard' }
  }

  /**
   * What is configured for the host of a service name, as NAME for _8443._https.NAME (RFC 9460
   * section 2.3, RFC 8552). The leading labels that begin with an underscore are removed.
   * Undefined: the name has none, or nothing is configured.
   */
  findService(name: Uint8Array): OwnMatch | undefined {
    let at = 0
    while ((name[at] ?? 0) > 0 && name[at + 1] === UNDERSCORE) at += (name[at] ?? 0) + 1
    return at === 0 ? undefined : this.find(name.subarray(at))
  }

  /** Whether the name exists: something is configured for it or for a name below it (RFC 8020). */
  exists(name: Uint8Array): boolean {
    this.#ancestors ??= ancestorsOf([...this.#exact.keys(), ...this.#below.keys()])
    return this.#ancestors.has(keyOf(name)) || this.find(name) !== undefined
  }

  #addLine({ address, names: [canonical, ...aliases] }: HostsLine, shared: Map<string, OwnEntry>): void {
    if (canonical === undefined) return
    const type = address.length === 4 ? A : AAAA
    for (const name of [canonical, ...aliases]) {
      const key = keyOf(name)
      const before = this.#exact.get(key)
      // Names with only one address share one entry per address, which saves memory: many names
      // have the same address.
      this.#exact.set(key, before === undefined ? firstAddress(type, address, shared) : withAddress(before, type, address))
    }
    if (hasOtherName(address)) return
    const reverse = keyOf(reverseName(address))
    if (!this.#exact.has(reverse)) this.#exact.set(reverse, new Map([[PTR, { ttlS: DEFAULT_TTL_S, rdata: [canonical] }]]))
  }
}

function firstAddress(type: number, address: Uint8Array, shared: Map<string, OwnEntry>): OwnEntry {
  const key = keyOf(address)
  const entry = shared.get(key) ?? new Map([[type, { ttlS: DEFAULT_TTL_S, rdata: [address] }]])
  shared.set(key, entry)
  return entry
}

function withAddress(before: OwnEntry, type: number, address: Uint8Array): OwnEntry {
  const known = before.get(type)?.rdata ?? []
  if (known.length >= MAX_ADDRESSES || known.some((one) => keyOf(one) === keyOf(address))) return before
  return new Map([...before, [type, { ttlS: DEFAULT_TTL_S, rdata: [...known, address] }]])
}

/**
 * Adds a record. All records of one name and type get the lowest of their TTLs (RFC 2181 section
 * 5.2).
 */
function addRecord(entry: Map<number, OwnRecords>, type: number, rdata: Uint8Array, ttlS: number): void {
  const before = entry.get(type)
  entry.set(type, { ttlS: Math.min(ttlS, before?.ttlS ?? ttlS), rdata: [...(before?.rdata ?? []), rdata] })
}

function replacingHosts(entry: OwnEntry, fromHosts: OwnEntry | undefined): OwnEntry {
  if (fromHosts === undefined || entry.has(CNAME)) return entry
  const replaces = entry.has(A) || entry.has(AAAA)
  return new Map([...[...fromHosts].filter(([type]) => !(replaces && (type === A || type === AAAA))), ...entry])
}

/**
 * Whether an address gets no reverse name from hosts files. Loopback addresses are `localhost`; the
 * unspecified address means that a name is blocked.
 */
function hasOtherName(address: Uint8Array): boolean {
  const text = address.join('.')
  return (
    text === '127.0.0.1' ||
    text === '0.0.0.0' ||
    (address.length === 16 && address.subarray(0, 15).every((octet) => octet === 0) && (address[15] ?? 0) <= 1)
  )
}

/** The reverse name of an address in wire form (RFC 1035 section 3.5, RFC 3596 section 2.5). */
export function reverseName(address: Uint8Array): Uint8Array {
  if (address.length === 4) return nameFromText(`${[...address].reverse().join('.')}.in-addr.arpa.`)
  const nibbles = [...address].reverse().flatMap((octet) => [(octet & 15).toString(16), (octet >> 4).toString(16)])
  return nameFromText(`${nibbles.join('.')}.ip6.arpa.`)
}

/**
 * All of these names and the names above them, without the root, as keys. For the wildcard *.NAME,
 * the key is NAME.
 */
function ancestorsOf(keys: readonly string[]): ReadonlySet<string> {
  const found = new Set<string>()
  for (const key of keys) for (let at = 0; key.charCodeAt(at) > 0; at += key.charCodeAt(at) + 1) found.add(key.slice(at))
  return found
}
