import { nameFromText } from '../../src/dns/name.ts'
import { putU16, putU32 } from '../../src/dns/octets.ts'

export interface QuerySpec {
  readonly name?: string | Uint8Array
  readonly type?: number
  readonly class?: number
  readonly id?: number
  readonly flags?: number
  /** Rdata of an OPT, or undefined for none. */
  readonly opt?: { readonly size?: number; readonly dnssecOk?: boolean; readonly version?: number; readonly options?: Uint8Array }
}

export function bytes(...parts: readonly (Uint8Array | readonly number[] | number)[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => (typeof part === 'number' ? [part] : [...part])))
}

export function u16s(...values: readonly number[]): Uint8Array {
  const out = new Uint8Array(values.length * 2)
  values.forEach((value, i) => {
    putU16(out, i * 2, value)
  })
  return out
}

export function u32s(...values: readonly number[]): Uint8Array {
  const out = new Uint8Array(values.length * 4)
  values.forEach((value, i) => {
    putU32(out, i * 4, value)
  })
  return out
}

const wireName = (name: string | Uint8Array) => (typeof name === 'string' ? nameFromText(name) : name)

export function optRecord(o: NonNullable<QuerySpec['opt']>): Uint8Array {
  const options = o.options ?? new Uint8Array(0)
  return bytes(0, u16s(41, o.size ?? 1232), 0, o.version ?? 0, u16s(o.dnssecOk ? 0x8000 : 0, options.length), options)
}

export function query(spec: QuerySpec = {}): Uint8Array {
  const question = bytes(wireName(spec.name ?? 'www.example.com'), u16s(spec.type ?? 1, spec.class ?? 1))
  const header = u16s(spec.id ?? 0x1234, spec.flags ?? 0x0100, 1, 0, 0, spec.opt === undefined ? 0 : 1)
  return bytes(header, question, spec.opt === undefined ? [] : optRecord(spec.opt))
}

export interface RecordSpec {
  readonly name?: string | Uint8Array
  readonly type?: number
  readonly class?: number
  readonly ttlS?: number
  readonly rdata?: Uint8Array
}

/** A record; the default owner is a pointer to the question's name. */
export function rr(spec: RecordSpec = {}): Uint8Array {
  const owner = spec.name === undefined ? bytes(0xc0, 12) : wireName(spec.name)
  const rdata = spec.rdata ?? bytes(192, 0, 2, 1)
  return bytes(owner, u16s(spec.type ?? 1, spec.class ?? 1), u32s(spec.ttlS ?? 300), u16s(rdata.length), rdata)
}

export function soa(o: { readonly zone?: string; readonly ttlS?: number; readonly minimumS?: number } = {}): Uint8Array {
  const rdata = bytes(nameFromText('ns.example.com'), nameFromText('admin.example.com'), u32s(1, 7200, 3600, 86400, o.minimumS ?? 900))
  return rr({ name: o.zone ?? 'example.com', type: 6, ttlS: o.ttlS ?? 3600, rdata })
}

export interface ResponseSpec extends QuerySpec {
  readonly rcode?: number
  readonly answers?: readonly Uint8Array[]
  readonly authority?: readonly Uint8Array[]
  readonly additional?: readonly Uint8Array[]
}

/** A response to `query(spec)`: QR, RD, RA set and whatever `flags` adds. */
export function response(spec: ResponseSpec = {}): Uint8Array {
  const { answers = [], authority = [], additional = [] } = spec
  const question = bytes(wireName(spec.name ?? 'www.example.com'), u16s(spec.type ?? 1, spec.class ?? 1))
  const counts = u16s(1, answers.length, authority.length, additional.length)
  return bytes(
    u16s(spec.id ?? 0, 0x8180 | (spec.flags ?? 0) | (spec.rcode ?? 0)),
    counts,
    question,
    ...answers,
    ...authority,
    ...additional,
  )
}
