// src/setup.mjs in checkouts of its own: without a network, and by root in the checkout of somebody
// else.
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { CLI, plainEnvironment } from './support/real/daemon.ts'
import { requireThat } from './support/real/tools.ts'

t.setTimeout(600_000)
// The first test waits for its limits, the second one works.
t.jobs = 2
const root = dirname(dirname(CLI))
const FILES = ['src', 'schema', 'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'resolvers.json']

function checkout(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-setup-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  chmodSync(dir, 0o755)
  for (const file of FILES) cpSync(join(root, file), join(dir, file), { recursive: true })
  return dir
}

/**
 * The sources of `dir` become a few lines: a build of all of them takes 15 s, and what is asked here
 * is who builds. The program writes its pages, as the build wants it to.
 */
function shorten(dir: string): void {
  const src = join(dir, 'src')
  for (const name of readdirSync(src)) if (!/\.[mc]js$/.test(name)) rmSync(join(src, name), { recursive: true })
  const files = {
    'main.ts':
      "import { mkdirSync } from 'node:fs'\n\nif (process.argv[2] === 'manual') mkdirSync(process.argv[3] ?? '', { recursive: true })\n",
    'workers/worker.ts': 'export const WORKER = 1\n',
    'lists/build-worker.ts': 'export const WORKER = 2\n',
  }
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(src, name)), { recursive: true })
    writeFileSync(join(src, name), text)
  }
}

interface Outcome {
  readonly status: number | null
  readonly stderr: string
  readonly tookMs: number
}

function setup(dir: string, under: readonly string[] = []): Promise<Outcome> {
  const [command = '', ...args] = [...under, process.execPath, join(dir, 'src', 'setup.mjs')]
  const env = { ...plainEnvironment(), npm_config_cache: join(dir, 'cache'), npm_config_audit: 'false' }
  const begunMs = performance.now()
  return new Promise((resolve) => {
    const child = execFile(command, args, { env, cwd: dir, timeout: 120_000 }, (_error, _stdout, stderr) =>
      resolve({ status: child.exitCode, stderr, tookMs: performance.now() - begunMs }),
    )
  })
}

t.test('a fresh clone without a network reports so in a sentence, and soon', { timeout: 120_000 }, async (t) => {
  const isolated = spawnSync('unshare', ['-rmn', 'ip', 'link', 'set', 'lo', 'up']).status === 0
  if (!requireThat(t, isolated ? undefined : 'needs network namespaces')) return
  const silent = 'ip link set lo up; ip route add default dev lo; exec "$@"'
  // The second one swallows every packet, as a network that is half up does.
  const ways = [
    ['unshare', '-rn'],
    ['unshare', '-rn', 'sh', '-c', silent, 'sh'],
  ]
  for (const { status, stderr, tookMs } of await Promise.all(ways.map((under) => setup(checkout(t), under)))) {
    t.equal(status, 1)
    t.match(
      stderr,
      /npm ci failed: registry\.npmjs\.org (cannot be reached \(\w+\)|does not answer within 5 s)\. Connect this machine once/,
    )
    t.equal(stderr.trim().split('\n').length, 2, stderr)
    t.ok(tookMs < 30_000, `${Math.round(tookMs)} ms`)
  }
})

const skip = process.getuid?.() !== 0 && 'needs root'

t.test('root builds as the owner of the checkout, who can build again', { skip, timeout: 400_000 }, async (t) => {
  const dir = checkout(t)
  shorten(dir)
  symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'))
  const uid = 65534
  execFileSync('chown', ['-hR', `${uid}:${uid}`, dir])
  const foreign = () =>
    [
      dir,
      ...readdirSync(dir, { recursive: true, encoding: 'utf8' })
        .filter((name) => !name.startsWith('node_modules/'))
        .map((name) => join(dir, name)),
    ].filter((path) => lstatSync(path).uid !== uid)
  const first = await setup(dir)
  t.equal(first.status, 0, first.stderr)
  t.strictSame(foreign(), [])
  t.equal(lstatSync(join(dir, 'dist', 'main.js')).isFile(), true)
  writeFileSync(join(dir, 'src', 'version.ts'), 'export const VERSION: string = "1"\n')
  const owners = await setup(dir, ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups'])
  t.equal(owners.status, 0, owners.stderr)
  t.notMatch(owners.stderr, /left over/)
  t.strictSame(
    readdirSync(dir).filter((name) => name.startsWith('build-')),
    [],
  )

  // What an earlier version left as root's is moved out of the way, and named.
  execFileSync('chown', ['-R', '0:0', join(dir, 'dist')])
  mkdirSync(join(dir, 'dist', 'more'))
  writeFileSync(join(dir, 'src', 'version.ts'), 'export const VERSION: string = "2"\n')
  const after = await setup(dir, ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups'])
  t.equal(after.status, 0, after.stderr)
  t.match(after.stderr, /build-old-\d+ is left over and cannot be removed \(EACCES\): sudo rm -r /)
})
