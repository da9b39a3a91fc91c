import dnsPacket from 'dns-packet'
import { readDenial } from '../../../src/dns/denial.ts'
import { isReplyTo, questionOf, setId, upstreamQuery } from '../../../src/dns/message.ts'
import { putU32 } from '../../../src/dns/octets.ts'
import { presentMessage } from '../../../src/dns/presentation.ts'
import { newScan, scanQuery } from '../../../src/dns/query-scan.ts'
import { rdataNamesHold } from '../../../src/dns/rdata-names.ts'
import { putTtlOffsets, RecordCursor, recordCount, TYPE } from '../../../src/dns/records.ts'
import { type AcceptedReply, acceptReply, synthesise, type TtlClamp } from '../../../src/dns/response.ts'
import { EnigmError } from '../../../src/errors.ts'
import type { Question } from '../../../src/resolve.ts'
import { bytes, optRecord, query, type ResponseSpec, response, rr, soa, u16s } from '../../support/messages.ts'
import { must, type Target } from '../target.ts'
import { sameOctets } from './same-octets.ts'

const WEEK_S = 7 * 86_400
const WIDE: TtlClamp = { minTtlS: 0, maxTtlS: WEEK_S }
const NARROW: TtlClamp = { minTtlS: 60, maxTtlS: 3600 }
type Options = Parameters<typeof acceptReply>[2]
const QUESTIONS: readonly Question[] = [1, 5, 28, 255].map((type) => question(type))

function question(type: number): Question {
  const packet = query({ type })
  const scan = newScan()
  scanQuery(packet, 0, packet.length, scan)
  return questionOf(packet, scan)
}

/**
 * First octet: which question (2 bits), authenticated or not, how old (Age). Then the header
 * without ID, and what follows the question.
 */
function seed(first: number, spec: ResponseSpec): Uint8Array {
  const message = response(spec)
  return bytes(first, message.subarray(2, 12), message.subarray(12 + (QUESTIONS[0]?.lower.length ?? 0)))
}

/**
 * As many records as 64 KiB hold, each with two names at the far end of a chain of pointers: the
 * most work that octets can make.
 */
function pointerChains(): Uint8Array {
  const nameAt = 12 + (QUESTIONS[0]?.lower.length ?? 0) + 12
  const chain = [nameAt, ...Array.from({ length: 120 }, (_, i) => nameAt + 255 + 2 * i)]
  const longest = [...[61, 61, 61, 61, 4].flatMap((length) => [length, ...new Array<number>(length).fill(1)]), 0]
  const pointer = (to = 0) => [0xc0 | (to >> 8), to & 255]
  const first = rr({ type: 16, rdata: bytes(longest, ...chain.slice(0, -1).map(pointer)) })
  const last = bytes(pointer(chain.at(-1)), u16s(5, 1, 0, 9, 2), pointer(chain.at(-1)))
  const times = Math.floor((64_000 - first.length) / last.length)
  return bytes(0, u16s(0x8180, 1, times + 1, 0, 0), first, ...Array.from({ length: times }, () => last))
}

const signature = (covered: number) => rr({ type: 46, rdata: bytes(u16s(covered), new Uint8Array(16), 0, 1, 2, 3) })
const cname = rr({ type: 5, ttlS: 30, rdata: bytes(1, 97, 0xc0, 12) })

