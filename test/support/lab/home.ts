import type { Authority } from '../../../src/demo/authority.ts'
import { identityOf, RESOLVER_NAME } from '../real/daemon.ts'
import { boot, type Fitting, type Machine } from './machine.ts'

/**
 * What the provider's name server answers to every A, in cleartext, and what the trusted resolver
 * answers: the answer tells who was asked.
 */
export const PROVIDER = '10.50.50.50'
export const TRUSTED = '10.99.99.99'
/** The domain that the provider's DHCP server hands out. */
export const PROVIDER_DOMAIN = 'provider-home.com'
/** Where this project lies inside. */
export const PROJECT = '/opt/enigm-dns'
/** The provider's end of the link: router and resolver. */
export const GATEWAY = '192.168.50.1'
const CLEARTEXT_LOG = '/run/provider.log'
const MULTICAST_LOG = '/run/overheard.log'

/** Who answered one name, by the three ways in which programs of a system ask. */
export interface Asked {
  /** By resolv.conf. */
  readonly dig: string
  /** By the C library: nsswitch.conf decides. */
  readonly getent: string
  /** By systemd-resolved; undefined where there is none. */
  readonly resolvectl: string | undefined
}

/**
 * A machine at home behind a provider: DHCP on eth0, a name server there that hears everything in
 * cleartext, and a trusted resolver over DoT.
 */
export interface Home extends Machine {
  /**
   * Asks a name that nobody asked before, made from `pattern`, in which `*` stands for a new label.
   */
  ask(pattern: string): Promise<Asked>
  /** The same for several patterns, all at the same time; the answers in their order. */
  askAll(patterns: readonly string[]): Promise<readonly Asked[]>
  /**
   * Names that went to the provider in cleartext, or to the neighbours by multicast, since this was
   * last called.
   */
  leaked(): readonly string[]
  /** Waits until eth0 has an address and a manager, if there is one, says that it is connected. */
  connected(): Promise<void>
}

/** Who may make a configuration of a machine: `files` are added to those of the world around it. */
export interface HomeOptions extends Fitting {
  readonly image: string
  /** The root of this project. */
  readonly project: string
  readonly authority: Authority
}

/**
 * Asks every name by every way at once: the names that are answered by nobody wait for their end
 * together.
 */
const ASK = `
ask() {
  d=$(mktemp -d)
  for name; do
    dig +short +time=2 +tries=1 A $name > $d/$name.dig &
    timeout 8 getent ahostsv4 $name > $d/$name.getent &
    ! command -v resolvectl > /dev/null || timeout 8 resolvectl query -4 --legend=no --cache=no $name > $d/$name.resolvectl 2>&1 &
  done
  wait
  for name; do
    grep -E '^[0-9.]+$' $d/$name.dig | tail -1; echo --
    awk 'NR==1{print $1}' $d/$name.getent; echo --
    if command -v resolvectl > /dev/null; then grep -oE '10\\.[0-9.]+' $d/$name.resolvectl | head -1; else echo none; fi
    echo ==
  done
  rm -r $d
}`

/** Boots a machine at home. What is written in `files` lies there before the boot. */
export async function bootAtHome(o: HomeOptions): Promise<Home> {
  const shown = [[process.execPath, '/usr/bin/node'], [o.project, PROJECT], ...(o.shown ?? [])] as const
  const machine = await boot(o.image, {
    files: { ...(await world(o.authority)), ...o.files },
    chroot: `systemctl -q enable provider-link provider trusted overhear\n${o.chroot ?? ''}`,
    shown,
  })
  let known = { cleartext: 0, multicast: 0 }
  let label = 0
  const askAll: Home['askAll'] = async (patterns) => {
    const names = patterns.map((pattern) => pattern.replace('*', `n${process.pid}x${label++}`))
    const { stdout } = await machine.sh(`${ASK}\nask ${names.join(' ')}`)
    return names.map((_, i) => {
      const [dig = '', getent = '', resolvectl = ''] = (stdout.split('==\n')[i] ?? '').split('--\n').map((text) => text.trim())
      return { dig, getent, resolvectl: resolvectl === 'none' ? undefined : resolvectl }
    })
  }
  const home: Home = {
    ...machine,
    askAll,
    async ask(pattern) {
      const [asked] = await askAll([pattern])
      return asked ?? { dig: '', getent: '', resolvectl: undefined }
    },
    leaked() {
      const cleartext = namesIn(read(machine, CLEARTEXT_LOG), /query\[[A-Z0-9]+\] (\S+) from/)
      const multicast = namesIn(read(machine, MULTICAST_LOG), /^\d+ (\S+)$/)
      const fresh = [...cleartext.slice(known.cleartext), ...multicast.slice(known.multicast)]
      known = { cleartext: cleartext.length, multicast: multicast.length }
      return fresh
    },
    async reboot(how) {
      await machine.reboot(how)
      known = { cleartext: 0, multicast: 0 }
    },
    connected: () =>
      machine.until(
        'a lease and a connection',
        `ip -4 -br address show eth0 | grep -q 192.168. || exit 1
         systemctl -q is-active NetworkManager || exit 0
         nmcli -t -f STATE general | grep -q '^connected'`,
      ),
  }
  return home
}

