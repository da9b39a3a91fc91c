import { AnswerCache } from '../../src/cache/answer-cache.ts'
import { askedByScan } from '../../src/cache/key.ts'
import { withPaddedOpt } from '../../src/dns/edns.ts'
import { FrameReader, framed } from '../../src/dns/framing.ts'
import { nameFromText } from '../../src/dns/name.ts'
import { newScan, scanQuery, VERDICT } from '../../src/dns/query-scan.ts'
import { writeReply } from '../../src/dns/reply.ts'
import type { Asked } from '../../src/job.ts'
import { H2FrameReader } from '../../src/link/carriers/h2/frames.ts'
import { VIEW_OF_ALL } from '../../src/resolve.ts'
import { blockedAtOnce } from '../../src/rules/judge-lists.ts'
import { BLOCK } from '../../src/rules/list-kinds.ts'
import { ListsInForce } from '../../src/rules/lists-in-force.ts'
import { TableBuilder } from '../../src/rules/names-table.ts'
import { RulesVersion } from '../../src/rules-version.ts'
import { seeded } from '../load/names.ts'

/**
 * An inner loop: `run` does `count` of its operations and returns something that depends on each,
 * so that none can be left out.
 */
export interface Loop {
  readonly name: string
  readonly what: string
  run(count: number): number
}

const NAMES = 10_000
const ADDRESSES = 4
const FRAMES = 64
/** What RFC 8467 has a reply padded to. */
const REPLY_OCTETS = 468

/**
 * Every inner loop, over the same `NAMES` queries in a random order. Throws where one of them does
 * not do what it is to be measured at.
 */
export function loops(seed: number): readonly Loop[] {
  const queries = shuffled(seed, NAMES).map((n) => queryFor(`n${n}.bench.example`))
  const scan = newScan()
  const cache = new AnswerCache({ maxBytes: 64 * 2 ** 20, staleMaxS: 0, seed })
  const asked = queries.map((packet) => askedIn(packet, scan))
  const [any] = asked
  queries.forEach((packet, i) => {
    if (asked[i] !== undefined) cache.put(asked[i], answerTo(packet), cache.epoch, 0)
  })
  if (any === undefined || cache.get(any, 1) === undefined) throw new Error('the cache does not hold what it was given')
  return [
    scanning(queries),
    hashing(cache, queries),
    lookup(cache, asked),
    patch(cache, any, queries[0] ?? new Uint8Array(0)),
    pad(queries),
    ...frames(),
    blocked(queries),
  ]
}

/** All names of the queries are in a list: what `Responder.now` does besides, where the cache misses. */
function blocked(queries: readonly Uint8Array[]): Loop {
  const scan = newScan()
  const table = new TableBuilder(NAMES, Buffer.from('an octet'))
  for (const packet of queries) {
    scanQuery(packet, 0, packet.length, scan)
    table.add(packet, scan.questionAt, 0)
  }
  const lists = new ListsInForce(new RulesVersion())
  const group = { list: 0, scope: 'tree', kind: BLOCK } as const
  lists.swap({ table: table.data(), groups: [group], clients: [] }, { lists: [{ id: 'ads', reply: undefined }], sets: [Uint8Array.of(1)] })
  const atOnce = blockedAtOnce(lists, undefined)
  const out = Buffer.alloc(1232)
  const run = (count: number) =>
    each(count, queries, (packet) => {
      scanQuery(packet, 0, packet.length, scan)
      const source = atOnce.source(packet, scan, VIEW_OF_ALL)
      return source === undefined ? Number.NaN : writeReply(out, 0, out.length, source, packet, scan, 0, undefined)
    })
  if (Number.isNaN(run(1))) throw new Error('a name that is not blocked')
  return { name: 'blocked', what: `a reply to a name that a list of ${NAMES} blocks, with its EDE`, run }
}

function scanning(queries: readonly Uint8Array[]): Loop {
  const scan = newScan()
  const run = (count: number) =>
    each(count, queries, (packet) => (scanQuery(packet, 0, packet.length, scan) === VERDICT.ok ? scan.questionEnd : 0))
  return { name: 'scan', what: 'a query read in place', run }
}

function hashing(cache: AnswerCache, queries: readonly Uint8Array[]): Loop {
  const scan = newScan()
  const scanned = queries.map((packet) => {
    scanQuery(packet, 0, packet.length, scan)
    return { packet, scan: { ...scan } }
  })
  return {
    name: 'key',
    what: 'what the cache finds a question by',
    run: (count) => each(count, scanned, (one) => cache.hashOf(askedByScan(one.packet, one.scan, VIEW_OF_ALL))),
  }
}

function lookup(cache: AnswerCache, asked: readonly Asked[]): Loop {
  return {
    name: 'lookup',
    what: `an entry of ${NAMES}, by its question`,
    run: (count) => each(count, asked, (one) => cache.get(one, 1)?.length ?? 0),
  }
}

