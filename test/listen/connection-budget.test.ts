import t from 'tap'
import { type BudgetedConnection, ConnectionBudget, clientConnectionBudget, connectionToClose } from '../../src/listen/connection-budget.ts'
import { listenTcp } from '../../src/listen/tcp.ts'
import { TcpClient } from './clients.ts'
import { Held, labelOf, options, pause, query, response, until } from './fake-responder.ts'

const opened = (port: number, count: number, from = '127.0.0.1') =>
  Promise.all(Array.from({ length: count }, () => TcpClient.open(port, '127.0.0.1', from)))

t.test('clients get the descriptors that links, listeners and files leave', async (t) => {
  const needs = { endpoints: 1, resolvers: 2, workers: 1 }
  const small = clientConnectionBudget({ limit: 64, open: 22 }, needs)
  t.ok(small.size >= 16 && small.size <= 64 - 22 - 8 - 2, `${small.size} of 64`)
  t.equal(clientConnectionBudget({ limit: 24, open: 22 }, needs).size, 1, 'never none')
  t.ok(
    clientConnectionBudget({ limit: 1024, open: 22 }, { ...needs, resolvers: 1000 }).size > 900,
    'not every resolver of a long list is dialled at once',
  )
  t.ok(clientConnectionBudget({ limit: 64, open: 22 }, { ...needs, workers: 3 }).size < small.size)
  t.equal(clientConnectionBudget(undefined, needs).left, Number.MAX_SAFE_INTEGER)
})

t.test('one budget for two listeners: idle connections make room, and an ended one frees its place', async (t) => {
  const budget = new ConnectionBudget(8)
  const [one, two] = [await listenTcp(options({ connectionBudget: budget })), await listenTcp(options({ connectionBudget: budget }))]
  const over = (c: TcpClient) => c.closed || c.ended
  const first = await opened(one.port, 6)
  await until(() => budget.left === 2)
  const more = await opened(one.port, 1)
  await until(() => first.concat(more).filter(over).length === 1)
  t.equal(budget.left, 2, 'one client of all has three quarters at most')
  const second = await opened(two.port, 20)
  await until(() => [...first, ...more, ...second].filter(over).length === 21)
  t.equal(budget.left, 2, 'wherever it comes')
  const alive = second.find((c) => !over(c))
  alive?.send(query(7))
  await until(() => alive?.replies.length === 1)
  const other = await opened(two.port, 2, '127.0.0.2')
  await until(() => budget.left === 0)
  const third = await opened(two.port, 1, '127.0.0.3')
  await until(() => [...first, ...more, ...second].filter(over).length === 22)
  t.notOk([...other, ...third].some(over), 'the one that holds the most gives way, on whichever listener')
  for (const client of [...first, ...more, ...second, ...other, ...third]) client.socket.destroy()
  await until(() => budget.left === 8)
  await Promise.all([one.close(), two.close()])
  await pause(5)
  t.equal(budget.left, 8)
})

const connection = (client: string, progressMs: number, idle = true): BudgetedConnection => ({ client, progressMs, idle, destroy() {} })

t.test(
  'which connection is closed: one of the client that holds the most, idle ones first, then the longest without progress',
  async (t) => {
    const [a1, a2, a3] = [connection('a', 30, false), connection('a', 20, false), connection('a', 40)]
    const [b1, b2] = [connection('b', 1), connection('b', 2, false)]
    t.equal(connectionToClose([a1, b1, a2, b2, a3], 'c'), a3, 'idle')
    t.equal(connectionToClose([a1, b1, a2, b2, connection('a', 40, false)], 'c'), a2, 'none idle: the longest without progress')
    t.equal(connectionToClose([a1, b1, a2, b2, a3], 'b'), a3, 'one that holds less')
    t.equal(connectionToClose([a1, b1, a2, b2, a3], 'a'), a3, 'its own, where it is idle')
    t.equal(connectionToClose([a1, a2, b1], 'a'), undefined, 'no busy one for one of the same client')
    t.equal(connectionToClose([a1, a2], 'a'), undefined)
    t.equal(connectionToClose([b2, a1], 'c'), b2, 'a newcomer is let in whoever is there')
    t.equal(connectionToClose([b2, a1, connection('c', 0, false)], 'c'), undefined)
    t.equal(connectionToClose([], 'a'), undefined)
  },
)

t.test('five addresses hold every connection, with unanswered questions: a sixth gets in', async (t) => {
  const o = options({ limits: { connections: 20, connectionsPerClient: 4 } })
  const held = new Held()
  o.responder.miss = (packet) => (labelOf(packet).startsWith('slow') ? held.miss(packet) : Promise.resolve(response(packet)))
  const listener = await listenTcp(o)
  const over = (c: TcpClient) => c.closed || c.ended
  const five: TcpClient[] = []
  for (let host = 2; host < 7; host++) five.push(...(await opened(listener.port, 4, `127.0.0.${host}`)))
  for (const [i, client] of five.entries()) client.send(query(1, `slow${i}.test`))
  await until(() => o.responder.asked.length === 20)
  t.equal(five.filter(over).length, 0)
  const sixth = await opened(listener.port, 4, '127.0.0.7')
  for (const client of sixth) client.send(query(2))
  await until(() => sixth.every((c) => c.replies.length === 1))
  await until(() => five.filter(over).length === 4)
  const most = Math.max(...[0, 4, 8, 12, 16].map((at) => five.slice(at, at + 4).filter(over).length))
  t.ok(most <= 1, 'each of the five gave one')
  for (const client of [...five, ...sixth]) client.socket.destroy()
  for (const label of [...held.waiting.keys()]) held.release(label)
  await listener.close()
})

t.test('too many unread answers: the client that holds the most loses a connection, and not the one that asks', async (t) => {
  const o = options({ limits: { totalUnreadOctets: 8 << 20, unreadOctets: 1 << 20 } })
  const reply = response(query(1), 65_535)
  o.responder.hit = () => reply
  const listener = await listenTcp(o)
  const mute = await opened(listener.port, 10, '127.0.0.2')
  for (const { socket } of mute) socket.pause()
  const [other] = await opened(listener.port, 1, '127.0.0.3')
  const frames = Array.from({ length: 300 }, () => query(1))
  for (const client of mute) client.send(...frames)
  for (let i = 0; i < 20; i++) {
    other?.send(query(2))
    await until(() => other?.replies.length === i + 1)
  }
  t.notOk(other?.closed || other?.ended)
  await pause(200)
  for (const { socket } of mute) socket.resume()
  await until(() => mute.some((c) => c.closed || c.ended))
  for (const client of [...mute, ...(other === undefined ? [] : [other])]) client.socket.destroy()
  await listener.close()
})
