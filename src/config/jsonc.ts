import { createScanner, type Node, type ParseError, parse, parseTree, printParseErrorCode, stripComments } from 'jsonc-parser'

/**
 * Limit of a file. Real configurations are much smaller: a larger one is a mistake or an attack.
 */
export const MAX_OCTETS = 1_048_576
/**
 * Limit of nesting. The configuration needs 6 levels. The depth is checked before the parser runs,
 * because the parser is recursive.
 */
const MAX_DEPTH = 32
/** Limit of reported problems, because one syntax error causes many others. */
const MAX_PROBLEMS = 10
/** Limit of errors that are compared with the one before: each comparison reads the text. */
const MAX_ERRORS = 40
/**
 * Keys that are refused. Assigning them to an ordinary object changes its prototype, and schema
 * libraries ignore them without an error.
 */
const REFUSED_KEYS = new Set(['__proto__', 'prototype', 'constructor'])

/**
 * The value, or all problems. A problem is a clause that begins with its position ("line 3, column
 * 7: ...").
 */
export type Parsed = { readonly value: unknown; readonly problems?: never } | { readonly problems: readonly string[] }

/**
 * Parses JSON with comments and trailing commas, any line ends, and an optional byte order mark.
 * Never throws. Objects have no prototype. In addition to syntax errors, these are problems: a
 * duplicate key, a key that would change a prototype, more than MAX_OCTETS octets (UTF-8), and more
 * than 32 levels. `fix`: what to write into an empty file.
 */
export function parseJsonc(written: string, fix = 'write {} for the defaults'): Parsed {
  const text = written.startsWith('\uFEFF') ? written.slice(1) : written
  if (text.length > MAX_OCTETS || Buffer.byteLength(text) > MAX_OCTETS) {
    return { problems: [`the file is larger than ${MAX_OCTETS} octets; make it smaller`] }
  }
  const fault = nestingProblem(text)
  if (fault !== undefined) return { problems: [fault] }
  const errors: ParseError[] = []
  const root = parseTree(text, errors, { allowTrailingComma: true, disallowComments: false, allowEmptyContent: false })
  const isOpen = errors.some((error) => printParseErrorCode(error.error) === 'UnexpectedEndOfComment')
  if (root === undefined && !isOpen && stripComments(text).trim() === '') {
    return { problems: [`the file ${text.trim() === '' ? 'is empty' : 'contains only comments'}; ${fix}`] }
  }
  if (root === undefined || errors.length > 0) return { problems: syntaxProblems(text, errors) }
  const problems: string[] = []
  const value = fromNode(root, text, problems)
  return problems.length > 0 ? { problems } : { value }
}

function syntaxProblems(text: string, errors: readonly ParseError[]): readonly string[] {
  const beginsAsJson = stripComments(text.slice(0, errors[0]?.offset)).trim() !== ''
  return errors
    .slice(0, beginsAsJson ? MAX_ERRORS : 1)
    .filter((error, i) => !follows(text, errors[i - 1], error))
    .slice(0, MAX_PROBLEMS)
    .map((error) => `${place(text, error.offset)}: ${inWords(printParseErrorCode(error.error))}; correct the JSON there`)
}

/** Whether nothing is between two errors. Then the first one causes the second. */
function follows(text: string, before: ParseError | undefined, error: ParseError): boolean {
  return before !== undefined && text.slice(before.offset + before.length, error.offset).trim() === ''
}

/**
 * A string, a comment, or a comma before a closing bracket. What stands between the two is matched
 * so that no shorter and no longer comment fits.
 */
const BESIDE_JSON =
  /"(?:[^"\\\r\n]|\\.)*"|\/\/[^\r\n]*|\/\*[\s\S]*?\*\/|,(?=(?:\s|\/\/[^\r\n]*(?=[\r\n]|$)|\/\*(?:[^*]|\*(?!\/))*\*\/)*[}\]])/g

/**
 * The value of a text that the program has written from one that `parseJsonc` has accepted.
 * Undefined: it is not JSON. Much faster, because it does not say what is wrong and where.
 */
export function valueOfEdited(text: string): unknown {
  try {
    return JSON.parse(text.replace(BESIDE_JSON, (part) => (part.startsWith('"') ? part : part === ',' ? '' : ' ')).replace(/^\uFEFF/, ''))
  } catch {
    const errors: ParseError[] = []
    const value: unknown = parse(text, errors, { allowTrailingComma: true })
    return errors.length > 0 ? undefined : value
  }
}

/** Converts "CommaExpected" to "comma expected". */
function inWords(code: string): string {
  return code.replace(/(?!^)[A-Z]/g, (letter) => ` ${letter}`).toLowerCase()
}

function fromNode(node: Node, text: string, problems: string[]): unknown {
  if (node.type === 'array') return (node.children ?? []).map((child) => fromNode(child, text, problems))
  if (node.type !== 'object') return node.value
  const object: Record<string, unknown> = Object.create(null)
  for (const property of node.children ?? []) {
    const [name, value] = property.children ?? []
    // To find a position, the text before it is read. A megabyte of problems would take minutes.
    if (name === undefined || value === undefined || problems.length === MAX_PROBLEMS) continue
    const key = String(name.value)
    if (REFUSED_KEYS.has(key)) problems.push(`${place(text, name.offset)}: the key "${key}" is not allowed; remove it`)
    else if (key in object) problems.push(`${place(text, name.offset)}: the key ${JSON.stringify(key)} appears twice; keep one of them`)
    else object[key] = fromNode(value, text, problems)
  }
  return object
}

/**
 * The problem of nesting that is too deep, or of a bracket that closes nothing. A bracket of the
 * wrong kind counts too: the parser would stay inside the open one ("[},[},..." fills the stack).
 */
function nestingProblem(text: string): string | undefined {
  const scanner = createScanner(text, true)
  const open: string[] = []
  while (scanner.getPosition() < text.length) {
    scanner.scan()
    const at = scanner.getTokenOffset()
    const first = text[at]
    if (first === '{' || first === '[') open.push(first)
    else if (first === '}' || first === ']') {
      if (open.pop() !== (first === '}' ? '{' : '[')) return `${place(text, at)}: "${first}" closes nothing; correct the JSON there`
    }
    if (open.length > MAX_DEPTH) return `${place(text, at)}: more than ${MAX_DEPTH} levels of nesting; flatten it`
  }
  return undefined
}

/** The line and column of an offset. Both count from 1, as in editors. */
function place(text: string, offset: number): string {
  const before = text.slice(0, offset)
  const lines = before.split(/\r\n|\r|\n/)
  return `line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`
}
