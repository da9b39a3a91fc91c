import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ROOT } from '../../../bench/compiled.ts'
import { hiddenTable, notHidden, withGenerated } from '../../../bench/observer/docs-tables.ts'
import { readResults } from '../../../bench/observer/store.ts'

t.test('the tables in the documents are those of the results', (t) => {
  const results = readResults(join(ROOT, 'bench', 'results'))
  if (results === undefined) throw new Error('no results')
  for (const [file, table] of [
    ['shaping.md', hiddenTable(results)],
    ['limits.md', notHidden(results)],
  ] as const) {
    const text = readFileSync(join(ROOT, 'docs', file), 'utf8')
    t.equal(withGenerated(text, table), text, `${file}: npm run bench:observer -- --render`)
  }
  t.match(hiddenTable(results), /not hidden/)
  t.end()
})

t.test('a document without a place for the table is refused', (t) => {
  t.throws(() => withGenerated('text', 'table'), /no place/)
  t.end()
})