/** What a resolver answers: the walk over its records, their TTLs, and what is kept of it. */
export const replyTarget: Target = {
  name: 'reply',
  maxOctets: 65_000,
  words: [
    ...[5, 6, 14, 17, 24, 26, 33, 35, 38, 41, 45, 46, 47, 55, 64, 65, 260].map((type) => u16s(type)),
    [0xc0, 12],
    optRecord({}),
    rr(),
    soa(),
    cname,
  ],
  seeds: [
    seed(0, { answers: [rr(), rr({ ttlS: 60 })], additional: [optRecord({ options: bytes(u16s(12, 4), [0, 0, 0, 0]) })] }),
    seed(4, { rcode: 3, authority: [soa()] }),
    seed(4, { rcode: 3, authority: [soa(), signature(6), rr({ type: 47, rdata: bytes(0, 0, 1, 64) }), signature(47)] }),
    seed(9, { answers: [cname], authority: [soa()] }),
    seed(1, { answers: [cname] }),
    seed(0, { rcode: 2, additional: [bytes(0, u16s(41, 1232), 1, 0, u16s(0, 8), u16s(15, 4, 6), [0x68, 0x69])] }),
    seed(16, { answers: [rr({ ttlS: 0xffffffff }), rr({ type: 28, rdata: new Uint8Array(16) })], flags: 0x0220 }),
    seed(0, { answers: [rr({ type: 15, rdata: bytes(0, 10, 0xc0, 12) }), rr({ type: 16, rdata: bytes(3, 97, 98, 99) })] }),
    seed(0, { answers: [rr({ type: 65, rdata: bytes(u16s(1), 0, u16s(1, 3), 2, 104, 50) }), rr({ type: 46, rdata: new Uint8Array(24) })] }),
    seed(0, {
      answers: [
        rr({ type: 33, rdata: bytes(u16s(1, 2, 443), 0xc0, 12) }),
        rr({ type: 35, rdata: bytes(u16s(1, 2), 1, 117, 0, 0, 0xc0, 12) }),
        rr({ type: 14, rdata: bytes(0xc0, 12, 1, 97, 0xc0, 12) }),
      ],
      authority: [rr({ type: 47, rdata: bytes(0xc0, 12, 0, 1, 64) }), rr({ type: 55, rdata: bytes(1, 1, u16s(1), 1, 1, 1, 97, 0) })],
      additional: [rr({ type: 38, rdata: bytes(120, 1, 0xc0, 12) }), rr({ type: 260, rdata: bytes(1, 3, 0) })],
    }),
    bytes(0, u16s(0x8182, 0, 0, 0, 0)),
    pointerChains(),
  ],
  timed(input) {
    if (input.length < 11) return
    const { asked, message, o } = replyOf(input)
    if (isReplyTo(upstreamQuery(asked, false), message)) accept(message, asked, o)
  },
  run(input) {
    if (input.length < 11) return
    const { asked, message, o } = replyOf(input)
    isShown(message)
    if (!isReplyTo(upstreamQuery(asked, false), message)) return
    const accepted = accept(message, asked, o)
    if (accepted !== undefined) isSound(accepted, asked, message, o)
  },
}

function replyOf(input: Uint8Array) {
  const first = input[0] ?? 0
  const asked = QUESTIONS[first & 3] as Question
  const question = input[4] === 0 ? new Uint8Array(0) : asked.lower
  const message = Buffer.concat([Uint8Array.of(0, 0), input.subarray(1, 11), question, input.subarray(11)])
  const ageS = (first >> 3) * 100
  return { asked, message, o: { authenticated: (first & 4) !== 0, ageS, clamp: ageS === 0 ? WIDE : NARROW } }
}

function accept(message: Uint8Array, asked: Question, o: Options): AcceptedReply | undefined {
  try {
    return acceptReply(Uint8Array.from(message), asked, o)
  } catch (error) {
    must(error instanceof EnigmError && error.code === 'reply-malformed', 'what cannot be taken is reply-malformed')
    return undefined
  }
}

