import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Policy } from '../../src/config/policy.ts'
import { auditRivalry, countStart, runningIn, type StateUser } from '../../src/posture/earlier-runs.ts'

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

t.test('an audit log has one writer: another living process in its directory is named with the mend', (t) => {
  const stateDir = t.testdir()
  const audited = { stateDir, policy: { audit: 'on' } as Policy }
  const other = (isSame: () => boolean | undefined, services: readonly StateUser[] = [], self = 8) =>
    runningIn(stateDir, { bootId: 'boot', self, isSame }, services)
  t.equal(
    other(() => true),
    undefined,
    'nobody started here',
  )
  countStart(stateDir, me, nobody)
  t.equal(
    other(() => true),
    7,
  )
  for (const alive of [false, undefined])
    t.equal(
      other(() => alive),
      undefined,
      'dead or unknown',
    )
  t.equal(
    other(() => true, [], 7),
    undefined,
    'this process',
  )
  countStart(stateDir, { ...me, pid: 9 }, nobody)?.ended()
  const registered = { pid: 7, processStart: 'boot:1', stateDir }
  t.equal(
    other(() => true, [registered]),
    7,
    'the one that started last has ended; the register knows the first',
  )
  t.equal(
    other(() => true, [{ ...registered, stateDir: '/another' }]),
    undefined,
  )
  for (const audit of ['on', 'required'] as const)
    t.match(auditRivalry({ ...audited, policy: { audit } as Policy }, 7), /^process 7 .*stop that process, or give .* its own stateDir$/)
  t.equal(auditRivalry({ stateDir, policy: { audit: 'off' } as Policy }, 7), undefined)
  t.equal(auditRivalry({ stateDir, policy: undefined }, 7), undefined)
  t.equal(auditRivalry(audited, undefined), undefined)
  t.end()
})
