import { Socket } from 'node:net'
import t from 'tap'
import { FrameReader, framed } from '../../src/dns/framing.ts'
import { listenTcp } from '../../src/listen/tcp.ts'
import { view } from '../support/rules.ts'
import { missing, run, TcpClient } from './clients.ts'
import { Held, labelOf, options, pause, query, response, until } from './fake-responder.ts'

const idOf = (wire: Buffer) => wire.readUInt16BE(0)

t.test('answers over IPv4 and IPv6, several on one connection, up to 65,535 octets', async (t) => {
  for (const address of ['127.0.0.1', '::1']) {
    const o = options({ address, view: () => view(3) })
    o.responder.hit = (packet) => (labelOf(packet) === 'hit' ? response(packet, 65_535) : undefined)
    o.responder.miss = async (packet) => response(packet, 65_535)
    const listener = await listenTcp(o)
    const client = await TcpClient.open(listener.port, address)
    client.send(query(1, 'hit.test'), query(2, 'miss.test'))
    client.send(query(3, 'hit.test'))
    await until(() => client.replies.length === 3)
    t.same(client.replies.map(idOf).sort(), [1, 2, 3])
    t.ok(client.replies.every((wire) => wire.length === 65_535))
    t.same(o.responder.asked, [{ address, transport: 'tcp', view: 3 }])
    t.match(o.responder.seen, [{ limit: 65_535, view: 3 }])
    client.socket.destroy()
    await listener.close()
  }
})

t.test('answers are sent in the order in which they come, not in that of the queries', async (t) => {
  const held = new Held()
  const o = options()
  o.responder.miss = held.miss
  const listener = await listenTcp(o)
  const client = await TcpClient.open(listener.port)
  t.teardown(() => Promise.all([client.socket.destroy(), listener.close()]))
  client.send(query(1, 'a.test'), query(2, 'b.test'), query(3, 'c.test'))
  await until(() => held.waiting.size === 3)
  held.release('b')
  await until(() => client.replies.length === 1)
  held.release('c')
  held.release('a')
  await until(() => client.replies.length === 3)
  t.same(client.replies.map(idOf), [2, 3, 1])
})

t.test('the answers of one turn are one write', async (t) => {
  const held = new Held()
  const o = options()
  o.responder.miss = held.miss
  const listener = await listenTcp(o)
  const client = await TcpClient.open(listener.port)
  t.teardown(() => Promise.all([client.socket.destroy(), listener.close()]))
  const { write } = Socket.prototype
  let writes = 0
  t.teardown(() => {
    Socket.prototype.write = write
  })
  Socket.prototype.write = function (this: Socket, ...args: unknown[]) {
    if (this.localPort === listener.port) writes++
    return Reflect.apply(write, this, args)
  } as typeof write
  client.send(query(1, 'a.test'), query(2, 'b.test'), query(3, 'c.test'))
  await until(() => held.waiting.size === 3)
  for (const label of ['a', 'b', 'c']) held.release(label)
  await until(() => client.replies.length === 3)
  t.equal(writes, 1)
})

t.test('queries of one connection in progress are bounded; the others wait and are answered', async (t) => {
  const held = new Held()
  const o = options({ limits: { inFlightPerConnection: 4 } })
  o.responder.miss = held.miss
  const listener = await listenTcp(o)
  const client = await TcpClient.open(listener.port)
  t.teardown(() => Promise.all([client.socket.destroy(), listener.close()]))
  client.send(...Array.from({ length: 20 }, (_, id) => query(id, `n${id}.test`)))
  await until(() => held.waiting.size === 4)
  await pause(30)
  t.equal(o.responder.asked.length, 4)
  for (let id = 0; id < 20; id++) {
    await until(() => held.waiting.has(`n${id}`))
    t.ok(held.waiting.size <= 4)
    held.release(`n${id}`)
  }
  await until(() => client.replies.length === 20)
  t.equal(new Set(client.replies.map(idOf)).size, 20)
})

t.test('a full listener answers SERVFAIL', async (t) => {
  const held = new Held()
  const o = options({ limits: { inFlight: 1 } })
  o.responder.miss = held.miss
  const listener = await listenTcp(o)
  const client = await TcpClient.open(listener.port)
  t.teardown(() => Promise.all([client.socket.destroy(), listener.close()]))
  client.send(query(1, 'a.test'), query(2, 'b.test'))
  await until(() => client.replies.length === 1)
  t.same(client.replies[0]?.subarray(0, 4), Buffer.of(0, 2, 0x81, 0x82))
  held.release('a')
  await until(() => client.replies.length === 2)
})

t.test('a client that sends FIN directly after the query still gets the answers, then the connection ends', async (t) => {
  const held = new Held()
  const o = options({ limits: { inFlightPerConnection: 1 } })
  o.responder.miss = held.miss
  const listener = await listenTcp(o)
  t.teardown(() => listener.close())
  const client = await TcpClient.open(listener.port)
  client.socket.end(Buffer.concat([framed(query(1, 'a.test')), framed(query(2, 'b.test')), Buffer.of(0, 40, 1)]))
  await until(() => held.waiting.has('a'))
  await pause(30)
  t.notOk(client.ended)
  held.release('a')
  await until(() => held.waiting.has('b'))
  held.release('b')
  await until(() => client.ended)
  t.same(client.replies.map(idOf), [1, 2])
})

t.test('a frame shorter than a header closes the connection', async (t) => {
  const listener = await listenTcp(options())
  t.teardown(() => listener.close())
  for (const length of [0, 1, 11]) {
    const client = await TcpClient.open(listener.port)
    client.socket.write(Buffer.concat([Buffer.of(0, length), Buffer.alloc(length)]))
    await until(() => client.ended || client.closed)
    t.same(client.replies, [])
    client.socket.destroy()
  }
})