function isSound(accepted: AcceptedReply, asked: Question, message: Uint8Array, o: Options): void {
  const { wire, ttlS, kind, rcode } = accepted
  must(wire.length <= Math.max(message.length, 12 + asked.lower.length), 'never longer than what came')
  must(wire[0] === 0 && wire[1] === 0 && (wire[2]! & 0x84) === 0x80 && (wire[3]! & 0x80) !== 0, 'ID 0, QR and RA set, AA clear')
  must(o.authenticated || (wire[3]! & 0x20) === 0, 'AD only where it was authenticated')
  must(sameOctets(wire.subarray(12, 12 + asked.lower.length), asked.lower), 'the question, lowered')
  must(ttlS === undefined || (ttlS >= 0 && ttlS <= WEEK_S), 'a TTL of at most a week')
  must(rcode >= 0 && rcode < 4096 && (rcode & 15) === (wire[3]! & 15), 'the RCODE of 12 bits')
  must(ttlS === undefined || (kind !== 'failure' && kind !== 'truncated'), 'no lifetime for a failure')
  const cursor = new RecordCursor(wire)
  let records = 0
  while (cursor.next()) {
    records++
    must(cursor.type !== TYPE.OPT, 'no OPT is kept')
    must(cursor.ttlS <= WEEK_S, 'no record outlives a week')
    if (ttlS === undefined || ttlS === 0) continue
    must(cursor.ttlS >= o.clamp.minTtlS && cursor.ttlS <= o.clamp.maxTtlS, 'what is kept is inside the clamp')
    if (kind === 'positive' && o.clamp === WIDE) must(cursor.ttlS >= ttlS, 'no record expires before the answer')
  }
  must(!cursor.malformed && cursor.end === wire.length, 'what is kept is a message')
  must(recordCount(wire) === records, 'every record is counted')
  must(putTtlOffsets(wire, new Uint8Array(2 * records), 0) === records, 'every TTL is found')
  if (o.ageS === 0 && rcode < 16 && message[5] !== 0) {
    const again = acceptReply(Uint8Array.from(wire), asked, o)
    must(sameOctets(again.wire, wire) && again.ttlS === ttlS && again.kind === kind, 'taking it twice changes nothing')
  }
  const denial = readDenial(wire)
  if (denial !== undefined) {
    const proof = [denial.soa, ...denial.proofs].flatMap((set) => set.records)
    must(proof.reduce((sum, one) => sum + one.length, 0) <= 4096, 'a denial is bounded')
    const copied = new RecordCursor(synthesise(asked, { rcode: 3, authority: proof }))
    while (copied.next());
    must(!copied.malformed, 'its records stand by themselves')
  }
  staysWhole(wire)
  agreesWithOracle(wire, records)
}

/** Whatever ID a client has and however old the answer is. */
function staysWhole(kept: Uint8Array): void {
  for (const [id, ttlS] of [
    [0xffff, 0],
    [0x0d0d, WEEK_S],
    [0xc00c, 0x01_c00c],
  ] as const) {
    const wire = Uint8Array.from(kept)
    const cursor = new RecordCursor(kept)
    setId(wire, id)
    while (cursor.next()) putU32(wire, cursor.ttlAt, ttlS)
    const again = new RecordCursor(wire)
    while (again.next())
      must(
        rdataNamesHold(wire, again.type, again.rdataAt, again.rdataAt + again.rdLength),
        'its names come to an end, at any age and under any ID',
      )
    must(!again.malformed && again.end === wire.length, 'what is sent is a message, at any age')
  }
}

function agreesWithOracle(wire: Uint8Array, records: number): void {
  let read: dnsPacket.DecodedPacket
  try {
    read = dnsPacket.decode(Buffer.from(wire))
  } catch {
    return // it is stricter about record types that pass through here as octets
  }
  const found = (read.answers?.length ?? 0) + (read.authorities?.length ?? 0) + (read.additionals?.length ?? 0)
  must(found === records, 'dns-packet finds as many records')
}

/** The same octets on a terminal. */
function isShown(message: Uint8Array): void {
  const text = JSON.stringify(presentMessage(message))
  must(/^[\x20-\x7e]*$/.test(text), 'people are shown printable ASCII')
  must(text.length <= 4096 + 400 * message.length, 'what people are shown is bounded')
}
