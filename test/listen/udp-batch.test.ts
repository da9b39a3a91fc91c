import { createSocket } from 'node:dgram'
import t from 'tap'
import type { ListenOptions } from '../../src/listen/listener.ts'
import { openUdp } from '../../src/listen/udp-batch.ts'
import { datagramCalls } from '../../src/system/datagram-calls.ts'
import { udpClient } from '../support/real/dns-client.ts'
import { UdpClient } from './clients.ts'
import { labelOf, options, pause, query, response, until } from './fake-responder.ts'
import { udpSuite } from './udp-suite.ts'

const idOf = (wire: Uint8Array) => Buffer.from(wire).readUInt16BE(0)
const octetsFor = (id: number) => 100 + (id % 500)

const calls = datagramCalls()
if (process.platform === 'linux' && calls === undefined) t.fail('koffi does not load: batched UDP is not tested')
else if (calls === undefined) t.comment('not Linux: batched UDP is not tested')
else {
  const open = (o: ListenOptions) => openUdp({ ...o, datagramCalls: calls })
  udpSuite(open)

  for (const address of ['127.0.0.1', '::1']) {
    t.test(`bursts of ${address}: every query of every client answered once, hits and misses, with its own octets`, async (t) => {
      const o = options({ address })
      o.responder.hit = (packet) => (idOf(packet) % 3 === 0 ? undefined : response(packet, octetsFor(idOf(packet))))
      o.responder.miss = async (packet) => {
        const copy = Buffer.from(packet)
        await pause(1)
        return response(copy, 700)
      }
      const listener = await open(o)
      const clients = Array.from({ length: 5 }, () => new UdpClient(address))
      t.teardown(() => Promise.all([listener.close(), ...clients.map((client) => client.close())]))
      for (let id = 0; id < 40; id++) for (const client of clients) client.send(query(id, `n${id}.test`), listener.port)
      await until(() => clients.every((client) => client.replies.length === 40))
      for (const client of clients) {
        const ids = new Set(client.replies.map(({ wire }) => wire.readUInt16BE(0)))
        t.equal(ids.size, 40)
        t.ok(client.replies.every(({ wire }) => wire.length === (idOf(wire) % 3 === 0 ? 700 : octetsFor(idOf(wire)))))
      }
    })
  }

  t.test('a burst of a client that is not allowed, and datagrams longer than a slot, get no reply; the next good one does', async (t) => {
    const o = options({ allowed: (address) => address === '127.0.0.1' })
    o.responder.hit = (packet) => response(packet)
    const listener = await open(o)
    const stranger = new UdpClient('127.0.0.2')
    const friend = new UdpClient('127.0.0.1')
    t.teardown(() => Promise.all([listener.close(), stranger.close(), friend.close()]))
    for (let id = 0; id < 100; id++) stranger.send(query(id), listener.port)
    for (let id = 0; id < 20; id++) friend.send(Buffer.concat([query(id), Buffer.alloc(4000)]), listener.port)
    await pause(100)
    t.equal((await friend.ask(query(777), listener.port)).wire.readUInt16BE(0), 777)
    t.same(stranger.replies, [])
  })

  t.test('a taken port is EADDRINUSE, and SO_REUSEPORT shares it', async (t) => {
    const first = await open(options({ reusePort: true }))
    t.teardown(() => first.close())
    await t.rejects(open(options({ port: first.port })), { code: 'EADDRINUSE' })
    const second = await open(options({ port: first.port, reusePort: true }))
    t.teardown(() => second.close())
    t.equal(second.port, first.port)
  })

  t.test('an address of no interface', async (t) => {
    await t.rejects(open(options({ address: '192.0.2.1' })), { code: 'EADDRNOTAVAIL' })
  })

  t.test('closed: the descriptor is free and our code does not use it again', async (t) => {
    const o = options({})
    let release: (wire: Buffer) => void = () => {}
    o.responder.miss = () =>
      new Promise((resolve) => {
        release = resolve
      })
    const listener = await open({ ...o, drainMs: 1 })
    const client = new UdpClient('127.0.0.1')
    t.teardown(() => client.close())
    client.send(query(1), listener.port)
    await until(() => o.responder.asked.length === 1)
    const closing = listener.close()
    await pause(10)
    await closing
    const other = createSocket('udp4').bind({ address: '127.0.0.1', port: 0 })
    t.teardown(() => other.close())
    release(response(query(1)))
    await pause(50)
    t.same(client.replies, [])
  })

  t.test('close answers queries that are in the kernel', async (t) => {
    const o = options({})
    o.responder.hit = (packet) => (idOf(packet) % 2 === 0 ? response(packet) : undefined)
    const listener = await open(o)
    // Connected: what it sends is with the kernel, on the other side too, when `ask` returns.
    const client = await udpClient(listener.port)
    t.teardown(() => client.close())
    await client.ask(query(500))
    const asking = Array.from({ length: 100 }, (_, id) => client.ask(query(id), 1000))
    await listener.close()
    const settled = await Promise.allSettled(asking)
    t.equal(settled.filter(({ status }) => status === 'fulfilled').length, 100)
  })

  t.test('without the system calls it uses dgram, with the same answers', async (t) => {
    const o = options({})
    o.responder.hit = (packet) => response(packet, labelOf(packet).length + 100)
    const listener = await openUdp(o)
    const client = new UdpClient('127.0.0.1')
    t.teardown(() => Promise.all([listener.close(), client.close()]))
    t.equal((await client.ask(query(5, 'abc.test'), listener.port)).wire.length, 103)
  })
}
