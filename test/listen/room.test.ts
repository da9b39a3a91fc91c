import t from 'tap'
import { roomForClients } from '../../src/listen/room.ts'
import { listenTcp } from '../../src/listen/tcp.ts'
import { TcpClient } from './clients.ts'
import { options, pause, query, until } from './fake-responder.ts'

t.test('clients get what links, listeners and files leave', async (t) => {
  const needs = { endpoints: 1, resolvers: 2, workers: 1 }
  const small = roomForClients({ limit: 64, open: 22 }, needs)
  t.ok(small.size >= 16 && small.size <= 64 - 22 - 8 - 2, `${small.size} of 64`)
  t.equal(roomForClients({ limit: 24, open: 22 }, needs).size, 1, 'never none')
  t.ok(
    roomForClients({ limit: 1024, open: 22 }, { ...needs, resolvers: 1000 }).size > 900,
    'not every resolver of a long list is dialled at once',
  )
  t.ok(roomForClients({ limit: 64, open: 22 }, { ...needs, workers: 3 }).size < small.size)
  t.equal(roomForClients(undefined, needs).left, Number.MAX_SAFE_INTEGER)
})

t.test('one room for two listeners: the idle make room, the others are refused, and what ends gives its place back', async (t) => {
  const room = { size: 8, left: 8 }
  const [one, two] = [await listenTcp(options({ room })), await listenTcp(options({ room }))]
  const open = (port: number, count: number) => Promise.all(Array.from({ length: count }, () => TcpClient.open(port)))
  const first = await open(one.port, 6)
  await until(() => room.left === 2)
  const more = await open(one.port, 1)
  await until(() => first.concat(more).filter((c) => c.closed || c.ended).length === 1)
  t.equal(room.left, 2, 'one client of all has three quarters at most')
  const second = await open(two.port, 20)
  await until(() => second.filter((c) => c.closed || c.ended).length === 18)
  t.equal(room.left, 0)
  const alive = second.find((c) => !c.closed && !c.ended)
  alive?.send(query(7))
  await until(() => alive?.replies.length === 1)
  for (const client of [...first, ...more, ...second]) client.socket.destroy()
  await until(() => room.left === 8)
  await Promise.all([one.close(), two.close()])
  await pause(5)
  t.equal(room.left, 8)
})
