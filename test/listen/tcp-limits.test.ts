import { Server, Socket } from 'node:net'
import t from 'tap'
import { framed } from '../../src/dns/framing.ts'
import { listenTcp } from '../../src/listen/tcp.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { TcpClient } from './clients.ts'
import { Held, labelOf, options, pause, query, response, until } from './fake-responder.ts'

/** The accepted socket of the listener on a port. */
const listenerSide = new Map<number, Socket>()
const { emit } = Server.prototype
Server.prototype.emit = function (this: Server, event: string, ...args: unknown[]) {
  if (event === 'connection' && args[0] instanceof Socket) listenerSide.set(args[0].localPort ?? 0, args[0])
  return Reflect.apply(emit, this, [event, ...args])
} as typeof emit

const over = (client: TcpClient) => client.ended || client.closed

t.test('idle: closed after the limit, counted from the last complete query', async (t) => {
  const clock = new FakeClock()
  const listener = await listenTcp(options({ clock }))
  const client = await TcpClient.open(listener.port)
  await until(() => clock.timers === 1)
  await clock.advance(9_000)
  client.send(query(1))
  await until(() => client.replies.length === 1)
  await clock.advance(9_999)
  await pause(20)
  t.notOk(over(client))
  await clock.advance(1)
  await until(() => over(client))
  client.socket.destroy()
  await listener.close()
  t.equal(clock.timers, 0)
})

t.test('slowloris: octets without a complete query do not extend the time', async (t) => {
  const clock = new FakeClock()
  const o = options({ clock })
  const listener = await listenTcp(o)
  const client = await TcpClient.open(listener.port)
  t.teardown(() => Promise.all([client.socket.destroy(), listener.close()]))
  await until(() => clock.timers === 1)
  const frame = framed(query(1))
  for (let second = 0; second < 10; second++) {
    client.socket.write(frame.subarray(second, second + 1))
    await pause(5)
    t.notOk(over(client))
    await clock.advance(1_000)
  }
  await until(() => over(client))
  t.same(o.responder.seen, [])
})

t.test('a slow answer does not make a connection idle', async (t) => {
  const clock = new FakeClock()
  const held = new Held()
  const o = options({ clock })
  o.responder.miss = held.miss
  const listener = await listenTcp(o)
  const client = await TcpClient.open(listener.port)
  t.teardown(() => Promise.all([client.socket.destroy(), listener.close()]))
  client.send(query(1, 'slow.test'))
  await until(() => held.waiting.size === 1)
  await clock.advance(30_000)
  held.release('slow')
  await until(() => client.replies.length === 1)
  t.notOk(over(client))
})

t.test('a client that never reads: reading stops, memory is bounded, and it is closed; other clients are answered', async (t) => {
  const clock = new FakeClock()
  const o = options({ clock })
  const reply = response(query(1), 65_535)
  o.responder.hit = () => reply
  const listener = await listenTcp(o)
  t.teardown(() => listener.close())
  const mute = await TcpClient.open(listener.port)
  mute.socket.pause()
  const rssBefore = process.memoryUsage().rss
  const one = framed(query(1))
  mute.socket.write(Buffer.concat(Array.from({ length: 10_000 }, () => one)))
  let seen = -1
  await until(() => {
    const stopped = seen === o.responder.seen.length && seen > 0
    seen = o.responder.seen.length
    return stopped
  })
  const other = await TcpClient.open(listener.port)
  other.send(query(2))
  await until(() => other.replies.length === 1)
  other.socket.destroy()
  t.ok(seen * 65_535 < 32 << 20, `${seen} of 10,000 were answered: what the kernel's buffers hold and 256 KiB`)
  const grownMiB = (process.memoryUsage().rss - rssBefore) / 2 ** 20
  t.ok(grownMiB < 64, `RSS grew by ${grownMiB.toFixed(1)} MiB`)
  await clock.advance(10_000)
  await until(() => clock.timers === 0)
  mute.socket.resume()
  await until(() => over(mute))
  mute.socket.destroy()
})

t.test('queries beyond the limit stay in the network', async (t) => {
  const o = options()
  o.responder.miss = () => new Promise(() => {})
  o.responder.hit = () => undefined
  const listener = await listenTcp({ ...o, drainMs: 50 })
  const client = await TcpClient.open(listener.port)
  const frame = framed(Buffer.concat([query(1), Buffer.alloc(2_000)]))
  const octets = 64 << 20
  client.socket.write(Buffer.concat(Array.from({ length: octets / frame.length }, () => frame)))
  let untaken = -1
  for (let left = octets; left !== untaken; left = client.socket.writableLength) {
    untaken = left
    await pause(200)
  }
  t.equal(o.responder.asked.length, 100)
  const served = listenerSide.get(listener.port)?.bytesRead ?? Number.POSITIVE_INFINITY
  t.ok(served < 1 << 20, `${served} octets were read`)
  client.socket.destroy()
  const keepAlive = setTimeout(() => {}, 5_000)
  await listener.close()
  clearTimeout(keepAlive)
})

