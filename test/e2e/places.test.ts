import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { isSomebodys } from '../../src/owned-paths.ts'
import { CLI } from '../support/real/daemon.ts'
import { freePort } from '../support/real/server-process.ts'

t.setTimeout(300_000)
const isRoot = process.getuid?.() === 0
const needsRoot = { skip: !isRoot && 'needs root' }
const THEIRS = 12_345

/** A directory for one service: everybody may enter it, and root alone writes it. */
function room(t: Test): string {
  const dir = fs.mkdtempSync(join(tmpdir(), 'enigm-places-'))
  fs.chmodSync(dir, 0o755)
  t.teardown(() => fs.rmSync(dir, { recursive: true, force: true }))
  return dir
}

interface Outcome {
  readonly ready: boolean
  readonly code: number | null
  readonly stderr: string
}

/**
 * Runs the service over a resolver that is not there until it is ready, or ends. `as`: numbers of
 * another user.
 */
async function started(dir: string, config: object, as?: number, env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const port = await freePort()
  const resolver = { id: 'mine', authenticationDomainName: 'dns.example', addresses: ['127.0.0.1'], transports: { dot: { port } } }
  const paths = { resolvers: 'set.json', listen: [`127.0.0.1:${port}`], statusFile: 'run/status.json', stateDir: 'state' }
  write(join(dir, 'set.json'), JSON.stringify({ version: 1, resolvers: [resolver] }))
  write(join(dir, 'config.json'), JSON.stringify({ ...paths, ...config }))
  const command = [process.execPath, CLI, 'run', '--config', join(dir, 'config.json')]
  const under = as === undefined ? [] : ['setpriv', `--reuid=${as}`, `--regid=${as}`, '--clear-groups']
  const [program = '', ...args] = [...under, ...command]
  const child = spawn(program, args, { env: { PATH: process.env.PATH ?? '', HOME: dir, ...env } })
  const said = { out: '', err: '' }
  child.stdout.on('data', (chunk: Buffer) => {
    said.out += chunk
  })
  child.stderr.on('data', (chunk: Buffer) => {
    said.err += chunk
  })
  const late = setTimeout(() => child.kill('SIGKILL'), 20_000)
  while (child.exitCode === null && child.signalCode === null && said.out === '') await new Promise((resolve) => setTimeout(resolve, 10))
  const ready = said.out === 'ready\n'
  if (ready) child.kill('SIGTERM')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  clearTimeout(late)
  return { ready, code: child.exitCode, stderr: said.err }
}

function write(path: string, text: string, mode = 0o644): void {
  fs.writeFileSync(path, text)
  fs.chmodSync(path, mode)
}

/** Everything below a directory that could change: names, owners, modes, links and contents. */
function picture(dir: string): unknown {
  return fs
    .readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .map((name) => {
      const found = fs.lstatSync(join(dir, name))
      const content = found.isFile()
        ? fs.readFileSync(join(dir, name), 'utf8')
        : found.isSymbolicLink()
          ? fs.readlinkSync(join(dir, name))
          : ''
      return [name, found.uid, (found.mode & 0o7777).toString(8), content]
    })
}

/** Refused with exit code 2 and a sentence, and nothing is changed but the configuration. */
async function refused(t: Test, dir: string, config: object, sentence: RegExp, what: string, as?: number): Promise<void> {
  const before = () => (picture(dir) as [string][]).filter(([name]) => !['config.json', 'set.json'].includes(name))
  const was = before()
  const outcome = await started(dir, config, as)
  t.match(outcome, { ready: false, code: 2, stderr: sentence }, what)
  t.strictSame(before(), was, `${what}: nothing is changed`)
}

t.test('with correct paths it starts, repeatedly', async (t) => {
  const dir = room(t)
  for (let i = 0; i < 2; i++) t.match(await started(dir, { page: { listen: join(dir, 'run', 'p') } }), { ready: true, code: 0 })
  t.equal(fs.statSync(join(dir, 'state')).mode & 0o777, 0o700)
  t.equal(fs.statSync(join(dir, 'run')).mode & 0o777, 0o755)
})

