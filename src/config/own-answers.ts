import { domainToASCII } from 'node:url'
import * as v from 'valibot'
import { nameFromText, textFromName } from '../dns/name.ts'
import { lowerOctet } from '../dns/octets.ts'
import { EnigmError } from '../errors.ts'
import { closed, described, integer, text, word } from './fields.ts'
import { quoted } from './problems.ts'
import { rdataFromText, WRITABLE_TYPES, type WritableType } from './record-data.ts'

const TYPE_NAMES = Object.keys(WRITABLE_TYPES) as [WritableType, ...WritableType[]]
const WILDCARD = '*.'
/** Limit of aliases that follow each other. Each one makes the answer longer. */
export const MAX_ALIASES = 8
/** Limit of records of one name. More do not fit into a message, or are a mistake. */
const MAX_RECORDS_A_NAME = 100
const MAX_OCTETS_A_NAME = 32_768
export const MAX_ANSWERS = 10_000

/** One record of the key `answers`. */
export interface OwnAnswer {
  readonly name: string
  readonly type: WritableType
  readonly data: string
  readonly ttlS?: number | undefined
}

/** The name of an answer in wire form, lower-case. `wildcard`: all names below it, not the name. */
export interface OwnName {
  readonly wire: Uint8Array
  readonly wildcard: boolean
}

/** Reads the name of an answer. Throws an EnigmError `config` if the schema would refuse it. */
export function ownNameOf(name: string): OwnName {
  const wildcard = name.startsWith(WILDCARD)
  return { wire: nameFromText(wildcard ? name.slice(WILDCARD.length) : name).map(lowerOctet), wildcard }
}

/** The key of a name in wire form: one character for each octet. */
export const keyOf = (wire: Uint8Array) => Buffer.from(wire).toString('latin1')

function nameProblem(name: string): string | undefined {
  const form = 'must be a name, as in "nas.example", or all names below one, as in "*.nas.example"'
  const ascii = /^[\x20-\x7e]*$/.test(name) ? '' : domainToASCII(name)
  if (ascii !== '') return `must be in ASCII (xn-- form); write ${quoted(ascii)}`
  const bare = name.startsWith(WILDCARD) ? name.slice(WILDCARD.length) : name
  if (bare.includes('*')) return `${form}; a * stands for whole labels, at the beginning only`
  try {
    const { wire } = ownNameOf(name)
    if (wire.length === 1) return `${form}; it must not mean every name`
    if (/(^|\.)localhost\.$/.test(textFromName(wire))) return 'is this host always (RFC 6761 section 6.3); remove it'
  } catch (error) {
    return `${form}${error instanceof EnigmError ? ` (${error.message})` : ''}`
  }
  return undefined
}

function dataProblem({ type, data }: Pick<OwnAnswer, 'type' | 'data'>): string | undefined {
  try {
    rdataFromText(type, data)
    return undefined
  } catch (error) {
    return error instanceof EnigmError ? error.message : 'is not the data of a record'
  }
}

const ownAnswerSchema = v.pipe(
  closed({
    name: described(
      'A name, or `*.NAME` for every name below NAME.',
      v.pipe(
        text(256),
        v.check<string, (issue: { readonly input: string }) => string>(
          (name) => nameProblem(name) === undefined,
          ({ input }) => nameProblem(input) ?? '',
        ),
      ),
    ),
    type: described('The type of the record.', word(...TYPE_NAMES)),
    data: described('The data of the record, as in a master file.', text(8192)),
    ttlS: v.exactOptional(described('How long clients may keep the answer, in seconds; 300 if absent.', integer(0, 604_800))),
  }),
  v.forward(
    v.partialCheck(
      [['type'], ['data']],
      (answer) => dataProblem(answer) === undefined,
      ({ input }) => dataProblem(input) ?? '',
    ),
    ['data'],
  ),
)

/** The schema of the key `answers`: records that this service answers itself. */
export const ownAnswersSchema = v.pipe(
  v.array(ownAnswerSchema, 'must be a list of answers, as in [{ "name": "nas.example", "type": "A", "data": "192.0.2.7" }]'),
  v.maxLength(MAX_ANSWERS, `must be a list of at most ${MAX_ANSWERS} items; a hosts file holds more`),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    const list = dataset.value
    for (const { at, message } of contradictionsIn(list))
      addIssue({ message, path: [{ type: 'array', origin: 'value', input: list, key: at, value: list[at] }] })
  }),
)

