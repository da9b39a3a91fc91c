import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { nameFromText } from '../../src/dns/name.ts'
import { NamesTable, NEW, NO_ROOM, SAME, TableBuilder } from '../../src/rules/names-table.ts'

const KEY = randomBytes(8)

/** The rules that a table finds for a name, each with the number of labels it leaves out. */
function found(table: NamesTable, text: string): readonly string[] {
  const count = table.find(nameFromText(text), 0)
  return Array.from({ length: count }, (_, i) => `${table.rules[i]} at ${table.depths[i]}`).toSorted()
}

t.test('a name is found with the rules of every name above it, and with no others', (t) => {
  const builder = new TableBuilder(10, KEY)
  const add = (text: string, rule: number) => builder.add(nameFromText(text), 0, rule)
  t.equal(add('ads.example', 7), NEW)
  t.equal(add('ads.example', 7), SAME, 'the same rule again')
  t.equal(add('ads.example', 8), 7, 'another rule for the name')
  t.equal(add('example', 9), NEW)
  t.equal(builder.used, 3)
  const table = new NamesTable(builder.data())
  t.strictSame(found(table, 'ads.example'), ['7 at 0', '8 at 0', '9 at 1'])
  t.strictSame(found(table, 'a.b.ads.example'), ['7 at 2', '8 at 2', '9 at 3'])
  t.strictSame(found(table, 'other.example'), ['9 at 1'])
  for (const absent of ['.', 'ads', 'ads.example.com', 'xads.example.x', 'examples', 'adsexample', 'ad.sexample', '\\004ads.exampl'])
    t.strictSame(found(table, absent), [], absent)
  t.end()
})

const label = fc.stringMatching(/^[a-c]{1,6}$/)
const name = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.'))

t.test('as a Map of suffixes would', (t) => {
  fc.assert(
    fc.property(fc.uniqueArray(name, { maxLength: 60 }), fc.array(name, { maxLength: 60 }), (names, asked) => {
      const builder = new TableBuilder(names.length, KEY)
      names.forEach((one, rule) => void builder.add(nameFromText(one), 0, rule))
      const table = new NamesTable(builder.data())
      const rules = new Map(names.map((one, rule) => [one, rule]))
      for (const one of [...names, ...asked]) {
        const labels = one.split('.')
        const expected = labels.flatMap((_, depth) => {
          const rule = rules.get(labels.slice(depth).join('.'))
          return rule === undefined ? [] : [`${rule} at ${depth}`]
        })
        t.strictSame(found(table, one), expected.toSorted())
      }
    }),
    { numRuns: 60 },
  )
  t.end()
})

t.test('blocks of addresses are found by every address in them', (t) => {
  const builder = new TableBuilder(10, KEY)
  builder.addBlock(Uint8Array.of(192, 0, 2, 0), 4, 24, 1)
  builder.addBlock(Uint8Array.of(192, 0, 2, 129), 4, 25, 2)
  builder.addBlock(Uint8Array.of(198, 51, 100, 7), 4, 32, 3)
  const six = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  builder.addBlock(six, 16, 33, 4)
  const table = new NamesTable(builder.data())
  const at = (...octets: number[]) =>
    Array.from({ length: table.findAddress(Uint8Array.from(octets), 0, octets.length as 4 | 16) }, (_, i) => table.rules[i])
  t.strictSame(at(192, 0, 2, 1), [1])
  t.strictSame(at(192, 0, 2, 200), [2, 1])
  t.strictSame(at(192, 0, 3, 1), [])
  t.strictSame(at(198, 51, 100, 7), [3])
  t.strictSame(at(198, 51, 100, 8), [])
  t.strictSame(at(...six.with(5, 1)), [4])
  t.strictSame(at(...six.with(4, 0x80)), [])
  t.ok(table.hasBlocks)
  t.notOk(new NamesTable(new TableBuilder(1, KEY).data()).hasBlocks)
  t.end()
})

t.test('a table that is full says so and adds nothing', (t) => {
  const builder = new TableBuilder(0, KEY)
  let added = 0
  while (builder.add(nameFromText(`n${added}.example`), 0, 1) === NEW) added++
  t.equal(builder.add(nameFromText('one-more.example'), 0, 1), NO_ROOM)
  t.equal(builder.used, added)
  const table = new NamesTable(builder.data())
  t.strictSame(found(table, 'n0.example'), ['1 at 0'])
  t.strictSame(found(table, 'one-more.example'), [])
  t.end()
})

t.test('100,000 names take 13 octets each, and of 1,000,000 absent names none is found', { timeout: 120_000 }, (t) => {
  const COUNT = 100_000
  const builder = new TableBuilder(COUNT, KEY)
  for (let i = 0; i < COUNT; i++) builder.add(nameFromText(`n${i}.z${i % 977}.example`), 0, i % 4096)
  const data = builder.data()
  t.ok(data.cells.buffer instanceof SharedArrayBuffer, 'one copy for all threads')
  t.ok(data.cells.byteLength <= 13 * COUNT, `${data.cells.byteLength} octets`)
  const table = new NamesTable(data)
  for (let i = 0; i < COUNT; i += 97) t.match(found(table, `n${i}.z${i % 977}.example`), [`${i % 4096} at 0`])
  const absent = nameFromText('aaaaaaaa.bbbb.example')
  let wrong = 0
  for (let i = 0; i < 1_000_000; i++) {
    absent[1] = 97 + (i % 26)
    absent[2] = 97 + (Math.floor(i / 26) % 26)
    absent[3] = 97 + (Math.floor(i / 676) % 26)
    absent[4] = 97 + (Math.floor(i / 17_576) % 26)
    absent[5] = 97 + Math.floor(i / 456_976)
    wrong += table.find(absent, 0)
  }
  t.equal(wrong, 0)
  t.end()
})
