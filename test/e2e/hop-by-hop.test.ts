import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { readOpt } from '../../src/dns/edns.ts'
import { RecordCursor } from '../../src/dns/records.ts'
import { startDoh, startDohH1 } from '../support/doh-server.ts'
import { startDot } from '../support/dot-server.ts'
import { bytes, query, rr, u16s } from '../support/messages.ts'
import { identityOf, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { tcpClient, udpClient } from '../support/real/dns-client.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const authority = await createAuthority()
const identity = await identityOf(authority)

type Answer = (query: Uint8Array) => Uint8Array
const STARTS = {
  dot: (answer: Answer) => startDot({ identity, answer }),
  h2: (answer: Answer) => startDoh({ identity, answer }),
  h1: (answer: Answer) => startDohH1({ identity, answer }),
}
type Protocol = keyof typeof STARTS
const PROTOCOLS = Object.keys(STARTS) as readonly Protocol[]

/** A daemon in front of one resolver for each of `answers`, and clients for both of its transports. */
async function scene(t: Test, protocol: Protocol, answers: readonly Answer[], config: Readonly<Record<string, unknown>> = {}) {
  const servers = await Promise.all(answers.map((answer) => STARTS[protocol](answer)))
  const transports = (port: number) => (protocol === 'dot' ? { dot: { port } } : { doh: { port, path: '/dns-query' } })
  const resolvers = servers.map(({ port }, i) => ({
    id: `r${i}`,
    authenticationDomainName: RESOLVER_NAME,
    addresses: ['127.0.0.1'],
    transports: transports(port),
    caFile: 'ca.pem',
  }))
  const daemon = await startDaemon({ resolvers, ca: authority.certificate, config })
  const [udp, tcp] = await Promise.all([udpClient(daemon.port), tcpClient(daemon.port)])
  t.teardown(async () => {
    udp.close()
    tcp.close()
    await daemon.stop()
    await Promise.all(servers.map((server) => server.close()))
  })
  return { daemon, udp, tcp }
}

/** The types of the additional section; throws where the message is none. */
function additional(reply: Uint8Array): readonly number[] {
  const types: number[] = []
  const cursor = new RecordCursor(reply)
  while (cursor.next()) if (cursor.section === 3) types.push(cursor.type)
  if (cursor.malformed || cursor.end !== reply.length) throw new Error('a malformed reply')
  return types
}

const ROOT = Uint8Array.of(0)
const HOP = {
  TSIG: rr({ name: 'key.example', type: 250, class: 255, ttlS: 0, rdata: bytes(ROOT, new Uint8Array(16)) }),
  TKEY: rr({ name: 'key.example', type: 249, class: 255, ttlS: 0, rdata: bytes(ROOT, new Uint8Array(16)) }),
  'SIG(0)': rr({ name: ROOT, type: 24, class: 255, ttlS: 0, rdata: bytes(u16s(0), new Uint8Array(16), ROOT, [1, 2, 3]) }),
}
const GLUE = rr({ name: 'ns.example.com', rdata: bytes(192, 0, 2, 9) })

function withAdditional(reply: Uint8Array, records: readonly Uint8Array[]): Uint8Array {
  const whole = bytes(reply, ...records)
  whole[11] = records.length
  return whole
}

for (const protocol of PROTOCOLS)
  t.test(`${protocol}: TSIG, TKEY and SIG(0) of the resolver reach no client, asked or from the cache`, async (t) => {
    const answer: Answer = (q) => {
      const first = String.fromCharCode(...q.subarray(13, 13 + (q[12] ?? 0)))
      const kind = (Object.keys(HOP) as (keyof typeof HOP)[])[Number(first.slice(-1))] ?? 'TSIG'
      const records = first.startsWith('behind') ? [GLUE, HOP[kind]] : first.startsWith('before') ? [HOP[kind], GLUE] : [HOP[kind]]
      return withAdditional(replyTo(q, [addressRecord()]), records)
    }
    const { udp, tcp } = await scene(t, protocol, [answer])
    for (const [i, kind] of Object.keys(HOP).entries()) {
      for (const where of ['alone', 'behind', 'before'])
        for (const opt of [undefined, {}])
          for (const [round, client] of [udp, tcp, udp].entries()) {
            const reply = await client.ask(
              query({ name: `${where}-${opt === undefined ? 'a' : 'b'}${i}.example.com`, ...(opt && { opt }) }),
            )
            const kept = [...(where === 'behind' ? [1] : []), ...(opt === undefined ? [] : [41])]
            t.same(additional(reply), kept, `${kind} ${where}, ${opt === undefined ? 'no OPT' : 'OPT'}, ${round}`)
            t.equal((reply[3] ?? 0) & 15, 0)
            t.equal(reply[7], 1, 'the answer is there')
            t.equal(readOpt(reply) === undefined, opt === undefined)
          }
    }
  })
