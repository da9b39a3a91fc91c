import { fraction } from './chance.ts'

/** What names stand for: each a way in which a resolver answers, or does not. */
const QUIET = [
  ...[
    'host',
    'host',
    'host',
    'host',
    'host',
    'host',
    'host',
    'host',
    'host',
    'host',
    'alias',
    'alias',
    'gone',
    'empty',
    'large',
    'servfail',
  ],
  ...['bogus', 'refused', 'mute', 'inside', 'zero', 'cut', 'filtered', 'stray'],
] as const
/** Those after which connections close, or that break the rules of a reply. */
const ROUGH = ['poison', 'bare', 'another'] as const
const KINDS = [...QUIET, ...ROUGH] as const
export type Kind = (typeof KINDS)[number]

/**
 * One seed in four has resolvers that close connections on a question, or break the rules of a
 * reply. The others do not: what is changed for such resolvers moves
 * nothing of theirs.
 */
export const isRough = (seed: number): boolean => seed % 4 === 0

const TTLS = [5, 12, 30, 60, 300, 3600]
const SUFFIX = ['sim', 'example']

export interface Asked {
  readonly kind: Kind | undefined
  readonly number: number
  readonly type: number
  /** Behind the question. */
  readonly end: number
  readonly name: string
}

const labels = (names: readonly string[]) => [...names.flatMap((l) => [l.length, ...Buffer.from(l, 'latin1')]), 0]
const u16 = (n: number) => [(n >> 8) & 255, n & 255]
const u32 = (n: number) => [...u16(n >>> 16), ...u16(n & 0xffff)]

export interface ClientQuery {
  readonly id: number
  readonly name: string
  readonly type?: number
  readonly flags?: number
  /** Octets of an OPT record's TTL, or none. */
  readonly opt?: { readonly size: number; readonly dnssecOk?: boolean; readonly version?: number }
}

/** A query as a client writes it. */
export function clientQuery({ id, name, type = 1, flags = 0x0100, opt }: ClientQuery): Uint8Array {
  const own = name === '' ? [0] : labels(name.split('.'))
  const extra =
    opt === undefined ? [] : [0, ...u16(41), ...u16(opt.size), 0, opt.version ?? 0, ...u16(opt.dnssecOk === true ? 0x8000 : 0), 0, 0]
  return Uint8Array.from([...u16(id), ...u16(flags), 0, 1, 0, 0, 0, 0, 0, opt === undefined ? 0 : 1, ...own, ...u16(type), 0, 1, ...extra])
}

/** The question of a query: any octets that have one. */
export function askedIn(query: Uint8Array): Asked {
  const parts: string[] = []
  let at = 12
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    parts.push(Buffer.from(query.subarray(at + 1, at + 1 + length)).toString('latin1'))
    at += 1 + length
  }
  const type = ((query[at + 1] ?? 0) << 8) | (query[at + 2] ?? 0)
  const [, kind, number] = /^([a-z]+)-(\d+)$/.exec((parts[0] ?? '').toLowerCase()) ?? []
  const known = KINDS.find((k) => k === kind)
  return { kind: known, number: Number(number ?? 0), type, end: at + 5, name: parts.join('.') }
}

const record = (type: number, ttl: number, data: readonly number[], name: readonly number[] = [0xc0, 12]) => [
  ...[...name, ...u16(type), 0, 1, ...u32(ttl), ...u16(data.length)],
  ...data,
]
const soaData = [...labels(['ns', ...SUFFIX]), ...labels(['who', ...SUFFIX]), ...[1, 7200, 3600, 86400, 30].flatMap(u32)]
const soaOf = (ttl: number) => record(6, ttl, soaData, labels(SUFFIX))
const SOA = { 20: soaOf(20), 60: soaOf(60) }
const soa = (ttl: 20 | 60) => SOA[ttl]
const option = (code: number, data: readonly number[]) => [...u16(code), ...u16(data.length), ...data]
/** Up to where `more` octets of options follow. */
const optRecord = (options: readonly number[], more: number) => [
  ...[0, ...u16(41), ...u16(1232), 0, 0, 0, 0, ...u16(options.length + more)],
  ...options,
]

interface Said {
  readonly rcode?: number
  readonly answers?: readonly (readonly number[])[]
  readonly authority?: readonly (readonly number[])[]
  readonly options?: readonly number[]
  readonly truncated?: boolean
}

