import { EnigmError } from '../errors.ts'
import { OPTION, UDP_SIZE } from './edns.ts'
import { expandedName, nameFromText, textFromName } from './name.ts'
import { HEADER_OCTETS, putU16, u16 } from './octets.ts'
import { SOURCE_OPTION } from './query-scan.ts'
import { escaped, RdataReader, rdataText } from './rdata-text.ts'
import { RecordCursor, TYPE } from './records.ts'
import { extendedErrorText, rcodeText, textFromType, typeFromText } from './registries.ts'

/** A record in text form. Every text is printable ASCII. */
export interface ShownRecord {
  readonly name: string
  readonly type: string
  readonly ttlS: number
  readonly data: string
}

/**
 * A message in text form. Every text is printable ASCII: octets from the network cannot act on
 * a terminal or a log.
 */
export interface ShownMessage {
  /** All 12 bits if there is an OPT. */
  readonly rcode: number
  readonly status: string
  /** The set flags among `qr aa tc rd ra ad cd`. */
  readonly flags: readonly string[]
  readonly question: { readonly name: string; readonly type: string } | undefined
  readonly errors: readonly { readonly code: number; readonly meaning: string | undefined; readonly text: string | undefined }[]
  /**
   * The source of the answer as the stub reports it: `cache`, `policy`, `failure`, `stale` or
   * `<resolver>/<transport>`.
   */
  readonly source: string | undefined
  readonly answers: readonly ShownRecord[]
  readonly authority: readonly ShownRecord[]
  readonly additional: readonly ShownRecord[]
  /** A record runs past the end; the records before it are shown. */
  readonly malformed: boolean
}

const FLAGS: readonly (readonly [mask: number, text: string])[] = [
  [0x8000, 'qr'],
  [0x0400, 'aa'],
  [0x0200, 'tc'],
  [0x0100, 'rd'],
  [0x0080, 'ra'],
  [0x0020, 'ad'],
  [0x0010, 'cd'],
]

/**
 * A complete query for the stub itself: RD and AD set, and an OPT that asks for the source of the
 * answer (our private option, RFC 6891 section 9). `id` should be random. Throws `config` if the
 * name or type is invalid.
 */
export function encodeQuestion(name: string, type: string, id: number): Uint8Array {
  const wire = nameFromText(name)
  const number = typeFromText(type)
  if (number === undefined)
    throw new EnigmError('config', `not a record type: ${escaped(Buffer.from(type))}; write one as A, HTTPS or TYPE65`)
  const opt = HEADER_OCTETS + wire.length + 4
  const message = new Uint8Array(opt + 15)
  putU16(message, 0, id)
  putU16(message, 2, 0x0120)
  message[5] = 1
  message[11] = 1
  message.set(wire, HEADER_OCTETS)
  putU16(message, opt - 4, number)
  putU16(message, opt - 2, 1)
  putU16(message, opt + 1, TYPE.OPT)
  putU16(message, opt + 3, UDP_SIZE)
  putU16(message, opt + 9, 4)
  putU16(message, opt + 11, SOURCE_OPTION)
  return message
}

/** Reads any octets as a DNS message; undefined if they are shorter than a header. Never throws. */
export function presentMessage(wire: Uint8Array): ShownMessage | undefined {
  if (wire.length < HEADER_OCTETS) return undefined
  const flags = u16(wire, 2)
  const sections: [ShownRecord[], ShownRecord[], ShownRecord[]] = [[], [], []]
  let options: ShownOptions = { errors: [], source: undefined }
  let rcode = flags & 15
  const cursor = new RecordCursor(wire)
  while (cursor.next()) {
    if (cursor.type === TYPE.OPT) {
      rcode = (flags & 15) | ((cursor.ttlS >>> 24) << 4)
      options = optionsOf(wire, cursor)
    } else sections[cursor.section - 1]?.push(shown(wire, cursor))
  }
  const [answers, authority, additional] = sections
  return {
    rcode,
    status: rcodeText(rcode),
    flags: FLAGS.filter(([mask]) => flags & mask).map(([, text]) => text),
    question: questionOf(wire),
    ...options,
    answers,
    authority,
    additional,
    malformed: cursor.malformed,
  }
}

function shown(wire: Uint8Array, cursor: RecordCursor): ShownRecord {
  return {
    name: nameText(wire, cursor.recordAt),
    type: textFromType(cursor.type),
    ttlS: cursor.ttlS,
    data: rdataText(wire, cursor.type, cursor.rdataAt, cursor.rdLength),
  }
}

/**
 * The cursor checks names less strictly than `expandedName`; a name that only the cursor accepts
 * has no text.
 */
function nameText(wire: Uint8Array, at: number): string {
  const name = expandedName(wire, at)
  return name === undefined ? '(malformed)' : textFromName(name)
}

function questionOf(wire: Uint8Array): ShownMessage['question'] {
  if (u16(wire, 4) !== 1) return undefined
  const name = expandedName(wire, HEADER_OCTETS)
  const typeAt = HEADER_OCTETS + (name?.length ?? 0)
  if (name === undefined || typeAt + 4 > wire.length) return undefined
  return { name: textFromName(name), type: textFromType(u16(wire, typeAt)) }
}

type ShownOptions = Pick<ShownMessage, 'errors' | 'source'>

function optionsOf(wire: Uint8Array, cursor: RecordCursor): ShownOptions {
  const errors: ShownMessage['errors'][number][] = []
  let source: string | undefined
  const reader = new RdataReader(wire, cursor.rdataAt, cursor.rdLength)
  while (reader.left >= 4) {
    const option = reader.number(2)
    const length = reader.number(2)
    if (length > reader.left) break
    const data = reader.octets(length)
    if (option === SOURCE_OPTION && length > 0) source = escaped(data)
    if (option !== OPTION.ede || length < 2) continue
    const code = data.readUInt16BE(0)
    errors.push({ code, meaning: extendedErrorText(code), text: length > 2 ? escaped(data.subarray(2)) : undefined })
  }
  return { errors, source }
}
