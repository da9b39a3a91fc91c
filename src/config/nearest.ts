/** Limit of suggestions. A typing mistake rarely has more than one meaning. */
const MAX_NAMED = 3

/**
 * Suggestions from `known` for the misspelt `slip`, at most three, the likeliest first. They have
 * another case or unit, a letter more or less, two exchanged letters, or a common word. Empty: none
 * is similar.
 */
export function nearest(slip: string, known: readonly string[]): readonly string[] {
  const ranked = known.map((key) => ({ key, rank: rankOf(slip, key) })).filter(({ rank }) => rank < NOT_NEAR)
  const best = Math.min(...ranked.map(({ rank }) => rank))
  const close = ranked.filter(({ rank }) => rank <= best + 1).sort((a, b) => a.rank - b.rank)
  return close.slice(0, MAX_NAMED).map(({ key }) => key)
}

const NOT_NEAR = 100
/** Ranks below this are edit distances. Common words rank after them. */
const BY_WORD = 10

function rankOf(slip: string, key: string): number {
  const [a, b] = [plain(slip), plain(key)]
  const edits = distance(a, b)
  // One letter in three may be wrong.
  if (edits <= Math.max(a.length, b.length) / 3) return edits
  const shared = wordsOf(slip).filter((word) => wordsOf(key).includes(word)).length
  return shared > 0 ? BY_WORD + wordsOf(key).length - shared : NOT_NEAR
}

const plain = (key: string) =>
  key
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '')
    .slice(0, 64)

/**
 * The words of a key in camel case, with hyphens or with underscores; units and plurals are
 * ignored.
 */
function wordsOf(key: string): readonly string[] {
  const words = key.slice(0, 64).match(/[A-Z]*[a-z0-9]+|[A-Z]+/g) ?? []
  return words.map((word) => word.toLowerCase().replace(/s$/, '')).filter((word) => word.length > 2)
}

/**
 * How many letters must be inserted, deleted, replaced or exchanged with the next one (optimal
 * string alignment).
 */
function distance(a: string, b: string): number {
  let [before, row]: [readonly number[], readonly number[]] = [[], Array.from({ length: b.length + 1 }, (_, at) => at)]
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const exchanged = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? 0) + 1 : replaced
      next.push(Math.min(replaced, exchanged, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    ;[before, row] = [row, next]
  }
  return row[b.length] ?? 0
}
