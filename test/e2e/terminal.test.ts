// The built commands in a real terminal (a pty).
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { report } from '../../src/posture/report.ts'
import { isSame, selfIdentity } from '../../src/system/process-identity.ts'
import { after, failed, JITTER, started, verdictOn } from '../posture/evidence.ts'
import { CLI, cli, plainEnvironment } from '../support/real/daemon.ts'
import { freePort } from '../support/real/server-process.ts'
import { openTerminal } from '../support/real/terminal.ts'
import { requireTool } from '../support/real/tools.ts'

t.setTimeout(600_000)
/** All at the same time: each waits much longer than it works. */
const atOnce = <T>(all: readonly T[], work: (one: T) => Promise<unknown>) => Promise.all(all.map(work))
const CLEAR = '\u001b[H\u001b[2J'

/**
 * A status of this process, with everything wrong that there is: more lines than any window has.
 */
function writeStatus(file: string): void {
  const { state, nowMs } = after(
    [started, failed('a', 'pin-mismatch'), failed('b', 'certificate-untrusted'), { type: 'reload.refused', message: 'x '.repeat(140) }],
    JITTER,
  )
  const verdict = verdictOn(state, nowMs, { heartbeatLateMs: 900 })
  const { pid, startedAtTicks } = selfIdentity()
  const counts = { entries: 1, bytes: 2, maxBytes: 3 }
  const writer = { version: '0.1.0', pid, ...(startedAtTicks === undefined ? {} : { processStart: startedAtTicks }), heartbeatS: 3600 }
  writeFileSync(file, JSON.stringify(report(state, verdict, writer, counts, Date.now())))
}

t.test('status --watch fits the window: the state is always in sight, and nothing scrolls', async (t) => {
  if (!requireTool(t, 'python3')) return
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-watch-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'status.json')
  writeStatus(file)
  const sizes = [
    [80, 24],
    [80, 10],
    [40, 24],
    [24, 5],
    [10, 2],
    [200, 60],
  ] as const
  await atOnce(sizes, async ([columns, rows]) => {
    const terminal = await openTerminal([process.execPath, CLI, 'status', '--watch', '--file', file], { columns, rows })
    t.teardown(() => terminal.close())
    await terminal.until(/enigm-dns/)
    await new Promise((resolve) => setTimeout(resolve, 300))
    const size = `${columns} x ${rows}`
    const [before, screen = ''] = terminal.text().split(CLEAR)
    t.equal(before, '', `${size}: nothing before the first screen`)
    const lines = screen
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours
      .replaceAll(/\u001b\[\d+m/g, '')
      .replaceAll('\r', '')
      .split('\n')
    t.ok(lines.length <= rows, `${size}: ${lines.length} lines, the cursor's with them`)
    for (const line of lines) t.ok(line.length <= columns, `${size}: ${line}`)
    t.ok('enigm-dns  OFFLINE'.startsWith(lines[0] ?? '-'), `${size}: ${lines[0]}`)
    await terminal.close()
  })
})

interface Status {
  readonly pid: number
  readonly processStart?: string
}

/**
 * A configuration in a place of its own, and what became of the service that was started with it.
 */
async function place(t: Test) {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-terminal-'))
  const config = join(dir, 'config.json')
  const statusFile = join(dir, 'status.json')
  const listen = [`127.0.0.1:${await freePort()}`]
  writeFileSync(config, JSON.stringify({ listen, statusFile, stateDir: join(dir, 'state'), heartbeatS: 1 }), { mode: 0o600 })
  const status = () => JSON.parse(readFileSync(statusFile, 'utf8')) as Status
  const runs = () => existsSync(statusFile) && isSame(status().pid, status().processStart) === true
  t.teardown(() => {
    if (runs()) process.kill(status().pid, 'SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  })
  return {
    dir,
    config,
    runs,
    pid: () => status().pid,
    async started() {
      for (let i = 0; i < 1500 && !runs(); i++) await sleep(20)
      if (!runs()) throw new Error('it did not start')
      await sleep(500)
    },
    /** Whether it is gone within seconds; `longMs`: how long it is given. */
    async gone(longMs = 8000) {
      for (const end = performance.now() + longMs; runs() && performance.now() < end; ) await sleep(20)
      return !runs()
    },
  }
}

const run = (config: string) => `'${process.execPath}' '${CLI}' run --config '${config}'`
const root = dirname(dirname(CLI))

t.test('in the foreground the process ends with its terminal, also under a shell or npm', { timeout: 120_000 }, async (t) => {
  if (!requireTool(t, 'python3')) return
  const commands: readonly (readonly [string, (config: string) => readonly string[]])[] = [
    ['by itself', (config) => [process.execPath, CLI, 'run', '--config', config]],
    ['from a shell', (config) => ['bash', '-c', `${run(config)}; true`]],
    ['its log elsewhere', (config) => ['bash', '-c', `${run(config)} 2>'${config}.log'; true`]],
    ['from a shell with job control', (config) => ['bash', '-ic', `${run(config)}; true`]],
    ['in the background', (config) => ['bash', '-ic', `${run(config)} & wait`]],
    ['npm start', (config) => ['npm', 'start', '--', '--config', config]],
    ['npm start from a shell', (config) => ['bash', '-ic', `npm start -- --config '${config}'; true`]],
  ]
  await atOnce(commands, async ([name, command]) => {
    const p = await place(t)
    const terminal = await openTerminal(command(p.config), { cwd: root, env: plainEnvironment() })
    await p.started()
    process.kill(p.pid(), 'SIGHUP')
    await sleep(1000)
    t.ok(p.runs(), `${name}: SIGHUP of a person is a reload`)
    await terminal.close()
    t.ok(await p.gone(), `${name}: gone with its terminal`)
  })
})

t.test('under nohup and setsid it continues without its terminal, and SIGHUP is still a reload', { timeout: 120_000 }, async (t) => {
  if (!requireTool(t, 'python3')) return
  const commands: readonly (readonly [string, (config: string) => string])[] = [
    ['nohup', (config) => `nohup ${run(config)} >'${config}.log' 2>&1 & wait`],
    ['nohup, in the foreground', (config) => `nohup ${run(config)} >'${config}.log' 2>&1`],
    ['setsid', (config) => `setsid ${run(config)} & wait`],
    ['nohup npm start', (config) => `nohup npm start -- --config '${config}' >'${config}.log' 2>&1 & wait`],
    ['setsid npm start', (config) => `setsid npm start -- --config '${config}' & wait`],
  ]
  await atOnce(commands, async ([name, command]) => {
    const p = await place(t)
    const terminal = await openTerminal(['bash', '-ic', command(p.config)], { cwd: root, env: plainEnvironment() })
    await p.started()
    await terminal.close()
    t.notOk(await p.gone(4000), `${name}: it goes on`)
    if (!p.runs()) return
    process.kill(p.pid(), 'SIGHUP')
    t.notOk(await p.gone(1500), `${name}: SIGHUP is a reload`)
    t.match(await cli('stop', '--config', p.config), { code: 0 }, name)
  })
})

t.test('any end of npm ends the process that it started', { timeout: 60_000 }, async (t) => {
  await atOnce(['SIGTERM', 'SIGKILL'] as const, async (signal) => {
    const p = await place(t)
    const npm = spawn('npm', ['start', '--', '--config', p.config], { cwd: root, stdio: 'ignore', env: plainEnvironment() })
    await p.started()
    npm.kill(signal)
    t.ok(await p.gone(), signal)
  })
})
