// The lines of README.md and docs/system.md, run on booted machines with real systemd-resolved,
// NetworkManager, dhclient and dhcpcd: by the answer one sees who was asked, and the provider's log
// shows what leaked.
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { type Asked, bootAtHome, type Home, PROJECT, PROVIDER, PROVIDER_DOMAIN, TRUSTED } from '../support/lab/home.ts'
import { insideLab } from '../support/lab/image.ts'
import type { Fitting } from '../support/lab/machine.ts'
import { PROJECT_ROOT, readmeRecipe } from '../support/readme.ts'

/**
 * What may go to the provider after a recipe was followed: names of the world, names below the
 * domain of its DHCP, single labels and what neighbours are asked.
 */
const NAMES = ['*.example.com', `*.${PROVIDER_DOMAIN}`, '*.deep.example.com', '*', '*.local'] as const
/** Answered here, and never sent. */
const isLocal = (pattern: string) => !pattern.slice(0, -6).includes('.')

const PLAIN = 'dpkg --purge libnss-resolve systemd-resolved 2>/dev/null'
const IFUPDOWN = { '/etc/network/interfaces.d/eth0': 'auto eth0\niface eth0 inet dhcp\n' }
const NO_MANAGER = `${PLAIN}; systemctl -q mask NetworkManager; rm -f /etc/resolv.conf`

t.setTimeout(900_000)
const image = await insideLab(t, import.meta.url)
if (image !== undefined) {
  const authority = await createAuthority()
  const at = async (t: Test, fitting: Fitting) => {
    const home = await bootAtHome({ image, project: PROJECT_ROOT, authority, ...fitting })
    t.teardown(() => home.stop())
    await home.connected()
    return home
  }
  // They wait for leases and reconnects more than they work.
  t.jobs = 5
  const test = (name: string, fitting: Fitting, body: (t: Test, home: Home) => Promise<void>) =>
    t.test(name, { timeout: 200_000, buffered: true }, async (t) => body(t, await at(t, fitting)))

  test('systemd-resolved and NetworkManager', {}, resolvedAndNetworkManager)
  test('systemd-resolved and systemd-networkd, with conflicting settings', NETWORKD(), resolvedAndNetworkd)
  test('NetworkManager alone', { chroot: PLAIN }, networkManager)
  test('a file and dhclient', { chroot: NO_MANAGER, files: IFUPDOWN }, dhclient)
  // Without noarp each lease is probed for 5 s.
  const dhcpcd = `dpkg --purge isc-dhcp-client 2>/dev/null; dpkg -i /debs/dhcpcd-base*.deb; echo noarp >> /etc/dhcpcd.conf`
  test('a file and dhcpcd', { chroot: `${dhcpcd}; ${NO_MANAGER}`, files: IFUPDOWN }, dhcpcdAlone)
}

/** The lines as they stand in the documents; the first that fails ends them. */
async function follow(home: Home, ...recipes: readonly string[]): Promise<string> {
  return home.get(`set -eo pipefail\ncd ${PROJECT}\n${recipes.map(readmeRecipe).join('\n')}`)
}

const everyWay = (asked: Asked) => [asked.dig, asked.getent, ...(asked.resolvectl === undefined ? [] : [asked.resolvectl])]

async function asksUs(t: Test, home: Home, when: string): Promise<void> {
  home.leaked()
  for (const [i, asked] of (await home.askAll(NAMES)).entries()) {
    const answers = everyWay(asked)
    const pattern = NAMES[i] ?? ''
    t.ok(
      answers.every((answer) => answer === (isLocal(pattern) ? '' : TRUSTED)),
      `${when}, ${pattern}: ${answers}`,
    )
  }
  t.strictSame(home.leaked(), [], `${when}: nothing went out in cleartext`)
}

async function asksProvider(t: Test, home: Home, when: string): Promise<void> {
  home.leaked()
  const answers = everyWay(await home.ask('*.example.com'))
  t.ok(
    answers.every((answer) => answer === PROVIDER),
    `${when}: ${answers}`,
  )
  t.ok(home.leaked().length > 0, `${when}: and the lab sees it`)
}

