import { createSocket } from 'node:dgram'
import t from 'tap'
import { framed } from '../../src/dns/framing.ts'
import type { ListenOptions } from '../../src/listen/listener.ts'
import { listenTcp } from '../../src/listen/tcp.ts'
import { listenUdp } from '../../src/listen/udp.ts'
import { TcpClient } from './clients.ts'
import { options, pause, query, response, until } from './fake-responder.ts'

/** Each query takes a little while, as a miss does. */
function slow(overrides: Partial<ListenOptions> = {}) {
  const o = options(overrides)
  o.responder.miss = async (packet) => {
    await pause(10)
    return response(packet)
  }
  return o
}

t.test('TCP: a thousand pipelined before the shutdown, far more than may be in flight: all are answered', async (t) => {
  const listener = await listenTcp(slow())
  const client = await TcpClient.open(listener.port)
  client.socket.write(Buffer.concat(Array.from({ length: 1000 }, (_, i) => framed(query(i)))))
  await until(() => client.replies.length > 0)
  await listener.close()
  await until(() => client.ended)
  t.equal(client.replies.length, 1000)
})
t.test('TCP: connections with queries that are not accepted yet', async (t) => {
  const listener = await listenTcp(slow())
  const clients = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const client = await TcpClient.open(listener.port)
      client.send(query(i))
      return client
    }),
  )
  await listener.close()
  await until(() => clients.every((client) => client.ended))
  t.equal(clients.filter((client) => client.replies.length === 1).length, 20)
})
t.test('TCP: a client that never stops does not delay the shutdown', async (t) => {
  const listener = await listenTcp(slow({ drainMs: 200 }))
  const client = await TcpClient.open(listener.port)
  const more = setInterval(() => !client.socket.destroyed && client.send(query(1)), 1)
  await until(() => client.replies.length > 0)
  const began = performance.now()
  await listener.close()
  clearInterval(more)
  t.ok(performance.now() - began < 2000)
})
t.test('UDP with dgram: queries in the kernel are answered', async (t) => {
  const listener = await listenUdp(slow())
  const socket = createSocket('udp4')
  const seen = new Set<number>()
  socket.on('message', (reply) => seen.add(reply.readUInt16BE(0)))
  await new Promise<void>((resolve) => socket.connect(listener.port, '127.0.0.1', resolve))
  await Promise.all(Array.from({ length: 100 }, (_, i) => new Promise((resolve) => socket.send(query(i), resolve))))
  await listener.close()
  await until(() => seen.size === 100)
  socket.close()
  t.equal(seen.size, 100)
})
