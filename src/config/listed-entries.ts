import type { ListedStamp } from './stamp-list.ts'
import type { Stamp } from './stamps.ts'

/**
 * Converts stamps to entries of a set, and entries to stamps. An entry is a plain value as in the
 * file, without defaults.
 */

/** An entry of `resolvers` or of `relays`, as it is written in a set. */
export interface SetEntry {
  readonly kind: 'resolvers' | 'relays'
  readonly value: EntryValue
}

export interface EntryValue {
  readonly id: string
  readonly addresses: readonly string[]
  readonly [key: string]: unknown
}

/** The entries of a list in order, and the number of stamps that repeat another one. */
export interface Gathered {
  readonly entries: readonly SetEntry[]
  readonly repeated: number
}

/**
 * Makes entries from the stamps of a list. The id comes from the heading above a stamp, or from the
 * name in the stamp. Stamps with one id become one entry if they differ only in their addresses, or
 * only in their transports. Otherwise a number is added to the id of the later one. A stamp that
 * repeats another one is left out. The same list always gives the same ids. `list`: the name of the
 * list, for its entries.
 */
export function entriesOf(listed: readonly ListedStamp[], list?: string): Gathered {
  const entries: SetEntry[] = []
  const ids = new Set<string>()
  const seen = new Set<string>()
  const joinable = new Map<string, number>()
  const lastNumbers = new Map<string, number>()
  let repeated = 0
  for (const { name, stamp } of listed) {
    const entry = entryOf(stamp, idOf(name ?? nameOf(stamp)), list)
    const content = JSON.stringify([entry.kind, { ...entry.value, id: '' }])
    if (seen.has(content)) {
      repeated++
      continue
    }
    seen.add(content)
    const keys = joinKeys(entry)
    const at = keys.map((key) => joinable.get(key)).find((index) => index !== undefined)
    const before = at === undefined ? undefined : entries[at]
    const merged = before === undefined ? undefined : joined(before, entry)
    if (at !== undefined && merged !== undefined) entries[at] = merged
    else {
      const { id } = entry.value
      const next = ids.has(id) ? unusedId(id, (one) => ids.has(one), lastNumbers) : id
      ids.add(next)
      entries.push(next === id ? entry : { ...entry, value: { ...entry.value, id: next } })
    }
    const index = merged === undefined ? entries.length - 1 : (at ?? 0)
    for (const key of merged === undefined ? keys : joinKeys(merged, entry.value.id)) joinable.set(key, index)
  }
  return { entries, repeated }
}

/**
 * An unused id: `id` with a number, from 2. `lastNumbers` holds the last number given for each id.
 * Without it, many entries of one name would take quadratic time.
 */
export function unusedId(id: string, used: (id: string) => boolean, lastNumbers: Map<string, number>): string {
  const stem = id.slice(0, 58)
  for (let n = (lastNumbers.get(stem) ?? 1) + 1; ; n++) {
    const next = `${stem}-${n}`
    if (used(next)) continue
    lastNumbers.set(stem, n)
    return next
  }
}

/** A name for the resolver or relay of a stamp: its host or provider name, else its address. */
export function nameOf({ hostname, providerName, address = '' }: Stamp): string {
  return hostname ?? providerName?.replace(/^2\.dnscrypt-cert\./, '') ?? address.replaceAll(':', '-')
}

/** Makes an id from a name. Characters that an id cannot contain become hyphens. */
export function idOf(name: string): string {
  const plain = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+|-+$/g, '')
    .slice(0, 63)
  return plain === '' ? 'unnamed' : plain
}

/**
 * Makes the entry of one stamp. A resolver is not enabled. `list`: the name of the list that holds
 * the stamp.
 */
export function entryOf(stamp: Stamp, id: string, list?: string): SetEntry {
  const { protocol, port, path, hostname = '', address } = stamp
  const onion = hostname.endsWith('.onion') ? [hostname] : []
  const addresses = address === undefined ? onion : [address]
  const named = { id, ...(list === undefined ? {} : { list }) }
  const common = { ...named, enabled: false, authenticationDomainName: hostname, addresses }
  const hashes = stamp.certHashes.length === 0 ? {} : { certHashes: stamp.certHashes }
  const claims = claimsOf(stamp)
  const resolver = (transports: object, more: object = {}): SetEntry => ({
    kind: 'resolvers',
    value: { ...common, ...more, transports, ...hashes, ...(Object.keys(claims).length === 0 ? {} : { claims }) },
  })
  switch (protocol) {
    case 'dot':
      return resolver({ dot: { port } })
    case 'doh':
      return resolver({ doh: { port, path } })
    case 'doq':
      return resolver({ doq: { port } })
    case 'dnscrypt':
      return resolver(
        { dnscrypt: { providerName: stamp.providerName, publicKey: stamp.publicKey, port } },
        { authenticationDomainName: stamp.providerName },
      )
    case 'odoh-target':
      return resolver({ odoh: { path, ...(port === 443 ? {} : { port }) } })
    case 'dnscrypt-relay':
      return { kind: 'relays', value: { ...named, type: 'dnscrypt', addresses, port } }
    case 'odoh-relay':
      return {
        kind: 'relays',
        value: {
          ...named,
          type: 'odoh',
          addresses,
          authenticationDomainName: hostname,
          port,
          path,
          ...hashes,
        },
      }
  }
}

