import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { encodeQuestion } from '../../src/dns/presentation.ts'
import { accountOf } from '../../src/system/user.ts'
import { CLI, cli } from '../support/real/daemon.ts'
import { insideNamespace } from '../support/real/namespace.ts'

t.setTimeout(200_000)
const isRoot = process.getuid?.() === 0
const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nenigm:x:997:996::/:/usr/sbin/nologin\n'
const GROUP = 'root:x:0:enigm\nenigm:x:996:\nssl:x:101:other,enigm\n'

t.test('which account a setting means', (t) => {
  const of = (user: string) => accountOf(user, { passwd: PASSWD, group: GROUP })
  t.strictSame(of('enigm'), { name: 'enigm', uid: 997, gid: 996, groups: [101] })
  t.strictSame(of('997'), of('enigm'))
  t.strictSame(of('12:34'), { name: undefined, uid: 12, gid: 34, groups: [] })
  for (const [user, sentence] of [
    ['nobody-here', 'user: there is no user "nobody-here" in /etc/passwd: add it (useradd --system nobody-here), or name another one.'],
    ['12', 'user: number 12 is not in /etc/passwd, so its group is not known: write "12:GID", or name another user.'],
    ['root', 'user: "root" is root: name an ordinary user, or remove "user".'],
    ['0', 'user: "0" is root: name an ordinary user, or remove "user".'],
    ['0:5', 'user: "0:5" is root: name an ordinary user, or remove "user".'],
    ['4294967295:1', 'user: "4294967295:1" has no user and group number from 0 to 4294967294: name another user.'],
  ] as const)
    t.throws(() => of(user), { code: 'config', message: sentence }, user)
  t.end()
})

/** A number that no account of this host has. */
const UID = 61_234
const GID = 61_235

interface Service {
  readonly child: ChildProcess
  readonly dir: string
  readonly status: string
  log(): string
  /** Replaces the configuration. */
  config(more: object): void
  stop(): Promise<number | null>
}

function room(t: Test): string {
  const dir = fs.mkdtempSync(join(tmpdir(), 'enigm-user-'))
  fs.chmodSync(dir, 0o755)
  t.teardown(() => fs.rmSync(dir, { recursive: true, force: true }))
  return dir
}

async function run(t: Test, dir: string, more: object, { program = CLI, under = [] as readonly string[] } = {}): Promise<Service> {
  const entry = { id: 'mine', authenticationDomainName: 'dns.example', addresses: ['127.0.0.1'], transports: { dot: { port: 1 } } }
  const config = (extra: object) => {
    const base = { resolvers: 'set.json', listen: ['127.0.0.1:53'], statusFile: 'run/status.json', stateDir: 'state', heartbeatS: 1 }
    fs.writeFileSync(join(dir, 'config.json'), JSON.stringify({ ...base, user: `${UID}:${GID}`, ...more, ...extra }), { mode: 0o644 })
  }
  fs.writeFileSync(join(dir, 'set.json'), JSON.stringify({ version: 1, resolvers: [entry] }), { mode: 0o644 })
  config({})
  const [command = '', ...args] = [...under, process.execPath, program, 'run', '-c', join(dir, 'config.json')]
  const child = spawn(command, args, { env: { PATH: process.env.PATH ?? '' } })
  t.teardown(() => void child.kill('SIGKILL'))
  const said = { out: '', err: '' }
  child.stdout.on('data', (chunk: Buffer) => {
    said.out += chunk
  })
  child.stderr.on('data', (chunk: Buffer) => {
    said.err += chunk
  })
  while (child.exitCode === null && !said.out.includes('ready')) await new Promise((resolve) => setTimeout(resolve, 10))
  return {
    ...{ child, dir, config, status: join(dir, 'run', 'status.json'), log: () => said.err },
    async stop() {
      if (child.exitCode === null) {
        child.kill('SIGTERM')
        await once(child, 'exit')
      }
      return child.exitCode
    },
  }
}

/** Whether localhost is answered there. */
async function answers(port: number): Promise<boolean> {
  const socket = createSocket('udp4')
  const reply = once(socket, 'message', { signal: AbortSignal.timeout(1000) }).then(
    () => true,
    () => false,
  )
  socket.send(encodeQuestion('localhost', 'A', 7), port, '127.0.0.1')
  const good = await reply
  socket.close()
  return good
}

