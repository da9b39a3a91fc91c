import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../src/clock.ts'
import { forgetCommand } from '../../src/commands/forget.ts'
import { pauseCommand } from '../../src/commands/pause.ts'
import { portalCommand } from '../../src/commands/portal.ts'
import { reloadCommand } from '../../src/commands/reload.ts'
import type { Host, RunningService } from '../../src/commands/running-service.ts'
import { whyUnreached } from '../../src/commands/service-orders.ts'
import { stopCommand } from '../../src/commands/stop.ts'
import { traceCommand } from '../../src/commands/trace.ts'
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

t.test('every command has one exit code for a service that takes no orders from this user', async (t) => {
  const directory = t.testdir()
  const service: RunningService = {
    ...{ pid: process.pid, processStart: undefined, namespace: undefined, config: undefined, listenOption: undefined },
    ...{ listen: [], statusFile: join(directory, 'status.json'), stateDir: join(directory, 'state'), uid: 54_321 },
  }
  const another: Host = { services: () => [service], likely: () => [], namespace: () => undefined, uid: 54_322, statusFiles: [] }
  const codes: Record<string, number> = {}
  let said = ''
  const worldOf = (name: string) => {
    const write = (text: string) => (said += text)
    const exit = (code: number) => void Object.assign(codes, { [name]: code })
    return { out: { write }, err: { write }, clock: systemClock(), exit, host: another }
  }
  const unmanaged = { manager: () => ({ installed: false, managed: false }), pause: () => {} }
  const resolvers = () => ({ addresses: ['192.0.2.1'], by: 'a test' })
  const commands = {
    trace: traceCommand(worldOf('trace')),
    portal: portalCommand({ ...worldOf('portal'), resolvers }),
    forget: forgetCommand(worldOf('forget')),
    pause: pauseCommand(worldOf('pause')),
    reload: reloadCommand(worldOf('reload')),
    stop: stopCommand({ ...worldOf('stop'), ...unmanaged }),
  }
  for (const [name, command] of Object.entries(commands)) {
    said = ''
    await command.parseAsync(name === 'pause' ? ['10m'] : [], { from: 'user' })
    t.match(said, /does not accept commands from this user/, name)
  }
  t.strictSame(codes, { trace: 3, portal: 3, forget: 3, pause: 3, reload: 3, stop: 3 })
})
