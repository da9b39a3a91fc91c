import { type Ede, EnigmError, type ErrorCode, isErrorCode } from '../errors.ts'
import type { Answer, Query, Source, View } from '../resolve.ts'
import { isTransport } from '../transports.ts'

/** A question of a worker for the main thread. The worker chooses `id`; the reply repeats it. */
export interface AskRecord {
  readonly id: number
  readonly query: Query
  readonly remainingMs: number
  readonly purpose: 'client' | 'refresh'
}

/**
 * The reply to an AskRecord. `agedMs`: the answer's age in the main thread's cache, without its
 * whole seconds: the TTLs are already reduced by these. `hop`: the name of the hop that failed.
 */
export type ReplyRecord =
  | { readonly id: number; readonly answer: Answer; readonly agedMs: number }
  | { readonly id: number; readonly failed: ErrorCode; readonly hop?: string | undefined }

const ASK_HEAD = 14
const REPLY_HEAD = 29
const FAILED = 1
const HAS_EDE = 2
const HAS_EDE_TEXT = 4
const OF_NETWORK = 8
const CHECKING_DISABLED = 1
const AUTHENTIC_DATA = 2
const EDNS = 4
const DNSSEC_OK = 8
const REFRESH = 16
/**
 * The UDP size in a decoded query. The size and the source option of the client's OPT concern only
 * its own reply, which the worker writes. So they are not sent to the main thread, and neither are
 * the query's ID and transport.
 */
const EDNS_SIZE = 1232

/*
 * One message holds all misses of one turn of the event loop, as plain octets. A structured clone
 * of the same records as objects costs several times as much, because it contains the names of all
 * fields. Both ends are the same build in one process, so the content is trusted. Questions are
 * sent in lower case, because nothing behind the cache needs the client's spelling.
 */

/** Encodes all `asks` as one message, in a separate buffer that may be transferred. */
export function encodeAsks(asks: readonly AskRecord[]): Buffer {
  let total = 0
  for (const { query } of asks) total += ASK_HEAD + query.client.address.length + query.question.lower.length
  const out = Buffer.allocUnsafeSlow(total)
  let at = 0
  for (const { id, query, remainingMs, purpose } of asks) {
    const { question, client } = query
    out.writeUInt32LE(id, at)
    out.writeUInt32LE(Math.max(0, Math.round(remainingMs)), at + 4)
    out.writeUInt16LE(client.view, at + 8)
    out.writeUInt16LE(question.lower.length, at + 10)
    out[at + 12] = flagsOf(query) | (purpose === 'refresh' ? REFRESH : 0)
    out[at + 13] = client.address.length
    at += ASK_HEAD
    at += out.write(client.address, at, 'latin1')
    out.set(question.lower, at)
    at += question.lower.length
  }
  return out
}

function flagsOf(query: Query): number {
  const { edns } = query
  return (
    (query.checkingDisabled ? CHECKING_DISABLED : 0) |
    (query.authenticData ? AUTHENTIC_DATA : 0) |
    (edns === undefined ? 0 : EDNS) |
    (edns?.dnssecOk === true ? DNSSEC_OK : 0)
  )
}

/** Decodes a message of `encodeAsks`; the questions are views into `message`. */
export function decodeAsks(message: Uint8Array): readonly AskRecord[] {
  const m = asBuffer(message)
  const asks: AskRecord[] = []
  for (let at = 0; at < m.length; ) {
    const flags = m[at + 12]!
    const addressAt = at + ASK_HEAD
    const questionAt = addressAt + m[at + 13]!
    const end = questionAt + m.readUInt16LE(at + 10)
    const lower = m.subarray(questionAt, end)
    const question = { lower, type: m.readUInt16BE(end - 4), class: m.readUInt16BE(end - 2) }
    const query: Query = {
      id: 0,
      question,
      authenticData: (flags & AUTHENTIC_DATA) !== 0,
      checkingDisabled: (flags & CHECKING_DISABLED) !== 0,
      edns: (flags & EDNS) === 0 ? undefined : { udpSize: EDNS_SIZE, dnssecOk: (flags & DNSSEC_OK) !== 0, wantsSource: false },
      client: { address: m.latin1Slice(addressAt, questionAt), transport: 'udp', view: m.readUInt16LE(at + 8) as View },
    }
    const purpose = (flags & REFRESH) === 0 ? 'client' : 'refresh'
    asks.push({ id: m.readUInt32LE(at), query, remainingMs: m.readUInt32LE(at + 4), purpose })
    at = end
  }
  return asks
}

/** Encodes all `replies` as one message, in a separate buffer that may be transferred. */
export function encodeReplies(replies: readonly ReplyRecord[]): Buffer {
  // For a failure: its code, and the hop. For an answer: its source, and the text of its EDE.
  const texts = replies.map((reply) => ('failed' in reply ? reply.failed : sourceText(reply.answer.from)))
  const details = replies.map((reply) => ('failed' in reply ? reply.hop : reply.answer.ede?.text))
  let total = 0
  replies.forEach((reply, i) => {
    total += REPLY_HEAD + Buffer.byteLength(texts[i]!) + Buffer.byteLength(details[i] ?? '')
    if ('answer' in reply) total += reply.answer.wire.length
  })
  const out = Buffer.allocUnsafeSlow(total)
  let at = 0
  replies.forEach((reply, i) => {
    at = writeReply(out, at, reply, texts[i]!, details[i])
  })
  return out
}

