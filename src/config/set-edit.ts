import { createScanner, type Node, parseTree, type SyntaxKind } from 'jsonc-parser'

/**
 * Edits the text of a trusted set. Comments, order and spelling of everything else stay. Each
 * function takes a text that `parseJsonc` has accepted.
 */

/** A list of the set. */
export type SetList = 'resolvers' | 'relays'

/** Keys to set in an entry. The value undefined removes a key. */
export type KeyChanges = Readonly<Record<string, unknown>>

/** A set without an entry. */
export const EMPTY_SET_TEXT = '{\n  "version": 1,\n  "resolvers": []\n}\n'

/** A part of a text, and its replacement. */
interface Edit {
  readonly offset: number
  readonly length: number
  readonly content: string
}

/** Adds entries at the end of a list. The list is made if it does not exist. */
export function addEntries(text: string, list: SetList, entries: readonly object[]): string {
  if (entries.length === 0) return text
  return edited(text, (root) => {
    const content = entries.map(entryText).join(',\n')
    const found = childOf(root, list)
    if (found === undefined) return appended(text, root, `  ${JSON.stringify(list)}: [\n${content}\n  ]`)
    return appended(text, found, content)
  })
}

/** Sets keys of the entries with these ids. Unknown ids are ignored. */
export function changeEntries(text: string, list: SetList, changes: ReadonlyMap<string, KeyChanges>): string {
  if (changes.size === 0) return text
  return edited(text, (root) => itemsOf(root, list).flatMap((item) => keyEdits(text, item, changes.get(idOf(item)) ?? {})))
}

/** Removes the entries with these ids. Comments between entries stay. */
export function removeEntries(text: string, list: SetList, ids: ReadonlySet<string>): string {
  // One at a time, because which comma must go depends on the entries that stay.
  return [...ids].reduce(
    (rest, id) =>
      edited(rest, (root) => {
        const items = itemsOf(root, list)
        const item = items.find((one) => idOf(one) === id)
        return item === undefined ? [] : removal(rest, item, items)
      }),
    text,
  )
}

function edited(text: string, edit: (root: Node) => readonly Edit[]): string {
  const root = parseTree(text, [], { allowTrailingComma: true })
  if (root === undefined) return text
  const eol = text.includes('\r\n') ? '\r\n' : '\n'
  let [done, at] = ['', 0]
  // Edits at the same place keep their order.
  for (const { offset, length, content } of edit(root).toSorted((a, b) => a.offset - b.offset)) {
    done += text.slice(at, offset) + content.replaceAll('\n', eol)
    at = offset + length
  }
  return done + text.slice(at)
}

function childOf(object: Node, key: string): Node | undefined {
  return object.children?.find((property) => property.children?.[0]?.value === key)?.children?.[1]
}

const itemsOf = (root: Node, list: SetList) => childOf(root, list)?.children ?? []
const idOf = (item: Node) => String(childOf(item, 'id')?.value)
const endOf = ({ offset, length }: Node) => offset + length

// jsonc-parser's enum exists at compile time only.
const COMMA: SyntaxKind = 5
const LINE_COMMENT: SyntaxKind = 12
const BLOCK_COMMENT: SyntaxKind = 13
const LINE_BREAK: SyntaxKind = 14
const SPACE: SyntaxKind = 15

/** What follows a value in the text. */
interface Following {
  /** The offset after its comma. Undefined: it has none. */
  readonly comma: number | undefined
  /** The offset after its comma and after comments on the same line, which belong to it. */
  readonly lineEnd: number
  /** Whether one of these comments ends with the line (`//`). */
  readonly inComment: boolean
}

function following(text: string, end: number): Following {
  const scanner = createScanner(text, false)
  scanner.setPosition(end)
  let [comma, lineEnd, sameLine, inComment]: [number | undefined, number, boolean, boolean] = [undefined, end, true, false]
  for (;;) {
    const token = scanner.scan()
    if (token === LINE_BREAK && comma !== undefined) break
    if (token === LINE_BREAK) sameLine = false
    else if (token === COMMA && comma === undefined) {
      comma = scanner.getPosition()
      lineEnd = comma
      sameLine = true
      inComment = false
    } else if (token === LINE_COMMENT || token === BLOCK_COMMENT) {
      if (!sameLine) continue
      lineEnd = scanner.getPosition()
      inComment = token === LINE_COMMENT
    } else if (token !== SPACE) break
  }
  return { comma, lineEnd, inComment }
}