for (const length of [0, 1, 11])
  t.test(`complete messages before an invalid frame (${length} octets) are answered, then the connection ends`, async (t) => {
    const broken = Buffer.concat([Buffer.of(0, length), Buffer.alloc(length)])
    for (const apart of [false, true]) {
      const held = new Held()
      const o = options({ limits: { inFlightPerConnection: 1 } })
      o.responder.hit = (packet) => (labelOf(packet) === 'hit' ? response(packet) : undefined)
      o.responder.miss = held.miss
      const listener = await listenTcp(o)
      const client = await TcpClient.open(listener.port)
      const good = [query(1, 'hit.test'), query(2, 'a.test'), query(3, 'b.test')].map(framed)
      if (apart) {
        client.socket.write(Buffer.concat(good))
        await until(() => held.waiting.has('a'))
        client.socket.write(broken)
      } else client.socket.write(Buffer.concat([...good, broken, framed(query(4, 'c.test'))]))
      await until(() => held.waiting.has('a'))
      await pause(20)
      t.notOk(client.ended)
      // What follows is read and dropped, whatever it is.
      client.send(query(5, 'd.test'))
      held.release('a')
      await until(() => held.waiting.has('b'))
      held.release('b')
      await until(() => client.ended)
      t.same(client.replies.map(idOf), [1, 2, 3])
      t.equal(o.responder.asked.length, 2, 'nothing behind the broken frame is asked')
      client.socket.destroy()
      await listener.close()
    }
  })

t.test('an invalid frame first, octet by octet', async (t) => {
  const listener = await listenTcp(options())
  const client = await TcpClient.open(listener.port)
  for (const octet of [0, 5]) {
    client.socket.write(Buffer.of(octet))
    await pause(10)
  }
  await until(() => client.ended || client.closed)
  t.same(client.replies, [])
  client.socket.destroy()
  await listener.close()
})

t.test('a client that is not allowed is closed without a reply', async (t) => {
  const o = options({ allowed: () => false })
  const listener = await listenTcp(o)
  t.teardown(() => listener.close())
  const client = await TcpClient.open(listener.port)
  client.send(query(1))
  await until(() => client.ended || client.closed)
  t.same(o.responder.seen, [])
  client.socket.destroy()
})

t.test('a client that disconnects mid-answer is freed, and the others are answered', async (t) => {
  const held = new Held()
  const o = options()
  o.responder.miss = held.miss
  const listener = await listenTcp(o)
  const gone = await TcpClient.open(listener.port)
  const stays = await TcpClient.open(listener.port)
  gone.send(query(1, 'gone.test'))
  stays.send(query(2, 'stays.test'))
  await until(() => held.waiting.size === 2)
  gone.socket.resetAndDestroy()
  await pause(30)
  held.release('gone')
  held.release('stays')
  await until(() => stays.replies.length === 1)
  t.same(stays.replies.map(idOf), [2])
  stays.socket.destroy()
  await listener.close()
})

t.test('close: answers queries in progress, reads nothing more, and frees the port', async (t) => {
  const held = new Held()
  const o = options()
  o.responder.miss = held.miss
  const listener = await listenTcp(o)
  const idle = await TcpClient.open(listener.port)
  const busy = await TcpClient.open(listener.port)
  busy.send(query(1, 'before.test'))
  await until(() => held.waiting.size === 1)
  const closed = listener.close()
  t.equal(listener.close(), closed)
  await until(() => idle.ended)
  busy.send(query(2, 'after.test'))
  await pause(30)
  t.notOk(held.waiting.has('after'))
  held.release('before')
  await until(() => busy.ended)
  t.same(busy.replies.map(idOf), [1])
  await closed
  const again = await listenTcp(options({ port: listener.port }))
  await again.close()
  idle.socket.destroy()
  busy.socket.destroy()
})

t.test('close: the drain limit ends queries without an answer', async (t) => {
  const o = options({ drainMs: 100 })
  o.responder.miss = () => new Promise(() => {})
  const listener = await listenTcp(o)
  const client = await TcpClient.open(listener.port)
  client.send(query(1))
  await until(() => o.responder.asked.length === 1)
  const keepAlive = setTimeout(() => {}, 5_000)
  await listener.close()
  clearTimeout(keepAlive)
  await until(() => client.closed || client.ended)
  t.same(client.replies, [])
  client.socket.destroy()
})

t.test('dig and kdig: 65,535 octets, and two questions on one connection', async (t) => {
  const o = options()
  o.responder.miss = async (packet) => response(packet, 65_535)
  const listener = await listenTcp(o)
  t.teardown(() => listener.close())
  const port = String(listener.port)
  t.test('dig', { skip: await missing('dig') }, async (t) => {
    const { out } = await run('dig', '+tcp', '+noedns', '+keepopen', '-p', port, '@127.0.0.1', 'a.test', 'TXT', 'b.test', 'TXT')
    t.equal(out.match(/MSG SIZE {2}rcvd: 65535/g)?.length, 2)
  })
  t.test('kdig', { skip: await missing('kdig') }, async (t) => {
    const { out } = await run('kdig', '+tcp', '+noedns', '-p', port, '@127.0.0.1', 'a.test', 'TXT')
    t.match(out, /Received 65535 B/)
  })
})

t.test('the reader of the test clients reads what the listener writes', (t) => {
  const frames: number[] = []
  t.ok(new FrameReader().push(Buffer.concat([framed(query(1)), framed(query(2))]), (frame) => frames.push(frame[1] ?? 0)))
  t.same(frames, [1, 2])
  t.end()
})
