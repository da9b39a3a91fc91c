// `enigm-dns system` on a host without systemd, in namespaces with an /etc, /run and /var/lib of
// their own: what it says while the service is stopped, to other users, and after a take-over.
import { execFile, execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { startDot } from '../support/dot-server.ts'
import { CLI, entryOf, identityOf, plainEnvironment, startDaemon } from '../support/real/daemon.ts'
import { insideNamespace } from '../support/real/namespace.ts'
import { requireThat } from '../support/real/tools.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const BEFORE = 'nameserver 192.0.2.53\n'
const RESOLV_CONF = '/etc/resolv.conf'
const ENABLED = '/var/lib/enigm-dns-system/enabled.json'
const NOBODY = 65_534

t.setTimeout(300_000)
const isRoot = requireThat(t, process.getuid?.() === 0 ? undefined : 'needs root: another user is one of those who ask')
if (isRoot && insideNamespace(t, import.meta.url)) {
  ownDirectories(t)
  t.test('refused: one sentence for each fault, and a document with --json', (t) => refused(t))
  t.test('enabled, taken over, stopped and disabled', (t) => life(t))
}

/**
 * Nothing of the host is changed: what is written goes with these namespaces. A process that just
 * ends may still use a directory, so it is detached and not only unmounted.
 */
function ownDirectories(t: Test): void {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-alone-'))
  const script = `set -e
    mount --make-rprivate /
    while umount ${RESOLV_CONF} 2>/dev/null; do :; done
    cp -a /etc ${dir}/etc
    mount --bind ${dir}/etc /etc
    rm -f ${RESOLV_CONF}
    rm -rf /etc/dhcp /etc/dhcpcd.enter-hook
    mount -t tmpfs -o mode=755 tmpfs /run
    mount -t tmpfs -o mode=755 tmpfs /var/lib`
  execFileSync('sh', ['-c', script])
  writeFileSync(RESOLV_CONF, BEFORE)
  t.teardown(() => {
    execFileSync('umount', ['--lazy', '/etc'])
    rmSync(dir, { recursive: true, force: true })
  })
}

interface Said {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

function system(words: string, uid = 0): Promise<Said> {
  return new Promise((resolve) => {
    const options = { env: plainEnvironment(), cwd: '/', timeout: 30_000, uid, gid: uid }
    const child = execFile(process.execPath, [CLI, 'system', ...words.split(' ')], options, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })
}

async function service(t: Test) {
  const authority = await createAuthority()
  const answer = (query: Uint8Array) => replyTo(query, [addressRecord()])
  const dot = await startDot({ identity: await identityOf(authority), answer })
  t.teardown(() => dot.close())
  const resolvers = [entryOf({ kind: 'unbound', dotPort: dot.port, dohPort: undefined }, ['dot'])]
  const daemon = await startDaemon({
    resolvers,
    ca: authority.certificate,
    listen: '127.0.0.55:53',
    statusFile: '/run/enigm-dns/status.json',
  })
  t.teardown(() => daemon.stop())
  return daemon
}

async function refused(t: Test): Promise<void> {
  const stopped = await system('enable --json')
  t.equal(stopped.code, 3)
  t.match(stopped.stderr, /^refused: no service runs/)
  t.match(JSON.parse(stopped.stdout), { refused: /^no service runs/ })
  const daemon = await service(t)
  for (const words of ['enable', 'disable'])
    t.match(JSON.parse((await system(`${words} --json`, NOBODY)).stdout), { refused: /needs root/ }, words)
  execFileSync('mount', ['--bind', '/etc', '/etc'])
  execFileSync('mount', ['-o', 'remount,bind,ro', '/etc'])
  const readOnly = await system('enable --json')
  const status = await system('status')
  execFileSync('umount', ['--lazy', '/etc'])
  t.equal(readOnly.code, 3)
  t.equal(readOnly.stderr, `refused: ${RESOLV_CONF} is on a read-only file system: make that writable\n`)
  t.match(JSON.parse(readOnly.stdout), { refused: /read-only/ })
  t.match(status, { code: 3, stderr: /^It cannot be enabled here:\n.*read-only/ })
  t.match(status.stdout, /^not enabled: .*\)\n/, 'no address that was not chosen yet')
  await daemon.stop()
}

async function life(t: Test): Promise<void> {
  const daemon = await service(t)
  const plan = await system('enable --dry-run')
  t.match(plan.stdout, /No systemd runs here\./, 'said beforehand')
  const enabled = await system('enable')
  t.equal(enabled.code, 0, enabled.stderr)
  t.match(enabled.stdout, /^enabled and proven/)
  t.match(enabled.stdout, /nothing repairs that: run sudo enigm-dns system enable again/)
  t.match(enabled.stdout, /set "system": \{ "enabled": true \} in the configuration/)
  const reasons = () => JSON.stringify(daemon.status())
  t.match(reasons(), /"system-asks-us"/, 'the status has the proof as soon as the command ends')
  t.notMatch(reasons(), /"system-unknown"/)
  t.match(await system('status'), { code: 0, stderr: '' })
  t.match((await system('disable --dry-run')).stdout, /^restore \/etc\/resolv\.conf$/m)
  await otherUser(t)

  writeFileSync(RESOLV_CONF, '# dhcpcd\nnameserver 192.0.2.53\n')
  const taken = await system('status')
  t.equal(taken.code, 4)
  t.match(taken.stderr, /Nothing repairs this here, because no systemd runs: run sudo enigm-dns system enable/)
  for (const endMs = performance.now() + 15_000; !reasons().includes('system-taken-over') && performance.now() < endMs; )
    await new Promise((resolve) => setTimeout(resolve, 100))
  t.match(reasons(), /because of dhcpcd\. Nothing repairs it here, because no systemd runs/)
  t.notMatch(reasons(), /being repaired|Three repairs/)
  t.match(await system('enable'), { code: 0, stdout: /^enabled and proven/ }, 'and it does')
  t.match(reasons(), /"system-asks-us"/)
  t.notMatch(reasons(), /system-taken-over|system-unknown/)

  await daemon.stop()
  const stopped = await system('status')
  t.equal(stopped.code, 4)
  t.match(stopped.stderr, /^The service does not run, and no name resolves\. Start it, or run: sudo enigm-dns system disable\n/)
  const json = await system('status --json')
  t.strictSame(Object.keys(JSON.parse(json.stdout)).sort(), ['address', 'backend', 'bypasses', 'enabled', 'owner', 'proven'])

  const journal = readFileSync(ENABLED)
  writeFileSync(ENABLED, '{')
  t.match(await system('status'), { code: 3, stderr: /enabled\.json is damaged; docs\/system\.md/ })
  writeFileSync(ENABLED, journal)

  writeFileSync(RESOLV_CONF, 'nameserver 192.0.2.54\n')
  const disabled = await system('disable')
  t.equal(disabled.code, 0, disabled.stderr)
  t.match(disabled.stdout, /^disabled, but not everything is restored\. Changed by another program since, and kept: \/etc\/resolv\.conf\n/)
  t.match(disabled.stdout, /before "system enable" \/etc\/resolv\.conf held:\n {4}nameserver 192\.0\.2\.53\n/)
  t.equal(readFileSync(RESOLV_CONF, 'utf8'), 'nameserver 192.0.2.54\n')
}

/** What is private to root is not damaged. */
async function otherUser(t: Test): Promise<void> {
  const asked = await system('status', NOBODY)
  t.equal(asked.code, 3)
  t.match(asked.stderr, /run it as root/)
  t.notMatch(asked.stderr, /damaged/)
  t.match(JSON.parse((await system('status --json', NOBODY)).stdout), { refused: /run it as root/ })
  chmodSync('/var/lib/enigm-dns-system', 0o700)
  t.match(await system('status', NOBODY), { code: 3, stderr: /run it as root/ }, 'a directory that is private')
  chmodSync('/var/lib/enigm-dns-system', 0o755)
}
