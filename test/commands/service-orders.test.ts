import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../src/clock.ts'
import type { Host } from '../../src/commands/running-service.ts'
import { whyUnreached } from '../../src/commands/service-orders.ts'
import { report } from '../../src/posture/report.ts'
import { after, answered, at, started, verdictOn } from '../posture/evidence.ts'

const { state } = after([started, answered('a')])

/** The status file of a service that is gone: a pid that no process has. */
function leftBehind(dir: string): string {
  const file = join(dir, 'status.json')
  const document = report(
    state,
    verdictOn(state, 2000),
    { version: '0.1.0', pid: 2 ** 22 + 1, processStart: 'boot:99', heartbeatS: 10 },
    { entries: 0, bytes: 0, maxBytes: 1 },
    at(2000).wallMs,
  )
  writeFileSync(file, JSON.stringify(document), { mode: 0o600 })
  return file
}

const host = (likely: readonly number[] | undefined, statusFile: string): Host => ({
  services: () => [],
  likely: () => likely,
  namespace: () => undefined,
  uid: 65_534,
  statusFiles: [statusFile],
})

t.test('files that an earlier service left at the default place do not prove that none runs', async (t) => {
  const statusFile = leftBehind(t.testdir({}))
  const clock = systemClock()
  const verdict = (likely: readonly number[] | undefined, named: boolean) =>
    whyUnreached({ statusFile, service: undefined }, named, host(likely, statusFile), clock).verdict
  t.equal(verdict([17], false), 'unknown', 'a process that looks like one')
  t.equal(verdict(undefined, false), 'unknown', 'processes of others cannot be seen')
  t.equal(verdict([], false), 'none')
  t.equal(verdict([17], true), 'none', 'the service of the configuration that was named is gone')
})