t.test('a directory of state or status that another user owns or writes', { ...needsRoot, timeout: 120_000 }, async (t) => {
  for (const [name, setting] of [
    ['state', 'stateDir'],
    ['run', 'statusFile'],
  ] as const) {
    for (const [what, mode, owner, fault] of [
      ['owned', 0o755, THEIRS, `belongs to user ${THEIRS}, not to us; run: chown root`],
      ['owned and closed', 0o700, THEIRS, `belongs to user ${THEIRS}`],
      ['written by all', 0o777, 0, 'can be written by others; run: chmod go-w'],
      ['sticky', 0o1777, 0, 'can be written by others; name a directory below it'],
      ['written by a group', 0o770, 0, 'can be written by others; run: chmod go-w'],
    ] as const) {
      const dir = room(t)
      fs.mkdirSync(join(dir, name))
      fs.chownSync(join(dir, name), owner, owner)
      fs.chmodSync(join(dir, name), mode)
      await refused(t, dir, {}, new RegExp(`^${setting}: ${join(dir, name)} ${fault}`, 'm'), `${name} ${what}`)
    }
    const dir = room(t)
    fs.mkdirSync(join(dir, 'above', name), { recursive: true })
    fs.chownSync(join(dir, 'above'), THEIRS, THEIRS)
    const config = name === 'state' ? { stateDir: 'above/state' } : { statusFile: 'above/run/status.json' }
    await refused(t, dir, config, new RegExp(`^${setting}: .*lies below ${join(dir, 'above')}, which belongs to user`, 'm'), 'above')
    fs.mkdirSync(join(dir, 'safe'))
    fs.symlinkSync(join(dir, 'safe'), join(dir, name))
    fs.lchownSync(join(dir, name), THEIRS, THEIRS)
    await refused(t, dir, {}, new RegExp(`^${setting}: .*the link ${join(dir, name)}, which belongs to user`, 'm'), 'a link of theirs')
  }
})

t.test('nothing is written through objects in a directory of another user', needsRoot, async (t) => {
  const dir = room(t)
  write(join(dir, 'victim'), 'precious')
  for (const name of ['state', 'run']) {
    fs.mkdirSync(join(dir, name))
    fs.chownSync(join(dir, name), THEIRS, THEIRS)
  }
  // The number of the process is not known: all that come next are laid.
  const next = Number(execFileSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }))
  for (let pid = next; pid < next + 200; pid++)
    for (const name of ['state/status.pub', 'state/status.key', 'state/starts.json', 'run/status.json', 'run/status.json.pub'])
      fs.symlinkSync('../victim', join(dir, `${name}.${pid}.tmp`))
  t.match(await started(dir, {}), { ready: false, code: 2 })
  t.equal(fs.readFileSync(join(dir, 'victim'), 'utf8'), 'precious')
})

const KEPT = [
  'status.key',
  'status.pub',
  'starts.json',
  'page.token',
  'cache.key',
  'cache.sealed',
  'split.key',
  'audit.jsonl',
  'audit.2.jsonl',
]
t.test(
  'a FIFO, a directory, a link, a second name or a file of another user in place of any of our files',
  { timeout: 240_000 },
  async (t) => {
    const dir = room(t)
    const config = { page: { listen: `127.0.0.1:${await freePort()}` }, policy: {}, cache: { persist: 'disk' }, split: 'by-site' }
    t.match(await started(dir, config), { ready: true })
    const at = (name: string) => join(dir, 'state', name)
    const elsewhere = (name: string) => join(dir, `elsewhere-${name}`)
    const kept = new Map(KEPT.map((name) => [name, fs.existsSync(at(name)) ? fs.readFileSync(at(name)) : Buffer.alloc(0)]))
    const file = (path: string, name: string) => fs.writeFileSync(path, kept.get(name) ?? '', { mode: 0o600 })
    const ways: Readonly<Record<string, (path: string, name: string) => unknown>> = {
      fifo: (path) => execFileSync('mkfifo', ['-m', '600', path]),
      directory: (path) => fs.mkdirSync(path),
      link: (path, name) => [file(elsewhere(name), name), fs.symlinkSync(elsewhere(name), path)],
      'second name': (path, name) => [file(elsewhere(name), name), fs.linkSync(elsewhere(name), path)],
      ...(isRoot ? { theirs: (path: string, name: string) => [file(path, name), fs.chownSync(path, THEIRS, THEIRS)] } : {}),
      written: (path, name) => [file(path, name), fs.chmodSync(path, 0o622)],
      'as it was': file,
    }
    for (const [what, put] of Object.entries(ways)) {
      for (const name of KEPT) {
        fs.rmSync(at(name), { recursive: true, force: true })
        fs.rmSync(elsewhere(name), { force: true })
        if (what !== 'as it was' || (kept.get(name)?.length ?? 0) > 0) put(at(name), name)
      }
      if (what === 'as it was') break
      const outcome = await started(dir, config)
      t.match(outcome, { ready: false, code: 2 }, what)
      for (const name of KEPT) t.match(outcome.stderr, `stateDir: ${at(name)} `, `${name}: ${what}`)
    }
    t.match(await started(dir, config), { ready: true }, 'and well again')
  },
)

