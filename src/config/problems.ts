import type * as v from 'valibot'
import { EnigmError } from '../errors.ts'

/**
 * One fault of a configuration. `file` and `path` are its place ('' is the whole file). The message
 * is a clause with the error and the fix.
 */
export interface Problem {
  readonly file: string
  readonly path: string
  readonly message: string
}

/** Converts valibot's issues to problems of `file`. A message is made when it is read. */
export function problemsOf(file: string, issues: readonly v.BaseIssue<unknown>[]): readonly Problem[] {
  return issues.map((issue) => ({
    file,
    path: pathOf(issue),
    get message() {
      return messageOf(issue)
    },
  }))
}

/**
 * Limit of reported problems. A file of a megabyte can hold 100,000 faults, and nobody fixes so
 * many at once.
 */
const MAX_LINES = 100

/**
 * Makes an error with one line per problem, at most 100. Each line has file, path, error and fix.
 * All text from files is escaped, so that each problem stays one line.
 */
export function configError(problems: readonly Problem[]): EnigmError {
  const shown = problems.slice(0, MAX_LINES)
  const lines = shown.map(({ file, path, message }) => printable(path === '' ? `${file}: ${message}` : `${file}: ${path}: ${message}`))
  if (problems.length > MAX_LINES) lines.push(`and ${problems.length - MAX_LINES} more problems; fix these first`)
  return new EnigmError('config', lines.join('\n'))
}

/**
 * A number with its noun, as in "1 entry" and "2 entries". `many`: the plural if it is irregular.
 */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

/**
 * Quotes a value from a file. It is escaped, and cut to 80 characters. JSON may write numbers that
 * JavaScript holds as infinity, which JSON.stringify turns into null.
 */
export function quoted(value: unknown): string {
  if (value === Number.POSITIVE_INFINITY) return 'a number above 1.8e308'
  if (value === Number.NEGATIVE_INFINITY) return 'a number below -1.8e308'
  const text = JSON.stringify(value) ?? 'nothing'
  return printable(text.length > 80 ? `${text.slice(0, 77)}...` : text)
}

/**
 * Escapes all characters that are not printable ASCII. In a terminal or a log, bidirectional and
 * control characters can make one text look like another (Trojan Source).
 */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/gu, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`)
}

function pathOf(issue: v.BaseIssue<unknown>): string {
  let path = ''
  for (const { key } of issue.path ?? []) {
    if (typeof key === 'number') path += `[${key}]`
    else if (/^[A-Za-z$][\w$-]{0,79}$/.test(String(key))) path += path === '' ? String(key) : `.${String(key)}`
    else path += `[${quoted(String(key))}]`
  }
  return path
}

function messageOf(issue: v.BaseIssue<unknown>): string {
  const last = issue.path?.at(-1)
  if (last !== undefined && 'origin' in last && last.origin === 'key' && issue.input === undefined) return 'is required; add it'
  const simple = ['string', 'number', 'boolean'].includes(typeof issue.input) || issue.input === null
  return simple && issue.type !== 'never' ? `${issue.message} (found ${quoted(issue.input)})` : issue.message
}
