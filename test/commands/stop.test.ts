// `enigm-dns stop` where something starts the service again: it changes nothing, and names the
// command that lasts.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/clock.ts'
import type { ServiceManager } from '../../src/commands/host-service.ts'
import type { Host, RunningService } from '../../src/commands/running-service.ts'
import { stopCommand } from '../../src/commands/stop.ts'
import { DEFAULT_CONFIG_FILE } from '../../src/config/paths.ts'
import { controlPath, listenControl } from '../../src/system/control-socket.ts'
import { type SupervisorSources, supervisorOf } from '../../src/system/supervisor.ts'

const RUNIT = { name: 'runit', stop: 'sudo sv stop enigm-dns', restart: '', logs: '' } as const
const BY_UNIT: ServiceManager = { installed: true, managed: true }
const BY_RUNIT: ServiceManager = { installed: false, managed: false, supervisor: RUNIT }
const BY_A_PERSON: ServiceManager = { installed: true, managed: false }
/** Above the largest process number of Linux, so that it is gone. */
const GONE = 2 ** 22 + 1

/** A service that confirms each order, and counts them. */
async function service(t: Test, config?: string) {
  const orders: string[] = []
  // A socket's path has at most 107 octets.
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-stop-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const statusFile = join(dir, 'status.json')
  const obey = async (order: string) => {
    orders.push(order)
    return { pid: GONE }
  }
  const control = await listenControl(controlPath(statusFile), obey, systemClock())
  if (control === 'taken' || 'why' in control) throw new Error(JSON.stringify(control))
  t.teardown(() => control.close())
  const running: RunningService = {
    ...{ pid: GONE, processStart: undefined, namespace: undefined, listenOption: undefined, uid: process.geteuid?.() },
    ...{ listen: [], stateDir: '/nowhere', config, statusFile },
  }
  return { orders, running }
}

/** The exit code and the texts of `stop` with these words. */
async function stop(services: readonly RunningService[], manager: ServiceManager, ...words: readonly string[]) {
  const said = { code: -1, out: '', err: '' }
  const host: Host = {
    ...{ services: () => services, likely: () => [], namespace: () => undefined },
    ...{ uid: process.geteuid?.(), statusFiles: [] },
  }
  const command = stopCommand({
    out: { write: (text: string) => Object.assign(said, { out: said.out + text }) },
    err: { write: (text: string) => Object.assign(said, { err: said.err + text }) },
    exit: (code) => void Object.assign(said, { code }),
    clock: systemClock(),
    host,
    manager: () => manager,
    pause: () => {},
  })
  await command.parseAsync([...words], { from: 'user' })
  return said
}

t.test('a service that its manager would start again is left, also by the name of its configuration', async (t) => {
  const { orders, running } = await service(t, DEFAULT_CONFIG_FILE)
  for (const words of [[], ['--config', DEFAULT_CONFIG_FILE]]) {
    const byUnit = await stop([running], BY_UNIT, ...words)
    t.match(byUnit, { code: 3, out: '', err: /^Nothing was stopped: systemd runs.*sudo systemctl stop enigm-dns\.socket/ }, words.join(' '))
    t.match(await stop([running], BY_RUNIT, ...words), {
      code: 3,
      err: /^Nothing was stopped: runit runs.*Then: sudo sv stop enigm-dns\n$/,
    })
  }
  t.strictSame(orders, [], 'no order was sent')
})

t.test('a service that a person started is stopped beside installed units', async (t) => {
  const { orders, running } = await service(t, '/etc/own.json')
  t.match(await stop([running], BY_A_PERSON), { code: 0, out: /^stopped: process/ })
  t.match(await stop([running], BY_A_PERSON, '--config', '/etc/own.json'), { code: 0 })
  t.strictSame(orders, ['stop', 'stop'])
})

t.test('a socket of systemd would start what does not run now', async (t) => {
  t.match(await stop([], BY_UNIT), { code: 3, err: /its socket starts it again/ })
})

t.test('who runs a process: its parent, or the unit whose main process it is', (t) => {
  const seen = (parent: string, cgroup: string, main = 7) => {
    const files: Readonly<Record<string, string>> = {
      '/proc/7/status': 'Name:\tnode\nPPid:\t3\n',
      '/proc/3/cmdline': parent,
      '/proc/7/cgroup': cgroup,
    }
    const sources: SupervisorSources = { read: (path) => files[path], mainPid: () => main }
    return supervisorOf(7, sources)
  }
  t.match(seen('runsv\0enigm-dns\0', ''), { name: 'runit', stop: 'sudo sv stop enigm-dns', restart: 'sudo sv restart enigm-dns' })
  t.match(seen('/usr/bin/runsv\0/etc/sv/dns\0', ''), { stop: 'sudo sv stop /etc/sv/dns' })
  t.match(seen('/sbin/supervise-daemon\0enigm-dns\0--start\0', ''), { name: 'OpenRC', stop: 'sudo rc-service enigm-dns stop' })
  t.match(seen('/sbin/init\0', '0::/system.slice/dns-here.service\n'), { name: 'systemd', stop: 'sudo systemctl stop dns-here.service' })
  t.match(seen('', '0::/system.slice/system-dns.slice/dns@1.service\n'), { stop: 'sudo systemctl stop dns@1.service' })
  t.equal(seen('/sbin/init\0', '0::/system.slice/enigm-dns.service\n'), undefined, 'our own unit')
  t.equal(seen('bash\0', '0::/system.slice/ssh.service\n', 99), undefined, 'a shell that a unit started')
  t.equal(seen('bash\0', '0::/user.slice/user-1000.slice/session-2.scope\n'), undefined)
  t.equal(seen('runsv\0$(reboot)\0', ''), undefined, 'no name that a shell would read')
  t.equal(seen('runsv\0-w\0', ''), undefined)
  t.end()
})
