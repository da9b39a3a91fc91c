import t from 'tap'
import { markdown } from '../../bench/report/markdown.ts'
import { plots } from '../../bench/report/plots.ts'
import { readmePart, spliced } from '../../bench/report/readme.ts'
import { printed } from '../../bench/report/table.ts'
import { runOf, sample } from './runs.ts'

const run = runOf(
  [
    sample('hits-200', 'C echo', 0, { cpuUs: 4, queriesPerS: 9 }),
    sample('hits-200', 'enigm-dns', 0, { cpuUs: 5, queriesPerS: 8 }),
    sample('hits-200', 'enigm-dns', 1, { cpuUs: 7, queriesPerS: 8 }),
    sample('hits-200', 'un<bound', 0, { cpuUs: 10, queriesPerS: 7 }),
    sample('growth-10', 'enigm-dns', 0, { cpuUs: 5, rssMb: 60 }),
    sample('growth-100', 'enigm-dns', 0, { cpuUs: 6, rssMb: 70 }),
  ],
  { growth: [10, 100] },
)

t.test('the table for a terminal has one line per figure, aligned columns, and the names and reasons of absent stubs', async (t) => {
  const lines = printed(run).split('\n')
  const [head = '', hit = ''] = lines
  t.match(hit, /^hit, 200 in flight +6\.00 us +10\.0 us +un<bound +0\.50 +1\.25 +0\.95 x, 1\.3 x the floor +met$/)
  t.equal(hit.indexOf('0.50') + 4, head.indexOf('ratio') + 5, 'right-aligned')
  t.ok(lines.includes('absent: smartdns: not installed'))
  t.ok(lines.some((line) => line.startsWith('absent: kresd over dot: it would')))
  t.ok(lines.includes('CPU per hit, 100 names over 10: 1.20 x'))
})

t.test('the Markdown report has every case with its spread, and every table has as many cells in each row', async (t) => {
  const text = markdown(run)
  t.match(text, '| enigm-dns | 6.00 (5.00 - 7.00) | 8.00 |')
  t.match(text, '- kresd over dot: it would not start')
  t.match(text, '- smartdns: not installed')
  t.match(text, 'A CPU, 2 cores')
  const tables = text.split('\n\n').filter((part) => part.startsWith('|'))
  t.equal(tables.length, 4)
  for (const table of tables) t.equal(new Set(table.split('\n').map((row) => row.split('|').length)).size, 1, table)
})

t.test('plots are made of what was measured, and hold names as text', async (t) => {
  const made = plots(run)
  t.same(Object.keys(made).sort(), ['growth-cpu.svg', 'growth-memory.svg', 'hits.svg'])
  for (const svg of Object.values(made)) {
    t.match(svg, /^<svg [^>]+>[\s\S]+<\/svg>\n$/)
    t.notMatch(svg, /NaN|Infinity|undefined/)
  }
  t.match(made['hits.svg'], 'un&lt;bound')
  t.same(plots(runOf([])), {})
})

t.test('the README keeps everything outside the markers', async (t) => {
  const before = 'a\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nb\n'
  const after = spliced(before, 'new\n')
  t.equal(after, 'a\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\nb\n')
  t.equal(spliced(after, 'new'), after, 'the same again')
  t.equal(spliced(before, '$& $1'), 'a\n<!-- bench:begin -->\n$& $1\n<!-- bench:end -->\nb\n')
  for (const text of ['', '<!-- bench:begin -->', '<!-- bench:end --><!-- bench:begin -->']) t.throws(() => spliced(text, 'new'), /lacks/)
  t.match(readmePart(run), '| hit, 200 in flight |')
})
