import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { systemClock } from '../../../src/clock.ts'
import { createAuthority } from '../../../src/demo/authority.ts'
import { EnigmError } from '../../../src/errors.ts'
import { HelloMemory } from '../../../src/link/dial/classical-retry.ts'
import type { TlsRules } from '../../../src/link/dial/endpoint.ts'
import { tlsSessions } from '../../../src/link/dial/sessions.ts'
import { openTransport } from '../../../src/link/transports.ts'
import { nativeQuic } from '../../../src/system/quic.ts'
import { startDoq } from '../../support/doq-server.ts'
import { endpointAt, NAME } from '../../support/link-rig.ts'
import { newerNode, runIn } from '../../support/real/newer-node.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'
import { freePace } from '../../support/rules.ts'

/** The datagrams of one ClientHello leave within this time. */
const FLIGHT_MS = 30

/**
 * A path to `port` that drops every datagram of a client whose ClientHello takes more than one. A
 * client is a source port.
 */
async function pathTo(port: number) {
  const clients = new Map<number, { readonly held: Buffer[]; readonly out: Socket; verdict: 'open' | 'long' | 'short' }>()
  const counts = { long: 0, short: 0 }
  const near = createSocket('udp4')
  near.on('message', (datagram, { port: from, address }) => {
    const known = clients.get(from)
    if (known === undefined) {
      const out = createSocket('udp4').on('message', (reply) => near.send(reply, from, address))
      const client = { held: [datagram], out, verdict: 'open' as 'open' | 'long' | 'short' }
      clients.set(from, client)
      setTimeout(() => {
        client.verdict = client.held.length > 1 ? 'long' : 'short'
        counts[client.verdict]++
        if (client.verdict === 'short') for (const one of client.held) out.send(one, port, '127.0.0.1')
      }, FLIGHT_MS)
    } else if (known.verdict === 'open') known.held.push(datagram)
    else if (known.verdict === 'short') known.out.send(datagram, port, '127.0.0.1')
  })
  near.bind(0, '127.0.0.1')
  await once(near, 'listening')
  const close = () => {
    for (const socket of [near, ...[...clients.values()].map(({ out }) => out)]) socket.close()
  }
  return { counts, port: near.address().port, close }
}

/** What a Node with QUIC does; as one JSON object. */
async function inNewerNode(): Promise<void> {
  const clock = systemClock()
  const authority = await createAuthority()
  const identity = await authority.issue({ name: NAME })
  const server = startDoq({ identity, answer: (q) => replyTo(q, [addressRecord()]) })
  const path = await pathTo(server.port)
  const dialled = async (port: number, hellos: HelloMemory, tls?: TlsRules) => {
    const beganMs = performance.now()
    const options = { clock, sessions: tlsSessions(clock), pace: freePace(clock), quic: async () => nativeQuic(), hellos }
    const endpoint = endpointAt(port, { ca: authority.certificate, doq: { port }, ...(tls === undefined ? {} : { tls }) })
    try {
      const opened = await openTransport(endpoint, 'doq', options)
      opened.close()
      const { group, groupForced } = opened.protection
      return { group, forced: groupForced === true, ms: performance.now() - beganMs }
    } catch (error) {
      if (!(error instanceof EnigmError)) throw error
      return { code: error.code, ms: performance.now() - beganMs }
    }
  }
  const memory = new HelloMemory()
  const direct = await dialled(server.port, memory)
  const dropped = await dialled(path.port, memory)
  const again = await dialled(path.port, memory)
  memory.forget()
  const elsewhere = await dialled(path.port, memory)
  const short = path.counts.short
  const only = { ...(await dialled(path.port, new HelloMemory(), { groups: ['X25519MLKEM768'] })), short: path.counts.short - short }
  const closed = await dialled(1, new HelloMemory())
  process.stdout.write(JSON.stringify({ direct, dropped, again, elsewhere, only, closed, long: path.counts.long }))
  path.close()
  await server.close()
}

function tests(): void {
  for (const major of [24, 26] as const)
    t.test(`a ClientHello of two datagrams that gets no answer, on Node ${major}`, { timeout: 120_000 }, async (t) => {
      const node = newerNode(t, major)
      if (node === undefined) return
      const found = JSON.parse(await runIn(node, fileURLToPath(import.meta.url), { IN_NEWER_NODE: 'yes' }))
      t.match(found.direct, { group: 'X25519MLKEM768', forced: false })
      t.match(found.dropped, { group: 'X25519', forced: true })
      t.ok(found.dropped.ms > 900 && found.dropped.ms < 2000, `${Math.round(found.dropped.ms)} ms: a stall, not an impatience`)
      t.match(found.again, { group: 'X25519', forced: true })
      t.ok(found.again.ms < 700, 'known the next time')
      t.match(found.elsewhere, { group: 'X25519', forced: true })
      t.ok(found.elsewhere.ms > 900, 'and forgotten with the network')
      t.match(found.only, { code: 'connect-timeout', short: 0 }, 'never without it')
      t.ok(found.long >= 3)
      t.match(found.closed, { code: 'connect-refused' })
      t.ok(found.closed.ms < 700, 'a closed port is no reason to retry')
    })
}

if (process.env.IN_NEWER_NODE === undefined) tests()
else await inNewerNode().then(() => process.exit(0))
