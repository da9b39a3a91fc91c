// What `run` refuses or warns of at its start, `check` says without a start: each row does both.
import { execFileSync, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CLI } from '../support/real/daemon.ts'
import { insideNamespace } from '../support/real/namespace.ts'

/** A number that no account of this host has. */
const STRANGER = 61_236
const LISTEN = '127.0.0.1:5399'

interface Row {
  readonly what: string
  /** What both say of it. */
  readonly said: RegExp
  /** `closed`: it starts, and answers no query. */
  readonly start: 'refused' | 'warns' | 'closed'
  /** Makes the situation in an empty directory; returns what the configuration says besides. */
  readonly made: (dir: string, t: Test) => object | Promise<object>
  readonly env?: Readonly<Record<string, string>>
  /** Where `--config` is not enough. */
  readonly set?: (dir: string) => object
}

const entry = { id: 'mine', authenticationDomainName: 'dns.example', addresses: ['127.0.0.1'], transports: { dot: { port: 1 } } }
/** Writes a file in the state directory; returns `config`. */
function inState(dir: string, name: string, text: string, config: object): object {
  mkdirSync(join(dir, 'state'), { mode: 0o700, recursive: true })
  writeFileSync(join(dir, 'state', name), text, { mode: 0o600 })
  return config
}

/** A file system at `ro` in `dir`, with these options of mount(8). */
function mounted(dir: string, t: Test, options: string): string {
  const place = join(dir, 'ro')
  mkdirSync(place)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `mode=755,${options}`, 'none', place])
  t.teardown(() => execFileSync('umount', [place]))
  return place
}

async function holdTcp(t: Test, port: number) {
  const server = createServer().listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
}

