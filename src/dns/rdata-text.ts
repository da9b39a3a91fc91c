import { expandedName, nameLength, textFromName } from './name.ts'
import { escaped, ipv6Text, quoted } from './printable.ts'
import { textFromType } from './record-types.ts'
import { svcParamText } from './svc-params.ts'

/** Reads the RDATA of one record; every step is bounded by its RDLENGTH, and throws a RangeError past it. */
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
  /** A name, compressed or not; pointers may leave the RDATA, the name itself may not. */
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

/** RDATA as a master file writes it; what is unknown or malformed in the form of RFC 3597 section 5. Never throws; printable ASCII only. */
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