async function until(good: () => boolean | Promise<boolean>): Promise<boolean> {
  for (let i = 0; i < 100; i++) {
    if (await good()) return true
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return false
}

/** One line of /proc/PID/status for each thread. */
function threads(pid: number | undefined, line: string): readonly string[] {
  return fs.readdirSync(`/proc/${pid}/task`).map((task) => {
    const found = new RegExp(`^${line}:\\s*(.*)$`, 'm').exec(fs.readFileSync(`/proc/${pid}/task/${task}/status`, 'latin1'))
    return (found?.[1] ?? '').trim().replaceAll(/\s+/g, ' ')
  })
}

function ownersBelow(dir: string): ReadonlySet<string> {
  const names = [dir, ...fs.readdirSync(dir).map((name) => join(dir, name))]
  return new Set(names.map((name) => fs.lstatSync(name)).map(({ uid, gid }) => `${uid}:${gid}`))
}

if (isRoot && insideNamespace(t, import.meta.url)) {
  // The runtime directory of the host is not ours to give away.
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'none', '/run'])
  for (const workers of [1, 2]) {
    t.test(`with ${workers} workers: no root in any thread, and everything works`, async (t) => {
      const more = { workers, cache: { persist: 'disk' }, policy: { vpn: 'preferred' }, page: { listen: '127.0.0.1:91' } }
      const s = await run(t, room(t), more)
      t.equal(s.child.exitCode, null, s.log())
      t.strictSame([...new Set(threads(s.child.pid, 'Uid'))], [`${UID} ${UID} ${UID} ${UID}`])
      t.strictSame([...new Set(threads(s.child.pid, 'Gid'))], [`${GID} ${GID} ${GID} ${GID}`])
      t.strictSame([...new Set(threads(s.child.pid, 'Groups'))], [`${GID}`])
      for (const line of ['CapEff', 'CapPrm']) {
        const caps = new Set(threads(s.child.pid, line))
        t.equal(threads(s.child.pid, line)[0], '0000000000000400', 'CAP_NET_BIND_SERVICE alone')
        for (const one of caps) t.match(one, /^0000000000000[04]00$/)
      }
      t.equal(threads(s.child.pid, 'NoNewPrivs')[0], '1')
      const found = (name: string) => fs.readdirSync(name).length
      t.equal(found('/run/enigm-dns/services'), 1, 'other commands find it')
      t.ok(await answers(53))
      t.ok((await fetch('http://127.0.0.1:91/')).status === 401, 'the page listens')
      const before = fs.readFileSync(s.status, 'utf8')
      t.ok(await until(() => fs.readFileSync(s.status, 'utf8') !== before), 'the heartbeat goes on')
      s.config({ listen: ['127.0.0.1:53', '127.0.0.1:88'] })
      t.ok(await until(() => answers(88)), 'a reload opens another port below 1024')
      t.notMatch(s.log(), /refused/)
      s.config({ listen: ['127.0.0.1:53', '127.0.0.1:88'], user: '61236:61236' })
      t.ok(await until(() => s.log().includes('these settings take effect at the next start: user"')), 'another user waits')
      t.strictSame([...new Set(threads(s.child.pid, 'Uid'))], [`${UID} ${UID} ${UID} ${UID}`])
      t.match(await cli('forget', '--config', join(s.dir, 'config.json'), '--json'), { code: 0, stdout: /"daemon":\{"entries"/ })
      t.match(
        await cli(
          'status',
          '--json',
          '--verify',
          '--file',
          s.status,
          '--key',
          join(s.dir, 'state', 'status.pub'),
          '--seen',
          join(s.dir, 'seen'),
        ),
        {
          stdout: /"verdict": "valid"/,
        },
      )
      t.equal(await s.stop(), 0)
      for (const place of ['state', 'run']) t.strictSame([...ownersBelow(join(s.dir, place))], [`${UID}:${GID}`], place)
      t.ok(fs.existsSync(join(s.dir, 'state', 'audit.jsonl')))
      const again = await run(t, s.dir, more)
      t.equal(again.child.exitCode, null, again.log())
      t.notMatch(again.log(), /not signed|unwritable|cannot/)
      t.equal(await again.stop(), 0)
    })
  }

  t.test('files that root left are given to the user once, and not again', async (t) => {
    const dir = room(t)
    const asRoot = await run(t, dir, { user: undefined })
    const id = fs.readFileSync(join(dir, 'state', 'status.pub'), 'utf8')
    await asRoot.stop()
    t.strictSame([...ownersBelow(join(dir, 'state'))], ['0:0'])
    const asUser = await run(t, dir, {})
    t.equal(asUser.child.exitCode, null, asUser.log())
    await asUser.stop()
    for (const place of ['state', 'run']) t.strictSame([...ownersBelow(join(dir, place))], [`${UID}:${GID}`], place)
    t.equal(fs.readFileSync(join(dir, 'state', 'status.pub'), 'utf8'), id, 'the key stays')
    const again = await run(t, dir, { user: undefined })
    t.match([again.child.exitCode, again.log()], [2, `stateDir: ${join(dir, 'state')} belongs to user ${UID}, not to us; run: chown root`])
  })

  t.test('in a directory of the user root makes nothing: the user does', async (t) => {
    const dir = room(t)
    fs.mkdirSync(join(dir, 'home'))
    fs.chownSync(join(dir, 'home'), UID, GID)
    const more = { stateDir: 'home/a/state', statusFile: 'home/run/status.json' }
    const s = await run(t, dir, more)
    t.equal(s.child.exitCode, null, s.log())
    t.equal(await s.stop(), 0)
    for (const place of ['home', 'home/a', 'home/a/state', 'home/run'])
      t.strictSame([...ownersBelow(join(dir, place))], [`${UID}:${GID}`], place)
    t.equal(fs.statSync(join(dir, 'home', 'a', 'state')).mode & 0o777, 0o700)
    fs.chownSync(join(dir, 'home', 'run'), 0, 0)
    const again = await run(t, dir, more)
    t.match([again.child.exitCode, again.log()], [2, `user: "${UID}" does not own ${join(dir, 'home', 'run')}; run: chown ${UID}:${GID}`])
    t.equal(fs.statSync(join(dir, 'home', 'run')).uid, 0, 'nor gives anything away there')
  })

  t.test('links of the user to other places are not given away by root', async (t) => {
    const dir = room(t)
    await (await run(t, dir, {})).stop()
    const victim = join(dir, 'victim')
    fs.writeFileSync(victim, 'precious', { mode: 0o600 })
    for (const lay of [fs.symlinkSync, fs.linkSync]) {
      fs.rmSync(join(dir, 'state', 'starts.json'))
      lay(victim, join(dir, 'state', 'starts.json'))
      t.equal((await run(t, dir, {})).child.exitCode, 2)
      t.equal(fs.statSync(victim).uid, 0)
    }
  })

  t.test('without koffi: listeners are bound, root is given up, and the loss is reported', async (t) => {
    const dir = room(t)
    const app = join(dir, 'app')
    fs.cpSync(dirname(CLI), join(app, 'dist'), { recursive: true })
    for (const name of ['package.json', 'resolvers.json']) fs.cpSync(join(dirname(dirname(CLI)), name), join(app, name))
    const s = await run(t, dir, {}, { program: join(app, 'dist', 'main.js') })
    t.equal(s.child.exitCode, null, s.log())
    t.strictSame([...new Set(threads(s.child.pid, 'Uid'))], [`${UID} ${UID} ${UID} ${UID}`])
    t.strictSame([...new Set(threads(s.child.pid, 'Groups'))], [`${GID}`])
    t.strictSame([...new Set(threads(s.child.pid, 'CapPrm'))], ['0000000000000000'])
    t.match(s.log(), /a reload cannot open a port below 1024/)
    t.ok(await answers(53))
    s.config({ listen: ['127.0.0.1:53', '127.0.0.1:88'] })
    t.ok(await until(() => s.log().includes('the new configuration was refused')))
    t.ok(await answers(53), 'the old one goes on')
    s.config({ listen: ['127.0.0.1:53', '127.0.0.1:8853'] })
    t.ok(await until(() => answers(8853)))
    t.equal(await s.stop(), 0)
    for (const place of ['state', 'run']) t.strictSame([...ownersBelow(join(dir, place))], [`${UID}:${GID}`], place)
  })

  t.test('unusable accounts', async (t) => {
    const refused = async (more: object, sentence: RegExp, under: readonly string[] = []) => {
      const dir = room(t)
      fs.mkdirSync(join(dir, 'closed'), { mode: 0o700 })
      const s = await run(t, dir, more, { under })
      t.match([s.child.exitCode, s.log()], [2, sentence])
    }
    await refused({ user: 'nobody-here' }, /^user: there is no user "nobody-here"/)
    await refused({ user: 'root' }, /^user: "root" is root/)
    await refused({ user: 'a b' }, /config\.json: user: must be a user name, a user number, or UID:GID/)
    await refused({ user: `${UID}` }, /^user: number \d+ is not in \/etc\/passwd/)
    await refused({ stateDir: 'closed/state' }, /^user: "61234" may not read .*closed\/state, or a directory above it/)
    await refused({ statusFile: 'status.json' }, /^statusFile: .* holds other files, and user 61234 cannot write in it/)
    await refused({ statusFile: '/run/enigm-dns-status.json' }, /^statusFile: \/run holds other files, and user 61234 cannot write in it/)
    const other = ['setpriv', '--reuid=61236', '--regid=61236', '--clear-groups']
    const dir = room(t)
    fs.mkdirSync(join(dir, 'own'))
    fs.chownSync(join(dir, 'own'), 61_236, 61_236)
    const s = await run(t, dir, { stateDir: 'own/state', statusFile: 'own/status.json', listen: ['127.0.0.1:5353'] }, { under: other })
    t.match(
      [s.child.exitCode, s.log()],
      [2, /^user: only root can switch to "61234", and the service runs as user 61236: start it as root, or remove "user"\.$/m],
    )
  })

  t.test('a configuration that the user may not read is reported as such', async (t) => {
    const dir = room(t)
    const s = await run(t, dir, {})
    await s.stop()
    fs.chmodSync(join(dir, 'set.json'), 0o600)
    const config = join(dir, 'set.json')
    execFileSync('touch', [config])
    fs.writeFileSync(join(dir, 'private.json'), fs.readFileSync(config), { mode: 0o600 })
    const again = await run(t, dir, { resolvers: 'private.json' })
    t.match(again.log(), /a reload cannot read .*private\.json: give user 61234:61235 read permission/)
    t.equal(await again.stop(), 0)
  })
}
