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

t.test('replies come from the queried address, and only addresses of interfaces are served', async (t) => {
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

t.test('addresses that the kernel reports answer at once; so does one that goes and comes back', async (t) => {
  const clock = new FakeClock()
  const addresses = new Set(['127.0.0.1'])
  let heard = () => {}
  let listening = 0
  const addressChanges = (fn: () => void) => {
    heard = fn
    listening++
    return { close: () => void listening-- }
  }
  let looks = 0
  const interfaces = interfacesOf(addresses)
  const listener = await listenUdpEverywhere(options({ address: '0.0.0.0', clock, addressChanges, drainMs: 0 }), () => {
    looks++
    return interfaces()
  })
  const client = new UdpClient('127.0.0.1')
  t.teardown(() => client.close())
  const answers = async (address: string) => {
    for (let i = 0; i < 40; i++) {
      const reply = await client.ask(query(1), listener.port, address).catch(() => undefined)
      if (reply?.from.address === address) return true
      await clock.advance(20)
      await pause(10)
    }
    return false
  }
  await clock.advance(100)
  addresses.add('127.0.0.6')
  heard()
  await pause(50)
  t.ok(await answers('127.0.0.6'), 'without a timer')
  await clock.advance(100)
  addresses.delete('127.0.0.6')
  heard()
  await clock.advance(100)
  addresses.add('127.0.0.6')
  heard()
  await pause(50)
  t.ok(await answers('127.0.0.6'), 'though its first socket had to go before')
  await clock.advance(100)
  looks = 0
  for (let i = 0; i < 1000; i++) heard()
  await clock.advance(19)
  t.equal(looks, 1, 'a thousand words are one look')
  await clock.advance(1)
  t.equal(looks, 2, 'and one more behind them')
  await listener.close()
  t.equal(listening, 0)
  t.equal(clock.timers, 0)
  heard()
  t.equal(looks, 2, 'nothing is looked for any more')
})

t.test('if the kernel does not report it, a new address answers within half a second', async (t) => {
  const clock = new FakeClock()
  const addresses = new Set(['127.0.0.1'])
  const listener = await listenUdpEverywhere(
    options({ address: '0.0.0.0', clock, addressChanges: () => undefined }),
    interfacesOf(addresses),
  )
  const client = new UdpClient('127.0.0.1')
  t.teardown(() => Promise.all([listener.close(), client.close()]))
  addresses.add('127.0.0.7')
  await clock.advance(500)
  await until(() => clock.timers === 1)
  t.equal((await client.ask(query(1), listener.port, '127.0.0.7')).from.address, '127.0.0.7')
})

t.test('unreadable interfaces do not stop the checks', async (t) => {
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
