// What `npm run package` makes: the same twice; its documents; what lintian says; the .tgz installed
// by npm without a network; the .deb on a booted Debian, installed, upgraded, removed while the
// system asks it, and purged.
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { bootAtHome, type Home, PROVIDER, TRUSTED } from '../support/lab/home.ts'
import { insideLab } from '../support/lab/image.ts'
import { buildPackages, DEB, packageFolder, TGZ, VERSION } from '../support/lab/package.ts'
import { deadLinks, PROJECT_ROOT, readmeRecipe } from '../support/readme.ts'
import { requireTool } from '../support/real/tools.ts'

const run = promisify(execFile)
const PACKAGES = 'ENIGM_DNS_TEST_PACKAGES'
/** Without answers at most, over an upgrade. */
const GAP_MS = 1000
/** Thrice what is wanted: alone it takes 4 s, and a neighbour on a slow machine has made it 10. */
const FIRST_ANSWER_MS = 30_000
/** Without compression and without Node, on purpose. */
const AS_BUILT_HERE = 'uses-no-compression-for-data-tarball,uses-no-compression-for-control-tarball,unused-override'
/** Lintian takes 20 s for Node's binary alone; test/long/package.test.ts leaves it in. */
const LIGHTER = `set -e; dpkg-deb -R "$1" "$2"; cd "$2"; rm usr/lib/enigm-dns/bin/node; sed -i '/bin\\/node$/d' DEBIAN/md5sums
  dpkg-deb --root-owner-group -Znone --uniform-compression -b . ../light.deb > /dev/null`

t.setTimeout(900_000)

if (process.env[PACKAGES] === undefined && requireTool(t, 'dpkg-deb')) {
  const dir = packageFolder()
  await t.test('two builds are the same, octet for octet', { timeout: 200_000 }, (t) => twice(t, dir))
  await t.test('npm installs the .tgz without a network', { timeout: 200_000 }, (t) => byNpm(t, join(dir, 'one', TGZ), dir))
  await t.test('the .deb as lintian and a reader see it', { timeout: 200_000 }, (t) => reviewed(t, join(dir, 'one', DEB), dir))
  process.env[PACKAGES] = join(dir, 'one')
}

async function twice(t: Test, dir: string): Promise<void> {
  await Promise.all(['one', 'two'].map((name) => buildPackages(join(dir, name))))
  for (const name of [DEB, TGZ]) t.ok(readFileSync(join(dir, 'one', name)).equals(readFileSync(join(dir, 'two', name))), name)
  rmSync(join(dir, 'two'), { recursive: true })
}

async function reviewed(t: Test, deb: string, dir: string): Promise<void> {
  const unpacked = join(dir, 'unpacked')
  await run('sh', ['-c', LIGHTER, 'sh', deb, unpacked])
  t.strictSame(deadLinks(join(unpacked, 'usr/share/doc/enigm-dns'), unpacked), [], 'no link of its documents leads nowhere')
  t.notMatch(execFileSync('dpkg-deb', ['-f', deb, 'Maintainer']).toString(), /packages\.debian\.org/)
  if (!requireTool(t, 'lintian')) return
  const { stdout } = await run('lintian', ['--fail-on', 'none', '--allow-root', '--suppress-tags', AS_BUILT_HERE, join(dir, 'light.deb')])
  t.strictSame(
    stdout.split('\n').filter((line) => /^[EW]: /.test(line)),
    [],
    'lintian has no error and no warning',
  )
}

