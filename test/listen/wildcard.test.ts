import type { NetworkInterfaceInfo } from 'node:os'
import t from 'tap'
import { listenTcp } from '../../src/listen/tcp.ts'
import { listenUdp } from '../../src/listen/udp.ts'
import { isWildcard, listenUdpEverywhere } from '../../src/listen/wildcard.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { TcpClient, UdpClient } from './clients.ts'
import { options, pause, query, until } from './fake-responder.ts'

function interfacesOf(addresses: Set<string>) {
  return () => ({
    lo: Array.from(addresses, (address) => ({ address, family: address.includes(':') ? 'IPv6' : 'IPv4' }) as NetworkInterfaceInfo),
  })
}

t.test('replies leave from the address that was asked, and only addresses of interfaces are asked', async (t) => {
  const clock = new FakeClock()
  const addresses = new Set(['127.0.0.1', '127.0.0.3', '::1'])
  const listener = await listenUdpEverywhere(options({ address: '0.0.0.0', clock }), interfacesOf(addresses))
  const client = new UdpClient('127.0.0.1')
  t.teardown(() => client.close())
  t.equal(listener.address, '0.0.0.0')
  for (const address of ['127.0.0.1', '127.0.0.3']) {
    t.equal((await client.ask(query(1), listener.port, address)).from.address, address)
  }
  client.send(query(2), listener.port, '127.0.0.2')
  await pause(50)
  t.equal(client.replies.length, 2, '127.0.0.2 is on no interface: silence, not a reply from elsewhere')

  addresses.add('127.0.0.4')
  addresses.delete('127.0.0.3')
  await clock.advance(10_000)
  await until(() => clock.timers === 1)
  t.equal((await client.ask(query(3), listener.port, '127.0.0.4')).from.address, '127.0.0.4')
  const freed = await listenUdp(options({ address: '127.0.0.3', port: listener.port }))
  await freed.close()

  await listener.close()
  t.equal(clock.timers, 0)
  const again = await listenUdp(options({ address: '127.0.0.4', port: listener.port }))
  await again.close()
})

t.test('an address that cannot be bound yet is tried again', async (t) => {
  const clock = new FakeClock()
  const addresses = new Set(['127.0.0.1'])
  const o = options({ address: '0.0.0.0', clock })
  const listener = await listenUdpEverywhere(o, interfacesOf(addresses))
  const inTheWay = await listenUdp(options({ address: '127.0.0.5', port: listener.port }))
  const client = new UdpClient('127.0.0.1')
  t.teardown(() => Promise.all([listener.close(), client.close()]))
  addresses.add('127.0.0.5')
  await clock.advance(10_000)
  await until(() => o.events.length === 1)
  t.same(o.events, [{ type: 'fault', where: 'listen/wildcard' }])
  await inTheWay.close()
  await until(() => clock.timers === 1)
  await clock.advance(10_000)
  await until(() => clock.timers === 1)
  t.equal((await client.ask(query(1), listener.port, '127.0.0.5')).from.address, '127.0.0.5')
})

t.test('interfaces that cannot be read do not end the looking', async (t) => {
  const clock = new FakeClock()
  const readable = interfacesOf(new Set(['127.0.0.1']))
  let broken = false
  const o = options({ address: '0.0.0.0', clock })
  const listener = await listenUdpEverywhere(o, () => {
    if (broken) throw new Error('uv_interface_addresses')
    return readable()
  })
  t.teardown(() => listener.close())
  broken = true
  await clock.advance(10_000)
  await until(() => clock.timers === 1)
  t.equal(o.events.length, 1)
})

t.test('the real interfaces, both families; TCP needs no expansion', async (t) => {
  for (const [wildcard, loopback] of [
    ['0.0.0.0', '127.0.0.1'],
    ['::', '::1'],
  ] as const) {
    t.ok(isWildcard(wildcard))
    const udp = await listenUdpEverywhere(options({ address: wildcard }))
    const tcp = await listenTcp(options({ address: wildcard }))
    const client = new UdpClient(loopback)
    t.equal((await client.ask(query(1), udp.port)).from.address, loopback)
    const stream = await TcpClient.open(tcp.port, loopback)
    stream.send(query(2))
    await until(() => stream.replies.length === 1)
    stream.socket.destroy()
    client.close()
    await Promise.all([udp.close(), tcp.close()])
  }
  t.notOk(isWildcard('127.0.0.1'))
})

t.test('no interface of that family', async (t) => {
  await t.rejects(listenUdpEverywhere(options({ address: '::' }), interfacesOf(new Set(['127.0.0.1']))), { code: 'EADDRNOTAVAIL' })
})
