import { isIP } from 'node:net'
import { canonical } from '../config/cidr.ts'
import { nameFromText } from '../dns/name.ts'
import { type RecordData, rdataOf } from '../dns/plain-text.ts'
import { record, synthesise } from '../dns/response.ts'
import { EnigmError } from '../errors.ts'
import type { Question } from '../resolve.ts'

/** One record of a zone; names are uncompressed wire bytes. */
export interface ZoneRecord {
  readonly name: Uint8Array
  readonly type: number
  readonly ttlS: number
  readonly rdata: Uint8Array
}

/**
 * The context of an entry: the current origin and TTL (RFC 1035 section 5.1, RFC 2308 section 4).
 */
interface ZoneContext {
  origin: string
  ttlS: number
  owner: string
}

/**
 * Resolves a name that may be relative to the origin to absolute text. Throws if it is not a name.
 */
type Absolute = (name: string) => string
type FieldReader = (fields: readonly string[], absolute: Absolute) => RecordData

/** The number of each type, and the parser of its master-file fields. */
const KINDS: Readonly<Record<string, { readonly type: number; readonly read: FieldReader }>> = {
  A: { type: 1, read: ([address = '']) => ({ type: 'A', data: literal(address, 4) }) },
  NS: { type: 2, read: ([target = ''], absolute) => ({ type: 'NS', data: absolute(target) }) },
  CNAME: { type: 5, read: ([target = ''], absolute) => ({ type: 'CNAME', data: absolute(target) }) },
  SOA: {
    type: 6,
    read: ([mname = '', rname = '', ...numbers], absolute) => {
      const [serial, refresh, retry, expire, minimum] = numbers.map((field) => number(field, 0xffffffff))
      return { type: 'SOA', data: { mname: absolute(mname), rname: absolute(rname), serial, refresh, retry, expire, minimum } }
    },
  },
  MX: {
    type: 15,
    read: ([preference = '', target = ''], absolute) => ({
      type: 'MX',
      data: { preference: number(preference, 0xffff), exchange: absolute(target) },
    }),
  },
  TXT: { type: 16, read: (texts) => ({ type: 'TXT', data: texts.map(characterString) }) },
  AAAA: { type: 28, read: ([address = '']) => ({ type: 'AAAA', data: literal(address, 6) }) },
}

/**
 * Parses the records of a master file (RFC 1035 section 5.1): one entry per line, $ORIGIN and $TTL,
 * inherited owner names, comments, quoted strings, the types above, and any other as TYPEnnn with
 * RFC 3597 data. Parentheses and $INCLUDE are not supported. Throws an EnigmError `config` that
 * names the line.
 */
export function parseZone(text: string): readonly ZoneRecord[] {
  const context: ZoneContext = { origin: '', ttlS: 0, owner: '' }
  return text.split('\n').flatMap((line, index) => {
    try {
      return entry(line, context)
    } catch (cause) {
      throw new EnigmError('config', `zone line ${index + 1}: ${cause instanceof Error ? cause.message : 'unreadable'}`, { cause })
    }
  })
}

function entry(line: string, context: ZoneContext): readonly ZoneRecord[] {
  const fields = (line.match(/"[^"]*"|;.*|[^\s;"]+/g) ?? []).filter((field) => !field.startsWith(';'))
  const [first = '', second = ''] = fields
  if (first === '$ORIGIN') context.origin = second
  else if (first === '$TTL') context.ttlS = Number(second)
  if (first === '' || first.startsWith('$')) return []
  if (!/^\s/.test(line)) context.owner = fields.shift() ?? ''
  const ttlS = /^\d+$/.test(fields[0] ?? '') ? Number(fields.shift()) : context.ttlS
  if (fields[0] === 'IN') fields.shift()
  const absolute: Absolute = (name) => {
    const whole = name === '@' ? context.origin : name.endsWith('.') ? name : `${name}.${context.origin}`
    nameFromText(whole)
    return whole
  }
  const kind = fields.shift() ?? ''
  return [{ name: nameFromText(absolute(context.owner)), ttlS, ...data(kind, fields, absolute) }]
}

function data(kind: string, fields: readonly string[], absolute: Absolute): Pick<ZoneRecord, 'type' | 'rdata'> {
  const generic = /^TYPE(\d+)$/.exec(kind)?.[1]
  if (generic !== undefined) return { type: Number(generic), rdata: unknown(fields) }
  const known = KINDS[kind]
  if (known === undefined) throw new Error(`type ${kind} is not known here: write it as TYPEnnn \\# (RFC 3597)`)
  return { type: known.type, rdata: rdataOf(known.read(fields, absolute)) }
}

