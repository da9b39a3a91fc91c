// The files of docs/service.md for runit and OpenRC, under the real programs, on a booted Debian:
// started, asked, killed, reloaded and stopped. Their packages are unpacked inside the machine only.
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { bootAtHome, type Home, TRUSTED } from '../support/lab/home.ts'
import { insideLab } from '../support/lab/image.ts'
import { SERVICE_FILES } from '../support/lab/service-unit.ts'
import { PROJECT_ROOT, readmeRecipe } from '../support/readme.ts'

const CONFIG = '/etc/enigm-dns/config.json'
/** OpenRC's file names the command with its path. */
const COMMAND = Object.fromEntries(Object.values(SERVICE_FILES).map((text) => ['/usr/bin/enigm-dns', text]))
const FILES = { ...COMMAND, '/etc/init.d/enigm-dns': readmeRecipe('openrc') }
const RUNIT = { '/etc/sv/enigm-dns/run': readmeRecipe('runit'), '/etc/sv/enigm-dns/log/run': readmeRecipe('runit-log') }

t.setTimeout(300_000)
const image = await insideLab(t, import.meta.url)
if (image !== undefined) {
  const chroot = 'dpkg --unpack --force-all /debs/runit_*.deb /debs/openrc_*.deb /debs/librc1*.deb /debs/libeinfo1*.deb >/dev/null 2>&1'
  const files = { ...FILES, ...RUNIT }
  const home = await bootAtHome({ image, project: PROJECT_ROOT, authority: await createAuthority(), chroot, files })
  t.teardown(() => home.stop())
  await home.connected()
  const { resolvers } = JSON.parse(home.read(CONFIG)) as { readonly resolvers: string }
  await home.get(`chmod 755 /etc/init.d/enigm-dns; ${readmeRecipe('service-user')}`)
  const config = { ...(JSON.parse(home.read(CONFIG)) as object), resolvers }
  await home.get(`cat > ${CONFIG} <<'END'\n${JSON.stringify(config)}\nEND`)
  t.test('runit', { timeout: 60_000 }, (t) => runit(t, home))
  t.test('OpenRC', { timeout: 60_000 }, (t) => openrc(t, home))
}

let asked = 0
const ASK = 'dig +short +time=3 +tries=1 A @127.0.0.55'

/** It answers, as its own user, and is there again after a kill. */
async function serves(t: Test, home: Home): Promise<void> {
  await home.until('it answers', `${ASK} localhost | grep -q 127.0.0.1`)
  t.equal(await home.get(`${ASK} n${asked++}.example.com`), TRUSTED)
  const pid = await home.get("pgrep -f 'main[.]js run'")
  t.match(home.read(`/proc/${pid}/status`), new RegExp(`^Uid:(\\t${await home.get('id -u enigm-dns')}){4}$`, 'm'))
  await home.get(`kill -9 ${pid}`)
  await home.until('it is there again', `${ASK} n${asked++}.example.com | grep -qx ${TRUSTED}`)
}

/** `stop` leaves it, and its words are the line that stops it; `restart` likewise. */
async function guided(t: Test, home: Home, name: string, stop: string, restart: string): Promise<void> {
  const pid = await home.get("pgrep -f 'main[.]js run'")
  t.match(await home.sh('enigm-dns stop'), { code: 3, stderr: `Nothing was stopped: ${name} runs the service` })
  t.match((await home.sh('enigm-dns stop')).stderr, `Then: ${stop}\n`)
  t.match((await home.sh('enigm-dns restart')).stderr, `\n${restart}\n`)
  t.equal(await home.get("pgrep -f 'main[.]js run'"), pid, 'it runs on')
  await home.get(restart)
  await home.until('another process', `[ "$(pgrep -f 'main[.]js run')" != ${pid} ] && ${ASK} localhost | grep -q 127.0.0.1`)
  const logs = /sudo tail \S+ \d+ \S+/.exec((await home.sh('enigm-dns logs')).stderr)?.[0] ?? 'false'
  t.match(await home.get(logs), /"level":/, 'its log')
  await home.get(stop)
  t.equal(await home.get("pgrep -f 'main[.]js run' || true"), '', 'stopped, and it stays so')
  t.equal((await home.sh(`${ASK} localhost | grep -x 127.0.0.1`)).stdout, '')
}

async function runit(t: Test, home: Home): Promise<void> {
  for (const path of Object.keys(RUNIT)) await home.get(`sh -n ${path}`)
  await home.get('mkdir -p /etc/service; ln -s /etc/sv/enigm-dns /etc/service/; systemd-run -q --unit runit runsvdir /etc/service')
  await serves(t, home)
  t.match(await home.get('sv status enigm-dns'), /^run: enigm-dns: .*; run: log: /)
  await home.get('enigm-dns reload')
  await guided(t, home, 'runit', 'sudo sv stop enigm-dns', 'sudo sv restart enigm-dns')
  await home.get('rm /etc/service/enigm-dns; systemctl stop runit; sleep 0.5')
}

async function openrc(t: Test, home: Home): Promise<void> {
  // What a boot by OpenRC leaves: its run level, and directories that it makes with the dependencies.
  await home.get('mkdir -p /run/openrc/exclusive; touch /run/openrc/softlevel; rc-update -u')
  await home.get('rc-update add enigm-dns default; rc-service enigm-dns start')
  await serves(t, home)
  t.match(await home.get('rc-service enigm-dns status'), /started/)
  await home.get('rc-service enigm-dns reload')
  await guided(t, home, 'OpenRC', 'sudo rc-service enigm-dns stop', 'sudo rc-service enigm-dns restart')
}
