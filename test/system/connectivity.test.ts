import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { readConnectivity } from '../../src/system/network-view.ts'

const HEAD4 = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT'
const DEFAULT4 = 'eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0'
const LOCAL4 = 'eth0\t0000000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0'
const ZEROS = '0'.repeat(32)
const DEFAULT6 = `${ZEROS} 00 ${ZEROS} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 wlan0`
const LOOPBACK6 = `${ZEROS} 00 ${ZEROS} 00 ${ZEROS} ffffffff 00000001 00000000 00200200 lo`

function host(t: Test, files: Readonly<Record<string, string>>): string {
  const root = t.testdir()
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return root
}

t.test('both families, the smaller MTU, the last hosts line', async (t) => {
  const root = host(t, {
    'proc/self/net/route': `${HEAD4}\n${LOCAL4}\n${DEFAULT4}\n`,
    'proc/self/net/ipv6_route': `${LOOPBACK6}\n${DEFAULT6}\n`,
    'sys/class/net/eth0/mtu': '1500\n',
    'sys/class/net/wlan0/mtu': '1280\n',
    'etc/nsswitch.conf': 'passwd: files\nhosts: files\nhosts:  files mdns4_minimal [NOTFOUND=return] dns # last\n',
  })
  t.same(readConnectivity(root), { ipv4: true, ipv6: true, mtu: 1280, hosts: ['files', 'mdns4_minimal', '[NOTFOUND=return]', 'dns'] })
})

t.test('no default route; a kernel without IPv6; no hosts line', async (t) => {
  const root = host(t, { 'proc/self/net/route': `${HEAD4}\n${LOCAL4}\n`, 'etc/nsswitch.conf': 'passwd: files\n' })
  t.same(readConnectivity(root), { ipv4: false, ipv6: false, mtu: undefined, hosts: [] })
})

t.test('not Linux: everything is unknown', async (t) => {
  t.same(readConnectivity(t.testdir()), { ipv4: undefined, ipv6: undefined, mtu: undefined, hosts: undefined })
})

t.test('a name that is no interface is not read', async (t) => {
  const root = host(t, { 'proc/self/net/route': `${DEFAULT4.replace('eth0', '../x')}\n`, 'sys/class/net/x/mtu': '9' })
  t.equal(readConnectivity(root).mtu, undefined)
})