function patch(cache: AnswerCache, asked: Asked, packet: Uint8Array): Loop {
  const out = Buffer.alloc(1232)
  const scan = newScan()
  scanQuery(packet, 0, packet.length, scan)
  const entry = cache.get(asked, 1)
  if (entry === undefined || entry.ttlCount !== ADDRESSES) throw new Error('an entry without its TTLs')
  const run = (count: number) => {
    let sum = 0
    // Another age each time, and so another TTL to write.
    for (let i = 0; i < count; i++) sum += writeReply(out, 0, out.length, entry, packet, scan, 1 + (i & 1023), undefined)
    return sum
  }
  return { name: 'patch', what: `a reply from an entry: ID, question, ${ADDRESSES} TTLs, OPT`, run }
}

function pad(queries: readonly Uint8Array[]): Loop {
  const bare = queries.map((packet) => {
    const message = new Uint8Array(packet.subarray(0, packet.length - 11))
    message[11] = 0
    return message
  })
  const options = { dnssecOk: false, block: 128, keepalive: true }
  if (withPaddedOpt(bare[0] ?? new Uint8Array(12), options).length !== 128) throw new Error('a query that is not padded to 128 octets')
  return {
    name: 'pad',
    what: 'a query with its OPT, padded to 128',
    run: (count) => each(count, bare, (m) => withPaddedOpt(m, options).length),
  }
}

/**
 * DoT and HTTP/2: the octets of `FRAMES` replies in chunks as TLS hands them on, 16 KiB, so that
 * some frames span two.
 */
function frames(): readonly Loop[] {
  const message = new Uint8Array(REPLY_OCTETS)
  const dot = chunks(Buffer.concat(Array.from({ length: FRAMES }, () => framed(message))))
  const head = Uint8Array.of(REPLY_OCTETS >> 16, (REPLY_OCTETS >> 8) & 255, REPLY_OCTETS & 255, 0, 1, 0, 0, 0, 1)
  const h2 = chunks(Buffer.concat(Array.from({ length: FRAMES }, () => Buffer.concat([head, message]))))
  return [
    { name: 'frame', what: 'a reply cut from a DoT stream', run: (count) => cutDot(dot, count) },
    { name: 'frame-h2', what: 'a DATA frame cut from an HTTP/2 stream', run: (count) => cutH2(h2, count) },
  ]
}

function cutDot(stream: readonly Uint8Array[], count: number): number {
  const reader = new FrameReader()
  let octets = 0
  const onFrame = (frame: Uint8Array) => {
    octets += frame.length
  }
  for (let done = 0; done < count; done += FRAMES) for (const chunk of stream) reader.push(chunk, onFrame)
  return octets
}

function cutH2(stream: readonly Uint8Array[], count: number): number {
  let octets = 0
  const reader = new H2FrameReader((_type, _flags, _stream, _octets, start, end) => {
    octets += end - start
    return 0
  })
  for (let done = 0; done < count; done += FRAMES) for (const chunk of stream) reader.push(chunk)
  return octets
}

function each<T>(count: number, items: readonly T[], work: (item: T) => number): number {
  let sum = 0
  for (let done = 0; done < count; done += items.length) for (const item of items) sum += work(item)
  return sum
}

function chunks(stream: Uint8Array): readonly Uint8Array[] {
  return Array.from({ length: Math.ceil(stream.length / 16384) }, (_, i) => stream.slice(i * 16384, (i + 1) * 16384))
}

function askedIn(packet: Uint8Array, scan: ReturnType<typeof newScan>): Asked {
  if (scanQuery(packet, 0, packet.length, scan) !== VERDICT.ok) throw new Error('a query that is refused')
  return { ...askedByScan(packet, scan, VIEW_OF_ALL) }
}

/** A query for A with RD, and an OPT of 1232 octets. */
export function queryFor(name: string): Uint8Array {
  return Buffer.concat([
    Buffer.from('2a2a01000001000000000001', 'hex'),
    nameFromText(name),
    Buffer.of(0, 1, 0, 1),
    Buffer.of(0, 0, 41, 1232 >> 8, 1232 & 255, 0, 0, 0, 0, 0, 0),
  ])
}

/** Its answer, without an OPT: `ADDRESSES` A records for an hour. */
export function answerTo(packet: Uint8Array) {
  const question = packet.subarray(12, packet.length - 11)
  const record = Buffer.from('c00c0001000100000e100004c0000235', 'hex')
  const head = Buffer.from(`2a2a8180000100${ADDRESSES.toString(16).padStart(2, '0')}00000000`, 'hex')
  const wire = Buffer.concat([head, question, ...Array.from({ length: ADDRESSES }, () => record)])
  return { wire, rcode: 0, storeS: 3600, from: 'cache' } as const
}

function shuffled(seed: number, count: number): readonly number[] {
  const random = seeded(seed)
  return Array.from({ length: count }, (_, n) => ({ n, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ n }) => n)
}
