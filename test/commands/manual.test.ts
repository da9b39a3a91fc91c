// Man pages and completions, made of the commands themselves; words that people try; the program
// without a command.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { LAYERS, type Layer, type Remark } from '../../src/commands/diagnosis.ts'
import { guideOf, stopGuide } from '../../src/commands/guides.ts'
import type { HostService } from '../../src/commands/host-service.ts'
import { nextCommand } from '../../src/commands/next-command.ts'
import { inShort } from '../../src/commands/overview.ts'
import type { RunningService } from '../../src/commands/running-service.ts'
import { judgeText, type StatusReading } from '../../src/posture/reader.ts'
import { report } from '../../src/posture/report.ts'
import { after, answered, at, failed, started, verdictOn } from '../posture/evidence.ts'
import { CLI, cli } from '../support/real/daemon.ts'

const SHARE = join(CLI, '..', 'share')
const page = (name: string) => readFileSync(join(SHARE, 'man', 'man1', `${name}.1`), 'utf8')
/** A shell of this host, or undefined. */
const shell = (name: string) => ['/bin', '/usr/bin'].map((dir) => join(dir, name)).find(existsSync)

t.test('every command has a page with its options, and the page of the program names it', async (t) => {
  const { stdout } = await cli('--help')
  const commands = [...stdout.matchAll(/^ {2}([a-z]+) (?=.* {2}|\[| {2})/gm)].map(([, name = '']) => name).filter((name) => name !== 'help')
  t.ok(commands.length > 10, commands.join())
  for (const command of commands) {
    t.match(page('enigm-dns'), `enigm\\-dns\\-${command}`)
    const help = (await cli(command, '--help')).stdout
    for (const [, long = ''] of help.matchAll(/^ {2}(?:-\w, )?--([a-z-]+)/gm))
      if (long !== 'help') t.match(page(`enigm-dns-${command}`), `\\-\\-${long.replaceAll('-', '\\-')}`, `${command} --${long}`)
  }
  for (const name of ['enigm-dns', ...commands.map((command) => `enigm-dns-${command}`)])
    for (const title of ['EXIT STATUS', 'EXAMPLES']) t.equal(page(name).split(`.SH ${title}\n`).length, 2, `${name}: ${title}, once`)
  t.match(page('enigm-dns-audit'), /^\.SS audit verify$/m)
  for (const word of ['start', 'restart', 'logs']) t.notOk(existsSync(join(SHARE, 'man', 'man1', `enigm-dns-${word}.1`)))
})

t.test('the pages are clean for man', { skip: shell('man') === undefined }, (t) => {
  const pages = join(SHARE, 'man', 'man1')
  for (const name of readdirSync(pages)) {
    const said = execFileSync('bash', [
      '-c',
      'man --warnings -E UTF-8 -l -Tutf8 -Z "$1" 2>&1 >/dev/null || true',
      'bash',
      join(pages, name),
    ])
    t.equal(said.toString(), '', name)
  }
  t.end()
})

t.test('it writes them to the given directory, the same each time', async (t) => {
  const dir = t.testdir()
  t.match(await cli('manual', dir), { code: 0, stdout: /wrote \d+ files/ })
  const file = join('man', 'man1', 'enigm-dns.1')
  t.equal(readFileSync(join(dir, file), 'utf8'), readFileSync(join(SHARE, file), 'utf8'))
  t.match(await cli('manual', '/proc/nowhere'), { code: 3, stderr: /is not writable/ })
})

const COMPLETED: readonly (readonly [line: string, includes: string, excludes: string])[] = [
  ['enigm-dns st', 'status', 'doctor'],
  ['enigm-dns audit ', 'verify', 'status'],
  ['enigm-dns service install --', '--dry-run', '--json'],
  ['enigm-dns status --w', '--watch', '--file'],
  ['enigm-dns import --from ', 'unbound', '--out'],
  ['enigm-dns import --from a', 'adguardhome', 'unbound'],
]

t.test('bash completes', { skip: shell('bash') === undefined }, (t) => {
  const script = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _enigm_dns; echo "\${COMPREPLY[*]}"`
  const file = join(SHARE, 'bash-completion', 'completions', 'enigm-dns')
  for (const [line, includes, excludes] of COMPLETED) {
    const words = execFileSync('bash', ['-c', script, 'bash', file, ...line.split(' ')])
      .toString()
      .trim()
      .split(' ')
    t.ok(words.includes(includes) && !words.includes(excludes), `${line}: ${words}`)
  }
  t.end()
})

t.test('fish completes', { skip: shell('fish') === undefined }, (t) => {
  const file = join(SHARE, 'fish', 'vendor_completions.d', 'enigm-dns.fish')
  for (const [line, includes, excludes] of COMPLETED) {
    const said = execFileSync('fish', ['-c', `source ${file}; complete -C "${line}"`], {
      env: { ...process.env, HOME: t.testdirName },
    }).toString()
    const words = said.split('\n').map((text) => text.split('\t')[0])
    t.ok(words.includes(includes) && !words.includes(excludes), `${line}: ${words}`)
  }
  t.end()
})

t.test('zsh accepts its file', { skip: shell('zsh') === undefined }, (t) => {
  const file = join(SHARE, 'zsh', 'site-functions', '_enigm-dns')
  t.equal(execFileSync('zsh', ['-fn', file]).toString(), '')
  t.end()
})

const running: RunningService = {
  ...{ pid: 7, processStart: undefined, namespace: undefined, config: undefined, listenOption: undefined, uid: 0 },
  ...{ listen: ['127.0.0.55:53'], statusFile: '/run/enigm-dns/status.json', stateDir: '/var/lib/enigm-dns' },
}
const NOWHERE: HostService = { running: undefined, installed: false, managed: false }
const INSTALLED: HostService = { running: undefined, installed: true, managed: false }
const MANAGED: HostService = { running, installed: true, managed: true }
/** A person started it in a terminal, although the units are there. */
const BY_HAND: HostService = { running, installed: true, managed: false }
const SUPERVISED: HostService = {
  ...{ running, installed: false, managed: false },
  supervisor: { name: 'runit', stop: 'sudo sv stop dns', restart: 'sudo sv restart dns', logs: 'sudo tail -n 50 /var/log/dns/current' },
}

t.test('start, restart, logs and stop point to the commands for it', async (t) => {
  t.match(guideOf('start', NOWHERE), /sudo enigm-dns service install[\s\S]*enigm-dns run/)
  t.match(guideOf('start', INSTALLED), /sudo systemctl start enigm-dns\.service/)
  t.match(guideOf('start', MANAGED), /It already runs: process 7/)
  t.match(guideOf('restart', MANAGED), /sudo systemctl restart enigm-dns\.service/)
  t.match(guideOf('restart', { ...NOWHERE, running }), /enigm-dns stop/)
  t.match(guideOf('restart', BY_HAND), /enigm-dns stop/)
  t.match(guideOf('restart', SUPERVISED), /^sudo sv restart dns$/m)
  t.match(guideOf('logs', MANAGED), /^sudo journalctl -u enigm-dns\.service -e/)
  t.match(guideOf('logs', INSTALLED), /journalctl -u enigm-dns\.service/)
  t.match(guideOf('logs', BY_HAND), /standard error/)
  t.match(guideOf('logs', SUPERVISED), /\/var\/log\/dns\/current/)
  t.match(guideOf('logs', NOWHERE), /standard error/)
  t.match(stopGuide(MANAGED), /system disable.*systemctl stop enigm-dns\.socket enigm-dns-53\.socket enigm-dns\.service/)
  t.match(stopGuide(SUPERVISED), /^runit runs the service.*Then: sudo sv stop dns$/)
  t.equal(stopGuide(NOWHERE), undefined)
  t.equal(stopGuide(BY_HAND), undefined)
  for (const word of ['start', 'restart', 'logs']) t.match(await cli(word), { code: 2, stdout: '', stderr: /Use this instead:/ })
  t.notMatch((await cli('--help')).stdout, /^ {2}(start|restart|logs) /m)
})

/** A status that is current, of what these events come to. */
function reading(...events: Parameters<typeof after>[0]): StatusReading {
  const { state } = after(events)
  const writer = { version: '0.1.0', pid: 7, processStart: 'boot:9', heartbeatS: 10 }
  const document = report(state, verdictOn(state, 2000), writer, { entries: 0, bytes: 0, maxBytes: 1 }, at(2000).wallMs)
  return judgeText('/run/enigm-dns/status.json', JSON.stringify(document), { wallMs: at(2000).wallMs, isSame: () => true })
}

t.test('doctor ends with the command for the first fault', (t) => {
  const remark = (layer: Layer, state: Remark['state'], more: Partial<Remark> = {}): Remark => ({
    layer,
    state,
    message: '',
    mend: 'x',
    ...more,
  })
  const next = (remark: Remark, service: HostService) => nextCommand([remark, { ...remark, layer: 'certificates' }], service)
  t.equal(next(remark('service', 'ok'), MANAGED), undefined, 'nothing is wrong')
  t.equal(next(remark('resolv.conf', 'bad'), NOWHERE), 'sudo enigm-dns service install && sudo enigm-dns system enable')
  t.equal(next(remark('resolv.conf', 'bad'), INSTALLED), 'sudo enigm-dns system enable')
  t.equal(next(remark('service', 'bad'), INSTALLED), 'sudo systemctl start enigm-dns.service')
  t.equal(next(remark('listener', 'bad'), MANAGED), 'sudo systemctl restart enigm-dns.service')
  t.equal(next(remark('listener', 'bad'), BY_HAND), 'sudo enigm-dns stop')
  t.equal(next(remark('listener', 'bad'), SUPERVISED), 'sudo sv restart dns')
  t.equal(next(remark('policy', 'bad', { code: 'restart-needed' }), SUPERVISED), 'sudo sv restart dns')
  t.equal(next(remark('policy', 'bad', { code: 'restart-needed' }), MANAGED), 'sudo systemctl restart enigm-dns.service')
  t.equal(next(remark('service', 'unknown'), MANAGED), 'sudo enigm-dns doctor')
  t.equal(next(remark('policy', 'bad', { code: 'portal-suspected' }), MANAGED), 'enigm-dns portal')
  t.equal(next(remark('links', 'bad'), MANAGED), 'enigm-dns check')
  for (const layer of LAYERS)
    for (const state of ['bad', 'warn', 'unknown'] as const) t.ok(next(remark(layer, state), NOWHERE), `${layer} ${state}`)
  t.end()
})

t.test('without a command: the state in a line, and what to do next', async (t) => {
  const short = (found: StatusReading | undefined, service: HostService) => inShort(found, service)
  t.match(short(undefined, NOWHERE), { state: /^not running, and not installed/, next: /sudo enigm-dns service install/ })
  t.match(short(undefined, INSTALLED), { state: 'not running', next: /sudo enigm-dns system enable/ })
  t.match(short(undefined, { ...INSTALLED, managed: true }), { state: /the next query starts it/ })
  t.match(short(reading(started), MANAGED), { state: /^not proven yet/, next: /enigm-dns query/ })
  const good = [started, answered('a')]
  t.match(short(reading(...good), MANAGED), { state: /^protected: authenticated answers arrive$/, next: /enigm-dns status/ })
  const asks = (who: 'elsewhere' | 'us') => ({ type: 'seen.system', asks: who, by: 'resolv.conf' }) as const
  t.match(short(reading(...good, asks('elsewhere')), MANAGED), {
    state: /but the system uses another DNS server$/,
    next: /sudo enigm-dns system enable/,
  })
  const canary = { type: 'seen.canary', outcome: 'returned' } as const
  t.match(short(reading(...good, asks('us'), canary), MANAGED), { state: /and the system uses this service$/, next: /^Nothing to do/ })
  t.match(short(reading(started, failed('a'), failed('b')), MANAGED), { state: /^offline: /, next: /enigm-dns doctor/ })
  const { code, stdout } = await cli()
  t.ok([0, 1, 2, 3].includes(code))
  t.match(stdout, /^.+\nNext: .+\(every command: enigm-dns --help\)\n$|Nothing to do/)
})
