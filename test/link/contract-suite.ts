import t, { type Test } from 'tap'
import { idOf, setId } from '../../src/dns/message.ts'
import type { Event } from '../../src/events.ts'
import type { StrictEndpoint } from '../../src/link/dial/endpoint.ts'
import { TRANSPORTS } from '../../src/transports.ts'
import { codeOf, pause } from '../support/link-rig.ts'
import { addressRecord, replyTo } from '../support/replies.ts'
import {
  type Answer,
  type Asked,
  endpointOf,
  KINDS,
  type Kind,
  linkOf,
  proofOf,
  type Server,
  serve,
  type Via,
  WAYS,
  type Way,
} from './contract-rig.ts'

/**
 * What `Link` and `ScheduledLink` (src/resolve.ts) promise, of each link over everything that
 * carries it, to real TLS servers.
 */
interface Scene {
  readonly kind: Kind
  readonly way: Way
  /** Where a server at this port is, with the route to it. */
  endpointAt(port: number): StrictEndpoint
  /** A server that does what `answer` says, and a link to it. */
  start(answer: Answer): Promise<{ readonly server: Server } & Asked>
}

const types = (events: readonly Event[]) => events.map(({ type }) => type)
const count = (events: readonly Event[], type: Event['type']) => types(events).filter((one) => one === type).length
const answered: Answer = (q) => replyTo(q, [addressRecord()])
const isFor = (q: Uint8Array, name: string) => Buffer.from(q).toString('latin1').includes(name)
/** Those whose connections a server can end. */
const CONNECTED = WAYS.filter(({ connectionless }) => connectionless !== true)
/** A promise and its end. */
function gate() {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}
async function until(true_: () => boolean): Promise<void> {
  for (let i = 0; !true_() && i < 1000; i++) await pause(2)
}

/**
 * Tests every promise over `via`: a link must not show whether there are hops on the way.
 */
