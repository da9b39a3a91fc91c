import { createHook } from 'node:async_hooks'
import t from 'tap'
import type { Listener, ListenOptions } from '../../src/listen/listener.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { view } from '../support/rules.ts'
import { missing, run, UdpClient } from './clients.ts'
import { Held, labelOf, options, pause, query, response, until } from './fake-responder.ts'

const noPython = await missing('python3')

/** What every UDP listener owes, however it reads: `open` is the one under test. */
export function udpSuite(open: (options: ListenOptions) => Promise<Listener>): void {
  t.test('answers over IPv4 and IPv6, from memory and by asking', async (t) => {
    for (const address of ['127.0.0.1', '::1']) {
      const o = options({ address, view: () => view(7) })
      o.responder.hit = (packet) => (labelOf(packet) === 'hit' ? response(packet, 600) : undefined)
      const listener = await open(o)
      const client = new UdpClient(address)
      t.teardown(() => Promise.all([listener.close(), client.close()]))
      t.equal(listener.transport, 'udp')

      const hit = await client.ask(query(0x1234, 'hit.test'), listener.port)
      t.equal(hit.wire.readUInt16BE(0), 0x1234)
      t.equal(hit.wire.length, 600)
      t.equal(hit.from.address, address)
      t.same(o.responder.asked, [])
      const miss = await client.ask(query(0x4321, 'miss.test'), listener.port)
      t.equal(miss.wire.readUInt16BE(0), 0x4321)
      t.same(o.responder.asked, [{ address, transport: 'udp', view: 7 }])
      t.same(o.responder.seen, [
        { limit: 1232, view: 7 },
        { limit: 1232, view: 7 },
      ])
    }
  })

  t.test('one port on several addresses: each answers from itself', async (t) => {
    const first = await open(options({ address: '127.0.0.1' }))
    const second = await open(options({ address: '127.0.0.2', port: first.port }))
    const client = new UdpClient('127.0.0.1')
    t.teardown(() => Promise.all([first.close(), second.close(), client.close()]))
    t.equal((await client.ask(query(1), first.port, '127.0.0.1')).from.address, '127.0.0.1')
    t.equal((await client.ask(query(2), first.port, '127.0.0.2')).from.address, '127.0.0.2')
  })

  t.test('who may not ask gets silence, and the Responder never hears of it', async (t) => {
    const o = options({ allowed: (address) => address !== '127.0.0.1' })
    const listener = await open(o)
    const client = new UdpClient('127.0.0.1')
    t.teardown(() => Promise.all([listener.close(), client.close()]))
    client.send(query(1), listener.port)
    await pause(100)
    t.same(client.replies, [])
    t.same(o.responder.seen, [])
  })

  t.test('a dropped query gets no reply and leaves its budget to the next one', async (t) => {
    const o = options({ limits: { inFlight: 1 } })
    o.responder.miss = async (packet) => (labelOf(packet) === 'drop' ? undefined : response(packet))
    const listener = await open(o)
    const client = new UdpClient('127.0.0.1')
    t.teardown(() => Promise.all([listener.close(), client.close()]))
    client.send(query(1, 'drop.test'), listener.port)
    await until(() => o.responder.asked.length === 1)
    t.same((await client.ask(query(2), listener.port)).wire.subarray(0, 4), Buffer.of(0, 2, 0x81, 0x80))
    t.equal(client.replies.length, 1)
  })

  t.test('full: SERVFAIL at once, with the question, and budget again after an answer', async (t) => {
    const held = new Held()
    const o = options({ limits: { inFlight: 2 } })
    o.responder.miss = held.miss
    const listener = await open(o)
    const client = new UdpClient('127.0.0.1')
    t.teardown(() => Promise.all([listener.close(), client.close()]))
    client.send(query(1, 'a.test'), listener.port)
    client.send(query(2, 'b.test'), listener.port)
    const third = query(3, 'c.test')
    const { wire } = await client.ask(third, listener.port)
    t.same(wire.subarray(0, 12), Buffer.of(0, 3, 0x81, 0x82, 0, 1, 0, 0, 0, 0, 0, 0))
    t.same(wire.subarray(12), third.subarray(12))
    t.equal(o.responder.asked.length, 2)

    const answer = query(4, 'd.test')
    answer[2] = 0x81
    client.send(answer, listener.port)
    client.send(Buffer.alloc(11), listener.port)
    await pause(50)
    t.equal(client.replies.length, 1, 'a response and a fragment get nothing')

    held.release('a')
    held.release('b')
    await until(() => client.replies.length === 3)
    const later = client.ask(query(5, 'e.test'), listener.port)
    await until(() => held.waiting.has('e'))
    held.release('e')
    t.equal((await later).wire.readUInt16BE(0), 5)
  })

  t.test('replies in one turn do not overwrite each other', async (t) => {
    const o = options()
    o.responder.hit = (packet) => response(packet, 100 + (packet[1] ?? 0))
    const listener = await open(o)
    const client = new UdpClient('127.0.0.1')
    t.teardown(() => Promise.all([listener.close(), client.close()]))
    for (let id = 0; id < 200; id++) client.send(query(id), listener.port)
    await until(() => client.replies.length === 200)
    t.ok(client.replies.every(({ wire }) => wire.length === 100 + wire.readUInt16BE(0)))
    t.equal(new Set(client.replies.map(({ wire }) => wire.readUInt16BE(0))).size, 200)
  })

  t.test('the hit path makes no promise', async (t) => {
    const o = options()
    const reply = response(query(1))
    o.responder.hit = () => reply
    const listener = await open(o)
    const client = new UdpClient('127.0.0.1')
    t.teardown(() => Promise.all([listener.close(), client.close()]))
    await client.ask(query(1), listener.port)
    let promises = 0
    const hook = createHook({
      init: (_id, type) => {
        if (type === 'PROMISE') promises++
      },
    }).enable()
    await new Promise<void>((resolve) => {
      promises = 0
      for (let i = 0; i < 100; i++) client.send(query(i), listener.port)
      setTimeout(resolve, 200)
    })
    const made = promises
    hook.disable()
    t.equal(client.replies.length, 101)
    t.ok(made < 5, `${made} promises for 100 hits`)
  })

  t.test('close: what is in flight is answered, what comes after is not read', async (t) => {
    const held = new Held()
    const o = options()
    o.responder.miss = held.miss
    const listener = await open(o)
    const client = new UdpClient('127.0.0.1')
    t.teardown(() => client.close())
    client.send(query(1, 'before.test'), listener.port)
    await until(() => held.waiting.has('before'))
    const closed = listener.close()
    t.equal(listener.close(), closed, 'closing twice is closing once')
    await pause(50)
    client.send(query(2, 'after.test'), listener.port)
    await pause(50)
    t.notOk(held.waiting.has('after'))
    held.release('before')
    await closed
    await until(() => client.replies.length === 1)
    const again = await open(options({ port: listener.port }))
    await again.close()
  })

  t.test('close: the drain limit frees the port although an answer never comes; one that comes later harms nobody', async (t) => {
    const clock = new FakeClock()
    const held = new Held()
    const o = options({ clock, drainMs: 500 })
    o.responder.miss = held.miss
    const listener = await open(o)
    const client = new UdpClient('127.0.0.1')
    t.teardown(() => client.close())
    client.send(query(1, 'stuck.test'), listener.port)
    await until(() => held.waiting.has('stuck'))
    let done = false
    const closed = listener.close().then(() => {
      done = true
    })
    await clock.advance(499)
    t.notOk(done)
    await clock.advance(1)
    await closed
    t.equal(clock.timers, 0)
    held.release('stuck')
    await pause(20)
    t.same(client.replies, [])
    t.same(o.events, [])
  })

  t.test('a forged source port 0 is dropped', { skip: noPython || (process.getuid?.() !== 0 && 'needs root') }, async (t) => {
    const o = options()
    o.responder.hit = (packet) => response(packet)
    const listener = await open(o)
    const client = new UdpClient('127.0.0.1')
    t.teardown(() => Promise.all([listener.close(), client.close()]))
    const program = `
import socket, struct
q = bytes.fromhex('${query(1).toString('hex')}')
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
s.sendto(struct.pack('!HHHH', 0, ${listener.port}, 8 + len(q), 0) + q, ('127.0.0.1', 0))`
    const sent = await run('python3', '-c', program)
    t.equal(sent.code, 0, sent.out)
    await client.ask(query(2), listener.port)
    t.equal(o.responder.seen.length, 1)
  })

  t.test('dig and kdig', async (t) => {
    const o = options()
    o.responder.miss = async (packet) => response(packet, 400)
    const listener = await open(o)
    t.teardown(() => listener.close())
    const port = String(listener.port)
    t.test('dig', { skip: await missing('dig') }, async (t) => {
      const { out } = await run('dig', '+noedns', '+tries=1', '-p', port, '@127.0.0.1', 'example.test', 'TXT')
      t.match(out, /status: NOERROR/)
      t.match(out, /ANSWER: 1/)
      t.match(out, /MSG SIZE {2}rcvd: 400/)
    })
    t.test('kdig', { skip: await missing('kdig') }, async (t) => {
      const { out } = await run('kdig', '+noedns', '+retry=0', '-p', port, '@127.0.0.1', 'example.test', 'TXT')
      t.match(out, /status: NOERROR/)
    })
  })
}
