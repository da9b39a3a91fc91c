// src/setup.mjs in checkouts of its own: without a network, and by root in the checkout of somebody
// else.
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { CLI, plainEnvironment } from './support/real/daemon.ts'
import { requireThat } from './support/real/tools.ts'

t.setTimeout(600_000)
const root = dirname(dirname(CLI))
const FILES = ['src', 'schema', 'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'resolvers.json']

function checkout(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-setup-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  chmodSync(dir, 0o755)
  for (const file of FILES) cpSync(join(root, file), join(dir, file), { recursive: true })
  return dir
}

function setup(dir: string, under: readonly string[] = []) {
  const [command = '', ...args] = [...under, process.execPath, join(dir, 'src', 'setup.mjs')]
  const env = { ...plainEnvironment(), npm_config_cache: join(dir, 'cache'), npm_config_audit: 'false' }
  const begunMs = performance.now()
  const { status, stderr } = spawnSync(command, args, { env, cwd: dir, encoding: 'utf8', timeout: 120_000 })
  return { status, stderr, tookMs: performance.now() - begunMs }
}

t.test('a fresh clone without a network reports so in a sentence, and soon', { timeout: 120_000 }, (t) => {
  const isolated = spawnSync('unshare', ['-rmn', 'ip', 'link', 'set', 'lo', 'up']).status === 0
  if (!requireThat(t, isolated ? undefined : 'needs network namespaces')) return t.end()
  const dir = checkout(t)
  const silent = 'ip link set lo up; ip route add default dev lo; exec "$@"'
  // The second one swallows every packet, as a network that is half up does.
  for (const under of [
    ['unshare', '-rn'],
    ['unshare', '-rn', 'sh', '-c', silent, 'sh'],
  ]) {
    const { status, stderr, tookMs } = setup(dir, under)
    t.equal(status, 1)
    t.match(
      stderr,
      /npm ci failed: registry\.npmjs\.org (cannot be reached \(\w+\)|does not answer within 5 s)\. Connect this machine once/,
    )
    t.equal(stderr.trim().split('\n').length, 2, stderr)
    t.ok(tookMs < 30_000, `${Math.round(tookMs)} ms`)
  }
  t.end()
})

const skip = process.getuid?.() !== 0 && 'needs root'

t.test('root builds as the owner of the checkout, who can build again', { skip, timeout: 400_000 }, (t) => {
  const dir = checkout(t)
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
  const first = setup(dir)
  t.equal(first.status, 0, first.stderr)
  t.strictSame(foreign(), [])
  t.equal(lstatSync(join(dir, 'dist', 'main.js')).isFile(), true)
  writeFileSync(join(dir, 'src', 'version.ts'), 'export const VERSION: string = "1"\n')
  const owners = setup(dir, ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups'])
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
  const after = setup(dir, ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups'])
  t.equal(after.status, 0, after.stderr)
  t.match(after.stderr, /build-old-\d+ is left over and cannot be removed \(EACCES\): sudo rm -r /)
  t.end()
})
