import { constants } from 'node:http2'
import t from 'tap'
import { createAuthority } from '../../../src/demo/authority.ts'
import { nodeH2Carrier } from '../../support/doh-h2.ts'
import { type DohOptions, startDoh } from '../../support/doh-server.ts'
import { codeOf, endpointAt, linkTo, NAME, pause } from '../../support/link-rig.ts'
import { query } from '../../support/messages.ts'
import { replyTo } from '../../support/replies.ts'

const authority = await createAuthority()
const identity = await authority.issue({ name: NAME })
const TYPE = 'application/dns-message'
const numbered = (n: number) => query({ name: `n${n}.example.com`, id: n })

for (const [client, carrier] of [
  ['lean', undefined],
  ['node', nodeH2Carrier],
] as const) {
  const h2 = async (answer: DohOptions['answer'], more: Partial<DohOptions> = {}) => {
    const server = await startDoh({ identity, answer, ...more })
    const rig = linkTo(endpointAt(server.port, { ca: authority.certificate }), 'doh', { h2: carrier })
    const end = async () => {
      await rig.link.close()
      await server.close()
    }
    return { ...rig, server, end }
  }

  t.test(`${client}: GOAWAY with last-id 0: every query moves to one new session`, async (t) => {
    const settings = Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0)
    const goaway = Uint8Array.of(0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // NO_ERROR, last stream 0: Node's own server cannot say it
    const { ask, end, server, count } = await h2((q) => replyTo(q), {
      raw: (socket, number) => {
        if (number > 1) return false
        socket.write(settings)
        let octets = 0
        socket.on('data', (chunk) => {
          const before = octets
          octets += chunk.length
          if (before < 500 && octets >= 500) socket.write(goaway) // amid the requests
        })
        return true
      },
    })
    const outcomes = await Promise.all(Array.from({ length: 20 }, (_, i) => codeOf(ask(numbered(i)))))
    t.same(new Set(outcomes), new Set(['answered']))
    t.equal(server.counts.requests, 20)
    t.equal(server.counts.connections, 1, 'besides the one that went away')
    t.equal(count('link.failed'), 0)
    await end()
  })

  t.test(`${client}: GOAWAY every 100 streams: all answered, one handshake each`, async (t) => {
    const { ask, end, server, count } = await h2((q, peer) => {
      if (peer.requests === 100) peer.session?.close()
      return peer.requests > 100 ? undefined : replyTo(q)
    })
    let answered = 0
    for (let i = 0; i < 50; i++) {
      const outcomes = await Promise.all(Array.from({ length: 20 }, (_, j) => codeOf(ask(numbered(i * 20 + j)))))
      answered += outcomes.filter((code) => code === 'answered').length
    }
    t.equal(answered, 1000)
    t.ok(server.counts.connections <= 12, `${server.counts.connections} sessions`)
    t.equal(count('link.failed'), 0)
    await end()
  })

  t.test(`${client}: GOAWAY with an error: requests in flight are retried once`, async (t) => {
    const { ask, end, server } = await h2((q, peer) => {
      if (peer.connection > 1) return replyTo(q)
      peer.session?.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM)
      return undefined
    })
    t.equal(await codeOf(ask(query())), 'answered')
    t.equal(server.counts.connections, 2)
    await end()
  })

  t.test(`${client}: REFUSED_STREAM and one stream at a time: queued, all answered on one session`, async (t) => {
    const refusing = await h2((q, peer) => {
      if (peer.requests > 3) return replyTo(q)
      peer.stream?.close(constants.NGHTTP2_REFUSED_STREAM)
      return undefined
    })
    t.same(await Promise.all([codeOf(refusing.ask(query())), codeOf(refusing.ask(query()))]), ['answered', 'answered'])
    t.equal(refusing.server.counts.connections, 1)
    await refusing.end()
    let open = 0
    let most = 0
    const single = await h2(
      async (q) => {
        most = Math.max(most, ++open)
        await pause(1)
        open--
        return replyTo(q)
      },
      { http2: { settings: { maxConcurrentStreams: 1 } } },
    )
    const outcomes = await Promise.all(Array.from({ length: 300 }, (_, i) => codeOf(single.ask(numbered(i)))))
    t.equal(outcomes.filter((code) => code === 'answered').length, 300)
    t.equal(single.server.counts.connections, 1)
    t.equal(most, 1)
    await single.end()
  })

  t.test(`${client}: a server that refuses every stream: fails after a bounded number of tries`, async (t) => {
    const { ask, end, server } = await h2((_, peer) => peer.stream?.close(constants.NGHTTP2_REFUSED_STREAM) as undefined)
    t.equal(await codeOf(ask(query())), 'connection-lost')
    t.ok(server.counts.requests <= 100, `${server.counts.requests} requests`)
    await end()
  })

  t.test(`${client}: a reset stream is retried once on the same session`, async (t) => {
    const { ask, end, server } = await h2((q, peer) => {
      if (peer.requests > 1) return replyTo(q)
      peer.stream?.close(constants.NGHTTP2_INTERNAL_ERROR)
      return undefined
    })
    t.equal(await codeOf(ask(query())), 'answered')
    t.equal(server.counts.requests, 2)
    t.equal(server.counts.connections, 1)
    await end()
  })

  t.test(`${client}: a session that dies with queries in flight: each is retried once`, async (t) => {
    const { ask, end, server } = await h2((q, peer) => {
      if (peer.connection > 1) return replyTo(q)
      if (peer.requests === 20) peer.session?.destroy()
      return undefined
    })
    const outcomes = await Promise.all(Array.from({ length: 20 }, (_, i) => codeOf(ask(numbered(i)))))
    t.same(new Set(outcomes), new Set(['answered']))
    t.equal(server.counts.connections, 2)
    await end()
  })

  t.test(`${client}: a slow answer on a live session raises no suspicion: PING is answered`, async (t) => {
    const { ask, end, server } = await h2(async (q) => {
      await pause(900)
      return replyTo(q)
    })
    t.equal(await codeOf(ask(query())), 'answered')
    t.equal(server.counts.connections, 1)
    t.equal(server.counts.requests, 1)
    await end()
  })

  t.test(`${client}: push is off, and a pushed stream harms nothing`, async (t) => {
    let enabled: boolean | undefined
    const { ask, end } = await h2((q, peer) => {
      enabled = peer.session?.remoteSettings?.enablePush
      return replyTo(q)
    })
    t.equal(await codeOf(ask(query())), 'answered')
    t.equal(enabled, false)
    await end()
  })

  t.test(`${client}: a body in single octets, one every 100 ms: cut at the deadline, others not affected`, async (t) => {
    const { ask, end, server } = await h2(async (q, peer) => {
      if (peer.requests > 1) return replyTo(q)
      peer.stream?.respond({ ':status': 200, 'content-type': TYPE })
      for (const octet of replyTo(q)) {
        if (peer.stream?.destroyed) return undefined
        peer.stream?.write(Uint8Array.of(octet))
        await pause(100)
      }
      return undefined
    })
    const slow = codeOf(ask(query(), 500))
    await pause(50)
    for (let i = 0; i < 5; i++) t.equal(await codeOf(ask(query(), 250)), 'answered')
    t.equal(await slow, 'deadline')
    t.equal(server.counts.connections, 1)
    await end()
  })

  t.test(`${client}: octets that are not HTTP/2, malformed frames: only the session ends`, async (t) => {
    const settings = [0, 0, 0, 4, 0, 0, 0, 0, 0]
    const says: [string, number[]][] = [
      ['text', [...Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')]],
      ['a frame longer than agreed', [...settings, 255, 255, 255, 0, 0, 0, 0, 0, 1]],
      ['headers that HPACK cannot read', [...settings, 0, 0, 4, 1, 4, 0, 0, 0, 1, 255, 255, 255, 255]],
      ['a response on a stream that nobody opened', [...settings, 0, 0, 1, 1, 5, 0, 0, 0, 99, 0x88]],
      ['a push', [...settings, 0, 0, 5, 5, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0x82]],
      ['10,000 pings', [...settings, ...Array.from({ length: 10_000 }, () => [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).flat()]],
    ]
    for (const [what, octets] of says) {
      const { ask, end } = await h2((q) => replyTo(q), {
        raw: (socket, number) => {
          if (number > 1) return false
          socket.once('data', () => setImmediate(() => socket.write(Uint8Array.from(octets))))
          return true
        },
      })
      t.match(await codeOf(ask(query(), 1500)), /^(answered|connection-lost)$/, what)
      t.equal(await codeOf(ask(query())), 'answered', `${what}: the next is answered`)
      await end()
    }
  })
}
