import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { readEgress } from '../../src/system/egress.ts'
import { insideNamespace } from '../support/real/namespace.ts'

const ip = (...args: string[]) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' })

if (insideNamespace(t, import.meta.url)) {
  // Two interfaces that are up, each with an address of ours: towards it, the kernel takes that
  // address as the source.
  ip('link', 'add', 'tunnel0', 'type', 'veth', 'peer', 'name', 'far0')
  ip('link', 'add', 'plain0', 'type', 'veth', 'peer', 'name', 'far1')
  for (const [name, address] of [
    ['tunnel0', '10.9.0.1/24'],
    ['plain0', '10.8.0.1/24'],
  ] as const) {
    ip('addr', 'add', address, 'dev', name)
    ip('link', 'set', name, 'up')
  }
  for (const far of ['far0', 'far1']) ip('link', 'set', far, 'up')
  execFileSync('mount', ['-t', 'sysfs', 'sysfs', '/sys'])

  t.test('by the source address for each, not by the default route', async (t) => {
    const o = { vpnInterfaces: ['tunnel0'] }
    t.same(await readEgress(['10.9.0.1', '10.8.0.1', '127.0.0.1'], o), { vpn: 1, other: 2, unknown: 0, unreachable: 0 })
    t.same(await readEgress(['10.9.0.77', '10.8.0.77'], o), { vpn: 1, other: 1, unknown: 0, unreachable: 0 })
    t.same(await readEgress(['198.51.100.1', '2001:db8::1'], o), { vpn: 0, other: 0, unknown: 0, unreachable: 2 }, 'no route')
    ip('route', 'add', 'default', 'dev', 'plain0', 'src', '10.8.0.1')
    ip('route', 'add', '198.51.100.0/24', 'dev', 'tunnel0', 'src', '10.9.0.1')
    t.same(await readEgress(['198.51.100.1', '203.0.113.1'], o), { vpn: 1, other: 1, unknown: 0, unreachable: 0 })
    ip('rule', 'add', 'to', '203.0.113.1', 'lookup', '77')
    ip('route', 'add', 'default', 'dev', 'tunnel0', 'src', '10.9.0.1', 'table', '77')
    t.same(await readEgress(['203.0.113.1'], o), { vpn: 1, other: 0, unknown: 0, unreachable: 0 }, 'rules of routing are heeded')
  })

  t.test('kinds by sysfs; unknown ones are unknown, never VPN', async (t) => {
    const mac = ip('-br', 'link', 'show', 'tunnel0').trim().split(/\s+/)[2] ?? ''
    const kind = async (files: Record<string, string>) => {
      const sysfs = t.testdir({ tunnel0: { address: `${mac}\n`, ...files } })
      const seen = await readEgress(['10.9.0.1'], { vpnInterfaces: [], sysfs: join(sysfs) })
      return Object.entries(seen).find(([, count]) => count > 0)?.[0]
    }
    t.equal(await kind({ uevent: 'DEVTYPE=wireguard\nINTERFACE=tunnel0\n' }), 'vpn')
    t.equal(await kind({ tun_flags: '0x1001\n', type: '65534\n' }), 'vpn')
    t.equal(await kind({ type: '1\n' }), 'other')
    t.equal(await kind({ type: '776\n' }), 'other', 'SIT encrypts nothing')
    t.equal(await kind({ type: '512\n' }), 'unknown', 'PPP may be DSL')
    t.equal(await kind({ type: '65534\n' }), 'unknown')
    t.equal(
      await kind({ address: '02:00:00:00:00:99\n', uevent: 'DEVTYPE=wireguard\n' }),
      'unknown',
      "another namespace's interface of that name",
    )
    t.same(await readEgress(['10.9.0.1'], { vpnInterfaces: [] }), { vpn: 0, other: 1, unknown: 0, unreachable: 0 }, 'the real /sys')
  })

  t.test('an address that was removed', async (t) => {
    ip('rule', 'del', 'to', '203.0.113.1', 'lookup', '77')
    ip('route', 'del', '198.51.100.0/24', 'dev', 'tunnel0')
    ip('addr', 'del', '10.9.0.1/24', 'dev', 'tunnel0')
    t.same(await readEgress(['198.51.100.1'], { vpnInterfaces: ['tunnel0'] }), { vpn: 0, other: 1, unknown: 0, unreachable: 0 })
  })
}
