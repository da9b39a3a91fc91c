import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { announcedServers, findNetworkResolvers } from '../../src/system/network-resolvers.ts'

const now = new Date('2026-06-01T12:00:00Z')

function found(t: Test, files: Readonly<Record<string, string>>, networkManager?: string) {
  const root = t.testdir()
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return findNetworkResolvers({ root, now, ...(networkManager === undefined ? {} : { networkManager: () => networkManager }) })
}

const lease = (expire: string, servers: string, name = 'eth0') =>
  `lease {\n  interface "${name}";\n  option domain-name-servers ${servers};\n  expire 1 ${expire};\n}\n`
const OURS = 'nameserver 127.0.0.55\noptions edns0\n'

t.test('by the lease of the DHCP client, although the system uses this service', (t) => {
  const system = { 'etc/resolv.conf': OURS }
  t.strictSame(found(t, { ...system, 'run/systemd/netif/leases/2': 'ADDRESS=10.0.0.9\nDNS=10.0.0.1 10.0.0.2 10.0.0.3\n' }), {
    addresses: ['10.0.0.1', '10.0.0.2'],
    by: 'systemd-networkd',
  })
  t.strictSame(found(t, system, '10.0.0.1 | 10.0.0.2\nfd00\\:\\:1\n\n')?.addresses, ['10.0.0.1', '10.0.0.2'])
  t.strictSame(found(t, system, '\nfd00\\:\\:1\n')?.addresses, ['fd00::1'])
  const leases = lease('2020/01/01 00:00:00', '10.9.9.9') + lease('2026/06/01 13:00:00', '10.0.0.1, 10.0.0.2')
  t.strictSame(found(t, { ...system, 'var/lib/dhcp/dhclient.eth0.leases': leases })?.addresses, ['10.0.0.1', '10.0.0.2'], 'the last one')
  t.strictSame(found(t, { ...system, 'run/resolvconf/interface/eth0.dhclient': 'nameserver 10.0.0.1\n' })?.addresses, ['10.0.0.1'])
  t.strictSame(found(t, { ...system, 'run/dhcpcd/hook-state/resolv.conf/eth0.dhcp': 'nameserver 10.0.0.1\n' })?.addresses, ['10.0.0.1'])
  t.end()
})

t.test('an expired lease is ignored; so is our own entry', (t) => {
  t.equal(found(t, { 'var/lib/dhcp/dhclient.leases': lease('2026/06/01 11:00:00', '10.0.0.1') }), undefined)
  t.equal(found(t, { 'run/resolvconf/interface/lo.enigm-dns': 'nameserver 10.0.0.1\n' }), undefined)
  t.end()
})

t.test('from resolved, resolv.conf, and the gateway, without this host', (t) => {
  const route = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t010A000A\t0003\t0\t0\t0\t00000000\n'
  const files = { 'etc/resolv.conf': OURS, 'proc/self/net/route': route }
  t.strictSame(found(t, { ...files, 'run/systemd/resolve/resolv.conf': 'nameserver 127.0.0.55\nnameserver 10.0.0.1\n' }), {
    addresses: ['10.0.0.1'],
    by: 'systemd-resolved',
  })
  t.strictSame(found(t, { ...files, 'etc/resolv.conf': `${OURS}nameserver 10.0.0.7\n` }), { addresses: ['10.0.0.7'], by: 'resolv.conf' })
  t.strictSame(found(t, files), { addresses: ['10.0.10.1'], by: 'the gateway' })
  t.end()
})

t.test('never an address that cannot be on the network', (t) => {
  const list = ['0.0.0.0', '::', '255.255.255.255', '224.0.0.1', 'fe80::1', '::ffff:127.0.0.1', 'router', '10.0.0.1.2', '127.0.0.53']
  t.equal(found(t, { 'etc/resolv.conf': list.map((one) => `nameserver ${one}\n`).join('') }), undefined)
  t.strictSame(found(t, { 'etc/resolv.conf': 'nameserver fe80::1%eth0\n' })?.addresses, ['fe80::1%eth0'])
  t.equal(found(t, {}), undefined)
  t.end()
})

/** What the links announce for a zone, on a system with these files. */
async function announced(t: Test, zone: string, files: Readonly<Record<string, string>>) {
  const root = t.testdir()
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return (await announcedServers(zone, root)).map(({ address, port }) => `${address}:${port}`)
}

t.test('for a zone: the link whose domains contain it, else what DHCP says; never the gateway unless it is announced', async (t) => {
  const route = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t010A000A\t0003\t0\t0\t0\t00000000\n'
  const lan = { 'etc/resolv.conf': OURS, 'proc/self/net/route': route, 'run/systemd/netif/leases/2': 'DNS=10.0.0.1\n' }
  const vpn = {
    'run/systemd/resolve/netif/7': 'SERVERS=10.9.0.53 10.9.0.54#dns.corp.example\nDOMAINS=~corp.example other.example\n',
    'run/systemd/resolve/netif/8': 'SERVERS=10.8.0.53\nDOMAINS=~.\n',
  }
  t.strictSame(await announced(t, 'corp.example', { ...lan, ...vpn }), ['10.9.0.53:53', '10.9.0.54:53'])
  t.strictSame(await announced(t, 'eu.corp.example', { ...lan, ...vpn }), ['10.9.0.53:53', '10.9.0.54:53'])
  t.strictSame(await announced(t, 'xcorp.example', { ...lan, ...vpn }), ['10.0.0.1:53'], 'not for other zones')
  t.strictSame(await announced(t, 'printer', lan), ['10.0.0.1:53'])
  t.strictSame(await announced(t, 'printer', { 'etc/resolv.conf': OURS, 'proc/self/net/route': route }), [], 'the gateway alone')
})