async function holdUdp(t: Test, port: number) {
  const socket = createSocket('udp4')
  socket.bind(port, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
}

const ROWS: readonly Row[] = [
  {
    what: 'environment',
    said: /NODE_TLS_REJECT_UNAUTHORIZED is set/,
    start: 'refused',
    made: () => ({}),
    env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' },
  },
  { what: 'configuration', said: /timeoutMs/, start: 'refused', made: () => ({ timeoutMs: 1 }) },
  { what: 'trusted set', said: /"nobody" is not in/, start: 'refused', made: () => ({ use: ['nobody'] }) },
  { what: 'CA file', said: /absent\.pem/, start: 'refused', made: () => ({}), set: () => ({ ...entry, caFile: 'absent.pem' }) },
  { what: 'policy', said: /minimumOperators/, start: 'refused', made: () => ({ policy: { minimumOperators: 9 } }) },
  { what: 'user', said: /there is no user "no-such-user"/, start: 'refused', made: () => ({ user: 'no-such-user' }) },
  { what: 'state directory', said: /stateDir: \/tmp can be written by others/, start: 'refused', made: () => ({ stateDir: '/tmp' }) },
  {
    what: 'two files in one place',
    said: /is a file of the configuration too|statusFile: .*config\.json/,
    start: 'refused',
    made: () => ({ statusFile: 'config.json' }),
  },
  {
    what: 'TCP port',
    said: /127\.0\.0\.1:5399 is taken by .*\(pid \d+\): stop it/,
    start: 'refused',
    made: (_, t) => holdTcp(t, 5399).then(() => ({})),
  },
  {
    what: 'UDP port',
    said: /127\.0\.0\.1:5399 is taken by .*\(pid \d+\): stop it/,
    start: 'refused',
    made: (_, t) => holdUdp(t, 5399).then(() => ({})),
  },
  {
    what: 'address',
    said: /192\.0\.2\.7 is on no interface/,
    start: 'refused',
    made: () => ({ listen: ['192.0.2.7:53'], allowFrom: ['192.0.2.0/24'] }),
  },
  { what: 'workers', said: /workers is set to 2, which needs batched UDP/, start: 'refused', made: () => ({ workers: 2, udp: 'dgram' }) },
  {
    what: 'another writer of the audit log',
    said: /process \d+ also keeps its state in .*and the audit log there/,
    start: 'refused',
    made: async (dir, t) => {
      await started(t, dir, { listen: ['127.0.0.1:5400'], statusFile: 'run2/status.json', heartbeatS: 60 })
      // As of a service that could not register.
      for (const name of readdirSync('/run/enigm-dns/services')) rmSync(join('/run/enigm-dns/services', name))
      return { policy: { audit: 'required' } }
    },
  },
  {
    what: 'another writer',
    said: /process \d+ runs as a service with/,
    start: 'refused',
    made: async (dir, t) => {
      await started(t, dir, { listen: ['127.0.0.1:5400'], stateDir: 'other', heartbeatS: 60 })
      // As of a service that could not register; it would try again at its heartbeat.
      for (const name of readdirSync('/run/enigm-dns/services')) rmSync(join('/run/enigm-dns/services', name))
      return {}
    },
  },
  {
    what: 'systemd-resolved',
    said: /systemd-resolved takes no server at 127\.0\.0\.53/,
    start: 'warns',
    made: () => ({ listen: ['127.0.0.53:5399'] }),
  },
  {
    what: 'signing key',
    said: /not (be )?signed: the key in stateDir cannot be used/,
    start: 'warns',
    made: (dir) => inState(dir, 'status.key', 'no key', {}),
  },
  {
    what: 'key of the saved cache',
    said: /cache\.key is no key: it must have at least 32 octets/,
    start: 'warns',
    made: (dir) => inState(dir, 'cache.key', 'short', { cache: { persist: 'disk' } }),
  },
  {
    what: 'token of the page',
    said: /The page has no token: .*page\.token has other content; remove it\./,
    start: 'warns',
    made: (dir) => inState(dir, 'page.token', 'something', { page: { listen: '127.0.0.1:5401' } }),
  },
  {
    what: 'port of the page',
    said: /The page cannot listen on 127\.0\.0\.1:5401: .*EADDRINUSE/,
    start: 'warns',
    made: (_, t) => holdTcp(t, 5401).then(() => ({ page: { listen: '127.0.0.1:5401' } })),
  },
  {
    what: 'control socket',
    said: /there is no control socket in the directory of the status file \(its path is longer than 103 octets\)/,
    start: 'warns',
    made: (dir) => {
      mkdirSync(join(dir, 'x'.repeat(100)), { mode: 0o700 })
      return { statusFile: `${'x'.repeat(100)}/status.json` }
    },
  },
  {
    what: 'the runtime directory of a user that the service had before',
    said: /\/run\/enigm-dns belongs to user 61236; if no service of that user runs, remove it: rm -r \/run\/enigm-dns/,
    start: 'warns',
    made: () => {
      rmSync('/run/enigm-dns', { recursive: true, force: true })
      mkdirSync('/run/enigm-dns')
      chownSync('/run/enigm-dns', STRANGER, STRANGER)
      return {}
    },
  },
  {
    what: 'state directory on a read-only file system',
    said: /stateDir.*\(EROFS\)/,
    start: 'warns',
    made: (dir, t) => ({ stateDir: join(mounted(dir, t, 'ro'), 'state') }),
  },
  {
    what: 'state directory on a full file system',
    said: /stateDir.*\(ENOSPC\)/,
    start: 'warns',
    made: (dir, t) => {
      const place = mounted(dir, t, 'size=4096')
      mkdirSync(join(place, 'state'), { mode: 0o700 })
      writeFileSync(join(place, 'filler'), 'x')
      return { stateDir: join(place, 'state') }
    },
  },
  {
    what: 'state directory that cannot be made',
    said: /stateDir.*\(ENOENT\)/,
    start: 'warns',
    made: () => ({ stateDir: '/proc/none/state' }),
  },
  {
    what: 'state directory that cannot be made for a user',
    said: /stateDir: .*\/state cannot be used \(EROFS\)/,
    start: 'refused',
    made: (dir, t) => ({ stateDir: join(mounted(dir, t, 'ro'), 'state'), user: `${STRANGER}:${STRANGER}` }),
  },
  ...(['new', 'existing'] as const).map(
    (log): Row => ({
      what: `required audit log: ${log}`,
      said: /audit log cannot be written.*\(EROFS\)/,
      start: 'closed',
      made: (dir, t) => {
        const place = mounted(dir, t, 'rw')
        mkdirSync(join(place, 'state'), { mode: 0o700 })
        if (log === 'existing') writeFileSync(join(place, 'state', 'audit.jsonl'), '', { mode: 0o600 })
        execFileSync('mount', ['-o', 'remount,ro', place])
        return { stateDir: join(place, 'state'), policy: { audit: 'required' } }
      },
    }),
  ),
  {
    what: 'status that cannot be written',
    said: /(statusFile: .*|status file) cannot be written \(ENOENT\)/,
    start: 'warns',
    made: () => ({ statusFile: '/proc/none/status.json' }),
  },
  {
    what: 'status on a read-only file system',
    said: /\(EROFS\).*no control socket|no control socket.*\(EROFS\)/,
    start: 'warns',
    made: (dir, t) => ({ statusFile: join(mounted(dir, t, 'ro'), 'run', 'status.json') }),
  },
  {
    what: 'status and state in one place',
    said: /statusFile: .*\/both is /,
    start: 'refused',
    made: () => ({ statusFile: 'both', stateDir: 'both' }),
  },
  {
    what: 'page in a directory that does not exist',
    said: /page\.listen|The page cannot listen on .*\/none\/page: ENOENT/,
    start: 'warns',
    made: (dir) => ({ page: { listen: join(dir, 'none', 'page') } }),
  },
  {
    what: 'page at the address of listen',
    said: /page\.listen: "127\.0\.0\.1:5399" is in use for queries/,
    start: 'refused',
    made: () => ({ page: { listen: LISTEN } }),
  },
  {
    what: 'settings that do nothing',
    said: /proxies: nothing goes through "tor"[\s\S]*split: one operator gets all names/,
    start: 'warns',
    made: () => ({ split: 'by-site', proxies: { tor: { type: 'socks5', address: '127.0.0.1:9050' } } }),
  },
  {
    what: 'a file that a reload needs',
    said: /may not read|cannot read .*set\.json/,
    start: 'warns',
    made: (dir) => {
      chmodSync(join(dir, 'set.json'), 0o600)
      return { user: `${STRANGER}:${STRANGER}` }
    },
  },
]

async function place(t: Test, row: Row): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-start-'))
  chmodSync(dir, 0o755)
  chownSync(dir, process.getuid?.() ?? 0, process.getgid?.() ?? 0)
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  write(dir, 'set.json', { version: 1, resolvers: [row.set?.(dir) ?? entry] })
  write(dir, 'config.json', { ...BASIS, ...(await row.made(dir, t)) })
  return dir
}

