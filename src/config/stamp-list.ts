import { readStamp, type Stamp } from './stamps.ts'

/** Limit of a list: the largest public one has 200 KB. */
export const MAX_LIST_OCTETS = 4_194_304
/** Limit of entries in one list. */
export const MAX_LIST_ENTRIES = 5000
/** What is beyond it in a line is not read: no stamp is so long. */
const MAX_LINE = 8192
/** Limit of faults that are named. */
const MAX_FAULTS = 20

/** A stamp of a list, under its heading. */
export interface ListedStamp {
  /** The text of the heading; undefined: there is none above it. */
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
  /** How many stamps were refused; may be more than `faults`. */
  readonly refused: number
}

/**
 * Reads a list in Markdown: a heading of level 2 or deeper names an entry, and lines that begin
 * with sdns:// below it are its stamps; a list item, a quotation or code may hold them. Everything
 * else is text for people. Never throws.
 */
export function readStampList(text: string): StampList {
  const stamps: ListedStamp[] = []
  const faults: string[] = []
  let refused = 0
  let name: string | undefined
  let line = 0
  for (const whole of text.split(/\r\n|\r|\n/)) {
    line++
    const raw = whole.slice(0, MAX_LINE)
    const heading = /^ {0,3}(#{1,6})[ \t]+(\S.{0,200}?)[ \t]*#*$/.exec(raw)
    // The first level is the title of the list.
    if (heading !== null) name = heading[1] === '#' ? undefined : heading[2]
    const found = /^[\s>*+`-]*(sdns:[^\s`]*)[\s`]*$/i.exec(raw)?.[1]
    if (found === undefined) continue
    const { stamp, fault } = reading(found, stamps.length)
    if (stamp !== undefined) {
      stamps.push({ name, stamp, line })
      continue
    }
    refused++
    if (faults.length < MAX_FAULTS) faults.push(`line ${line}${name === undefined ? '' : ` (${printable(name)})`}: the stamp ${fault}`)
  }
  return { stamps, faults, refused }
}

function reading(text: string, before: number): { readonly stamp?: Stamp; readonly fault?: string } {
  return before >= MAX_LIST_ENTRIES ? { fault: `is beyond the limit of ${MAX_LIST_ENTRIES} in one list` } : readStamp(text)
}

/** A name from a list, for a terminal. */
function printable(name: string): string {
  return name.slice(0, 63).replace(/[^\x20-\x7e]/gu, '?')
}
