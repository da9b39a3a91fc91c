// Two connections of one process to one DoQ server: nothing in the second shows that there was a first.
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { systemClock, systemRandom } from '../../../src/clock.ts'
import { createAuthority } from '../../../src/demo/authority.ts'
import { tlsSessions } from '../../../src/link/dial/sessions.ts'
import { openTransport } from '../../../src/link/transports.ts'
import { nativeQuic } from '../../../src/system/quic.ts'
import { startDoq } from '../../support/doq-server.ts'
import { endpointAt, NAME, pause } from '../../support/link-rig.ts'
import { query } from '../../support/messages.ts'
import { newerNode, runIn } from '../../support/real/newer-node.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'
import { freePace } from '../../support/rules.ts'

/** Passes datagrams on between a client and `port`, and keeps the first of each client. */
async function relayTo(port: number) {
  const firsts: Buffer[] = []
  const far = new Map<number, Socket>()
  const near = createSocket('udp4')
  near.on('message', (datagram, { port: from, address }) => {
    let out = far.get(from)
    if (out === undefined) {
      firsts.push(datagram)
      out = createSocket('udp4').on('message', (reply) => near.send(reply, from, address))
      far.set(from, out)
    }
    out.send(datagram, port, '127.0.0.1')
  })
  near.bind(0, '127.0.0.1')
  await once(near, 'listening')
  const close = () => {
    for (const socket of [near, ...far.values()]) socket.close()
  }
  return { firsts, port: near.address().port, close }
}

/** The length of the token of an Initial packet (RFC 9000 section 17.2.2), which is a short one. */
function tokenOctets(packet: Buffer): number {
  const afterDcid = 6 + (packet[5] ?? 0)
  const at = afterDcid + 1 + (packet[afterDcid] ?? 0)
  const first = packet[at] ?? 0
  return first < 0x40 ? first : ((first & 0x3f) << 8) | (packet[at + 1] ?? 0)
}

async function inNewerNode(): Promise<void> {
  const clock = systemClock()
  const authority = await createAuthority()
  const server = startDoq({ identity: await authority.issue({ name: NAME }), answer: (q) => replyTo(q, [addressRecord()]) })
  const relay = await relayTo(server.port)
  const options = { clock, sessions: tlsSessions(clock), pace: freePace(clock), quic: async () => nativeQuic() }
  const watcher = { heard() {}, draining() {}, idle() {}, mismatch() {}, down() {} }
  for (let i = 0; i < 3; i++) {
    const opened = await openTransport(endpointAt(relay.port, { ca: authority.certificate, doq: { port: relay.port } }), 'doq', options)
    const carrier = opened.carry({ clock, random: systemRandom, watcher })
    await new Promise((answered) => carrier.send(query(), { answered, failed: answered }))
    await pause(50) // for what the server sends after the handshake
    carrier.destroy(new Error('done') as never)
  }
  process.stdout.write(JSON.stringify(relay.firsts.map(tokenOctets)))
  relay.close()
  await server.close()
}

function tests(): void {
  for (const major of [24, 26] as const)
    t.test(`no token of an earlier connection, on Node ${major}`, { timeout: 120_000 }, async (t) => {
      const node = newerNode(t, major)
      if (node === undefined) return
      t.strictSame(JSON.parse(await runIn(node, fileURLToPath(import.meta.url), { IN_NEWER_NODE: 'yes' })), [0, 0, 0])
    })
}

if (process.env.IN_NEWER_NODE === undefined) tests()
else await inNewerNode().then(() => process.exit(0))
