import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { countStart } from '../../src/posture/earlier-runs.ts'

const nobody = () => false
const me = { bootId: 'boot', pid: 7, processStart: 'boot:1' }

t.test('starts are counted within a boot, and the end of the last run is reported', (t) => {
  const dir = t.testdir()
  const first = countStart(dir, me, nobody)
  t.match(first, { count: 0, clean: true, other: undefined })
  t.match(countStart(dir, { ...me, pid: 8 }, nobody), { count: 1, clean: false, other: undefined }, 'it was killed')
  first?.ended()
  t.match(countStart(dir, { ...me, pid: 9 }, nobody), { count: 1, clean: true })
  t.match(countStart(dir, { ...me, bootId: 'another' }, nobody), { count: 0, clean: true }, 'a reboot is no fault of the service')
  t.end()
})

t.test('a process that still runs is named: it did not crash', (t) => {
  const dir = t.testdir()
  countStart(dir, me, nobody)
  const asked: unknown[] = []
  const lives = (...who: readonly unknown[]) => asked.push(who) > 0
  t.match(countStart(dir, { ...me, pid: 8 }, lives), { count: 1, clean: true, other: 7 })
  t.same(asked, [[7, 'boot:1']])
  t.match(countStart(dir, { ...me, pid: 8 }, lives), { other: undefined }, 'a reload in one process is no rival')
  t.match(
    countStart(dir, { ...me, pid: 9 }, () => undefined),
    { clean: false, other: undefined },
    'who cannot be told is not named',
  )
  t.end()
})

t.test('nothing is reported if the boot or the directory is unknown', (t) => {
  const dir = t.testdir({ file: '' })
  t.equal(countStart(dir, { ...me, bootId: undefined }, nobody), undefined)
  t.equal(countStart(join(dir, 'file'), me, nobody), undefined)
  writeFileSync(join(dir, 'starts.json'), '{"bootId":"boot","starts":-1}')
  t.match(countStart(dir, me, nobody), { count: 0 }, 'a damaged file is none')
  writeFileSync(join(dir, 'starts.json'), '{"bootId":"boot","starts":3,"clean":false}')
  t.match(countStart(dir, me, nobody), { count: 3, clean: false, other: undefined }, 'one of an older version names nobody')
  t.end()
})