/** Nothing runs that could answer: nothing resolves, and nothing is sent. */
async function failsClosed(t: Test, home: Home, when: string): Promise<void> {
  home.leaked()
  const patterns = NAMES.slice(0, 2)
  for (const [i, asked] of (await home.askAll(patterns)).entries()) {
    const answers = everyWay(asked)
    t.ok(
      answers.every((answer) => answer === ''),
      `${when}, ${patterns[i]}: ${answers}`,
    )
  }
  t.strictSame(home.leaked(), [], `${when}: nothing went out in cleartext`)
}

/** What the status says of the system's configuration, once it says `wanted`. */
const saysOfSystem = (home: Home, wanted: string) =>
  home.until(`the status says ${wanted}`, `node ${PROJECT}/dist/main.js status --json | grep -q '"${wanted}"'`)

async function resolvedAndNetworkManager(t: Test, home: Home): Promise<void> {
  await asksProvider(t, home, 'before')
  const before = await home.get('readlink /etc/resolv.conf; ls /etc/NetworkManager/conf.d')

  // What README.md said in version 0.1.
  await home.get(`npm start -- --listen 127.0.0.54:5353
    mkdir -p /etc/systemd/resolved.conf.d
    printf '[Resolve]\nDNS=127.0.0.54:5353\nDomains=~.\nDNSOverTLS=no\nFallbackDNS=\nCache=no\n' > /etc/systemd/resolved.conf.d/enigm-dns.conf
    systemctl restart systemd-resolved`)
  await asksProvider(t, home, 'with 127.0.0.54')
  await saysOfSystem(home, 'system-asks-elsewhere')
  await home.get('systemctl stop enigm-dns')

  await follow(home, 'resolved-run', 'resolved')
  t.match(await home.ask('*.example.com'), { dig: TRUSTED, getent: TRUSTED, resolvectl: TRUSTED })
  home.leaked()
  t.match(await home.ask(`*.${PROVIDER_DOMAIN}`), { dig: PROVIDER }, 'what docs/system.md warns of: the domain that DHCP gives the link')
  t.match(await follow(home, 'resolved-look'), `Link 2 (eth0): ${PROVIDER_DOMAIN}`, 'and what it shows')
  await saysOfSystem(home, 'system-asks-elsewhere')

  await follow(home, 'resolved-networkmanager')
  t.equal(await follow(home, 'resolved-look'), 'Global: 127.0.0.55\nLink 2 (eth0):\nGlobal: ~.\nLink 2 (eth0):')
  await asksUs(t, home, 'after the recipe')
  await saysOfSystem(home, 'system-asks-us')
  t.match(await follow(home, 'proof'), TRUSTED)

  await home.get("nmcli connection down 'Wired connection 1' && nmcli connection up 'Wired connection 1'")
  await home.connected()
  await asksUs(t, home, 'after a reconnect')
  await home.get('systemctl stop enigm-dns')
  await failsClosed(t, home, 'stopped')
  await home.reboot()
  await home.connected()
  await failsClosed(t, home, 'after a reboot')
  await follow(home, 'resolved-run')
  await asksUs(t, home, 'started again')
  await follow(home, 'resolved', 'resolved-networkmanager')
  await asksUs(t, home, 'followed twice')

  await home.get('systemctl stop enigm-dns')
  await follow(home, 'resolved-undo')
  await home.connected()
  t.equal(await home.get('readlink /etc/resolv.conf; ls /etc/NetworkManager/conf.d'), before)
  t.equal(await home.get('ls /etc/systemd/resolved.conf.d'), '')
  await asksProvider(t, home, 'undone')
}

/**
 * A machine on which others have been before: an own server in resolved.conf, a DHCP hook's
 * drop-in, no stub, and programs that read the uplinks.
 */