function read(machine: Machine, path: string): string {
  try {
    return machine.read(path)
  } catch {
    return ''
  }
}

function namesIn(log: string, pattern: RegExp): readonly string[] {
  return log.split('\n').flatMap((line) => pattern.exec(line)?.[1] ?? [])
}

/**
 * The other end of the link, in a network namespace of the machine, and the resolver that this
 * machine trusts.
 */
async function world(authority: Authority): Promise<Readonly<Record<string, string>>> {
  const identity = await identityOf(authority)
  const resolver = {
    ...{ id: 'trusted', authenticationDomainName: RESOLVER_NAME, addresses: [GATEWAY], caFile: 'ca.pem' },
    transports: { dot: { port: 853 } },
  }
  const set = { version: 1, resolvers: [resolver] }
  const node = (script: string, args: string) => `/usr/bin/node ${PROJECT}/build/test/support/lab/${script}.js ${args}`
  const dhcp = `--no-ping --dhcp-range=192.168.50.10,192.168.50.99,2m --dhcp-option=option:dns-server,${GATEWAY} --dhcp-option=option:domain-name,${PROVIDER_DOMAIN}`
  const names = `--no-resolv --no-hosts --address=/#/${PROVIDER} --log-queries --log-facility=${CLEARTEXT_LOG}`
  return {
    '/etc/systemd/system/provider-link.service': unit(
      '/bin/sh /opt/lab/link.sh',
      'Type=oneshot\nRemainAfterExit=yes',
      'DefaultDependencies=no\nBefore=network-pre.target networking.service NetworkManager.service systemd-networkd.service\nWants=network-pre.target',
    ),
    '/etc/systemd/system/provider.service': there(
      `/usr/sbin/dnsmasq -k --conf-file=/dev/null --interface=isp0 --bind-interfaces --user=root --dhcp-leasefile=/run/provider.leases ${dhcp} ${names}`,
    ),
    '/etc/systemd/system/trusted.service': there(node('trusted', `/opt/lab ${GATEWAY}`)),
    '/etc/systemd/system/overhear.service': there(node('overhear', MULTICAST_LOG)),
    '/opt/lab/link.sh': `set -e
ip netns add isp
ip link add eth0 type veth peer name isp0 netns isp
ip netns exec isp sh -c 'ip address add ${GATEWAY}/24 dev isp0; ip link set isp0 up; ip link set lo up'\n`,
    '/etc/hostname': 'lab\n',
    '/opt/lab/key.pem': identity.key,
    '/opt/lab/cert.pem': identity.cert,
    '/etc/enigm-dns/config.json': JSON.stringify({ resolvers: 'set.json', shaping: { profile: 'off' }, heartbeatS: 1 }),
    '/etc/enigm-dns/set.json': JSON.stringify(set),
    '/etc/enigm-dns/ca.pem': authority.certificate,
    '/usr/local/bin/sudo': '#!/bin/sh\nexec "$@"\n',
    '/usr/local/bin/npm': NPM,
  }
}

function unit(exec: string, service: string, head: string): string {
  return `[Unit]\n${head}\n[Service]\nExecStart=${exec}\n${service}\n[Install]\nWantedBy=multi-user.target\n`
}

function there(exec: string): string {
  const head = 'DefaultDependencies=no\nRequires=provider-link.service\nAfter=provider-link.service\nBefore=network-pre.target'
  return unit(exec, 'NetworkNamespacePath=/run/netns/isp\nRestart=on-failure', head)
}

/**
 * `npm start` of a clone whose dist/ is built, in a terminal of its own: it returns once the
 * service says `ready`, or ends with what it said.
 */
const NPM = `#!/bin/bash
[ "$1" = start ] || { echo "only npm start is known here" >&2; exit 2; }
shift; [ "$1" = -- ] && shift
systemd-run -q --collect --unit enigm-dns /usr/bin/node ${PROJECT}/dist/main.js run "$@" || exit
for i in $(seq 200); do
  journalctl -q -o cat _SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value enigm-dns) | grep -qx ready && exit 0
  systemctl -q is-active enigm-dns || break
  sleep 0.05
done
journalctl -q -o cat -u enigm-dns >&2
exit 1
`
