import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { startDoh, startDohH1 } from '../support/doh-server.ts'
import { type DotPeer, startDot } from '../support/dot-server.ts'
import { FAULT_ZONE, rightAnswer } from '../support/faults/answers.ts'
import { FAULT_SERVER_NAME } from '../support/faults/server.ts'
import { pause } from '../support/link-rig.ts'
import { trustedRig } from '../support/trusted-rig.ts'

t.setTimeout(120_000)
const authority = await createAuthority()
const identity = await authority.issue({ name: FAULT_SERVER_NAME })
/** SETTINGS without any, then GOAWAY with NO_ERROR and last stream 0 (RFC 9113 section 6.8). */
const SETTINGS = Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0)
const goaway = (lastStream: number) => Uint8Array.of(0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, lastStream, 0, 0, 0, 0)

interface Counted {
  readonly port: number
  readonly counts: { tcp: number }
  close(): Promise<void>
}

/**
 * A DoH server that speaks raw HTTP/2 octets: `say` is called with each connection, and again with
 * each chunk that it brings.
 */
function rawDoh(say: (socket: TLSSocket, chunks: number) => void): Promise<Counted> {
  return startDoh({
    identity,
    answer: () => undefined,
    http2: { ALPNProtocols: ['h2'] },
    raw(socket) {
      let chunks = 0
      socket.on('data', () => say(socket, ++chunks))
      say(socket, 0)
      return true
    },
  })
}

type Ends = 'on arrival' | 'on the query'

/** Servers that end every connection without one answer. */
const SERVERS: Readonly<Record<string, { readonly over: 'dot' | 'doh'; start(): Promise<Counted> }>> = {
  'GOAWAY(0), then FIN, on the query': {
    over: 'doh',
    start: () => rawDoh((socket, chunks) => (chunks === 0 ? socket.write(SETTINGS) : socket.end(goaway(0)))),
  },
  'GOAWAY(0) on arrival': {
    over: 'doh',
    start: () => rawDoh((socket, chunks) => void (chunks === 0 && socket.write(Buffer.concat([SETTINGS, goaway(0)])))),
  },
  'GOAWAY(0) on the query, and the connection stays': {
    over: 'doh',
    start: () => rawDoh((socket, chunks) => void (chunks === 0 ? socket.write(SETTINGS) : chunks === 1 && socket.write(goaway(0)))),
  },
  'HTTP/2, FIN on arrival': { over: 'doh', start: () => rawDoh((socket) => socket.end()) },
  'HTTP/2, cut on the query': { over: 'doh', start: () => rawDoh((socket, chunks) => void (chunks > 0 && socket.destroy())) },
  'HTTP/1.1, FIN in the response': {
    over: 'doh',
    start: () =>
      startDohH1({
        identity,
        https: {},
        answer: () => ({ status: 200, headers: { 'content-length': '20', connection: 'close' }, body: [] }),
      }),
  },
  'DoT, FIN on arrival': dotThatEnds('on arrival', (peer) => peer.socket.end()),
  'DoT, RST on arrival': dotThatEnds('on arrival', (peer) => peer.reset()),
  'DoT, FIN on the query': dotThatEnds('on the query', (peer) => peer.socket.end()),
  'DoT, RST on the query': dotThatEnds('on the query', (peer) => peer.reset()),
}

function dotThatEnds(when: Ends, end: (peer: DotPeer) => unknown) {
  const start = () =>
    startDot({
      identity,
      onConnection: (peer) => void (when === 'on arrival' && end(peer)),
      answer: (_query, peer) => {
        end(peer)
        return undefined
      },
    })
  return { over: 'dot' as const, start }
}

function entry(over: 'dot' | 'doh', port: number): object {
  const transports = over === 'dot' ? { dot: { port } } : { doh: { port, path: '/dns-query' } }
  return { id: 'r0', authenticationDomainName: FAULT_SERVER_NAME, addresses: ['127.0.0.1'], transports, caFile: 'ca.pem' }
}

async function oneQuery(t: Test, { over, start }: { readonly over: 'dot' | 'doh'; start(): Promise<Counted> }) {
  const server = await start()
  t.teardown(() => server.close())
  const rig = await trustedRig(t, { resolvers: [entry(over, server.port)], ca: authority.certificate })
  const beganMs = performance.now()
  t.not(await rig.ask(`once.${FAULT_ZONE}`), 'answered')
  t.ok(performance.now() - beganMs < 2000, 'it fails, and does not wait for its deadline')
  await pause(300)
  t.ok(server.counts.tcp <= 2, `${server.counts.tcp} dials for one query`)
  const before = server.counts.tcp
  for (let i = 0; i < 5; i++) {
    await rig.ask(`next${i}.${FAULT_ZONE}`)
    await pause(50)
  }
  t.ok(server.counts.tcp - before <= 3, `${server.counts.tcp - before} dials for five more`)
}

for (const [what, server] of Object.entries(SERVERS)) {
  t.test(`one query dials at most twice: ${what}`, (t) => oneQuery(t, server))
}

t.test('a resolver that sends GOAWAY after every 20 streams, before it answers them, answers all of 300', async (t) => {
  const server = await startDoh({
    identity,
    answer: async (query, { requests, session }) => {
      if (requests === 20) setImmediate(() => session?.close())
      await pause(30)
      return rightAnswer(query)
    },
  })
  t.teardown(() => server.close())
  const rig = await trustedRig(t, { resolvers: [entry('doh', server.port)], ca: authority.certificate })
  const codes = await Promise.all(Array.from({ length: 300 }, (_, i) => rig.ask(`n${i}.${FAULT_ZONE}`)))
  t.same(new Set(codes), new Set(['answered']))
  t.ok(server.counts.tcp <= 17, `${server.counts.tcp} connections for 300 in twenties`)
})

for (const what of ['GOAWAY(0), then FIN, on the query', 'GOAWAY(0) on arrival', 'DoT, FIN on the query'])
  t.test(`under a schedule the slots of a session dial within the backoff: ${what}`, async (t) => {
    const server = SERVERS[what]
    if (server === undefined) throw new Error('no such server')
    const { port, counts, close } = await server.start()
    t.teardown(close)
    const config = { shaping: { profile: 'balanced' } }
    const rig = await trustedRig(t, { resolvers: [entry(server.over, port)], ca: authority.certificate, config })
    t.not(await rig.ask(`once.${FAULT_ZONE}`), 'answered')
    await pause(2000)
    t.ok(counts.tcp <= 7, `${counts.tcp} dials in 2 s`)
  })
