import { spawn } from 'node:child_process'
import t from 'tap'
import { clockShim } from './clock-shim.ts'

const DAY_S = 86_400

t.test('the wall clock and boot time of a child move while it runs; its monotonic clock does not', async (t) => {
  const shim = clockShim()
  if (shim === undefined) return t.pass('left out', { skip: 'needs cc and Linux' })
  t.teardown(() => shim.close())
  const script = `process.stdin.on('data', () => console.log(JSON.stringify([Date.now() / 1000, require('os').uptime(), performance.now() / 1000])))`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...shim.env } })
  t.teardown(() => child.kill('SIGKILL'))
  const read = () =>
    new Promise<[number, number, number]>((resolve) => {
      child.stdout.once('data', (chunk) => resolve(JSON.parse(String(chunk))))
      child.stdin.write('x')
    })
  const before = await read()
  t.ok(Math.abs(before[0] - Date.now() / 1000) < 5)
  shim.shift(DAY_S * 1000, 3600_000)
  const after = await read()
  t.ok(Math.abs(after[0] - before[0] - DAY_S) < 5, 'a day on')
  t.ok(Math.abs(after[1] - before[1] - 3600) < 5, 'an hour on')
  t.ok(after[2] - before[2] < 5, 'as it was')
  shim.shift(-3650 * DAY_S * 1000, 0)
  t.ok(Math.abs((await read())[0] - before[0] + 3650 * DAY_S) < 5, 'ten years back')
})
