import dnsPacket from 'dns-packet'
import { askedByScan } from '../../../src/cache/key.ts'
import { isReplyTo, questionOf } from '../../../src/dns/message.ts'
import { newScan, type QueryScan, type ScanVerdict, scanQuery, VERDICT } from '../../../src/dns/query-scan.ts'
import { RecordCursor } from '../../../src/dns/records.ts'
import { errorReply } from '../../../src/dns/reply.ts'
import { synthesise } from '../../../src/dns/response.ts'
import { createResponder } from '../../../src/responder.ts'
import { cacheOf } from '../../support/caches.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { bytes, optRecord, query, rr, soa, u16s } from '../../support/messages.ts'
import { openGate, view } from '../../support/rules.ts'
import { must, type Target } from '../target.ts'
import { sameOctets } from './same-octets.ts'

const BEFORE = 7
const SENTINEL = 0xa5
const clock = new FakeClock()

/** The message reader: what a client sends, and the reply that is written to it. */
export const queryTarget: Target = {
  name: 'query',
  maxOctets: 65_535,
  seeds: [
    query(),
    query({ opt: {} }),
    query({ opt: { dnssecOk: true, size: 4096, options: bytes(u16s(10, 8), [1, 2, 3, 4, 5, 6, 7, 8]) } }),
    query({ opt: { version: 1 } }),
    query({ opt: { options: u16s(65280, 0) } }),
    query({ name: '.', type: 2, flags: 0x0130 }),
    query({ flags: 0x2800, opt: {} }),
    query({ type: 252 }),
    query({ type: 128, opt: {} }),
    bytes(u16s(1, 0x100, 1, 0, 1, 0), query({ type: 251 }).subarray(12), soa()),
    bytes(u16s(1, 0x100, 1, 0, 1, 1), query({ type: 251 }).subarray(12), rr({ type: 6, rdata: new Uint8Array(22) }), optRecord({})),
    query({ name: `${'a'.repeat(63)}.${'b'.repeat(63)}.${'C'.repeat(63)}.${'d'.repeat(61)}` }),
  ],
  timed(packet) {
    scanQuery(packet, 0, packet.length, newScan())
  },
  run(packet) {
    const scan = newScan()
    const verdict = scanQuery(packet, 0, packet.length, scan)
    readsOnlyItsOwn(packet, verdict, scan)
    if (verdict === VERDICT.drop) return
    must(scan.questionEnd <= packet.length, 'the question ends in the packet')
    if (verdict !== VERDICT.ok) {
      const reply = errorReply(packet, scan, 1)
      must(reply.length <= 512 && reply.length >= 12 && (reply[2]! & 0x80) !== 0, 'an error reply is a small response')
      must(reply[0] === packet[0] && reply[1] === packet[1], 'an error reply has the ID of the query')
      must(wellFormed(reply), 'an error reply is a message')
      return
    }
    agreesWithOracle(packet, scan)
    answers(packet, scan)
  },
}

/** What stands around a packet in the buffer of a batch must not matter. */
function readsOnlyItsOwn(packet: Uint8Array, verdict: ScanVerdict, scan: QueryScan): void {
  const around = new Uint8Array(packet.length + BEFORE + 32).fill(0xff)
  around.set(packet, BEFORE)
  const other = newScan()
  must(scanQuery(around, BEFORE, BEFORE + packet.length, other) === verdict, 'the verdict does not depend on what is around')
  if (verdict === VERDICT.drop || scan.questionEnd === 0) return
  const moved = { ...other, questionAt: other.questionAt - BEFORE, questionEnd: other.questionEnd - BEFORE }
  must(JSON.stringify(moved) === JSON.stringify(scan), 'what is read does not depend on what is around')
}

function agreesWithOracle(packet: Uint8Array, scan: QueryScan): void {
  const question = questionOf(packet, scan)
  const sent = packet.subarray(scan.questionAt, scan.questionEnd)
  must(question.lower.length === sent.length && sent.length <= 259, 'a question of at most 255 octets of name')
  const alone = Buffer.from(packet.subarray(0, scan.questionEnd))
  alone.writeUInt16BE(0, 10)
  if (!plain(sent)) return
  const [read, ...more] = dnsPacket.decode(alone).questions ?? []
  must(read !== undefined && more.length === 0, 'dns-packet finds one question')
  must(read.name === dotted(sent), 'dns-packet reads the same name')
}

/** With an answer in memory, `now` writes a reply to it inside the room it was given. */
function answers(packet: Uint8Array, scan: QueryScan): void {
  const cache = cacheOf(65_536)
  const counts = { hits: 0, misses: 0 }
  const responder = createResponder({
    gate: openGate(),
    cache,
    clock,
    emit: () => {},
    counts,
    current: () => ({ stages: [], timeoutMs: 1000 }),
  })
  const wire = synthesise(questionOf(packet, scan), { rcode: 0 })
  cache.put(askedByScan(packet, scan, view(0)), { wire, rcode: 0, storeS: 60, from: 'policy' }, cache.epoch, clock.nowMs())
  const limit = 1232
  const out = Buffer.alloc(limit + 64, SENTINEL)
  const length = responder.now(packet, 0, packet.length, out, 8, limit, view(0))
  if (scan.wantsSource) {
    must(length === 0, 'who asks for the source is not answered from memory alone')
    return
  }
  must(length >= 12 && length <= limit, 'the reply is within the limit')
  must(
    out.subarray(0, 8).every((o) => o === SENTINEL) && out.subarray(8 + length).every((o) => o === SENTINEL),
    'nothing is written outside of the reply',
  )
  const reply = out.subarray(8, 8 + length)
  must(isReplyTo(packet, reply) && wellFormed(reply), 'the reply is one to the query')
  must(sameOctets(reply.subarray(12, scan.questionEnd), packet.subarray(12, scan.questionEnd)), 'the question is as the client sent it')
  must(reply[11] === (scan.hasOpt ? 1 : 0), 'an OPT if and only if the query had one')
}

function wellFormed(message: Uint8Array): boolean {
  const cursor = new RecordCursor(message)
  while (cursor.next());
  return !cursor.malformed && cursor.end === message.length
}

/** Names that dns-packet reads without loss. */
function plain(question: Uint8Array): boolean {
  return /^[\w-]*$/.test(dotted(question).replaceAll('.', ''))
}

function dotted(question: Uint8Array): string {
  const labels: string[] = []
  for (let at = 0; at < question.length - 5; at += 1 + question[at]!) {
    labels.push(Buffer.from(question.subarray(at + 1, at + 1 + question[at]!)).toString('latin1'))
  }
  return labels.length === 0 ? '.' : labels.join('.')
}
