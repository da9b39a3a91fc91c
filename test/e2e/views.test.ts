// Views over the real command line, with two threads: who gets whose answers, before and after a
// reload, and on a connection that was open before it.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { datagramCalls } from '../../src/system/datagram-calls.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { identityOf, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { tcpClient } from '../support/real/dns-client.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

/** The last octet of the reply to a query from one loopback address; a new port each time. */
async function from(address: string, port: number, name: string): Promise<number | undefined> {
  const socket = createSocket('udp4')
  socket.bind(0, address)
  await once(socket, 'listening')
  const reply = once(socket, 'message', { signal: AbortSignal.timeout(5000) })
  socket.send(query({ name }), port, '127.0.0.1')
  const [message] = (await reply) as [Buffer]
  socket.close()
  return message.at(-1)
}

t.test(
  'each client has the answers of its view, over both transports, and after a reload of the new one',
  { timeout: 60_000 },
  async (t) => {
    const authority = await createAuthority()
    const identity = await identityOf(authority)
    const servers = await Promise.all([1, 2].map((octet) => startDot({ identity, answer: (q) => replyTo(q, [addressRecord(octet)]) })))
    const resolvers = servers.map(({ port }, i) => ({
      ...{ id: `r${i + 1}`, authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], caFile: 'ca.pem' },
      transports: { dot: { port } },
    }))
    const views = [{ id: 'kids', clients: ['127.0.0.2/31'], use: ['r2'], answers: [{ name: 'own.example', type: 'A', data: '192.0.2.9' }] }]
    const workers = datagramCalls() === undefined ? 1 : 2
    const daemon = await startDaemon({ resolvers, ca: authority.certificate, config: { use: ['r1'], views, workers } })
    const tcp = await tcpClient(daemon.port)
    t.teardown(async () => {
      tcp.close()
      await daemon.stop()
      await Promise.all(servers.map((server) => server.close()))
    })
    const overTcp = async (name: string) => (await tcp.ask(query({ name }))).at(-1)
    for (let round = 0; round < 6; round++) {
      t.equal(await from('127.0.0.1', daemon.port, 'www.example'), 1)
      t.equal(await from('127.0.0.2', daemon.port, 'www.example'), 2)
      t.equal(await from('127.0.0.3', daemon.port, 'www.example'), 2)
    }
    t.strictSame([await from('127.0.0.2', daemon.port, 'own.example'), await from('127.0.0.1', daemon.port, 'own.example')], [9, 1])
    t.equal(await overTcp('www.example'), 1)
    const file = join(daemon.dir, 'config.json')
    const config = JSON.parse(readFileSync(file, 'utf8')) as object
    writeFileSync(file, JSON.stringify({ ...config, views: [{ ...views[0], clients: ['127.0.0.1'] }] }), { mode: 0o600 })
    daemon.kill('SIGHUP')
    await sleep(1000)
    t.equal(await overTcp('www.example'), 2, 'a connection that was open before')
    for (let round = 0; round < 6; round++) {
      t.equal(await from('127.0.0.1', daemon.port, 'www.example'), 2)
      t.equal(await from('127.0.0.2', daemon.port, 'www.example'), 1)
    }
  },
)
