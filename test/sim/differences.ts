/** What two transcripts of one seed say otherwise in one stream. */
export interface Difference {
  readonly stream: string
  /** Lines that only one of them has. */
  readonly lines: number
  /** When they part, in ms of the run. */
  readonly at: string
  /** The first two lines that should be one; of documents only the fields. */
  readonly showing: readonly string[]
}

/**
 * What differs between two transcripts, by stream. Between streams, between clients and between
 * connections the order within a moment is nobody's promise and not
 * looked at; within one of them it is.
 */
export function differences(before: string, after: string): readonly Difference[] {
  const [old, now] = [streamsOf(before), streamsOf(after)]
  const names = [...new Set([...old.keys(), ...now.keys()])]
  return names.flatMap((stream) => {
    const [a, b] = [old.get(stream) ?? [], now.get(stream) ?? []]
    const first = a.findIndex((line, i) => line !== b[i])
    const at = first < 0 && b.length > a.length ? a.length : first
    if (at < 0) return []
    const lines = countOf(a, b)
    return [{ stream, lines, at: (a[at] ?? b[at] ?? '').split(' ', 1)[0] ?? '', showing: shown(a[at], b[at]) }]
  })
}

/** Lines that only one of them has. */
function countOf(a: readonly string[], b: readonly string[]): number {
  const left = new Map<string, number>()
  for (const line of a) left.set(line, (left.get(line) ?? 0) + 1)
  for (const line of b) left.set(line, (left.get(line) ?? 0) - 1)
  return [...left.values()].reduce((sum, n) => sum + Math.abs(n), 0)
}

function streamsOf(text: string): ReadonlyMap<string, readonly string[]> {
  const streams = new Map<string, { readonly at: number; readonly who: string; readonly line: string }[]>()
  for (const line of text.trimEnd().split('\n')) {
    const [at = '', stream = '', who = '', client = ''] = line.split(' ', 4)
    const lines = streams.get(stream) ?? []
    const of = stream === 'answer' ? client : stream === 'wire' ? who : ''
    lines.push({ at: Number(at), who: of, line: line.replace(` ${stream} `, ' ') })
    streams.set(stream, lines)
  }
  const inOrder = [...streams].map(([name, lines]) => {
    const sorted = lines.toSorted((a, b) => a.at - b.at || (a.who < b.who ? -1 : a.who > b.who ? 1 : 0))
    return [name, sorted.map(({ line }) => line)] as const
  })
  return new Map(inOrder)
}

const LONGEST = 600
const cut = (text: string) => (text.length > LONGEST ? `${text.slice(0, LONGEST)} ...` : text)

function shown(before: string | undefined, after: string | undefined): readonly string[] {
  if (before === undefined) return [`only after:  ${cut(after ?? '')}`]
  if (after === undefined) return [`only before: ${cut(before)}`]
  const [a, b] = [documentIn(before), documentIn(after)]
  const fields = a === undefined || b === undefined ? [] : fieldsThatDiffer('', a, b)
  if (fields.length > 0 && before.split(' ', 1)[0] === after.split(' ', 1)[0]) return fields.map(cut)
  return [`before: ${cut(before)}`, `after:  ${cut(after)}`]
}

function documentIn(line: string): unknown {
  try {
    return JSON.parse(line.slice(line.indexOf(' ') + 1))
  } catch {
    return undefined
  }
}

function fieldsThatDiffer(path: string, a: unknown, b: unknown): readonly string[] {
  if (JSON.stringify(a) === JSON.stringify(b)) return []
  const both = typeof a === 'object' && typeof b === 'object' && a !== null && b !== null && Array.isArray(a) === Array.isArray(b)
  const keys = both ? [...new Set([...Object.keys(Object(a)), ...Object.keys(Object(b))])] : []
  const at = (of: unknown, key: string): unknown => Reflect.get(Object(of), key)
  const inner = keys.flatMap((key) => fieldsThatDiffer(path === '' ? key : `${path}.${key}`, at(a, key), at(b, key)))
  return inner.length > 0 ? inner : [`${path}: before ${JSON.stringify(a)}, after ${JSON.stringify(b)}`]
}