function NETWORKD(): Fitting {
  return {
    chroot: `systemctl -q mask NetworkManager networking; systemctl -q enable systemd-networkd
      ln -sfn ../run/systemd/resolve/resolv.conf /etc/resolv.conf`,
    files: {
      '/etc/systemd/network/eth0.network': '[Match]\nName=eth0\n[Network]\nDHCP=yes\n',
      '/etc/systemd/resolved.conf': '[Resolve]\nDNS=192.168.50.1\nDomains=com\nDNSStubListener=no\nDNSSEC=yes\nDNSOverTLS=yes\n',
      '/etc/systemd/resolved.conf.d/isc-dhcp-v4-eth0.conf': `[Resolve]\nDNS=192.168.50.1\nDomains=${PROVIDER_DOMAIN}\nDNSOverTLS=no\nDNSSEC=no\n`,
    },
  }
}

async function resolvedAndNetworkd(t: Test, home: Home): Promise<void> {
  await asksProvider(t, home, 'before')
  await follow(home, 'resolved-run', 'resolved')
  await asksUs(t, home, 'after the recipe')
  await home.get('networkctl renew eth0; networkctl reconfigure eth0')
  await home.connected()
  await asksUs(t, home, 'after a new lease')

  await home.get("resolvectl domain eth0 '~.'")
  t.match(await follow(home, 'resolved-look'), 'Link 2 (eth0): ~.', 'a link that is asked about everything is seen')
  await home.get('resolvectl revert eth0')
  await asksUs(t, home, 'reverted')

  await home.get('systemctl stop enigm-dns')
  await follow(home, 'resolved-undo')
  t.equal(await home.get('readlink /etc/resolv.conf'), '../run/systemd/resolve/resolv.conf')
  await asksProvider(t, home, 'undone')
}

async function networkManager(t: Test, home: Home): Promise<void> {
  await asksProvider(t, home, 'before')
  t.match(await follow(home, 'networkmanager'), /Generated by NetworkManager\nnameserver 127\.0\.0\.53$/)
  await asksUs(t, home, 'after the recipe')
  await saysOfSystem(home, 'system-asks-us')
  await dailyUse(t, home)
  await home.get("nmcli connection down 'Wired connection 1' && nmcli connection up 'Wired connection 1'")
  await home.connected()
  await asksUs(t, home, 'after a reconnect')
  await home.reboot()
  await home.connected()
  await failsClosed(t, home, 'after a reboot')
  await follow(home, 'networkmanager-undo')
  await home.until('the file of the network', 'grep -q 192.168.50.1 /etc/resolv.conf')
  await asksProvider(t, home, 'undone')
}

/** The commands that README.md begins with; `npm start` runs already, and a trace is ended. */
async function dailyUse(t: Test, home: Home): Promise<void> {
  const lines = readmeRecipe('use')
    .split('\n')
    .filter((line) => line.includes('dist/main.js'))
  t.ok(lines.length >= 5)
  for (const line of lines) {
    const { code, stdout, stderr } = await home.sh(`cd ${PROJECT}; ${line.replace('--for 5m', '--for 1s')}`)
    t.ok(code === 0 && (stdout + stderr).length > 50, `${line}: ${code} ${stderr}`)
  }
}

async function dhclient(t: Test, home: Home): Promise<void> {
  await overFile(t, home, 'dhclient', 'dhclient -1 eth0')
}

async function dhcpcdAlone(t: Test, home: Home): Promise<void> {
  await overFile(t, home, 'dhcpcd', 'dhcpcd --rebind eth0; sleep 1')
}

async function overFile(t: Test, home: Home, client: string, renew: string): Promise<void> {
  await asksProvider(t, home, 'before')
  const before = home.read('/etc/resolv.conf')
  await follow(home, client, 'file')
  await asksUs(t, home, 'after the recipe')
  await saysOfSystem(home, 'system-asks-us')
  await home.get(renew)
  await asksUs(t, home, 'after a new lease')
  await home.get('ifdown eth0 && ifup eth0')
  await asksUs(t, home, 'after a reconnect')
  await home.reboot('cut')
  await home.connected()
  await failsClosed(t, home, 'after a power cut')
  await follow(home, client, 'file')
  await asksUs(t, home, 'followed twice')
  await follow(home, 'file-undo')
  t.equal(home.read('/etc/resolv.conf'), before)
  await home.get(renew)
  t.match(home.read('/etc/resolv.conf'), 'nameserver 192.168.50.1', 'and the next lease writes it again')
  await asksProvider(t, home, 'undone')
}
