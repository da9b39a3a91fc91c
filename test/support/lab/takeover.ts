import type { Test } from 'tap'
import { type Asked, bootAtHome, type Home, type HomeOptions, PROVIDER, PROVIDER_DOMAIN, TRUSTED } from './home.ts'
import type { Fitting } from './machine.ts'
import { SERVICE_FILES } from './service-unit.ts'

/**
 * Names of the world, names below the domain of DHCP, single labels and what neighbours are asked.
 */
export const NAMES = ['*.example.com', `*.${PROVIDER_DOMAIN}`, '*.deep.example.com', '*', '*.local'] as const
/** Answered here with nothing, unless the search domain of the network is put behind it. */
const isLocal = (pattern: string) => !pattern.slice(0, -6).includes('.')

const PLAIN = 'dpkg --purge libnss-resolve systemd-resolved 2>/dev/null'
const IFUPDOWN = { '/etc/network/interfaces.d/eth0': 'auto eth0\niface eth0 inet dhcp\n' }
const NO_MANAGER = `${PLAIN}; systemctl -q mask NetworkManager; rm -f /etc/resolv.conf`
const RESOLVCONF = (program: string) => `${NO_MANAGER}; mkdir -p /run; touch /etc/resolv.conf; dpkg -i /debs/${program}_*.deb >/dev/null`
const NETWORKD: Fitting = {
  chroot: `systemctl -q mask NetworkManager networking; systemctl -q enable systemd-networkd
    ln -sfn ../run/systemd/resolve/resolv.conf /etc/resolv.conf`,
  files: {
    '/etc/systemd/network/eth0.network': '[Match]\nName=eth0\n[Network]\nDHCP=yes\n',
    '/etc/systemd/resolved.conf': '[Resolve]\nDNS=192.168.50.1\nDomains=com\nDNSStubListener=no\nDNSSEC=yes\nDNSOverTLS=yes\n',
    '/etc/systemd/resolved.conf.d/isc-dhcp-v4-eth0.conf': `[Resolve]\nDNS=192.168.50.1\nDomains=${PROVIDER_DOMAIN}\nDNSOverTLS=no\nDNSSEC=no\n`,
  },
}
/** Without noarp each lease is probed for 5 s. */
const DHCPCD = `dpkg --purge isc-dhcp-client 2>/dev/null; dpkg -i /debs/dhcpcd-base*.deb >/dev/null; echo noarp >> /etc/dhcpcd.conf`
const NMCLI = "nmcli connection down 'Wired connection 1' && nmcli connection up 'Wired connection 1'"
const IFUP = 'ifdown eth0 && ifup eth0'

const LINK = "resolvectl dns eth0 192.168.50.1; resolvectl domain eth0 '~.'"
const DROPPED = 'rm /etc/NetworkManager/conf.d/zz-enigm-dns.conf; nmcli general reload'
const WRITTEN = 'echo nameserver 192.168.50.1 > /etc/resolv.conf'
const RECORD = 'resolvconf -d lo.enigm-dns'

/** A way in which a Debian can be set up, and the back end that must be found there. */
export interface SetUp {
  readonly name: string
  readonly backend: 'resolved' | 'networkmanager' | 'resolvconf' | 'file'
  readonly fitting: Fitting
  /** Takes the connection down and brings it up, with a new lease. */
  readonly offOn: string
  /** What another program does to have the system ask the provider. */
  readonly takeOver: string
}

/** The set-ups that are tested, one for each owner. */
export const SET_UPS: readonly SetUp[] = [
  { name: 'systemd-resolved with NetworkManager', backend: 'resolved', fitting: {}, offOn: NMCLI, takeOver: LINK },
  { name: 'NetworkManager alone', backend: 'networkmanager', fitting: { chroot: PLAIN }, offOn: NMCLI, takeOver: DROPPED },
  { name: 'a file and dhclient', backend: 'file', fitting: { chroot: NO_MANAGER, files: IFUPDOWN }, offOn: IFUP, takeOver: WRITTEN },
  {
    name: 'systemd-resolved with systemd-networkd',
    backend: 'resolved',
    fitting: NETWORKD,
    offOn: 'networkctl down eth0; networkctl up eth0',
    takeOver: LINK,
  },
  {
    name: 'a file and dhcpcd',
    backend: 'file',
    fitting: { chroot: `${DHCPCD}; ${NO_MANAGER}`, files: IFUPDOWN },
    offOn: IFUP,
    takeOver: WRITTEN,
  },
  {
    name: 'resolvconf',
    backend: 'resolvconf',
    fitting: { chroot: RESOLVCONF('resolvconf'), files: IFUPDOWN },
    offOn: IFUP,
    takeOver: RECORD,
  },
  {
    name: 'openresolv',
    backend: 'resolvconf',
    fitting: { chroot: RESOLVCONF('openresolv'), files: IFUPDOWN },
    offOn: IFUP,
    takeOver: RECORD,
  },
]

/** Boots a machine, installs the units of the service, and waits until it is connected. */
export async function bootWithService(t: Test, { fitting }: SetUp, o: Omit<HomeOptions, keyof Fitting>): Promise<Home> {
  const home = await bootAtHome({ ...o, ...fitting, files: { ...SERVICE_FILES, ...fitting.files } })
  t.teardown(() => home.stop())
  await home.connected()
  await home.get('enigm-dns service install')
  return home
}

const everyWay = (asked: Asked) => [asked.dig, asked.getent, ...(asked.resolvectl === undefined ? [] : [asked.resolvectl])]

/**
 * Every kind of name, by every way, is answered by this service, and nothing goes out in cleartext.
 */
export async function asksUs(t: Test, home: Home, when: string): Promise<void> {
  home.leaked()
  for (const [i, asked] of (await home.askAll(NAMES)).entries()) {
    const answers = everyWay(asked)
    const pattern = NAMES[i] ?? ''
    t.ok(
      answers.every((answer) => answer === TRUSTED || (isLocal(pattern) && answer === '')),
      `${when}, ${pattern}: ${answers}`,
    )
  }
  t.strictSame(home.leaked(), [], `${when}: nothing went out in cleartext`)
}

/** A name, by every way, is answered by the provider. */
export async function asksProvider(t: Test, home: Home, when: string): Promise<void> {
  const answers = everyWay(await home.ask('*.example.com'))
  t.ok(
    answers.every((answer) => answer === PROVIDER),
    `${when}: ${answers}`,
  )
}

/** The command with what came of it: exit code, standard error, and the document of `--json`. */
export async function system(home: Home, what: string): Promise<{ code: number; stderr: string; says: Record<string, unknown> }> {
  const { code, stdout, stderr } = await home.sh(`enigm-dns system ${what} --json`)
  return { code, stderr, says: (stdout === '' ? {} : JSON.parse(stdout)) as Record<string, unknown> }
}