async function byNpm(t: Test, tgz: string, dir: string): Promise<void> {
  const listed = execFileSync('tar', ['-tzf', tgz]).toString().trim().split('\n')
  const known =
    /^package\/(dist\/|schema\/|docs\/[A-Za-z-]+\.(?:md|png)$|resolvers\.json$|package\.json$|README\.md$|CHANGELOG\.md$|LICENSE$)/
  t.strictSame(
    listed.filter((path) => !known.test(path) || /\.(code|map)$|built-from/.test(path)),
    [],
    'dist, data and documents alone',
  )
  const unpacked = join(dir, 'tgz')
  mkdirSync(unpacked)
  execFileSync('tar', ['-xzf', tgz, '-C', unpacked, '--exclude=package/dist'])
  t.strictSame(deadLinks(join(unpacked, 'package')), [], 'no link of its documents leads nowhere')
  const prefix = join(dir, 'npm')
  const args = ['install', '-g', '--prefix', prefix, '--offline', '--omit=optional', '--no-audit', '--no-fund', tgz]
  await run('npm', args, { cwd: dir })
  const program = join(prefix, 'bin', 'enigm-dns')
  t.equal((await run(program, ['--version'])).stdout.trim(), VERSION)
  t.match((await run(program, ['demo', '--once'])).stdout, /asked over DoT/)
}

const image = process.env[PACKAGES] === undefined ? undefined : await insideLab(t, import.meta.url)
if (image !== undefined) {
  const shown = [[process.env[PACKAGES] ?? '', '/packages']] as const
  const home = await bootAtHome({ image, project: PROJECT_ROOT, authority: await createAuthority(), shown })
  t.teardown(() => home.stop())
  await home.connected()
  const test = (name: string, body: (t: Test) => Promise<void>) => t.test(name, { timeout: 150_000 }, body)
  test('installed: nothing is started; the first private answer comes soon', (t) => installed(t, home))
  test('an upgrade costs at most a second without answers', (t) => upgraded(t, home))
  test('removed while the system asks it: the system asks its own again; purged: nothing is left', (t) => purged(t, home))
}

/** A line of a document. */
const line = (recipe: string, at: number) => readmeRecipe(recipe).trim().split('\n')[at] ?? ''
const INSTALL = `DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold --reinstall install -y /packages/${DEB}`
const ETC =
  "find /etc -xdev ! -path '/etc/systemd/system/*.wants*' \\( -type f -o -type l \\) ! -name ld.so.cache ! -name resolv.conf | sort | xargs -d '\\n' md5sum 2>/dev/null || true"
const UNITS = 'enigm-dns.service enigm-dns.socket enigm-dns-53.socket'
let before = ''
let asked = 0

async function ask(home: Home): Promise<string> {
  return (await home.sh(`dig +short +time=5 +tries=1 A @127.0.0.55 p${asked++}.example.com | grep -E '^[0-9.]+$'`)).stdout.trim()
}

async function installed(t: Test, home: Home): Promise<void> {
  // The settings of the lab go over the skeleton later.
  await home.get('mv /etc/enigm-dns /root/enigm-dns')
  before = await home.get(ETC)
  const beganMs = performance.now()
  t.match(await home.get(`cd /; ${line('protect', 0)} 2>&1`, 120_000), /Next: sudo enigm-dns system enable/)
  const installMs = performance.now() - beganMs
  t.equal(await home.get(`systemctl is-active ${UNITS} || true`), 'inactive\ninactive\ninactive', 'nothing is started unasked')
  t.equal(await home.get(`systemctl is-enabled ${UNITS} || true`), 'disabled\ndisabled\ndisabled')
  t.match(await home.sh('enigm-dns check'), { stderr: '' }, 'the skeleton of the configuration is a good one')
  t.equal(await home.get('enigm-dns --version'), VERSION)
  await home.get('cp /root/enigm-dns/* /etc/enigm-dns/')
  const startedMs = performance.now()
  await home.get('systemctl start enigm-dns.socket')
  t.equal(await ask(home), TRUSTED)
  const tookMs = installMs + performance.now() - startedMs
  t.comment(`${Math.round(tookMs)} ms from the .deb to the first private answer`)
  t.ok(tookMs < FIRST_ANSWER_MS)
  await home.until('it is ready', 'systemctl -q is-active enigm-dns.service')
  const pid = await home.get('systemctl show -p MainPID --value enigm-dns')
  t.equal(await home.get(`readlink /proc/${pid}/exe`), '/usr/lib/enigm-dns/bin/node', 'the Node that it brings')
  t.match(await home.get('systemd-analyze security enigm-dns.service | tail -1'), /: (0\.\d|1\.[0-2]) /)
  t.match(await home.get('enigm-dns service install'), /The package already installed it/)
}

