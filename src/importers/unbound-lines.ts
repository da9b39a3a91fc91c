import type { Draft } from './draft.ts'

/** One `key: value` of a file. */
export interface Line {
  readonly line: number
  readonly key: string
  readonly value: string
}

/** A clause (`server:`, `forward-zone:`) with its lines. */
export interface Clause {
  readonly name: string
  readonly line: number
  readonly lines: readonly Line[]
}

/** Imports one line of `server:`. `server` has the lines of all clauses of this name. */
export type Rule = (draft: Draft, line: Line, server: readonly Line[]) => void

export const leftOut =
  (says: string): Rule =>
  (draft, { line }) =>
    draft.say('left out', line, says)
export const same =
  (says: string): Rule =>
  (draft, { line }) =>
    draft.say('same', line, says)
/** Makes a rule for a setting that is as in enigm-dns only with one of the values `wanted`. */
export const onlyIf =
  (wanted: readonly string[], says: string): Rule =>
  (draft, { line, value }) =>
    draft.say(wanted.includes(value) ? 'same' : 'left out', line, says)
/** Makes a rule for a switch that always has the value `wanted` in enigm-dns. */
export const always = (wanted: 'yes' | 'no', says: string): Rule => onlyIf([wanted], says)

/** The value that counts if a key has several lines. Undefined: it has none. */
export function lastOf(server: readonly Line[], key: string): string | undefined {
  return server.findLast((one) => one.key === key)?.value
}

/** Reads the clauses of a file. Records the outcome of lines that include other files. */
export function clausesOf(draft: Draft): readonly Clause[] {
  const clauses: { name: string; line: number; lines: Line[] }[] = []
  for (const [at, text] of draft.lines.entries()) {
    const line = at + 1
    const [, key = '', rest = ''] = /^\s*([a-z0-9-]+):\s*(.*)$/i.exec(text) ?? []
    const value = unquoted(rest)
    if (key === '') continue
    if (/^include(-toplevel)?$/.test(key)) draft.say('left out', line, `${value}: a separate file; import it too`)
    else if (withoutComment(rest) === '') clauses.push({ name: key, line, lines: [] })
    else clauses.at(-1)?.lines.push({ line, key, value })
  }
  return clauses
}

/**
 * Removes quotes and a comment from a value. A part of the value may be quoted, as in `"lan."
 * static`.
 */
function unquoted(text: string): string {
  const [, double, single, rest = ''] = /^(?:"((?:\\.|[^"\\])*)"|'([^']*)')(.*)$/.exec(text) ?? []
  const first = double?.replace(/\\(.)/g, '$1') ?? single
  return first === undefined ? withoutComment(text) : `${first} ${withoutComment(rest)}`.trim()
}

const withoutComment = (text: string) => text.replace(/(^|\s+)#.*$/, '').trim()
