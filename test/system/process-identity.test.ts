import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { isSame, selfIdentity, startTimeOf } from '../../src/system/process-identity.ts'

const skip = process.platform !== 'linux' && 'Linux only'

t.test('this process is the same as itself', { skip }, (t) => {
  const { pid, startedAtTicks } = selfIdentity()
  t.equal(pid, process.pid)
  t.match(startedAtTicks, /^[0-9a-f-]{36}:[0-9]+$/)
  t.equal(startTimeOf(pid), startedAtTicks)
  t.equal(isSame(pid, startedAtTicks), true)
  t.end()
})

t.test('a number that belongs to another process now, or was assigned before a reboot', { skip }, (t) => {
  const { pid, startedAtTicks = '' } = selfIdentity()
  const [boot, ticks] = startedAtTicks.split(':')
  t.equal(isSame(pid, `${boot}:${Number(ticks) - 1}`), false)
  t.equal(isSame(pid, `00000000-0000-0000-0000-000000000000:${ticks}`), false)
  t.end()
})

t.test('a process that ended, reaped or not; one whose name looks like fields', { skip }, async (t) => {
  const child = spawn(process.execPath, ['-e', 'process.title = ") R 1 (x"; console.log("up"); setInterval(() => {}, 1000)'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const pid = child.pid ?? 0
  await once(child.stdout, 'data')
  const started = startTimeOf(pid)
  t.match(started, /:[0-9]+$/)
  t.not(started, startTimeOf(process.pid))
  t.equal(isSame(pid, started), true)
  child.kill('SIGKILL')
  // No turn of the event loop, so nobody has reaped it: a zombie.
  const untilMs = performance.now() + 2_000
  while (isSame(pid, started) !== false && performance.now() < untilMs);
  t.equal(isSame(pid, started), false)
  await once(child, 'exit')
  t.equal(isSame(pid, started), false)
})

t.test('an invalid process id is not running', (t) => {
  for (const pid of [0, -1, 1.5, Number.NaN, 2 ** 40]) t.equal(isSame(pid, 'x:1'), false)
  t.end()
})

t.test('without a start time it is unknown', (t) => {
  t.equal(isSame(process.pid, undefined), undefined)
  t.end()
})
