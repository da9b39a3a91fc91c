import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { systemClock } from '../../../src/clock.ts'
import { tlsSessions } from '../../../src/link/dial/sessions.ts'
import { openTransport } from '../../../src/link/transports.ts'
import type { QuicConnection, QuicOptions } from '../../../src/quic.ts'
import { codeOf, endpointAt, pause } from '../../support/link-rig.ts'
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
    ...{ request: () => undefined, ended: () => undefined, close: () => void closed++ },
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