const MINUTE_MS = 60_000
const ADDRESS = 1
const TEXT = 16

/** Address records change each minute, so that an answer tells when it was true. */
function host(asked: Asked, nowMs: number, ttl: number): Said {
  const minute = Math.floor(nowMs / MINUTE_MS)
  const count = 1 + (asked.number % 3)
  const address = (i: number) => [198, 51, minute & 255, (asked.number + i) & 255]
  if (asked.type === ADDRESS) return { answers: Array.from({ length: count }, (_, i) => record(1, ttl, address(i))) }
  if (asked.type === TEXT) return { answers: [record(16, ttl, [4, ...Buffer.from('text')])] }
  return { authority: [soa(60)] }
}

function said(asked: Asked, nowMs: number): Said {
  const ttl = TTLS[asked.number % TTLS.length] ?? 60
  switch (asked.kind) {
    case 'host':
    case 'poison':
    case 'another':
    case 'stray':
      return host(asked, nowMs, ttl)
    case 'alias':
      return {
        answers: [
          record(5, ttl, labels(['host-1', ...SUFFIX])),
          record(1, ttl + 7, [198, 51, 100, asked.number & 255], labels(['host-1', ...SUFFIX])),
        ],
      }
    case 'gone':
      return { rcode: 3, authority: [soa(20)] }
    case 'empty':
      return { authority: [soa(20)] }
    case 'large':
      return { answers: Array.from({ length: 12 }, (_, i) => record(16, ttl, [200, ...Array<number>(200).fill(97 + i)])) }
    case 'servfail':
      return { rcode: 2 }
    case 'bogus':
      return { rcode: 2, options: option(15, [0, 6, ...Buffer.from('bogus')]) }
    case 'refused':
      return { rcode: 5 }
    case 'inside':
      return { answers: [record(1, ttl, [10, 0, 0, asked.number & 255])] }
    case 'zero':
      return { answers: [record(1, 0, [198, 51, 100, 7])] }
    case 'cut':
      return { truncated: true }
    case 'filtered':
      return { answers: [record(1, ttl, [198, 51, 100, 66])], options: option(15, [0, 17]) }
    default:
      return asked.type === 2 ? { authority: [soa(60)] } : { rcode: 3, authority: [soa(20)] }
  }
}

/**
 * What a resolver says to `query` at `nowMs`; padded as RFC 8467 wants where `padded`. Undefined:
 * nothing.
 */
export function replyOf(query: Uint8Array, nowMs: number, padded: boolean): Uint8Array | undefined {
  const asked = askedIn(query)
  if (asked.kind === 'mute') return undefined
  const { rcode = 0, answers = [], authority = [], options = [], truncated = false } = said(asked, nowMs)
  const head = [query[0] ?? 0, query[1] ?? 0, truncated ? 0x83 : 0x81, 0x80 | rcode]
  const question = Uint8Array.from(query.subarray(12, asked.end))
  if (asked.kind === 'bare') return Uint8Array.from([...head.slice(0, 3), 0x81, 0, 0, 0, 0, 0, 0, 0, 0])
  if (asked.kind === 'another') question[1] = (question[1] ?? 0) ^ 1
  const records = [...answers, ...authority].flat()
  const bare = 12 + question.length + records.length + 11 + options.length
  const padding = padded ? (PADDED_TO - ((bare + 4) % PADDED_TO)) % PADDED_TO : undefined
  const counts = [0, 1, ...u16(answers.length), ...u16(authority.length), 0, 1]
  const opt = padding === undefined ? optRecord(options, 0) : [...optRecord(options, 4 + padding), ...u16(12), ...u16(padding)]
  return Buffer.concat([Buffer.from([...head, ...counts]), question, Buffer.from([...records, ...opt]), Buffer.alloc(padding ?? 0)])
}

/** RFC 8467 section 4.1. */
const PADDED_TO = 468

/** The name of a kind and a number. */
const nameOf = (kind: Kind, number: number): string => [`${kind}-${number}`, ...SUFFIX].join('.')

/** The pool of one seed: what is first in it is asked most. */
export function poolOf(seed: number, size: number): readonly string[] {
  const kinds = isRough(seed) ? [...QUIET, ...ROUGH] : QUIET
  return Array.from({ length: size }, (_, i) => {
    const kind = i < 4 ? 'host' : kinds[Math.floor(fraction(seed, 'kind', i) * kinds.length)]
    return nameOf(kind ?? 'host', i)
  })
}
