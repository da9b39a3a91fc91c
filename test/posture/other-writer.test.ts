import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createMonitor } from '../../src/posture/monitor.ts'
import { otherWriter } from '../../src/posture/reader.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { SETUP } from './evidence.ts'

const clock = new FakeClock()
const SELF = 99

/** What a service with process number 7 wrote, running or at its end. */
function written(ended: boolean): string {
  const monitor = createMonitor({
    setup: { ...SETUP, resolvers: [{ id: 'a', operator: 'A', transports: ['dot'] }] },
    writer: { version: '0', pid: 7, processStart: 'b:1', heartbeatS: 10 },
    gate() {},
    clock,
    file: { replace: () => true, withdraw() {} },
    counts: () => ({ entries: 0, bytes: 0, maxBytes: 1 }),
  })
  monitor.emit({ type: 'service.started' })
  if (ended) monitor.stop()
  return JSON.stringify(monitor.document())
}

t.test('a living writer is found; a dead, ending or unknown one, this process, and no file are none', async (t) => {
  const path = join(t.testdir(), 'status.json')
  const ask = (alive: boolean | undefined, self = SELF) => otherWriter(path, { wallMs: clock.wallMs(), isSame: () => alive }, self)
  t.equal(ask(true), undefined, 'no file')
  writeFileSync(path, written(false))
  t.equal(ask(true), 7)
  t.equal(ask(false), undefined)
  t.equal(ask(undefined), undefined)
  t.equal(ask(true, 7), undefined)
  await clock.advance(3_600_000)
  t.equal(ask(true), 7, 'however old its status is: it hangs, and may wake')
  writeFileSync(path, written(true))
  t.equal(ask(true), undefined, 'it said that it ends')
  writeFileSync(path, 'no JSON')
  t.equal(ask(true), undefined)
})
