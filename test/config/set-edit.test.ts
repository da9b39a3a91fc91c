import fc from 'fast-check'
import t from 'tap'
import { parseJsonc } from '../../src/config/jsonc.ts'
import { addEntries, changeEntries, EMPTY_SET_TEXT, removeEntries } from '../../src/config/set-edit.ts'

const read = (text: string) => {
  const parsed = parseJsonc(text)
  if (parsed.problems !== undefined) throw new Error(`${parsed.problems.join('; ')}\n${text}`)
  return JSON.parse(JSON.stringify(parsed.value)) as {
    readonly resolvers: readonly { readonly id: string }[]
    readonly relays?: readonly unknown[]
  }
}

const OWN = `// my set
{
  "version": 1, // the only one
  "resolvers": [
    // the first
    {
      "id": "a", /* a's id */
      "addresses": ["192.0.2.1"] // the router
    }, // after a
    { "id": "b", "addresses": ["192.0.2.2"], }, // after b
    // the last word
  ]
}
`

t.test('comments, order and spelling stay where an entry is added, changed and removed', async (t) => {
  const comments = [
    '// my set',
    '// the only one',
    '// the first',
    "/* a's id */",
    '// the router',
    '// after a',
    '// after b',
    '// the last word',
  ]
  const added = addEntries(OWN, 'resolvers', [{ id: 'c', addresses: ['192.0.2.3'] }])
  const changed = changeEntries(
    added,
    'resolvers',
    new Map<string, Record<string, unknown>>([
      ['a', { addresses: ['192.0.2.9'], enabled: false }],
      ['b', { enabled: true, addresses: undefined }],
    ]),
  )
  t.strictSame(read(changed).resolvers, [
    { id: 'a', addresses: ['192.0.2.9'], enabled: false },
    { id: 'b', enabled: true },
    { id: 'c', addresses: ['192.0.2.3'] },
  ])
  for (const comment of comments) t.ok(changed.includes(comment), comment)
  t.ok(changed.startsWith('// my set\n{\n  "version": 1, // the only one\n  "resolvers": [\n    // the first\n'))
  const removed = removeEntries(changed, 'resolvers', new Set(['b', 'c']))
  t.strictSame(
    read(removed).resolvers.map(({ id }) => id),
    ['a'],
  )
  for (const comment of comments) t.ok(removed.includes(comment), comment)
  t.strictSame(read(removeEntries(removed, 'resolvers', new Set(['a']))).resolvers, [])
})

t.test('a list that is not there is made; an empty one is filled; CRLF stays', async (t) => {
  const filled = addEntries(EMPTY_SET_TEXT, 'relays', [{ id: 'r' }])
  t.strictSame(read(filled).relays, [{ id: 'r' }])
  t.strictSame(read(addEntries(filled, 'resolvers', [{ id: 'a' }, { id: 'b' }])).resolvers, [{ id: 'a' }, { id: 'b' }])
  t.equal(
    addEntries(EMPTY_SET_TEXT, 'resolvers', [{ id: 'a', enabled: false }]),
    '{\n  "version": 1,\n  "resolvers": [\n    {\n      "id": "a",\n      "enabled": false\n    }\n  ]\n}\n',
  )
  const windows = addEntries(OWN.replaceAll('\n', '\r\n'), 'resolvers', [{ id: 'c' }])
  t.notOk(/[^\r]\n/.test(windows))
  t.equal(read(windows).resolvers.length, 3)
})

/** A set as people write them: with and without commas, comments and line breaks at any place. */
const gap = fc.constantFrom('', ' ', '\n', '\n    ', ' // note\n', ' /* note */ ', '\n// note\n', '\t')
const entry = (id: string) =>
  fc
    .tuple(gap, gap, gap, gap, fc.boolean(), fc.constantFrom('', `, "x": [1, 2]`, `,\n      "x": { "y": 1 }`))
    .map(([a, b, c, d, comma, more]) => `{${a}"id"${b}:${c}"${id}"${more}${comma ? ' ,' : ''}${d}}`)
const IDS = ['a', 'b', 'c', 'd']
const someSet = fc.nat(4).chain((count) =>
  fc
    .tuple(fc.tuple(...IDS.slice(0, count).map(entry)), fc.array(gap, { minLength: 12, maxLength: 12 }), fc.boolean())
    .map(([entries, gaps, comma]) => {
      const items = entries.map((text, i) => `${gaps[i]}${text}${gaps[i + 4]}`).join(',')
      return `{ "version": 1, "resolvers": [${gaps[9]}${items}${comma && count > 0 ? ',' : ''}${gaps[10]}]${gaps[11]} }`
    }),
)

t.test('whatever the spelling: the values change as asked, every comment stays, and nothing else', async () => {
  fc.assert(
    fc.property(someSet, fc.subarray(IDS), fc.subarray(IDS), fc.nat(2), (text, removed, changed, count) => {
      const before = read(text).resolvers
      const news = IDS.map((id) => ({ id: `new-${id}`, addresses: [], o: { p: 'q' } })).slice(0, count)
      const keys = new Map(changed.map((id) => [id, { x: 'changed', z: true }]))
      const after = addEntries(removeEntries(changeEntries(text, 'resolvers', keys), 'resolvers', new Set(removed)), 'resolvers', news)
      const expected = [
        ...before
          .filter(({ id }) => !removed.includes(id))
          .map((one) => (changed.includes(one.id) ? { ...one, x: 'changed', z: true } : one)),
        ...news,
      ]
      const notes = (of: string) => of.split('note').length - 1
      const lost = removed.filter((id) => before.some((one) => one.id === id)).length
      return JSON.stringify(read(after).resolvers) === JSON.stringify(expected) && (lost > 0 || notes(after) === notes(text))
    }),
    { numRuns: 2000 },
  )
})
