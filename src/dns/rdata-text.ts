import { SocketAddress } from 'node:net'
import { expandedName, nameLength, textFromName } from './name.ts'
import { textFromType } from './registries.ts'

/**
 * Reads the RDATA of one record. Every step is bounded by the RDLENGTH, and throws a RangeError
 * beyond it.
 */
export class RdataReader {
  readonly #message: Uint8Array
  readonly #end: number
  #at: number

  constructor(message: Uint8Array, at: number, length: number) {
    this.#message = message
    this.#at = at
    this.#end = Math.min(at + length, message.length)
  }

  get left(): number {
    return this.#end - this.#at
  }
  octets(count = this.left): Buffer {
    if (count > this.left) throw new RangeError('past the end of the RDATA')
    this.#at += count
    return Buffer.from(this.#message.subarray(this.#at - count, this.#at))
  }
  number(octets: 1 | 2 | 4): number {
    return this.octets(octets).readUIntBE(0, octets)
  }
  /**
   * A name, compressed or not. Pointers may lead out of the RDATA; the name itself must end within
   * it.
   */
  name(): string {
    const name = expandedName(this.#message, this.#at)
    this.octets(nameLength(this.#message, this.#at))
    if (name === undefined) throw new RangeError('a malformed name')
    return textFromName(name)
  }
  /** A character string (RFC 1035 section 3.3), quoted. */
  string(): string {
    return quoted(this.octets(this.number(1)))
  }
}

type Format = (r: RdataReader) => string

const oneName: Format = (r) => r.name()
const digest: Format = (r) => `${r.number(2)} ${r.number(1)} ${r.number(1)} ${hex(r)}`
const key: Format = (r) => `${r.number(2)} ${r.number(1)} ${r.number(1)} ${r.octets().toString('base64')}`
const association: Format = (r) => `${r.number(1)} ${r.number(1)} ${r.number(1)} ${hex(r)}`
const service: Format = (r) => {
  let text = `${r.number(2)} ${r.name()}`
  while (r.left > 0) text += ` ${svcParamText(r.number(2), r.octets(r.number(2)))}`
  return text
}
const strings: Format = (r) => {
  const texts = [r.string()]
  while (r.left > 0) texts.push(r.string())
  return texts.join(' ')
}

const FORMATS: Readonly<Record<string, Format>> = {
  A: (r) => r.octets(4).join('.'),
  AAAA: (r) => ipv6Text(r.octets(16)),
  NS: oneName,
  CNAME: oneName,
  PTR: oneName,
  DNAME: oneName,
  SOA: (r) => `${r.name()} ${r.name()} ${[4, 4, 4, 4, 4].map(() => r.number(4)).join(' ')}`,
  MX: (r) => `${r.number(2)} ${r.name()}`,
  SRV: (r) => `${r.number(2)} ${r.number(2)} ${r.number(2)} ${r.name()}`,
  NAPTR: (r) => `${r.number(2)} ${r.number(2)} ${r.string()} ${r.string()} ${r.string()} ${r.name()}`,
  RP: (r) => `${r.name()} ${r.name()}`,
  TXT: strings,
  SPF: strings,
  RESINFO: strings,
  HINFO: strings,
  CAA: (r) => `${r.number(1)} ${escaped(r.octets(r.number(1)))} ${quoted(r.octets())}`,
  URI: (r) => `${r.number(2)} ${r.number(2)} ${quoted(r.octets())}`,
  DS: digest,
  CDS: digest,
  DNSKEY: key,
  CDNSKEY: key,
  TLSA: association,
  SMIMEA: association,
  SSHFP: (r) => `${r.number(1)} ${r.number(1)} ${hex(r)}`,
  RRSIG: (r) =>
    `${textFromType(r.number(2))} ${r.number(1)} ${r.number(1)} ${r.number(4)} ${date(r.number(4))} ${date(r.number(4))} ${r.number(2)} ${r.name()} ${r.octets().toString('base64')}`,
  NSEC: (r) => [r.name(), ...typeBitmap(r)].join(' '),
  SVCB: service,
  HTTPS: service,
}

/**
 * RDATA in master-file form; unknown or malformed RDATA in the form of RFC 3597 section 5.
 * Never throws; printable ASCII only.
 */
export function rdataText(message: Uint8Array, type: number, at: number, length: number): string {
  const format = FORMATS[textFromType(type)]
  if (format !== undefined) {
    try {
      const reader = new RdataReader(message, at, length)
      const text = format(reader)
      if (reader.left === 0) return text
    } catch {
      // Malformed: shown as octets below.
    }
  }
  const octets = Buffer.from(message.subarray(at, at + length)).toString('hex')
  return octets === '' ? '\\# 0' : `\\# ${octets.length / 2} ${octets}`
}

function hex(r: RdataReader): string {
  return r.octets().toString('hex').toUpperCase()
}

/** RFC 4034 section 3.2: YYYYMMDDHHmmSS, UTC. */
function date(seconds: number): string {
  return new Date(seconds * 1000)
    .toISOString()
    .slice(0, 19)
    .replaceAll(/[^0-9]/g, '')
}

/** RFC 4034 section 4.1.2: windows of 256 types. */
function typeBitmap(r: RdataReader): readonly string[] {
  const types: string[] = []
  while (r.left > 0) {
    const window = r.number(1)
    for (const [i, octet] of r.octets(r.number(1)).entries())
      for (let bit = 0; bit < 8; bit++) if (octet & (0x80 >> bit)) types.push(textFromType(window * 256 + i * 8 + bit))
  }
  return types
}

/** RFC 9460 section 14.3.2, RFC 9461, RFC 9540. */
const KEYS = ['mandatory', 'alpn', 'no-default-alpn', 'port', 'ipv4hint', 'ech', 'ipv6hint', 'dohpath', 'ohttp']

/**
 * One SvcParam in the form of RFC 9460 section 2.1. A value that is invalid for its key is shown as
 * an opaque string.
 */
export function svcParamText(key: number, value: Buffer): string {
  const name = keyText(key)
  const text = valueText(key, value) ?? quoted(value)
  return value.length === 0 ? name : `${name}=${text}`
}

function keyText(key: number): string {
  return KEYS[key] ?? `key${key}`
}

function valueText(key: number, value: Buffer): string | undefined {
  switch (KEYS[key]) {
    case 'mandatory':
      return value.length % 2 === 0
        ? chunks(value, 2)
            .map((k) => keyText(k.readUInt16BE(0)))
            .join(',')
        : undefined
    case 'alpn':
      return alpnText(value)
    case 'port':
      return value.length === 2 ? String(value.readUInt16BE(0)) : undefined
    case 'ipv4hint':
      return value.length % 4 === 0
        ? chunks(value, 4)
            .map((a) => a.join('.'))
            .join(',')
        : undefined
    case 'ipv6hint':
      return value.length % 16 === 0 ? chunks(value, 16).map(ipv6Text).join(',') : undefined
    case 'ech':
      return value.toString('base64')
    default:
      return undefined
  }
}

function chunks(value: Buffer, size: number): readonly Buffer[] {
  return Array.from({ length: value.length / size }, (_, i) => value.subarray(i * size, (i + 1) * size))
}

/**
 * A list of character strings; a comma or backslash inside an item is escaped a second time (RFC
 * 9460 appendix A.1).
 */
function alpnText(value: Buffer): string | undefined {
  const ids: string[] = []
  for (let at = 0; at < value.length; ) {
    const end = at + 1 + (value[at] ?? 0)
    if (end > value.length) return undefined
    ids.push(
      escaped(
        Buffer.from(
          value
            .subarray(at + 1, end)
            .toString('latin1')
            .replaceAll(/[\\,]/g, '\\$&'),
          'latin1',
        ),
      ),
    )
    at = end
  }
  return `"${ids.join(',').replaceAll('"', '\\"')}"`
}

/**
 * Quoted text, with every octet that is not printable ASCII as `\DDD`: nothing in it can act on a
 * terminal.
 */
export function quoted(octets: Uint8Array): string {
  return `"${escaped(octets).replaceAll('"', '\\"')}"`
}

/** Octets as printable ASCII: `\DDD` for all other octets, `\\` for a backslash. */
export function escaped(octets: Uint8Array): string {
  let text = ''
  for (const octet of octets) {
    if (octet === 0x5c) text += '\\\\'
    else text += octet < 0x20 || octet >= 0x7f ? `\\${octet.toString().padStart(3, '0')}` : String.fromCharCode(octet)
  }
  return text
}

/** An IPv6 address in the form of RFC 5952. */
export function ipv6Text(octets: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => (((octets[2 * i] ?? 0) << 8) | (octets[2 * i + 1] ?? 0)).toString(16))
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address
}