const BASIS = { resolvers: 'set.json', listen: [LISTEN], statusFile: 'run/status.json', stateDir: 'state', heartbeatS: 1 }
const write = (dir: string, name: string, value: object) => writeFileSync(join(dir, name), JSON.stringify(value), { mode: 0o644 })

/** Runs the command line; `ready` ends a service. */
function enigm(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [CLI, ...args], { env: { PATH: process.env.PATH ?? '', ...env } })
  let text = ''
  let isReady = false
  const take = (chunk: Buffer) => {
    text += chunk.toString()
    if (isReady || !/^ready$/m.test(text)) return
    isReady = true
    // What is said behind `ready` belongs to the start.
    setTimeout(() => child.kill('SIGTERM'), 300)
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  return new Promise<{ code: number | null; text: string; isReady: boolean }>((resolve) =>
    child.once('close', (code) => resolve({ code, text: text.replaceAll('\\"', '"'), isReady })),
  )
}

/** A service that runs until the end of the test. */
async function started(t: Test, dir: string, more: object) {
  write(dir, 'set.json', { version: 1, resolvers: [entry] })
  write(dir, 'first.json', { ...BASIS, ...more })
  const child = spawn(process.execPath, [CLI, 'run', '--config', join(dir, 'first.json')], { env: { PATH: process.env.PATH ?? '' } })
  t.teardown(async () => {
    child.kill('SIGTERM')
    await once(child, 'exit')
  })
  await once(child.stdout, 'data')
}

t.setTimeout(200_000)
if (insideNamespace(t, import.meta.url)) {
  // A row gives the runtime directory to another user: the host's would stay with that user.
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'none', '/run'])
  for (const row of ROWS)
    t.test(row.what, async (t) => {
      t.teardown(() => rmSync('/run/enigm-dns', { recursive: true, force: true }))
      const dir = await place(t, row)
      const config = ['--config', join(dir, 'config.json')]
      const checked = await enigm(['check', '--offline', ...config], row.env)
      t.match(checked.text, row.said, 'check says it')
      t.equal(checked.code, row.start === 'warns' ? 0 : 2, `exit code of check: ${checked.text}`)
      const ran = await enigm(['run', ...config], row.env)
      t.match(ran.text, row.said, 'so does run')
      t.equal(ran.isReady, row.start !== 'refused', `run: ${ran.text}`)
    })

  t.test('a running service is no fault of its own configuration', async (t) => {
    const dir = await place(t, { what: '', said: /./, start: 'warns', made: () => ({}) })
    await started(t, dir, {})
    const own = await enigm(['check', '--offline', '--config', join(dir, 'first.json')])
    t.equal(own.code, 0, own.text)
    t.notMatch(own.text, /warning/)
    const next = await enigm(['check', '--offline', '--config', join(dir, 'config.json')])
    t.equal(next.code, 0, 'a new file can be judged while the old one is in force')
    t.match(next.text, /warning: .*taken by/)
    t.match(next.text, /warning: statusFile: process \d+ runs as a service/)
  })

  t.test('no file is changed', async (t) => {
    const dir = await place(t, {
      what: '',
      said: /./,
      start: 'warns',
      made: () => ({ cache: { persist: 'disk' }, page: { listen: '127.0.0.1:5401' } }),
    })
    const before = readdirSync(dir)
    const { code, text } = await enigm(['check', '--offline', '--json', '--config', join(dir, 'config.json')])
    t.equal(code, 0)
    t.match(JSON.parse(text), { ok: true, problems: [], warnings: [] })
    t.strictSame(readdirSync(dir), before)
  })
}
