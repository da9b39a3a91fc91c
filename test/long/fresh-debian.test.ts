// A person and a fresh Debian: the .deb installed, the system pointed at it, rebooted, purged, and
// what became of /etc. `npm run transcript` prints it.
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { bootAtHome, type Home, PROVIDER, TRUSTED } from '../support/lab/home.ts'
import { insideLab } from '../support/lab/image.ts'
import { buildPackages, DEB, packageFolder } from '../support/lab/package.ts'
import { PROJECT_ROOT } from '../support/readme.ts'
import { requireTool } from '../support/real/tools.ts'

const PACKAGES = 'ENIGM_DNS_TEST_PACKAGES'
const QUIET = 'DEBIAN_FRONTEND=noninteractive'
/** The whole of /etc but for the cache of the dynamic linker, which any package renews. */
const DIFF = 'diff -r --no-dereference -x ld.so.cache /root/etc /etc'

t.setTimeout(400_000)
if (process.env[PACKAGES] === undefined && requireTool(t, 'dpkg-deb')) {
  const dir = packageFolder()
  await buildPackages(join(dir, 'one'))
  process.env[PACKAGES] = join(dir, 'one')
}
const image = process.env[PACKAGES] === undefined ? undefined : await insideLab(t, import.meta.url)
if (image !== undefined) {
  const shown = [[process.env[PACKAGES] ?? '', '/packages']] as const
  const home = await bootAtHome({ image, project: PROJECT_ROOT, authority: await createAuthority(), shown })
  t.teardown(() => home.stop())
  await home.connected()
  t.test('installed, enabled, rebooted and purged', { timeout: 200_000 }, (t) => transcript(t, home))
}

async function transcript(t: Test, home: Home): Promise<void> {
  const print = (text: string) => {
    for (const line of text.split('\n')) t.comment(`| ${line}`)
  }
  /** Types it; returns what it said. What differs from run to run is left out. */
  const type = async (line: string, code = 0, script = line) => {
    const said = await home.sh(script, 120_000)
    const text = `${said.stdout}${said.stderr}`.trim()
    print(`# ${line}`)
    if (text !== '') print(text.replace(/process \d+/g, 'process ...').replace(/\n{2,}/g, '\n'))
    t.equal(said.code, code, `${line}: ${text}`)
    return text
  }
  // The lab's resolver stands in for the internet's: its trusted set goes over the skeleton later.
  await home.get(`mv /etc/enigm-dns /root/lab; cp -a /etc /root/etc; ln -s /packages/${DEB} /root/enigm-dns.deb`)
  t.match(await type('getent hosts example.com'), PROVIDER)
  const install = `cd /root; ${QUIET} apt-get -qq -o Dpkg::Use-Pty=0 install -y ./enigm-dns.deb`
  t.match(await type('apt install ./enigm-dns.deb', 0, install), /Next: sudo enigm-dns system enable/)
  await home.get('cp /root/lab/* /etc/enigm-dns/')
  print('  (here the trusted set of the lab replaces the shipped one, which needs the internet)')
  t.match(await type('enigm-dns system enable'), /enabled and proven/)
  t.match(await type('getent hosts example.com'), TRUSTED)
  t.match(await type('enigm-dns system status'), /enabled/)
  t.match(await type('diff -rq /root/etc /etc', 1, DIFF.replace('-r ', '-rq ')), 'zz-enigm-dns.conf')
  print('# reboot')
  await home.reboot()
  await home.connected()
  t.match(await type('getent hosts example.com'), TRUSTED)
  await home.until('proven after the boot', 'enigm-dns system status > /dev/null')
  await type('enigm-dns system status')
  await type('apt purge enigm-dns', 0, `${QUIET} apt-get -qq -o Dpkg::Use-Pty=0 purge -y enigm-dns`)
  await home.connected()
  t.match(await type('getent hosts example.com'), PROVIDER)
  t.equal(await type('diff -r /root/etc /etc', 0, DIFF), '', '/etc is what it was')
  print('  (no difference)')
}
