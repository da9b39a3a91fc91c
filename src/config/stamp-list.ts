import { readStamp, type Stamp } from './stamps.ts'

/** Limit of a list in octets. The largest public one has 200 KB. */
export const MAX_LIST_OCTETS = 4_194_304
/** Limit of entries in one list. */
export const MAX_LIST_ENTRIES = 5000
/** Limit of a line. The rest of a longer line is not read: no stamp is as long. */
const MAX_LINE = 8192
/** Limit of faults that are reported. */
const MAX_FAULTS = 20

/** A stamp of a list, under its heading. */
export interface ListedStamp {
  /** The text of the heading. Undefined: there is no heading above it. */
  readonly name: string | undefined
  readonly stamp: Stamp
  /** Its line in the list, from 1. */
  readonly line: number
}

/** What a list holds, and what was not understood. */
export interface StampList {
  readonly stamps: readonly ListedStamp[]
  /** At most 20 clauses, each with its line. */
  readonly faults: readonly string[]
  /** How many stamps were refused. It may be more than there are `faults`. */
  readonly refused: number
}

/**
 * Reads a list in Markdown. A heading of level 2 or deeper names an entry. Lines below it that
 * begin with sdns:// are its stamps, also in a list item, a quotation or code. All other text is
 * ignored. Never throws.
 */
export function readStampList(text: string): StampList {
  const stamps: ListedStamp[] = []
  const faults: string[] = []
  let refused = 0
  let name: string | undefined
  let line = 0
  for (const raw of linesOf(text)) {
    line++
    const heading = HEADING.exec(raw)
    // The first level is the title of the list.
    if (heading !== null) name = heading[1] === '#' ? undefined : titleOf(heading[2] ?? '')
    const found = STAMP.exec(raw)?.[1]
    if (found === undefined) continue
    const { stamp, fault } = reading(found, stamps.length + refused)
    if (stamp !== undefined) {
      stamps.push({ name, stamp, line })
      continue
    }
    refused++
    if (faults.length < MAX_FAULTS) faults.push(`line ${line}${name === undefined ? '' : ` (${printable(name)})`}: the stamp ${fault}`)
  }
  return { stamps, faults, refused }
}

const HEADING = /^ {0,3}(#{1,6})[ \t]+(\S.*)$/
const STAMP = /^[\s>*+`-]*(sdns:[^\s`]*)[\s`]*$/i
const CR = 13
const LF = 10
const HASH = '#'

/**
 * The lines of a text, each cut to its limit. One at a time: a text of empty lines has millions.
 */
function* linesOf(text: string): Generator<string> {
  let from = 0
  for (let at = 0; at <= text.length; at++) {
    const code = at === text.length ? LF : text.charCodeAt(at)
    if (code !== LF && code !== CR) continue
    yield text.slice(from, Math.min(at, from + MAX_LINE))
    if (code === CR && text.charCodeAt(at + 1) === LF) at++
    from = at + 1
  }
}

/** The text of a heading, without the signs that may close it. */
function titleOf(text: string): string | undefined {
  const trimmed = text.trimEnd()
  let end = trimmed.length
  while (end > 0 && trimmed[end - 1] === HASH) end--
  return trimmed.slice(0, end).trimEnd().slice(0, MAX_TITLE) || undefined
}
const MAX_TITLE = 200

function reading(text: string, before: number): { readonly stamp?: Stamp; readonly fault?: string } {
  return before >= MAX_LIST_ENTRIES ? { fault: `is beyond the limit of ${MAX_LIST_ENTRIES} in one list` } : readStamp(text)
}

/** A name from a list, escaped for a terminal. */
function printable(name: string): string {
  return name.slice(0, 63).replace(/[^\x20-\x7e]/gu, '?')
}