export function linkContract(via: Via): void {
  function promise(what: string, test: (t: Test, scene: Scene) => Promise<void>, ways: readonly Way[] = WAYS): void {
    for (const kind of KINDS) {
      for (const way of ways.filter(
        ({ cells, transport }) => (cells || kind === 'on demand') && (via.name === 'directly' || !TRANSPORTS[transport].datagrams),
      )) {
        t.test(`${what}: ${way.name}, ${kind}, ${via.name}`, async (t) => {
          const { route, close } = await via.open()
          // A link that waits for its next dial keeps no process alive.
          const alive = setInterval(() => {}, 1000)
          t.teardown(() => {
            clearInterval(alive)
            return close()
          })
          await test(t, {
            kind,
            way,
            endpointAt: (port) => endpointOf(port, way, route),
            start: async (answer) => {
              const server = await serve(way, answer)
              const asked = linkOf(kind, way, endpointOf(server.port, way, route))
              t.teardown(async () => {
                await asked.link.close()
                await server.close()
              })
              return { server, ...asked }
            },
          })
        })
      }
    }
  }

  promise('nothing is dialled before it is needed, and one connection serves all', async (t, { start, way }) => {
    const { server, ask, events } = await start(answered)
    await pause(30)
    t.equal(server.counts.tcp, 0)
    for (let i = 0; i < 10; i++) await ask(`n${i}.example`)
    t.equal(server.counts.tcp, 1)
    t.equal(server.counts.queries, 10)
    t.strictSame(types(events), ['link.up'])
    t.match(events[0], {
      type: 'link.up',
      resolver: 'test',
      address: '127.0.0.1',
      protection: { authenticated: true, by: proofOf(way).by },
    })
    t.ok(events[0]?.type === 'link.up' && events[0].handshakeMs > 0)
  })

  promise('a reply comes whole, under the ID of the request, which is not changed', async (t, { start, way }) => {
    const { askWith, requestFor } = await start(answered)
    for (const id of [0, 0x1234, 0xffff]) {
      const request = requestFor('www.example')
      setId(request, id)
      const before = Buffer.from(request)
      const { wire, rttMs, protection } = await askWith(request)
      t.same(Buffer.from(wire), Buffer.from(replyTo(before, [addressRecord()])))
      t.same(Buffer.from(request), before)
      t.ok(rttMs > 0 && rttMs < 2000)
      t.match(protection, { authenticated: true, by: proofOf(way).by })
    }
  })

  promise('concurrent calls are fine: each finds its own answer, in whatever order they come', async (t, { start }) => {
    let waits = 0
    const { ask, server } = await start(async (q) => {
      await pause(((waits++ * 7) % 13) * 2)
      return replyTo(q, [addressRecord()])
    })
    const names = Array.from({ length: 24 }, (_, i) => `n${i}.example`)
    const wires = await Promise.all(names.map((name) => ask(name).then(({ wire }) => wire)))
    for (const [i, name] of names.entries()) t.ok(isFor(wires[i] ?? new Uint8Array(0), name.split('.')[0] ?? ''), name)
    t.equal(server.counts.tcp, 1)
  })

  promise(
    'what does not match is counted: passed over where replies have IDs, else it fails its request at once',
    async (t, { start, way }) => {
      for (const wrong of [(q: Uint8Array) => withId(replyTo(q), idOf(q) ^ 1), (q: Uint8Array) => replyTo(q, [], 0x0100)]) {
        const { ask, events } = await start((q) => wrong(q))
        const beganMs = performance.now()
        t.equal(await codeOf(ask('www.example', { ms: 400 })), way.byId ? 'deadline' : 'reply-mismatch')
        t.equal(performance.now() - beganMs > 350, way.byId)
        t.equal(count(events, 'link.mismatch'), 1)
      }
    },
  )

  promise("a deadline is kept, and what comes late for it is nobody's", async (t, { start, way }) => {
    const late = gate()
    const { ask, events, server } = await start(async (q) => {
      if (isFor(q, 'slow')) await late.opened
      return replyTo(q, [addressRecord()])
    })
    await ask('www.example')
    const beganMs = performance.now()
    t.equal(await codeOf(ask('slow.example', { ms: 150 })), 'deadline')
    const tookMs = performance.now() - beganMs
    t.ok(tookMs > 140 && tookMs < 1000, `${Math.round(tookMs)} ms`)
    late.open()
    await pause(20)
    const { wire } = await ask('www.example')
    t.ok(isFor(wire, 'www'))
    t.equal(count(events, 'link.mismatch'), 0)
    t.equal(server.counts.tcp, way.parallel ? 1 : 2, 'over HTTP/1.1 it costs the connection')
  })

  promise(
    'a connection that dies: asked once more on a fresh one, or under a schedule not by itself',
    async (t, { start, kind }) => {
      const { ask, server, events } = await start((q, peer) => {
        if (!isFor(q, 'first') || peer.connection > 1) return replyTo(q, [addressRecord()])
        peer.kill()
        return undefined
      })
      await ask('www.example')
      t.equal(await codeOf(ask('first.example')), kind === 'on demand' ? 'answered' : 'connection-lost')
      t.equal(server.counts.queries, kind === 'on demand' ? 3 : 2)
      t.equal(await codeOf(ask('www.example')), 'answered')
      t.equal(count(events, 'link.down'), 1)
      t.equal(server.counts.tcp, 2)
    },
    CONNECTED,
  )

  promise(
    'a query that kills every connection is written twice at most, then fails; the next is answered',
    async (t, { start, kind }) => {
      let killed = 0
      const { ask } = await start((q, peer) => {
        if (!isFor(q, 'poison')) return replyTo(q, [addressRecord()])
        killed++
        peer.kill()
        return undefined
      })
      await ask('www.example')
      t.equal(await codeOf(ask('poison.example')), 'connection-lost')
      t.equal(killed, kind === 'on demand' ? 2 : 1)
      let code = ''
      for (let i = 0; code !== 'answered' && i < 100; i++)
        code = await codeOf(ask('www.example').catch((error) => pause(20).then(() => Promise.reject(error))))
      t.equal(code, 'answered')
    },
    CONNECTED,
  )

  promise('close lets what is in flight finish, and then takes nothing', async (t, { start }) => {
    const held = gate()
    const { ask, link, server, events } = await start(async (q) => {
      if (isFor(q, 'held')) await held.opened
      return replyTo(q, [addressRecord()])
    })
    await ask('www.example')
    const last = codeOf(ask('held.example'))
    await until(() => server.counts.queries === 2)
    let closed = false
    const close = link.close().then(() => (closed = true))
    await pause(30)
    t.notOk(closed)
    t.equal(await codeOf(ask('www.example')), 'closed')
    held.open()
    t.equal(await last, 'answered')
    await close
    t.strictSame(types(events), ['link.up', 'link.down'])
    t.match(events[1], { code: 'closed' })
    t.equal(await codeOf(ask('www.example')), 'closed')
    t.equal(server.counts.queries, 2)
    await link.close()
  })

  promise('close waits no longer than the deadlines', async (t, { start }) => {
    const { ask, link } = await start((q) => (isFor(q, 'silent') ? undefined : replyTo(q)))
    await ask('www.example')
    const last = codeOf(ask('silent.example', { ms: 200 }))
    await pause(20)
    const beganMs = performance.now()
    await link.close()
    t.ok(performance.now() - beganMs < 1000)
    t.equal(await last, 'deadline')
  })

  promise('closed before it was used, it never dials', async (t, { start }) => {
    const { ask, link, server } = await start(answered)
    await link.close()
    t.equal(await codeOf(ask('www.example')), 'closed')
    t.equal(server.counts.tcp, 0)
  })

  promise(
    'another network: another connection, no session that joins them; what is in flight goes on, or fails under a schedule',
    async (t, { start, kind }) => {
      const { ask, link, events, server } = await start((q, peer) => (isFor(q, 'held') && peer.connection === 1 ? undefined : replyTo(q)))
      await ask('www.example')
      await pause(20)
      const held = codeOf(ask('held.example'))
      await until(() => server.counts.queries === 2)
      link.renew(true)
      t.equal(await held, kind === 'on demand' ? 'answered' : 'connection-lost')
      t.equal(await codeOf(ask('www.example')), 'answered')
      t.equal(server.counts.tcp, 2)
      const ups = events.filter((event) => event.type === 'link.up')
      t.strictSame(
        ups.map(({ protection }) => protection.resumed),
        [false, false],
      )
    },
  )

  promise("somebody else's certificate: told by its code, and not one query is written", async (t, { start, way }) => {
    const { ask, server, events } = await start(answered)
    server.impersonate()
    t.equal(await codeOf(ask('www.example')), proofOf(way).stranger)
    t.equal(server.counts.queries, 0)
    t.match(events, [{ type: 'link.failed', code: proofOf(way).stranger }])
  })

  promise(
    'nobody there: told at once, also while it backs off, and found again within a second of its return',
    async (t, { start, kind, way, endpointAt }) => {
      const { server } = await start(answered)
      await server.close()
      const { ask, link, events } = linkOf(kind, way, endpointAt(server.port))
      const beganMs = performance.now()
      for (let i = 0; i < 20; i++) t.equal(await codeOf(ask('www.example')), via.refused)
      t.ok(performance.now() - beganMs < 1000)
      t.ok(count(events, 'link.failed') <= 5, `${count(events, 'link.failed')} dials for 20 queries`)
      const again = await serve(way, answered, server.port)
      const backMs = performance.now()
      while ((await codeOf(ask('www.example'))) !== 'answered') await pause(10)
      t.ok(performance.now() - backMs < 1300, 'found again')
      await link.close()
      await again.close()
    },
  )

  promise('a query that nobody needs any more is not written', async (t, { start }) => {
    const { ask, server } = await start(answered)
    let looked = 0
    const mayLeave = () => {
      looked++
      return false
    }
    t.equal(await codeOf(ask('www.example', { mayLeave })), 'closed')
    t.equal(server.counts.queries, 0)
    t.equal(looked, 1)
    t.equal(await codeOf(ask('www.example', { mayLeave: () => true })), 'answered')
  })

  promise('what is not offered is not dialled', async (t, { kind, way, endpointAt }) => {
    const { dot: _dot, doh: _doh, odoh: _odoh, dnscrypt: _dnscrypt, doq: _doq, ...nowhere } = endpointAt(1)
    const { ask, link, events } = linkOf(kind, way, nowhere)
    t.equal(await codeOf(ask('www.example')), 'connect-failed')
    t.match(events, [{ type: 'link.failed', code: 'connect-failed' }])
    await link.close()
  })
}

function withId(message: Uint8Array, id: number): Uint8Array {
  setId(message, id)
  return message
}
