import { X509Certificate } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { systemClock, systemRandom } from '../../../src/clock.ts'
import { createAuthority } from '../../../src/demo/authority.ts'
import { framed } from '../../../src/dns/framing.ts'
import { createLink } from '../../../src/link/create-link.ts'
import { tlsSessions } from '../../../src/link/dial/sessions.ts'
import { openTransport } from '../../../src/link/transports.ts'
import type { QuicConnection, QuicOptions, QuicStream } from '../../../src/quic.ts'
import { codeOf, endpointAt, NAME, pause } from '../../support/link-rig.ts'
import { exchange } from '../../support/links.ts'
import { query } from '../../support/messages.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'
import { freePace } from '../../support/rules.ts'

/** What a library or a peer may do in a callback, where a throw would end the process. */

function thrown(): never {
  throw new Error('OpenSSL has no memory for a connection')
}

/** A peer that answers each datagram, and a connection that waits for it. */
async function dialled(t: Test, connect: (options: QuicOptions) => Partial<QuicConnection>) {
  const peer = createSocket('udp4').on('message', (_, { port, address }) => peer.send('reply', port, address))
  peer.bind(0, '127.0.0.1')
  await once(peer, 'listening')
  t.teardown(() => peer.close())
  const clock = systemClock()
  const { port } = peer.address()
  let closed = 0
  const silent: QuicConnection = {
    ...{ receive: () => {}, drive: () => {}, timeoutMs: () => undefined, handshake: () => 'more' },
    ...{ request: () => undefined, readable: () => [], ended: () => undefined, close: () => void closed++ },
  }
  const quic = {
    connect(options: QuicOptions) {
      const connection = { ...silent, ...connect(options) }
      options.send(Buffer.from('first'))
      return connection
    },
  }
  const endpoint = endpointAt(port, { ca: '', doq: { port } })
  const opened = openTransport(endpoint, 'doq', { clock, sessions: tlsSessions(clock), pace: freePace(clock), quic: async () => quic })
  const code = await codeOf(opened)
  await pause(10)
  return { code, closed }
}

/** A peer that allows so many streams in the life of a connection, of which some never end. */
async function frugal(t: Test, o: { readonly streams: number; readonly mute?: (number: number) => boolean }) {
  const peer = createSocket('udp4').on('message', (_, { port, address }) => peer.send('reply', port, address))
  peer.bind(0, '127.0.0.1')
  await once(peer, 'listening')
  const authority = await createAuthority()
  const { cert } = await authority.issue({ name: NAME })
  const session = { cipher: 'x', group: undefined, verifyResult: 0, chain: [new X509Certificate(cert).raw] }
  let connections = 0
  let asked = 0
  const quic = {
    connect({ send }: QuicOptions): QuicConnection {
      connections++
      let left = o.streams
      const streams: QuicStream[] = []
      return {
        ...{ receive: () => {}, drive: () => {}, timeoutMs: () => undefined, handshake: () => session, ended: () => undefined },
        readable: () => [...streams],
        close: () => {},
        request(octets) {
          if (left === 0) return undefined
          left--
          const parts = o.mute?.(asked++) === true ? [] : [framed(replyTo(octets.subarray(2), [addressRecord()])), 'end' as const]
          send(Buffer.from('a query'))
          const stream = { read: () => parts.shift() ?? 'more', free: () => void streams.splice(streams.indexOf(stream), 1) }
          streams.push(stream)
          return stream
        },
      }
    },
  }
  const clock = systemClock()
  const { port } = peer.address()
  const { dot: _dot, doh: _doh, ...bare } = endpointAt(port, { ca: authority.certificate, doq: { port } })
  const tools = {
    clock,
    dialPace: freePace(clock),
    sessions: tlsSessions(clock),
    random: systemRandom,
    emit: () => {},
    quic: async () => quic,
  }
  const link = createLink(bare, 'doq', tools)
  t.teardown(async () => {
    await link.close()
    peer.close()
  })
  const ask = (name: string) => codeOf(exchange(link, query({ name }), { purpose: 'client', deadlineMs: clock.nowMs() + 3000 }))
  return { ask, connections: () => connections }
}

t.test('a peer that allows no more streams gets another connection, and no query is lost', async (t) => {
  const { ask, connections } = await frugal(t, { streams: 3 })
  for (let i = 0; i < 10; i++) t.equal(await ask(`n${i}.example`), 'answered')
  t.equal(connections(), 4)
  t.strictSame([...new Set(await Promise.all(Array.from({ length: 20 }, (_, i) => ask(`m${i}.example`))))], ['answered'])
  t.ok(connections() <= 12, String(connections()))
})

t.test('a connection takes 2000 queries, because OpenSSL keeps their streams; the next ones go over another', async (t) => {
  const { ask, connections } = await frugal(t, { streams: Number.POSITIVE_INFINITY })
  const seen = new Set<string>()
  for (let i = 0; i < 41; i++)
    for (const code of await Promise.all(Array.from({ length: 100 }, (_, j) => ask(`n${i}-${j}.example`)))) seen.add(code)
  t.strictSame([...seen], ['answered'])
  t.equal(connections(), 3, 'for 4100 queries')
})

t.test('streams that do not end hold up other queries for a second only', async (t) => {
  const { ask } = await frugal(t, { streams: 3, mute: (number) => number < 3 })
  const held = [0, 1, 2].map((i) => ask(`held${i}.example`))
  await pause(50)
  const beganMs = performance.now()
  t.equal(await ask('www.example'), 'answered')
  t.ok(performance.now() - beganMs < 2000, `${performance.now() - beganMs} ms`)
  await Promise.all(held)
})

t.test('a throw in a callback of QUIC fails the attempt, and not the process', async (t) => {
  const session = { cipher: 'x', group: undefined, verifyResult: 0 }
  let calls = 0
  const ways: Record<string, (options: QuicOptions) => Partial<QuicConnection>> = {
    'the connection cannot be made': thrown,
    'the first step': () => ({ handshake: thrown }),
    'a datagram': () => ({ receive: thrown }),
    'the timer': () => ({ timeoutMs: () => 1, drive: thrown }),
    'a certificate that is none': () => ({ handshake: () => ({ ...session, chain: [Buffer.from('no DER')] }) }),
    'a certificate after a datagram': () => ({
      handshake: () => (calls++ === 0 ? 'more' : { ...session, chain: [Buffer.alloc(70_000)] }),
    }),
    'and its end throws too': () => ({ handshake: thrown, close: thrown }),
  }
  for (const [what, connect] of Object.entries(ways)) t.not((await dialled(t, connect)).code, 'answered', what)
  t.equal((await dialled(t, () => ({ handshake: thrown }))).closed, 1, 'the connection is freed')
})
