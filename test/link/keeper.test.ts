import { createServer, type Socket } from 'node:net'
import t from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { startDoh } from '../support/doh-server.ts'
import { startDot } from '../support/dot-server.ts'
import { codeOf, endpointAt, linkTo, NAME, pause } from '../support/link-rig.ts'
import { query } from '../support/messages.ts'
import { replyTo } from '../support/replies.ts'

const authority = await createAuthority()
const identity = await authority.issue({ name: NAME })
const { certificate: ca } = authority

t.test('a server that goes away and returns: refused, then backoff, then answered again', async (t) => {
  for (const [transport, start] of [['dot', startDot] as const, ['doh', startDoh] as const]) {
    const first = await start({ identity, answer: (q) => replyTo(q) })
    const { link, ask, events } = linkTo(endpointAt(first.port, { ca }), transport)
    t.equal(await codeOf(ask(query())), 'answered')
    await first.close()
    await pause(10)
    for (let i = 0; i < 20; i++) t.equal(await codeOf(ask(query())), 'connect-refused')
    const failed = events.filter((e) => e.type === 'link.failed').length
    t.ok(failed <= 4, `${failed} dials for 20 queries`)
    const second = await start({ identity, port: first.port, answer: (q) => replyTo(q) })
    const goneMs = performance.now()
    while ((await codeOf(ask(query()))) !== 'answered') await pause(10)
    t.ok(performance.now() - goneMs < 1100, 'found within a second of its return')
    await link.close()
    await second.close()
  }
})

t.test('half-open: the peer vanishes between queries; answered within 300 ms and a handshake', async (t) => {
  for (const [transport, start] of [['dot', startDot] as const, ['doh', startDoh] as const]) {
    const server = await start({ identity, answer: (q) => replyTo(q) })
    const pipes = new Set<{ a: Socket; b: Socket; dark: boolean }>()
    const middle = createServer((a) => {
      const b = new (a.constructor as typeof Socket)()
      b.connect(server.port, '127.0.0.1')
      const pipe = { a, b, dark: false }
      pipes.add(pipe)
      a.on('data', (d) => pipe.dark || b.write(d))
        .on('error', () => {})
        .on('close', () => b.destroy())
      b.on('data', (d) => pipe.dark || a.write(d))
        .on('error', () => {})
        .on('close', () => a.destroy())
    })
    await new Promise<void>((resolve) => middle.listen(0, '127.0.0.1', resolve))
    const address = middle.address()
    const { link, ask, count } = linkTo(endpointAt(typeof address === 'object' ? (address?.port ?? 0) : 0, { ca }), transport)
    t.equal(await codeOf(ask(query())), 'answered')
    for (const pipe of pipes) pipe.dark = true
    const startMs = performance.now()
    t.equal(await codeOf(ask(query())), 'answered')
    const tookMs = performance.now() - startMs
    t.ok(tookMs > 190 && tookMs < 500, `${transport}: ${Math.round(tookMs)} ms`)
    const laterMs = performance.now()
    t.equal(await codeOf(ask(query())), 'answered')
    t.ok(performance.now() - laterMs < 100, 'the next one does not use that connection')
    t.equal(count('link.up'), 2)
    await link.close()
    middle.close()
    await server.close()
  }
})

t.test('a resolver that accepts TCP and sends nothing: connect-timeout at 3 s, found within a second of its return', async (t) => {
  let dark = true
  const server = await startDot({ identity, answer: (q) => replyTo(q) })
  const open = new Set<Socket>()
  const middle = createServer((a) => {
    open.add(a)
    a.on('error', () => {})
    if (dark) return
    const b = new (a.constructor as typeof Socket)()
    b.connect(server.port, '127.0.0.1')
    b.on('error', () => {})
    a.pipe(b).pipe(a)
    a.on('close', () => b.destroy())
  })
  await new Promise<void>((resolve) => middle.listen(0, '127.0.0.1', resolve))
  const address = middle.address()
  const { link, ask } = linkTo(endpointAt(typeof address === 'object' ? (address?.port ?? 0) : 0, { ca }), 'dot')
  const startMs = performance.now()
  const outcome = codeOf(ask(query()))
  await pause(1500)
  const passedMs = performance.now() - startMs
  t.equal(open.size, 1, 'TCP is up: nothing more is dialled for 2 s')
  dark = false
  t.equal(await outcome, 'answered')
  t.ok(performance.now() - startMs < passedMs + 1200, 'found within a second of its return')
  await link.close()
  for (const socket of open) socket.destroy()
  middle.close()
  await server.close()
})

t.test('renew: a new connection with a full handshake, nothing resumed', async (t) => {
  const server = await startDot({ identity, answer: (q) => replyTo(q) })
  const { link, ask, sessions } = linkTo(endpointAt(server.port, { ca }), 'dot')
  await ask(query())
  await pause(30)
  t.ok(sessions.size > 0)
  link.renew(true)
  t.equal(sessions.size, 0)
  t.match((await ask(query())).protection, { authenticated: true, resumed: false })
  t.equal(server.counts.handshakes, 2)
  await link.close()
  await server.close()
})