/**
 * Asks every 20 ms for a while; prints the longest time without an answer, in ms, and how many were
 * lost.
 */
const ASKER = `
const socket = require('node:dgram').createSocket('udp4')
const question = (id) => Buffer.concat([Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9]), Buffer.from('localhost'), Buffer.from([0, 0, 1, 0, 1])])
let id = 0, lost = 0, longest = 0, last = performance.now()
const open = new Map()
socket.on('message', (reply) => { open.delete(reply.readUInt16BE(0)); const now = performance.now(); longest = Math.max(longest, now - last); last = now })
const timer = setInterval(() => { open.set(++id, 1); socket.send(question(id), 53, '127.0.0.55') }, 20)
process.on('SIGTERM', () => { clearInterval(timer); setTimeout(() => { console.log(JSON.stringify({ longest: Math.round(longest), lost: open.size, asked: id })); process.exit() }, 1500) })
`

async function upgraded(t: Test, home: Home): Promise<void> {
  const pid = await home.get('systemctl show -p MainPID --value enigm-dns')
  const said = await home.get(
    `cat > /run/asker.cjs <<'END'\n${ASKER}\nEND
    node /run/asker.cjs > /run/asked & asker=$!; sleep 1
    ${INSTALL} >&2; sleep 1
    kill $asker; wait $asker; cat /run/asked`,
    120_000,
  )
  const { longest, lost, asked } = JSON.parse(said) as Readonly<Record<'longest' | 'lost' | 'asked', number>>
  t.ok(longest <= GAP_MS, `${longest} ms without an answer, of ${asked} questions`)
  t.equal(lost, 0, 'and no question was lost')
  t.not(await home.get('systemctl show -p MainPID --value enigm-dns'), pid, 'another process answers now')
  t.equal(await home.get(`systemctl is-enabled enigm-dns.service || true`), 'disabled', 'an upgrade enables nothing')
  t.equal(await ask(home), TRUSTED)
}

async function purged(t: Test, home: Home): Promise<void> {
  for (const recipe of ['protect', 'system'])
    for (const at of recipe === 'protect' ? [1, 2, 3] : [0, 1, 2]) {
      const { code, stdout, stderr } = await home.sh(line(recipe, at), 60_000)
      t.equal(code, 0, `${line(recipe, at)}: ${stdout}${stderr}`)
    }
  t.match(await home.ask('*.example.com'), { getent: TRUSTED })
  const removed = await home.sh('DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 remove -y enigm-dns', 60_000)
  t.equal(removed.code, 0, removed.stdout + removed.stderr)
  t.match(await home.ask('*.example.com'), { getent: PROVIDER, dig: PROVIDER }, 'its own again')
  t.equal(await home.get(`systemctl is-active ${UNITS} || true`), 'inactive\ninactive\ninactive')
  await home.get('test -s /etc/enigm-dns/config.json')
  await home.get('DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 purge -y enigm-dns')
  t.equal(await home.get(ETC), before, '/etc is what it was')
  t.equal(
    await home.get(
      "find /etc /usr /var /run -xdev -name '*enigm*' ! -path '/var/log/*' ! -path '/run/systemd/transient/*' ! -path '/run/systemd/units/*' ! -path '/var/cache/apt/*'",
    ),
    '',
  )
  t.equal(await home.get('systemctl list-units --all --plain --no-legend | grep ^enigm-dns || true'), '')
}