/** RFC 3597 section 5: \# length hex. */
function unknown([mark, length, ...hex]: readonly string[]): Uint8Array {
  const octets = Buffer.from(hex.join(''), 'hex')
  if (mark !== '\\#' || octets.length !== Number(length)) throw new Error('generic data is \\# LENGTH HEX, and the length must be right')
  return Uint8Array.from(octets)
}

function characterString(field: string): Buffer {
  const octets = Buffer.from(field.replace(/^"(.*)"$/, '$1'), 'latin1')
  if (octets.length > 255) throw new Error('a character string is at most 255 octets')
  return octets
}

function number(field: string, most: number): number {
  const value = Number(field)
  if (!/^\d+$/.test(field) || value > most) throw new Error(`${field} is not a number of at most ${most}`)
  return value
}

/**
 * In canonical spelling: dns-packet misreads `::` for a single group. IPv4 inside IPv6 and zone
 * identifiers are not allowed in a zone file.
 */
function literal(address: string, version: 4 | 6): string {
  if (isIP(address) !== version || (version === 6 && /[.%]/.test(address))) throw new Error(`${address} is not an IPv${version} address`)
  return canonical(address)
}

const TYPE_CNAME = 5
const TYPE_SOA = 6
const TYPE_ANY = 255
const NXDOMAIN = 3
const REFUSED = 5

/** Answers questions from a few records. */
export interface Zone {
  /**
   * A complete response with ID 0 and no OPT: the records, a CNAME chain of at most eight, NODATA
   * or NXDOMAIN with the SOA (RFC 2308), REFUSED outside the zone. Records outside the apex (the
   * root's NS, which every resolver has) are served too.
   */
  answer(question: Question): Uint8Array
}

/**
 * `records` must hold one SOA; its owner is the apex. Names are compared as bytes; the records must
 * have them lower-cased.
 */
export function zoneOf(records: readonly ZoneRecord[]): Zone {
  const soa = records.find((r) => r.type === TYPE_SOA)
  const byName = new Map<string, ZoneRecord[]>()
  for (const r of records) byName.set(key(r.name), [...(byName.get(key(r.name)) ?? []), r])
  const apex = soa === undefined ? undefined : key(soa.name)
  const authority = soa === undefined ? [] : [wire(soa)]

  /** A name with names below it exists even without records (RFC 8020). */
  const exists = (name: string) => [...byName.keys()].some((other) => other === name || other.endsWith(name))

  return {
    answer(question) {
      let name = key(question.lower.subarray(0, -4))
      if (apex === undefined || (!name.endsWith(apex) && !byName.has(name))) return synthesise(question, { rcode: REFUSED })
      const answers: Uint8Array[] = []
      for (let links = 0; links < 8; links++) {
        const here = byName.get(name) ?? []
        const found = here.filter((r) => r.type === question.type || question.type === TYPE_ANY)
        if (found.length > 0) return synthesise(question, { rcode: 0, answers: [...answers, ...found.map(wire)] })
        const alias = here.find((r) => r.type === TYPE_CNAME)
        if (alias === undefined) break
        answers.push(wire(alias))
        name = key(alias.rdata)
      }
      return synthesise(question, { rcode: exists(name) ? 0 : NXDOMAIN, answers, authority })
    },
  }
}

function wire(r: ZoneRecord): Uint8Array {
  return record(r.name, r.type, r.ttlS, r.rdata)
}

/** One character per octet: nothing is lost, unlike with UTF-8. */
function key(name: Uint8Array): string {
  return Buffer.from(name).toString('latin1')
}

/**
 * The zone that the embedded resolver of `enigm-dns demo` serves. Addresses are documentation
 * addresses (RFC 5737, RFC 3849).
 */
export const DEMO_ZONE = `
$ORIGIN demo.example.
$TTL 300
@        IN SOA   ns.demo.example. hostmaster.demo.example. 2026010101 7200 3600 1209600 60
@        IN NS    ns
@        IN A     192.0.2.10
@        IN AAAA  2001:db8::10
@        IN MX    10 mail
@        IN TXT   "hello"
ns       IN A     192.0.2.1
ns       IN AAAA  2001:db8::1
www      IN A     192.0.2.80
www      IN AAAA  2001:db8::80
www      IN TXT   "nobody on the link could read this question"
mail     IN A     192.0.2.25
blog     IN CNAME www
; what every resolver has in its cache: the daemon asks for it to see whether a link works
.        IN NS    ns
; HTTPS (RFC 9460) in the generic form of RFC 3597: priority 1, target ".", alpn "h2"
www 3600 IN TYPE65 \\# 10 0001 00 0001 0003 02 6832
a-rather-long-name-that-pads-to-the-same-size IN A 192.0.2.60
`
