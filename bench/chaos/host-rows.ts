import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type ClockShim, clockShim } from '../../test/support/faults/clock-shim.ts'
import { costOf } from '../load/process-cost.ts'
import { newName, quantile } from './asker.ts'
import type { Chaos, Row } from './row.ts'
import type { Scene } from './scene.ts'

const DAY_MS = 86_400_000

async function stopped(c: Chaos): Promise<void> {
  const rounds = c.fast ? [2] : [30, 60]
  c.note(c.fast ? 'stopped for 2 s instead of 30 s' : 'stopped for 30 s, and for 60 s instead of 10 min')
  const { server, asker, daemon } = await c.scene({ protocols: ['dot'], usual: { rttMs: 10 } })
  await asker.firstAnswer(5000)
  for (const seconds of rounds) {
    const short = `t1-${newName()}`
    await asker.ask(short)
    daemon.kill('SIGSTOP')
    server.path.strand() // what a NAT on the way does meanwhile
    await sleep(seconds * 1000)
    daemon.kill('SIGCONT')
    c.within(`first answer after ${seconds} s`, (await asker.ask(newName('woken'))).tookMs, 1000)
    const asked = server.asked.get(short) ?? 0
    c.check('an expired answer is fresh again', Number((await asker.ask(short)).right), '>=', 1)
    c.check('times it was asked for once more', (server.asked.get(short) ?? 0) - asked, '>=', 1)
  }
}

/** A scene whose daemon's clocks can be moved; undefined where there is no compiler. */
async function withClocks(c: Chaos): Promise<{ readonly scene: Scene; readonly shim: ClockShim } | undefined> {
  const shim = clockShim()
  if (shim === undefined) {
    c.note('left out: needs cc and Linux')
    return undefined
  }
  const scene = await c.scene({ protocols: ['dot'], usual: { rttMs: 10 }, daemon: { env: shim.env } })
  await scene.asker.firstAnswer(5000)
  return { scene, shim }
}

async function slept(c: Chaos): Promise<void> {
  const clocks = await withClocks(c)
  if (clocks === undefined) return
  const { scene, shim } = clocks
  const { server, asker, daemon } = scene
  const name = `t3600-${newName()}`
  await asker.ask(name)
  daemon.kill('SIGSTOP')
  server.path.strand()
  shim.shift(DAY_MS, DAY_MS)
  await sleep(200)
  daemon.kill('SIGCONT')
  c.within('first answer after a day asleep', (await asker.ask(newName('woken'))).tookMs, 1000)
  await asker.ask(name)
  c.check('an answer with a TTL of an hour is asked for again', server.asked.get(name) ?? 0, '>=', 2)
  c.note('the daemon stood still while its wall clock and boot time went a day on, and its connection fell silent')
  shim.close()
}

async function wallClock(c: Chaos): Promise<void> {
  const clocks = await withClocks(c)
  if (clocks === undefined) return
  const { scene, shim } = clocks
  const { server, asker, daemon } = scene
  for (const days of [1, -1, 3650, -3650]) {
    const [long, short] = [newName(), `t2-${newName()}`]
    await asker.ask(long)
    await asker.ask(short)
    shim.shift(days * DAY_MS, 0)
    await sleep(300)
    const { right, ttlS } = await asker.ask(long)
    c.check(`${days} days: a fresh answer stays`, Number(right && (server.asked.get(long) ?? 0) === 1), '>=', 1)
    c.check(`${days} days: its TTL`, ttlS ?? 0, '>=', 290, 's')
    await sleep(2200)
    await asker.ask(short)
    c.check(`${days} days: an expired one is asked for again`, server.asked.get(short) ?? 0, '>=', 2)
    const before = costOf(daemon.pid)
    await sleep(1000)
    c.check(`${days} days: CPU when nobody asks`, (costOf(daemon.pid).cpuNs - before.cpuNs) / 1e7, '<=', 10, '%')
    shim.shift(0, 0)
    await sleep(300)
  }
  c.within('first answer when it is right again', await asker.firstAnswer(5000), 1000)
  shim.close()
}

const TMPFS = 'mount -t tmpfs -o size=64k,mode=0700 none "$0" && exec "$@"'

/**
 * The daemon in a mount namespace of its own, its status file on a file system of 64 KiB. Seen from
 * outside through /proc.
 */
