import t from 'tap'
import { serviceOf } from '../../src/commands/service.ts'
import { HostsFile } from '../../src/config/hosts-file.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Daemon } from '../../src/daemon.ts'
import { EnigmError } from '../../src/errors.ts'
import { SelfCanary } from '../../src/local-names/self-canary.ts'
import { createLog } from '../../src/log.ts'
import { FakeClock } from '../support/fake-clock.ts'

t.test('a refused reload is tried again until it is accepted, and reported once for each reason', async (t) => {
  const dir = t.testdir({ 'config.json': '{}' })
  const loaded = await loadConfig(`${dir}/config.json`)
  const next = { ...loaded, hosts: [new HostsFile('/hosts', '192.0.2.1 nas.home')] }
  const refusals: string[] = []
  let missing: readonly string[] = []
  const reloads: unknown[] = []
  const daemon: Daemon = {
    listeners: [],
    trace: { begin: () => ({ drained() {}, gone() {} }), end() {} },
    portal: { begin: () => ({ drained() {}, gone() {} }), end() {} },
    canary: new SelfCanary(),
    held: () => undefined,
    watchSystem: async () => {},
    pause: () => undefined,
    report() {},
    async reload(given) {
      reloads.push(given.hosts)
      return missing
    },
    adoptHosts() {},
    forget: async () => ({ entries: 0, sessions: 0, files: [] }),
    refuseReload: (message) => void refusals.push(message),
    stop: async () => {},
  }
  const clock = new FakeClock()
  const manager: string[] = []
  const notifier = { ready: () => void manager.push('ready'), reloading: () => void manager.push('reloading'), stopping() {} }
  let load = () => Promise.reject<typeof loaded>(new EnigmError('config', 'the list file is missing'))
  let loads = 0
  const counted = () => {
    loads++
    return load()
  }
  const lines: string[] = []
  const log = createLog('info', (line) => void lines.push(line))
  const service = serviceOf(daemon, {
    loaded,
    loadedAtMs: clock.wallMs() + 86_400_000 * 3650,
    load: counted,
    log,
    clock,
    reloaded() {},
    manager: notifier,
  })
  t.match(await service.obey('reload'), { refused: /missing/ })
  await clock.advance(600_000)
  t.ok(loads >= 8 && loads <= 15, `it is tried again about once a minute (${loads} times)`)
  t.equal(refusals.length, 1)
  t.equal(lines.filter((line) => line.includes('refused')).length, 1)
  load = () => Promise.reject(new EnigmError('config', 'the list file can be written by others'))
  await clock.advance(61_000)
  t.equal(refusals.length, 2, 'another reason is reported')
  t.strictSame(manager, ['reloading', 'ready'], 'only for the reload that was asked for')
  load = () => Promise.resolve(next)
  await clock.advance(61_000)
  t.strictSame(reloads, [next.hosts], 'the change that was refused is in force')
  const before = loads
  await clock.advance(600_000)
  t.equal(loads, before, 'and then nothing is tried any more')
  const idle = { ...next, config: { ...next.config, split: 'by-site' as const, use: [] } }
  load = () => Promise.resolve(idle)
  const sentence = /^split: one operator gets all names/
  t.match(await service.obey('reload'), { accepted: true, warnings: [sentence] }, 'the reply names what does nothing')
  t.ok(
    lines.some((line) => sentence.test((JSON.parse(line) as { readonly msg: string }).msg)),
    'and the log has it',
  )
  missing = ['lists: the list "ads" is not in force: it is empty or has only comments.']
  t.match(await service.obey('reload'), { accepted: true, warnings: [sentence, missing[0]] }, 'and which lists are not in force')
})
