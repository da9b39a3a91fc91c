import { HEADER_OCTETS, u16 } from './octets.ts'
import { RdataReader } from './rdata-text.ts'
import { RecordCursor } from './records.ts'

/**
 * Service bindings of encrypted resolvers (RFC 9460, 9461): hostile input, because a resolver
 * writes them about others.
 */

/** One way to a resolver, as a record of type SVCB describes it. */
export interface ServiceBinding {
  readonly priority: number
  /** Lower-case, without the final dot; the owner of the record where it names itself (`.`). */
  readonly target: string
  /** The protocols; at least one, because DNS has no default (RFC 9461 section 4). */
  readonly alpn: readonly string[]
  readonly port: number | undefined
  /** Addresses of the target, as a hint. */
  readonly hints: readonly string[]
  /** The URI template of DoH. */
  readonly dohpath: string | undefined
}

/** What an answer holds: usable bindings, the preferred one first, and why others are ignored. */
export interface ServiceBindings {
  readonly bindings: readonly ServiceBinding[]
  readonly ignored: readonly string[]
}

const SVCB = 64
const KEY = { mandatory: 0, alpn: 1, noDefaultAlpn: 2, port: 3, ipv4hint: 4, ech: 5, ipv6hint: 6, dohpath: 7 } as const
/** The keys whose meaning is followed here. ECH is not: a record that requires it is ignored. */
const FOLLOWED: ReadonlySet<number> = new Set(Object.values(KEY).filter((key) => key !== KEY.ech))
const MAX_RECORDS = 16
const MAX_PARAMS = 32
const MAX_ITEMS = 16
const MAX_RDATA = 2048

/** A record that is not used, and why: a clause. Never leaves this file. */
class Unusable extends Error {}

/**
 * Reads the records of type SVCB in the answer section of `wire`, which belongs to `owner`.
 * `owner`: the name that was asked, without the final dot. Never throws; bounded by 16 records of
 * 32 parameters each. AliasMode is not followed, so nothing can loop.
 */
export function serviceBindings(wire: Uint8Array, owner: string): ServiceBindings {
  const bindings: ServiceBinding[] = []
  const ignored: string[] = []
  if (wire.length < HEADER_OCTETS) return { bindings, ignored: ['the answer is cut short'] }
  const cursor = new RecordCursor(wire)
  let records = 0
  while (cursor.next() && cursor.section === 1) {
    if (cursor.type !== SVCB) continue
    if (++records > MAX_RECORDS) {
      ignored.push(`more than ${MAX_RECORDS} records`)
      break
    }
    try {
      bindings.push(bindingAt(wire, cursor, owner))
    } catch (error) {
      ignored.push(error instanceof Unusable ? error.message : 'a record is malformed')
    }
  }
  if (cursor.malformed) ignored.push('the answer is malformed')
  return { bindings: bindings.toSorted((a, b) => a.priority - b.priority), ignored }
}

function bindingAt(wire: Uint8Array, { rdataAt, rdLength }: RecordCursor, owner: string): ServiceBinding {
  if (rdLength > MAX_RDATA) throw new Unusable(`a record is longer than ${MAX_RDATA} octets`)
  const reader = new RdataReader(wire, rdataAt, rdLength)
  const priority = reader.number(2)
  const name = reader.name().replace(/\.$/, '').toLowerCase()
  const target = name === '' ? owner : name
  if (priority === 0) throw new Unusable('an alias is not followed')
  const params = paramsOf(reader)
  checkMandatory(params)
  const alpn = listOf(params.get(KEY.alpn))
  if (alpn.length === 0) throw new Unusable('a record names no protocol')
  const port = params.get(KEY.port)
  if (port !== undefined && (port.length !== 2 || u16(port, 0) === 0)) throw new Unusable('a port is malformed')
  const hints = [...hintsOf(params.get(KEY.ipv4hint), 4), ...hintsOf(params.get(KEY.ipv6hint), 16)]
  return { priority, target, alpn, port: port === undefined ? undefined : u16(port, 0), hints, dohpath: pathOf(params.get(KEY.dohpath)) }
}

/** Keys must be in strictly rising order (RFC 9460 section 2.2). */
function paramsOf(reader: RdataReader): ReadonlyMap<number, Buffer> {
  const params = new Map<number, Buffer>()
  let last = -1
  while (reader.left > 0) {
    const key = reader.number(2)
    if (key <= last) throw new Unusable('the keys of a record are out of order')
    if (params.size === MAX_PARAMS) throw new Unusable(`a record has more than ${MAX_PARAMS} parameters`)
    params.set(key, reader.octets(reader.number(2)))
    last = key
  }
  return params
}

/**
 * A record is unusable if it says that a key is needed which is not there, or not followed here
 * (RFC 9460 section 8).
 */
function checkMandatory(params: ReadonlyMap<number, Buffer>): void {
  const listed = params.get(KEY.mandatory)
  if (listed === undefined) return
  if (listed.length === 0 || listed.length % 2 !== 0) throw new Unusable('the list of mandatory keys is malformed')
  let last = 0
  for (let at = 0; at < listed.length; at += 2) {
    const key = u16(listed, at)
    if (key <= last || !params.has(key)) throw new Unusable('the list of mandatory keys is malformed')
    if (!FOLLOWED.has(key)) throw new Unusable(`the key ${key} is mandatory and not supported here`)
    last = key
  }
}

function listOf(value: Buffer | undefined): readonly string[] {
  const found: string[] = []
  for (let at = 0; value !== undefined && at < value.length; ) {
    const length = value.readUInt8(at)
    const end = at + 1 + length
    if (length === 0 || end > value.length || found.length === MAX_ITEMS) throw new Unusable('the list of protocols is malformed')
    found.push(value.toString('latin1', at + 1, end).replace(/[^\x21-\x7e]/g, '?'))
    at = end
  }
  return found
}

function hintsOf(value: Buffer | undefined, size: 4 | 16): readonly string[] {
  if (value === undefined) return []
  if (value.length === 0 || value.length % size !== 0 || value.length / size > MAX_ITEMS) throw new Unusable('a hint is malformed')
  return Array.from({ length: value.length / size }, (_, i) => addressText(value.subarray(i * size, (i + 1) * size)))
}

function addressText(octets: Buffer): string {
  if (octets.length === 4) return octets.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => u16(octets, 2 * i).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

function pathOf(value: Buffer | undefined): string | undefined {
  if (value === undefined) return undefined
  const path = value.toString('latin1')
  if (!/^\/[\x21-\x7e]{0,1000}$/.test(path) || !path.includes('{?dns}')) throw new Unusable('a path is malformed')
  return path.replace('{?dns}', '')
}