async function statusFile(c: Chaos): Promise<void> {
  const place = mkdtempSync(join(tmpdir(), 'enigm-dns-chaos-'))
  try {
    await statusOn(c, place)
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

async function statusOn(c: Chaos, place: string): Promise<void> {
  const scene = await c.scene({
    protocols: ['dot'],
    daemon: { under: ['unshare', '-m', 'sh', '-c', TMPFS, place], statusFile: join(place, 'run', 'status.json') },
  })
  const { asker, daemon } = scene
  const inside = `/proc/${daemon.pid}/root${place}`
  const file = join(inside, 'run', 'status.json')
  const remount = (mode: 'ro' | 'rw') =>
    execFileSync('nsenter', ['-t', String(daemon.pid), '-m', 'mount', '-o', `remount,${mode}`, place], { stdio: 'ignore' })
  const updatedAt = () => {
    try {
      return String((JSON.parse(readFileSync(file, 'utf8')) as { updatedAt: unknown }).updatedAt)
    } catch (error) {
      return error instanceof SyntaxError ? 'partial' : 'absent'
    }
  }
  const faults: readonly (readonly [string, () => void, () => void])[] = [
    ['disk full', () => fill(join(inside, 'fill')), () => rmSync(join(inside, 'fill'))],
    ['read-only', () => remount('ro'), () => remount('rw')],
    ['directory gone', () => rmSync(join(inside, 'run'), { recursive: true }), () => {}],
  ]
  await asker.firstAnswer(5000)
  for (const [what, begin, end] of faults) {
    const logged = daemon.log().length
    begin()
    const watching = setInterval(() => seen.add(updatedAt()), 7)
    const seen = new Set<string>()
    const told = await asker.traffic({ perS: 50, forMs: 2500, hits: 0.5 })
    c.check(`${what}: answered`, told.filter(({ right }) => right).length / told.length, '>=', 1)
    end()
    const last = updatedAt()
    const beganMs = performance.now()
    while ((updatedAt() === last || updatedAt() === 'absent') && performance.now() - beganMs < 20_000) await sleep(20)
    clearInterval(watching)
    c.within(`${what}: written again`, performance.now() - beganMs, 10_000)
    c.check(`${what}: partial files`, Number(seen.has('partial')), '<=', 0)
    const lines = daemon
      .log()
      .slice(logged)
      .split('\n')
      .filter((line) => /status/i.test(line) && /"level":(40|50)/.test(line))
    c.check(`${what}: lines in the log`, lines.length, '<=', 1)
  }
}

/** Takes all that is left, to the last octet. */
function fill(path: string): void {
  for (let octets = 65_536; octets >= 1; octets >>= 1)
    for (;;) {
      try {
        writeFileSync(path, new Uint8Array(octets), { flag: 'a' })
      } catch {
        break
      }
    }
}

async function killed(c: Chaos): Promise<void> {
  const { asker, daemon } = await c.scene({ protocols: ['dot'] })
  await asker.firstAnswer(5000)
  const times = c.fast ? 4 : 100
  const ready: number[] = []
  let whole = 0
  let asking = true
  const load = (async () => {
    while (asking) {
      void asker.ask(newName())
      await sleep(5)
    }
  })()
  for (let i = 0; i < times; i++) {
    await sleep(20 + ((i * 37) % 150))
    daemon.kill('SIGKILL')
    ready.push(await daemon.revive())
    const names = readdirSync(dirname(daemon.statusFile)).filter((name) => name.startsWith('status.json'))
    if (!existsSync(daemon.statusFile) || daemon.status() !== undefined) whole++
    if (names.length > 6) c.note(`files beside the status: ${names.join(' ')}`)
  }
  asking = false
  await load
  c.within(`ready again, the slowest of ${times}, from exec`, Math.max(...ready), 1000)
  c.check('status files whole or absent', whole, '>=', times)
  c.within('first answer after the last', await asker.firstAnswer(5000), 1000)
  await sleep(6500) // questions that died with it are known to be without a reply
  c.check('of those asked at the end, answered', Number((await asker.ask(newName())).right), '>=', 1)
  asker.forgive()
}

/**
 * In network namespaces of its own, see roaming.ts: the address of the only interface changes under
 * the daemon.
 */
async function roaming(c: Chaos): Promise<void> {
  const program = join(dirname(fileURLToPath(import.meta.url)), 'roaming.js')
  const rounds = c.fast ? 3 : 20
  const { stdout } = await promisify(execFile)('unshare', ['-n', process.execPath, program, String(rounds)], { timeout: 300_000 })
  const { address, route } = JSON.parse(stdout.split('\n').at(-2) ?? '') as { readonly address: number[]; readonly route: number[] }
  for (const [what, times] of [
    ['another address', address] as const,
    ['the interface down for 0.5 s, then another address and route', route] as const,
  ]) {
    c.within(`${what}, ${times.length} times: first answer, slowest`, Math.max(...times), 1000)
    c.within(`${what}: median`, quantile(times, 0.5), 300)
  }
}

/** Rows about what happens to the machine and the process. */
export const HOST_ROWS: readonly Row[] = [
  { name: 'address-change', fault: 'address or route change', slow: true, run: roaming },
  { name: 'sigstop', fault: 'SIGSTOP 30 s and 10 min, the connection dead meanwhile', run: stopped },
  { name: 'boot-time', fault: 'boot time + 1 day: asleep', run: slept },
  { name: 'wall-clock', fault: 'wall clock +-1 day, +-10 years', slow: true, run: wallClock },
  { name: 'status-file', fault: 'status file: disk full, read-only, directory gone', slow: true, run: statusFile },
  { name: 'sigkill', fault: 'SIGKILL x100 under load', slow: true, run: killed },
]
