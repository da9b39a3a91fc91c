import t from 'tap'
import { appliesAt } from '../../src/rules/list-times.ts'

/** A local time in the week of Monday, 5 January 2026. */
const at = (day: number, hour: number, minute = 0) => new Date(2026, 0, 4 + day, hour, minute).getTime()
const [SUN, MON, TUE, SAT] = [0, 1, 2, 6]

t.test('days and hours, in local time', (t) => {
  t.ok(appliesAt({}, at(MON, 3)))
  t.ok(appliesAt({ days: ['mon'] }, at(MON, 0)))
  t.notOk(appliesAt({ days: ['mon'] }, at(TUE, 0)))
  const office = { days: ['mon', 'tue'] as const, hours: '09:00-17:30' }
  t.ok(appliesAt(office, at(MON, 9)))
  t.notOk(appliesAt(office, at(MON, 8, 59)))
  t.ok(appliesAt(office, at(TUE, 17, 29)))
  t.notOk(appliesAt(office, at(TUE, 17, 30)))
  t.notOk(appliesAt(office, at(SUN, 10)))
  t.ok(appliesAt({ hours: '20:00-24:00' }, at(MON, 23, 59)))
  t.end()
})

t.test('a night belongs to the day on which it begins', (t) => {
  const night = { days: ['sat'] as const, hours: '21:00-06:30' }
  t.ok(appliesAt(night, at(SAT, 21)))
  t.ok(appliesAt(night, at(SUN + 7, 6, 29)))
  t.notOk(appliesAt(night, at(SUN + 7, 6, 30)))
  t.notOk(appliesAt(night, at(SAT, 5)))
  t.notOk(appliesAt(night, at(SUN + 7, 22)))
  t.end()
})
