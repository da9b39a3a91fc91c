import { isIPv4, isIPv6 } from 'node:net'
import { nameFromText } from '../dns/name.ts'
import { EnigmError } from '../errors.ts'

/** One record of a zone; names are uncompressed wire bytes. */
export interface ZoneRecord {
  readonly name: Uint8Array
  readonly type: number
  readonly ttlS: number
  readonly rdata: Uint8Array
}

/** What an entry is read against: the origin and TTL in force (RFC 1035 section 5.1, RFC 2308 section 4). */
interface Context {
  origin: string
  ttlS: number
  owner: string
}

type Rdata = (fields: readonly string[], absolute: (name: string) => Uint8Array) => readonly (number | Uint8Array)[]

/** Each type's RDATA from its master-file fields, in octets or parts. */
const RDATA: Readonly<Record<string, { readonly type: number; readonly rdata: Rdata }>> = {
  A: { type: 1, rdata: ([address = '']) => ipv4(address) },
  NS: { type: 2, rdata: ([target = ''], absolute) => [absolute(target)] },
  CNAME: { type: 5, rdata: ([target = ''], absolute) => [absolute(target)] },
  SOA: {
    type: 6,
    rdata: ([mname = '', rname = '', ...numbers], absolute) => [absolute(mname), absolute(rname), ...numbers.flatMap((n) => u32(n))],
  },
  MX: { type: 15, rdata: ([preference = '', target = ''], absolute) => [...u32(preference).slice(2), absolute(target)] },
  TXT: { type: 16, rdata: (texts) => texts.map(characterString) },
  AAAA: { type: 28, rdata: ([address = '']) => ipv6(address) },
}

/**
 * The records of a master file (RFC 1035 section 5.1): one entry a line, $ORIGIN and $TTL, owner names carried over, comments, quoted strings, the types above, and any
 * other as TYPEnnn with RFC 3597 data. No parentheses, no $INCLUDE. Throws an EnigmError `config` that names the line.
 */
export function parseZone(text: string): readonly ZoneRecord[] {
  const context: Context = { origin: '', ttlS: 0, owner: '' }
  return text.split('\n').flatMap((line, index) => {
    try {
      return entry(line, context)
    } catch (cause) {
      throw new EnigmError('config', `zone line ${index + 1}: ${cause instanceof Error ? cause.message : 'unreadable'}`, { cause })
    }
  })
}

function entry(line: string, context: Context): readonly ZoneRecord[] {
  const fields = (line.match(/"[^"]*"|;.*|[^\s;"]+/g) ?? []).filter((field) => !field.startsWith(';'))
  const [first = '', second = ''] = fields
  if (first === '$ORIGIN') context.origin = second
  else if (first === '$TTL') context.ttlS = Number(second)
  if (first === '' || first.startsWith('$')) return []
  if (!/^\s/.test(line)) context.owner = fields.shift() ?? ''
  const ttlS = /^\d+$/.test(fields[0] ?? '') ? Number(fields.shift()) : context.ttlS
  if (fields[0] === 'IN') fields.shift()
  const absolute = (name: string) => nameFromText(name === '@' ? context.origin : name.endsWith('.') ? name : `${name}.${context.origin}`)
  const kind = fields.shift() ?? ''
  return [{ name: absolute(context.owner), ttlS, ...data(kind, fields, absolute) }]
}

function data(kind: string, fields: readonly string[], absolute: (name: string) => Uint8Array): Pick<ZoneRecord, 'type' | 'rdata'> {
  const generic = /^TYPE(\d+)$/.exec(kind)?.[1]
  if (generic !== undefined) return { type: Number(generic), rdata: unknown(fields) }
  const known = RDATA[kind]
  if (known === undefined) throw new Error(`type ${kind} is not known here: write it as TYPEnnn \\# (RFC 3597)`)
  return { type: known.type, rdata: joined(known.rdata(fields, absolute)) }
}

/** RFC 3597 section 5: \# length hex. */
function unknown([mark, length, ...hex]: readonly string[]): Uint8Array {
  const octets = Buffer.from(hex.join(''), 'hex')
  if (mark !== '\\#' || octets.length !== Number(length)) throw new Error('generic data is \\# LENGTH HEX, and the length must be right')
  return Uint8Array.from(octets)
}

function characterString(field: string): Uint8Array {
  const octets = Buffer.from(field.replace(/^"(.*)"$/, '$1'), 'latin1')
  if (octets.length > 255) throw new Error('a character string is at most 255 octets')
  return Uint8Array.of(octets.length, ...octets)
}

function u32(field: string): number[] {
  const value = Number(field)
  if (!/^\d+$/.test(field) || value > 0xffffffff) throw new Error(`${field} is not a number of 32 bits`)
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]
}

function ipv4(address: string): number[] {
  if (!isIPv4(address)) throw new Error(`${address} is not an IPv4 address`)
  return address.split('.').map(Number)
}

function ipv6(address: string): number[] {
  if (!isIPv6(address) || address.includes('.') || address.includes('%')) throw new Error(`${address} is not an IPv6 address`)
  const [head = '', tail] = address.split('::')
  const groups = (part: string | undefined) => (part ? part.split(':') : [])
  const [before, after] = [groups(head), groups(tail)]
  const gap = tail === undefined ? [] : Array<string>(8 - before.length - after.length).fill('0')
  return [...before, ...gap, ...after].flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255])
}

function joined(parts: readonly (number | Uint8Array)[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => (typeof part === 'number' ? [part] : [...part])))
}