t.test('a state directory whose mode we may not change', async (t) => {
  const dir = room(t)
  fs.mkdirSync(join(dir, 'state'))
  write(join(dir, 'state', 'thesis.txt'), 'precious')
  await refused(
    t,
    dir,
    {},
    /^stateDir: .*state holds other files, and would be closed to others; name a new or an empty directory\.$/m,
    'full',
  )
  await refused(t, dir, { stateDir: '.' }, /^stateDir: .* holds other files/m, 'that of the configuration')
  fs.rmSync(join(dir, 'state', 'thesis.txt'))
  t.match(await started(dir, {}), { ready: true }, 'an empty one is closed')
  t.equal(fs.statSync(join(dir, 'state')).mode & 0o777, 0o700)
  fs.chmodSync(join(dir, 'state'), 0o755)
  write(join(dir, 'state', 'note'), '')
  t.match(await started(dir, {}), { ready: true }, 'and so is one that was ours before')
  t.equal(fs.statSync(join(dir, 'state')).mode & 0o777, 0o700)
  for (const path of ['/', '/etc', '/tmp', '/var/lib', '/root', '/home', '/home/anybody', '/usr', '/run/user/1000', '/srv'])
    t.ok(isSomebodys(path), path)
  for (const path of ['/var/lib/enigm-dns', '/home/anybody/.local/state/enigm-dns', '/data', dir]) t.notOk(isSomebodys(path), path)
})

t.test('a system path, in a mount namespace in which it is safe to try', { ...needsRoot, timeout: 120_000 }, async (t) => {
  const dir = room(t)
  await started(dir, {})
  for (const place of ['/srv', '/mnt', '/opt']) {
    write(
      join(dir, 'config.json'),
      JSON.stringify({ resolvers: 'set.json', listen: ['127.0.0.1:1'], statusFile: 'run/status.json', stateDir: place }),
    )
    const script =
      'exec 2>&1; mount -t tmpfs -o mode=755 none "$1" && timeout 5 "$2" "$3" run -c "$4"; echo "code $?"; stat -c %a "$1"; ls "$1"'
    const said = execFileSync('unshare', ['-m', 'sh', '-c', script, 'sh', place, process.execPath, CLI, join(dir, 'config.json')], {
      encoding: 'utf8',
    })
    t.match(said, /stateDir: \/\w+ is a directory of the system or a home/)
    t.match(said, /code 2\n755\n$/)
  }
})

