import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/clock.ts'
import { followCommand, sendCommand } from '../../src/system/control-client.ts'
import { type Control, controlPath, Feed, listenControl } from '../../src/system/control-socket.ts'
import { FakeClock } from '../support/fake-clock.ts'

const clock = systemClock()
const obey = (order: string) => Promise.resolve(order === 'count' ? { n: 3 } : undefined)

/** The path of a socket must be short. */
function shortDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  return dir
}

async function open(t: Test, path: string, with_ = clock as FakeClock | typeof clock): Promise<Control> {
  const control = await listenControl(path, obey, with_)
  if (control === 'taken' || 'why' in control) throw new Error(JSON.stringify(control))
  t.teardown(() => control.close())
  return control
}

t.test('an order is answered; the socket is private and is removed with its owner', async (t) => {
  const path = controlPath(join(shortDir(t), 'status.json'))
  const control = await open(t, path)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.strictSame(await sendCommand(path, 'count', clock), { n: 3 })
  t.strictSame(await sendCommand(path, 'what', clock), { error: 'no such order' })
  await control.close()
  t.notOk(existsSync(path))
  t.equal(await sendCommand(path, 'count', clock), undefined, 'nobody is there')
})

t.test('the second service on a path is notified of the first, and does not disturb it', async (t) => {
  const path = join(shortDir(t), 'c')
  await open(t, path)
  t.equal(await listenControl(path, obey, clock), 'taken')
  t.strictSame(await sendCommand(path, 'count', clock), { n: 3 })
})

t.test('a socket of a killed process is replaced, and so is an empty file; anything else stays', async (t) => {
  const path = join(shortDir(t), 'c')
  const killed = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', killed])
  t.ok(statSync(path).isSocket())
  await open(t, path)
  t.strictSame(await sendCommand(path, 'count', clock), { n: 3 })
  const empty = join(shortDir(t), 'c')
  writeFileSync(empty, '')
  await open(t, empty)
  const precious = join(shortDir(t), 'c')
  writeFileSync(precious, 'precious')
  t.match(await listenControl(precious, obey, clock), { why: /is not a socket/ })
  t.equal(readFileSync(precious, 'utf8'), 'precious')
})

t.test('no socket in a directory that others can write, for any owner', async (t) => {
  const dir = shortDir(t)
  for (const mode of [0o777, 0o1777, 0o770]) {
    chmodSync(dir, mode)
    t.match(await listenControl(join(dir, 'c'), obey, clock), { why: /can be written by others/ }, mode.toString(8))
  }
  if (process.getuid?.() !== 0) return
  chmodSync(dir, 0o755)
  chownSync(dir, 12_345, 12_345)
  t.match(await listenControl(join(dir, 'c'), obey, clock), { why: /belongs to user 12345/ })
})

t.test(
  'a socket that was removed with its directory is made again once the directory is back, and still ends with its owner',
  async (t) => {
    const dir = join(shortDir(t), 'd')
    mkdirSync(dir)
    const path = join(dir, 'c')
    const control = await open(t, path)
    control.heal()
    t.strictSame(await sendCommand(path, 'count', clock), { n: 3 }, 'nothing to heal')
    rmSync(dir, { recursive: true })
    control.heal()
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.equal(await sendCommand(path, 'count', clock), undefined, 'no directory yet')
    mkdirSync(dir)
    control.heal()
    control.heal()
    while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 5))
    t.strictSame(await sendCommand(path, 'count', clock), { n: 3 })
    t.equal(statSync(path).mode & 0o777, 0o600)
    await control.close()
    t.notOk(existsSync(path))
    control.heal()
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.notOk(existsSync(path), 'closed is closed')
  },
)

t.test('no socket: a path that is too long, a missing directory', async (t) => {
  t.match(await listenControl(join(shortDir(t), 'x'.repeat(120)), obey, clock), { why: /longer/ })
  t.match(await listenControl(join(shortDir(t), 'none', 'c'), obey, clock), { why: /ENOENT|EACCES/ })
})

t.test('a client that sends too much, or nothing, is disconnected', async (t) => {
  const path = join(shortDir(t), 'c')
  const fake = new FakeClock()
  await open(t, path, fake)
  const talker = connect(path)
  talker.write('x'.repeat(2000))
  await once(talker.on('error', () => {}).resume(), 'close')
  const silent = connect(path)
  const hungUp = once(silent.resume(), 'close')
  await once(silent, 'connect')
  while (fake.timers === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  await fake.advance(10_000)
  await hungUp
})

t.test('a daemon that never answers, or not in JSON, does not block the command', async (t) => {
  const path = join(shortDir(t), 'c')
  const server = createServer((socket) => socket.once('data', () => socket.end('no JSON\n'))).listen(path)
  t.teardown(() => server.close())
  t.equal(await sendCommand(path, 'count', clock), undefined)
})

t.test('a feed: line by line, until the sender ends it or the receiver closes', async (t) => {
  const path = join(shortDir(t), 'c')
  let heard = { drained: 0, gone: 0 }
  let feed: { send(lines: readonly object[]): boolean; end(): void } | undefined
  const control = await listenControl(
    path,
    async () =>
      new Feed((outlet) => {
        feed = outlet
        outlet.send([{ n: 1 }, { n: 2 }])
        return { drained: () => void heard.drained++, gone: () => void heard.gone++ }
      }),
    clock,
  )
  if (control === 'taken' || 'why' in control) throw new Error(JSON.stringify(control))
  t.teardown(() => control.close())
  const lines: unknown[] = []
  const followed = followCommand(path, 'feed', clock, 1000, (line) => {
    lines.push(line)
    if (lines.length === 2) feed?.end()
  })
  t.equal(await followed, true)
  t.strictSame(lines, [{ n: 1 }, { n: 2 }])
  while (heard.gone < 1) await new Promise((resolve) => setTimeout(resolve, 5))

  heard = { drained: 0, gone: 0 }
  const listener = connect(path)
  listener.write('feed\n')
  await once(listener, 'data')
  listener.pause()
  // Nobody reads: the socket fills up, and says when there is room again.
  let sent = 0
  while (feed?.send([{ pad: 'x'.repeat(50_000) }]) === true && sent < 1000) sent++
  t.ok(sent < 1000, 'it is full at some time')
  t.equal(heard.drained, 0)
  listener.resume()
  while (heard.drained < 1) await new Promise((resolve) => setTimeout(resolve, 5))
  listener.destroy()
  while (heard.gone < 1) await new Promise((resolve) => setTimeout(resolve, 5))
  t.equal(heard.gone, 1)
  t.equal(await followCommand(`${path}x`, 'feed', clock, 1000, () => {}), false, 'nobody is there')
})

t.test('the socket of another user is not trusted', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  const dir = shortDir(t)
  const path = join(dir, 'c')
  await open(t, path)
  chmodSync(dir, 0o755)
  chmodSync(path, 0o777)
  const { seteuid } = process
  if (seteuid === undefined) return
  t.teardown(() => seteuid(0))
  seteuid(12_345)
  t.strictSame(await sendCommand(path, 'count', clock), { n: 3 }, 'of root it is')
  seteuid(0)
  chownSync(path, 54_321, 54_321)
  seteuid(12_345)
  t.equal(await sendCommand(path, 'count', clock), undefined)
  seteuid(0)
})