t.test('a client that reads late gets every answer', async (t) => {
  const o = options()
  o.responder.hit = (packet) => response(packet, 30_000)
  const listener = await listenTcp(o)
  const client = await TcpClient.open(listener.port)
  t.teardown(() => Promise.all([client.socket.destroy(), listener.close()]))
  client.socket.pause()
  client.send(...Array.from({ length: 1_000 }, (_, id) => query(id)))
  await pause(300)
  const before = o.responder.seen.length
  t.ok(before < 1_000, 'reading had stopped')
  client.socket.resume()
  await until(() => client.replies.length === 1_000)
  t.equal(new Set(client.replies.map((wire) => wire.readUInt16BE(0))).size, 1_000)
})

t.test('unread answers of all clients together are bounded', async (t) => {
  const o = options({ limits: { unreadOctets: 64 << 20, totalUnreadOctets: 20 << 20 } })
  const reply = response(query(1), 65_535)
  o.responder.hit = () => reply
  const listener = await listenTcp(o)
  const client = await TcpClient.open(listener.port)
  client.socket.pause()
  client.send(...Array.from({ length: 1_000 }, (_, id) => query(id)))
  await until(() => o.responder.seen.length > 300)
  await pause(50)
  client.socket.resume()
  await until(() => over(client))
  t.ok(client.replies.length < 1_000)
  client.socket.destroy()
  const next = await TcpClient.open(listener.port)
  next.send(query(2))
  await until(() => next.replies.length === 1)
  next.socket.destroy()
  await listener.close()
})

t.test('too many connections: the longest idle one is closed, a busy one stays', async (t) => {
  const clock = new FakeClock()
  const held = new Held()
  const o = options({ clock, limits: { connections: 3 } })
  o.responder.hit = (packet) => (labelOf(packet) === 'hit' ? response(packet) : undefined)
  o.responder.miss = held.miss
  const listener = await listenTcp(o)
  const busy = await TcpClient.open(listener.port)
  busy.send(query(1, 'busy.test'))
  await until(() => held.waiting.size === 1)
  await clock.advance(100)
  const recent = await TcpClient.open(listener.port, '127.0.0.1', '127.0.0.2')
  await until(() => clock.timers === 2)
  await clock.advance(100)
  const oldest = await TcpClient.open(listener.port, '127.0.0.1', '127.0.0.3')
  await until(() => clock.timers === 3)
  await clock.advance(100)
  recent.send(query(2, 'hit.test'))
  await until(() => recent.replies.length === 1)

  const fourth = await TcpClient.open(listener.port, '127.0.0.1', '127.0.0.4')
  await until(() => over(oldest))
  fourth.send(query(3, 'hit.test'))
  await until(() => fourth.replies.length === 1)
  t.notOk(over(recent))
  t.notOk(over(busy))
  held.release('busy')
  await until(() => busy.replies.length === 1)
  for (const client of [busy, recent, oldest, fourth]) client.socket.destroy()
  await listener.close()
})

t.test('too many connections of one client: its own idle one is closed, else the new one; other clients are not affected', async (t) => {
  const held = new Held()
  const o = options({ limits: { connectionsPerClient: 2 } })
  o.responder.miss = held.miss
  const listener = await listenTcp(o)
  const other = await TcpClient.open(listener.port, '127.0.0.1', '127.0.0.9')
  const own = [await TcpClient.open(listener.port), await TcpClient.open(listener.port)]
  own[0]?.send(query(1, 'a.test'))
  await until(() => held.waiting.size === 1)
  const third = await TcpClient.open(listener.port)
  await until(() => own[1] !== undefined && over(own[1]))
  third.send(query(2, 'b.test'))
  await until(() => held.waiting.size === 2)
  const fourth = await TcpClient.open(listener.port)
  await until(() => over(fourth))
  t.notOk(over(other))
  held.release('a')
  held.release('b')
  await until(() => own[0]?.replies.length === 1 && third.replies.length === 1)
  for (const client of [other, ...own, third, fourth]) client.socket.destroy()
  await listener.close()
})