/**
 * The claims of a stamp. A property that is not set is no claim, because the operator may not have
 * stated it.
 */
function claimsOf({ properties }: Stamp): Readonly<Record<string, unknown>> {
  if (properties === undefined) return {}
  return {
    ...(properties.noLogs ? { logging: false } : {}),
    ...(properties.noFilter ? { filtering: 'none' } : {}),
    ...(properties.dnssec ? { dnssec: true } : {}),
  }
}

/** A value as a record. Anything else has no keys. */
export const record = (value: unknown) => (typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {})
const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)

/**
 * Two keys of an entry: another one of the same heading may be joined with it if they have one in
 * common. `heading`: the id without a number.
 */
function joinKeys({ kind, value }: SetEntry, heading = value.id): readonly string[] {
  const others = { ...value, id: heading, addresses: 0, transports: 0 }
  return [JSON.stringify([kind, others, value.transports]), JSON.stringify([kind, others, 0, value.addresses.toSorted()])]
}

/**
 * Joins two entries that differ only in their addresses, or only in their transports (none in
 * common). The first one keeps its id. Undefined: they differ in more.
 */
function joined(a: SetEntry, b: SetEntry): SetEntry | undefined {
  const [ours, theirs] = [record(a.value.transports), record(b.value.transports)]
  if (isSame(ours, theirs)) return { ...a, value: { ...a.value, addresses: [...new Set([...a.value.addresses, ...b.value.addresses])] } }
  const disjoint = Object.keys(theirs).every((name) => !Object.hasOwn(ours, name))
  const sameAddresses = isSame(a.value.addresses.toSorted(), b.value.addresses.toSorted())
  return disjoint && sameAddresses ? { ...a, value: { ...a.value, transports: { ...ours, ...theirs } } } : undefined
}

/**
 * The stamps of an entry: one for each transport and address. An entry with only a name gets stamps
 * without an address.
 */
export function stampsOf({ kind, value }: SetEntry): readonly Stamp[] {
  const claims = record(value.claims)
  const properties = { dnssec: claims.dnssec === true, noLogs: claims.logging === false, noFilter: claims.filtering === 'none' }
  const certHashes = Array.isArray(value.certHashes) ? value.certHashes.map(String) : []
  const hostname = String(value.authenticationDomainName ?? '')
  const of = (stamp: Omit<Stamp, 'certHashes'>): readonly Stamp[] => {
    const places = value.addresses.filter((address) => !address.endsWith('.onion'))
    const hashes = ['dnscrypt', 'dnscrypt-relay', 'odoh-target'].includes(stamp.protocol) ? [] : certHashes
    if (places.length === 0 || stamp.protocol === 'odoh-target') return [{ ...stamp, certHashes: hashes }]
    return places.map((address) => ({ ...stamp, address, certHashes: hashes }))
  }
  if (kind === 'relays') {
    const port = Number(value.port ?? 443)
    if (value.type === 'dnscrypt') return of({ protocol: 'dnscrypt-relay', port })
    return of({ protocol: 'odoh-relay', properties, port, hostname, path: String(value.path ?? '/') })
  }
  return Object.entries(record(value.transports)).flatMap(([name, place]) => {
    const { port, path = '/dns-query', providerName, publicKey } = record(place)
    const withPort = (fallback: number) => ({ properties, port: Number(port ?? fallback) })
    if (name === 'dot' || name === 'doq') return of({ protocol: name, ...withPort(853), hostname })
    if (name === 'doh') return of({ protocol: 'doh', ...withPort(443), hostname, path: String(path) })
    if (name === 'odoh') return of({ protocol: 'odoh-target', ...withPort(443), hostname, path: String(path) })
    if (name === 'dnscrypt')
      return of({ protocol: 'dnscrypt', ...withPort(443), providerName: String(providerName), publicKey: String(publicKey) })
    return []
  })
}