interface Contradiction {
  readonly at: number
  readonly message: string
}

/** The contradictions between the answers of one list. */
function contradictionsIn(list: readonly OwnAnswer[]): readonly Contradiction[] {
  const byName = new Map<string, { readonly answer: OwnAnswer; readonly at: number }[]>()
  for (const [at, answer] of list.entries()) {
    const { wire, wildcard } = ownNameOf(answer.name)
    const key = `${wildcard ? WILDCARD : ''}${keyOf(wire)}`
    const group = byName.get(key) ?? []
    group.push({ answer, at })
    byName.set(key, group)
  }
  const found = [...byName.values()].flatMap(contradictionsOfName)
  return found.length > 0 ? found : circles(list)
}

function contradictionsOfName(group: readonly { readonly answer: OwnAnswer; readonly at: number }[]): readonly Contradiction[] {
  const written = new Map<string, number>()
  const hasAlias = group.some(({ answer }) => answer.type === 'CNAME')
  const found: Contradiction[] = []
  let octets = 0
  for (const { answer, at } of group) {
    const rdata = rdataFromText(answer.type, answer.data)
    const same = `${answer.type} ${keyOf(rdata)}`
    octets += rdata.length
    const first = written.get(same)
    if (first !== undefined) found.push({ at, message: `says the same as the answer ${first}; keep one of them` })
    else if (hasAlias && written.size > 0)
      found.push({
        at,
        message: `is a second answer for ${quoted(answer.name)}, which has a CNAME; a name with a CNAME has no other record`,
      })
    else if (written.size >= MAX_RECORDS_A_NAME || octets > MAX_OCTETS_A_NAME)
      found.push({ at, message: `is one answer too many for ${quoted(answer.name)}, which would not fit into a reply; remove some` })
    written.set(same, first ?? at)
  }
  return found.slice(0, 1)
}

/** The aliases that lead back to themselves, or over too many other aliases. */
function circles(list: readonly OwnAnswer[]): readonly Contradiction[] {
  const exact = new Map<string, number>()
  const below = new Map<string, number>()
  for (const [at, { name }] of list.entries()) {
    const { wire, wildcard } = ownNameOf(name)
    ;(wildcard ? below : exact).set(keyOf(wire), at)
  }
  const next = (at: number): number | undefined => {
    const answer = list[at]
    if (answer?.type !== 'CNAME') return undefined
    const target = rdataFromText('CNAME', answer.data)
    return exact.get(keyOf(target)) ?? nearestAbove(target, below)?.value
  }
  const inCircle = new Set<number>()
  return list.flatMap((answer, start) => {
    const path = [start]
    for (let at = next(start); at !== undefined; at = next(at)) {
      const again = path.indexOf(at)
      if (again >= 0) {
        if (path.some((one) => inCircle.has(one))) return []
        for (const one of path) inCircle.add(one)
        const names = [...path.slice(again), at].map((one) => list[one]?.name ?? '')
        return [
          { at: start, message: `is circular: ${names.map((one) => quoted(one)).join(' is an alias of ')}; give one of them an address` },
        ]
      }
      path.push(at)
      if (path.length > MAX_ALIASES + 1)
        return [
          { at: start, message: `leads from ${quoted(answer.name)} over more than ${MAX_ALIASES} aliases; name the last one directly` },
        ]
    }
    return []
  })
}

/** The value of the nearest name above `name` in `table`, and that name. */
export function nearestAbove<Value>(
  name: Uint8Array,
  table: ReadonlyMap<string, Value>,
): { readonly value: Value; readonly above: Uint8Array } | undefined {
  if (table.size === 0) return undefined
  const key = keyOf(name)
  for (let at = 0; (name[at] ?? 0) > 0; ) {
    at += (name[at] ?? 0) + 1
    const value = table.get(key.slice(at))
    if (value !== undefined) return { value, above: name.subarray(at) }
  }
  return undefined
}
