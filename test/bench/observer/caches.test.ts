import t from 'tap'
import { coverDay, ttlOf } from '../../../bench/observer/caches.ts'
import { chance } from '../../../bench/observer/chance.ts'
import { MISS_SHARE } from '../../../bench/observer/pages.ts'

t.test('a day of covers at a resolver with one cache: they miss as often as real queries in its last hour', (t) => {
  const day = coverDay('lite', { caches: 1, ttls: 'mixed' }, chance('day'))
  t.equal(day.missedByHour.length, 24)
  t.ok(Math.abs((day.missedByHour[23] ?? 0) - MISS_SHARE) < 0.04, `the last hour: ${day.missedByHour[23]}`)
  t.equal(day.unlikeness, undefined)
  t.ok(day.tape.length > 5000 && day.tape.every((flag) => flag <= 1))
  t.strictSame(coverDay('lite', { caches: 1, ttls: 'mixed' }, chance('day')), day, 'seeded')
  t.end()
})

t.test('each name has one time to live, drawn from the shares of its kind', (t) => {
  const names = Array.from({ length: 2000 }, (_, i) => `name ${i}`)
  const share = (ttlS: number) => names.filter((name) => ttlOf(name, 'mixed') === ttlS).length / names.length
  t.ok(Math.abs(share(300) - 0.27) < 0.04 && Math.abs(share(86_400) - 0.1) < 0.03)
  t.equal(ttlOf('a', 'mixed'), ttlOf('a', 'mixed'))
  t.ok(names.every((name) => ttlOf(name, 'short') <= 300))
  t.end()
})
