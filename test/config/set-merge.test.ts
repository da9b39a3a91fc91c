import t from 'tap'
import { entriesOf, type SetEntry } from '../../src/config/listed-entries.ts'
import { type MergePlan, mergePlan, sourcePlan } from '../../src/config/set-merge.ts'
import type { ListedStamp } from '../../src/config/stamp-list.ts'

const dot = (name: string, hostname: string, address: string, port = 853): ListedStamp => ({
  name,
  line: 1,
  stamp: { protocol: 'dot', address, port, hostname, certHashes: [] },
})
const one = dot('a', 'one.example', '192.0.2.1')
const two = dot('a', 'two.example', '192.0.2.2')
const entries = (...stamps: readonly ListedStamp[]) => entriesOf(stamps, 'list').entries
const enabled = (all: readonly SetEntry[]) => all.map(({ kind, value }) => ({ kind, value: { ...value, enabled: true } }))
const names = (all: readonly SetEntry[]) => all.map(({ value }) => [value.id, value.authenticationDomainName, value.addresses])
const sources = new Set(['list'])
const brief = ({ add, change, same }: MergePlan) => ({
  add: add.map(({ value }) => value.id),
  change: change.map(({ id, what }) => `${id}: ${what.join(', ')}`),
  same,
})

t.test('two servers under one heading keep their ids, whatever the order in the list', async (t) => {
  const set = enabled(entries(one, two))
  t.match(names(set), [
    ['a', 'one.example'],
    ['a-2', 'two.example'],
  ])
  t.strictSame(brief(mergePlan(set, entries(two, one))), { add: [], change: [], same: 2 })
  t.strictSame(brief(sourcePlan(set, entries(two, one), 'list', sources)), { add: [], change: [], same: 2 })
})

t.test('if the first of two goes, the second keeps its id, and only the first is withdrawn', async (t) => {
  const set = enabled(entries(one, two))
  t.strictSame(brief(mergePlan(set, entries(two))), { add: [], change: [], same: 1 })
  t.strictSame(brief(sourcePlan(set, entries(two), 'list', sources)), { add: [], change: ['a: withdrawn'], same: 1 })
  const moved = mergePlan(set, entries(dot('a', 'two.example', '192.0.2.9')))
  t.strictSame(brief(moved), { add: [], change: ['a-2: addresses'], same: 0 }, 'also if it has moved meanwhile')
})

t.test('a server that takes the place of another under a heading changes its entry; a further one is added', async (t) => {
  const set = enabled(entries(one, two))
  const three = dot('a', 'three.example', '192.0.2.3')
  t.strictSame(brief(mergePlan(set, entries(three, two))), { add: [], change: ['a: names, addresses'], same: 1 })
  const plan = mergePlan(set, entries(three, one, two))
  t.strictSame(names(plan.add), [['a-3', 'three.example', ['192.0.2.3']]])
  t.strictSame(brief(plan), { add: ['a-3'], change: [], same: 2 })
})

t.test('a heading that is renamed leaves the id, and withdraws nothing', async (t) => {
  const set = enabled(entries(one, dot('b', 'two.example', '192.0.2.2')))
  const renamed = entries(dot('new', 'one.example', '192.0.2.1'), dot('b', 'two.example', '192.0.2.2'))
  t.strictSame(brief(sourcePlan(set, renamed, 'list', sources)), { add: [], change: [], same: 2 })
})

t.test('stamps of one server are one entry, whatever stands between them', async (t) => {
  const again = dot('a', 'two.example', '192.0.2.22')
  t.match(names(entries(one, two, again)), [
    ['a', 'one.example', ['192.0.2.1']],
    ['a-2', 'two.example', ['192.0.2.2', '192.0.2.22']],
  ])
  const doq: ListedStamp = {
    name: 'a',
    line: 1,
    stamp: { protocol: 'doq', address: '192.0.2.2', port: 853, hostname: 'two.example', certHashes: [] },
  }
  t.match(entries(one, two, doq)[1], { value: { id: 'a-2', transports: { dot: { port: 853 }, doq: { port: 853 } } } })
})

t.test('many stamps under one heading take linear time', async (t) => {
  const many = Array.from({ length: 5000 }, (_, i) => dot('a', `h${i}.example`, `10.0.${i >> 8}.${i & 255}`))
  const from = process.cpuUsage()
  const set = entries(...many)
  t.equal(set.length, 5000)
  t.strictSame(brief(mergePlan(set, entries(...many.toReversed()))), { add: [], change: [], same: 5000 })
  const { user, system } = process.cpuUsage(from)
  t.ok((user + system) / 1000 < 3000, `${(user + system) / 1000} ms`)
})