function writeReply(out: Buffer, head: number, reply: ReplyRecord, text: string, detail: string | undefined): number {
  const answer = 'answer' in reply ? reply.answer : undefined
  const textLength = out.write(text, head + REPLY_HEAD)
  const detailAt = head + REPLY_HEAD + textLength
  const detailLength = detail === undefined ? 0 : out.write(detail, detailAt)
  const wire = answer?.wire ?? EMPTY
  const ofNetwork = answer?.ofNetwork === true ? OF_NETWORK : 0
  const answerFlags = (answer?.ede === undefined ? 0 : HAS_EDE) | (detail === undefined ? 0 : HAS_EDE_TEXT) | ofNetwork
  out.writeUInt32LE(reply.id, head)
  out[head + 4] = answer === undefined ? FAILED : answerFlags
  out.writeUInt16LE(answer?.rcode ?? 0, head + 5)
  out.writeDoubleLE(answer === undefined || answer.storeS === 'no' ? Number.NaN : answer.storeS, head + 7)
  out.writeFloatLE('agedMs' in reply ? reply.agedMs : 0, head + 15)
  out.writeUInt16LE(answer?.ede?.code ?? 0, head + 19)
  out.writeUInt16LE(detailLength, head + 21)
  out.writeUInt16LE(textLength, head + 23)
  out.writeUInt32LE(wire.length, head + 25)
  out.set(wire, detailAt + detailLength)
  return detailAt + detailLength + wire.length
}
const EMPTY = new Uint8Array(0)

/** Decodes a message of `encodeReplies`; the answers' octets are views into `message`. */
export function decodeReplies(message: Uint8Array): readonly ReplyRecord[] {
  const m = asBuffer(message)
  const replies: ReplyRecord[] = []
  for (let head = 0; head < m.length; ) {
    const detailAt = head + REPLY_HEAD + m.readUInt16LE(head + 23)
    const wireAt = detailAt + m.readUInt16LE(head + 21)
    const end = wireAt + m.readUInt32LE(head + 25)
    const id = m.readUInt32LE(head)
    const text = m.utf8Slice(head + REPLY_HEAD, detailAt)
    const flags = m[head + 4]!
    if ((flags & FAILED) !== 0) replies.push({ id, failed: codeOf(text), ...(wireAt > detailAt && { hop: m.utf8Slice(detailAt, wireAt) }) })
    else {
      const storeS = m.readDoubleLE(head + 7)
      const ede: Ede = {
        code: m.readUInt16LE(head + 19),
        ...((flags & HAS_EDE_TEXT) !== 0 && { text: m.utf8Slice(detailAt, wireAt) }),
      }
      const answer: Answer = {
        wire: m.subarray(wireAt, end),
        rcode: m.readUInt16LE(head + 5),
        storeS: Number.isNaN(storeS) ? 'no' : storeS,
        ...((flags & HAS_EDE) !== 0 && { ede }),
        from: sourceOf(text),
        ...((flags & OF_NETWORK) !== 0 && { ofNetwork: true as const }),
      }
      replies.push({ id, answer, agedMs: m.readFloatLE(head + 15) })
    }
    head = end
  }
  return replies
}

/** The text of a source, such as "cache". "dot quad9": an upstream; only this form has a space. */
function sourceText(from: Source): string {
  return typeof from === 'string' ? from : `${from.transport} ${from.upstream}`
}

function sourceOf(text: string): Source {
  const space = text.indexOf(' ')
  if (space < 0) return isOwnSource(text) ? text : unknownWord('source', text)
  const transport = text.slice(0, space)
  if (!isTransport(transport)) return unknownWord('transport', transport)
  return { transport, upstream: text.slice(space + 1) }
}

function codeOf(text: string): ErrorCode {
  return isErrorCode(text) ? text : unknownWord('error code', text)
}

type OwnSource = Exclude<Source, object>
const OWN_SOURCES: Readonly<Record<OwnSource, true>> = {
  policy: true,
  failure: true,
  stale: true,
  cache: true,
  portal: true,
  'split-dns': true,
}

function isOwnSource(text: string): text is OwnSource {
  return Object.hasOwn(OWN_SOURCES, text)
}

/** Throws an EnigmError `internal`: the main thread sent a word that this worker does not know. */
function unknownWord(of: string, text: string): never {
  throw new EnigmError('internal', `the main thread sent an unknown ${of}: ${text}`)
}

/** `Buffer.toString` calls these methods, which Node's type definitions lack. */
type Sliceable = Buffer & { latin1Slice(start: number, end: number): string; utf8Slice(start: number, end: number): string }

function asBuffer(message: Uint8Array): Sliceable {
  return Buffer.from(message.buffer, message.byteOffset, message.length) as Sliceable
}