/** Adds `content` as the last item or property of `parent`, on separate lines. */
function appended(text: string, parent: Node, content: string): readonly Edit[] {
  const last = parent.children?.at(-1)
  const close = endOf(parent) - 1
  if (last === undefined) {
    const begin = lineStart(text, close)
    // The closing bracket has its own line, or gets one.
    return begin < close ? [insertion(begin, `\n${content}`)] : [insertion(close, `\n${content}\n${indentOf(text, parent)}`)]
  }
  const { comma, lineEnd } = following(text, endOf(last))
  const closed = text.slice(lineEnd, close).includes('\n') ? '' : `\n${indentOf(text, parent)}`
  return [
    ...(comma === undefined ? [insertion(endOf(last), ',')] : []),
    insertion(lineEnd, `\n${content}${comma === undefined ? '' : ','}${closed}`),
  ]
}

const insertion = (offset: number, content: string): Edit => ({ offset, length: 0, content })

/** The indentation of the line on which a node begins. */
function indentOf(text: string, { offset }: Node): string {
  return /^[ \t]*/.exec(text.slice(text.lastIndexOf('\n', offset) + 1))?.[0] ?? ''
}

function keyEdits(text: string, object: Node, changes: KeyChanges): readonly Edit[] {
  const siblings = object.children ?? []
  const propertyOf = (key: string) => siblings.find(({ children }) => children?.[0]?.value === key)
  const fresh: string[] = []
  const edits = Object.entries(changes).flatMap(([key, value]): readonly Edit[] => {
    const property = propertyOf(key)
    const old = property?.children?.[1]
    if (value === undefined) return property === undefined ? [] : removal(text, property, siblings)
    if (old !== undefined) return [{ offset: old.offset, length: old.length, content: inline(value) }]
    fresh.push(`${JSON.stringify(key)}: ${inline(value)}`)
    return []
  })
  const last = siblings.at(-1)
  if (last === undefined || fresh.length === 0) return edits
  const { comma, lineEnd, inComment } = following(text, endOf(last))
  const start = text.lastIndexOf('\n', last.offset) + 1
  const own = /^[ \t]*$/.test(text.slice(start, last.offset))
  const before = own || inComment ? `\n${own ? text.slice(start, last.offset) : '  '}` : ' '
  return [
    ...edits,
    ...(comma === undefined ? [insertion(endOf(last), ',')] : []),
    insertion(lineEnd, `${fresh.map((property) => before + property).join(',')}${comma === undefined ? '' : ','}`),
  ]
}

/** Removes one of `siblings` with its comma. */
function removal(text: string, node: Node, siblings: readonly Node[]): readonly Edit[] {
  const { comma } = following(text, endOf(node))
  const end = comma ?? endOf(node)
  // The line break before it may end a comment, so it is removed only if another one follows.
  const start = /^[ \t]*\r?\n/.test(text.slice(end, end + 200)) ? lineStart(text, node.offset) : node.offset
  const cut = { offset: start, length: end - start, content: '' }
  const before = siblings[siblings.indexOf(node) - 1]
  if (comma !== undefined || before === undefined) return [cut]
  const left = following(text, endOf(before)).comma
  return left === undefined ? [cut] : [{ offset: left - 1, length: 1, content: '' }, cut]
}

/** The line break before `offset` if only spaces stand between; else `offset`. */
function lineStart(text: string, offset: number): number {
  const begin = text.lastIndexOf('\n', offset - 1)
  if (begin < 0 || !/^[ \t]*$/.test(text.slice(begin + 1, offset))) return offset
  return text[begin - 1] === '\r' ? begin - 1 : begin
}

/** Formats an entry like the shipped set: one line for each key with its whole value. */
function entryText(entry: object): string {
  const lines = Object.entries(entry).flatMap(([key, value]) => (value === undefined ? [] : [`      ${inline(key)}: ${inline(value)}`]))
  return `    {\n${lines.join(',\n')}\n    }`
}

/** A string that is in JSON as it is, which most strings of a set are. */
const PLAIN = /^[ !#-[\]-~]*$/

/** Formats JSON on one line, with spaces after colons and commas. */
function inline(value: unknown): string {
  if (typeof value === 'string' && PLAIN.test(value)) return `"${value}"`
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const parts = Object.entries(value).flatMap(([key, one]) => (one === undefined ? [] : [`${inline(key)}: ${inline(one)}`]))
  return parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`
}