t.test('a status file that would replace another file', { timeout: 120_000 }, async (t) => {
  const dir = room(t)
  t.match(await started(dir, {}), { ready: true })
  const status = (name: string) => ({ statusFile: name })
  await refused(
    t,
    dir,
    status('config.json'),
    /^statusFile: .*config\.json is not a status of enigm-dns and would be overwritten/m,
    'the configuration',
  )
  await refused(t, dir, status('set.json'), /^statusFile: .*set\.json is not a status/m, 'the set')
  write(join(dir, 'other.json'), '{"schema":"something/1"}')
  await refused(t, dir, status('other.json'), /other\.json is not a status/, 'a JSON document')
  write(join(dir, 'new.json.sig'), 'precious')
  await refused(t, dir, status('new.json'), /new\.json\.sig is not the signature of a status/, 'a signature')
  write(join(dir, 'key.pub'), 'ssh-ed25519 AAAA me@here')
  await refused(t, dir, status('key'), /key\.pub is not the public key of a status/, 'a public key')
  fs.symlinkSync('other.json', join(dir, 'link.json'))
  await refused(t, dir, status('link.json'), /link\.json is a link/, 'a link')
  execFileSync('mkfifo', [join(dir, 'fifo.json')])
  await refused(t, dir, status('fifo.json'), /fifo\.json is not a regular file/, 'a FIFO')
  fs.mkdirSync(join(dir, 'with-socket'))
  write(join(dir, 'with-socket', 'control.sock'), 'precious')
  await refused(t, dir, status('with-socket/status.json'), /control\.sock is there and is not a socket/, 'where the control socket goes')
  await refused(
    t,
    dir,
    { page: { listen: join(dir, 'other.json') } },
    /^page\.listen: .*other\.json is there and is not a socket/m,
    'the page',
  )
  await refused(
    t,
    dir,
    { page: { listen: join(dir, 'run', 'control.sock') } },
    /control\.sock is a file of the control socket too/,
    'two in one place',
  )
  await refused(t, dir, status('state/starts.json'), /starts\.json is a file of stateDir too/, 'a file of ours')
  await refused(t, dir, status('run/control.sock'), /control\.sock is a file of/, 'its own socket')
  write(join(dir, 'state', 'audit.jsonl'), 'my own log\nof mine\n', 0o600)
  await refused(t, dir, {}, /^stateDir: .*audit\.jsonl is not an audit log of enigm-dns/m, 'a log')
  fs.rmSync(join(dir, 'state', 'audit.jsonl'))
  for (const blank of ['', '\0'.repeat(4096)]) {
    write(join(dir, 'blank.json'), blank)
    t.match(await started(dir, status('blank.json')), { ready: true }, 'what a power cut leaves is no obstacle')
    t.match(fs.readFileSync(join(dir, 'blank.json'), 'utf8'), 'enigm-dns/status/1')
  }
})

t.test('the memory of a verification does not replace another file', async (t) => {
  const dir = room(t)
  await started(dir, {})
  const run = (seen: string) => {
    try {
      return execFileSync(process.execPath, [CLI, 'status', '--verify', '--file', join(dir, 'run/status.json'), '--seen', seen], {
        encoding: 'utf8',
      })
    } catch (error) {
      return String((error as { readonly stdout?: unknown }).stdout)
    }
  }
  const before = fs.readFileSync(join(dir, 'config.json'), 'utf8')
  t.match(run(join(dir, 'config.json')), /cannot be\s+stored/)
  t.equal(fs.readFileSync(join(dir, 'config.json'), 'utf8'), before)
  t.notMatch(run(join(dir, 'seen.json')), /cannot be\s+stored/)
})

t.test('the runtime directory of an ordinary user, taken by another one', needsRoot, async (t) => {
  const mine = THEIRS + 1
  const prepare = () => {
    const dir = room(t)
    fs.chmodSync(dir, 0o755)
    const shared = join(dir, 'shared')
    fs.mkdirSync(shared)
    fs.chmodSync(shared, 0o1777)
    fs.mkdirSync(join(dir, 'home'))
    fs.chownSync(join(dir, 'home'), mine, mine)
    return { dir, shared, squatted: join(shared, `enigm-dns-${mine}`) }
  }
  const run = (dir: string, shared: string) =>
    started(dir, { statusFile: undefined, stateDir: join(dir, 'home', 'state') }, mine, { TMPDIR: shared })
  const free = prepare()
  t.match(await run(free.dir, free.shared), { ready: true }, 'nobody was there first')
  const directory = prepare()
  fs.mkdirSync(directory.squatted)
  fs.chmodSync(directory.squatted, 0o777)
  fs.chownSync(directory.squatted, THEIRS, THEIRS)
  t.match(await run(directory.dir, directory.shared), { code: 2, stderr: `${directory.squatted} belongs to user ${THEIRS}` })
  const link = prepare()
  fs.mkdirSync(join(link.dir, 'home', 'victim'))
  fs.chownSync(join(link.dir, 'home', 'victim'), mine, mine)
  fs.symlinkSync(join(link.dir, 'home', 'victim'), link.squatted)
  fs.lchownSync(link.squatted, THEIRS, THEIRS)
  t.match(await run(link.dir, link.shared), { code: 2, stderr: `the link ${link.squatted}, which belongs to user ${THEIRS}` })
  t.strictSame(fs.readdirSync(join(link.dir, 'home', 'victim')), [])
})
