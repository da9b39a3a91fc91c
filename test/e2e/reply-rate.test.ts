// What other hosts are sent over UDP: a flood is answered with little, whoever it says it comes
// from; clients of this host, and ordinary ones, with all.
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { query } from '../support/messages.ts'
import { askTcp, askUdp, type Stage, stage, unharmed } from '../support/real/crowd.ts'
import { insideNamespace } from '../support/real/namespace.ts'

/** Sends `count` times what has an answer in the cache, `perSecond`; what came back. */
async function flood(t: Test, s: Stage, address: string, from: string, count: number, perSecond: number) {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4_000_000 })
  socket.bind(0, from)
  await once(socket, 'listening')
  t.teardown(() => void socket.close())
  const got = { answers: 0, truncated: 0, octets: 0 }
  socket.on('message', (reply) => {
    got.octets += reply.length
    if ((reply[2] ?? 0) & 0x02) got.truncated++
    else if (((reply[3] ?? 0) & 15) === 0) got.answers++
  })
  const message = query({ name: 'good.example', opt: {} })
  const beganMs = performance.now()
  for (let sent = 0; sent < count; await sleep(1))
    for (const due = Math.min(count, ((performance.now() - beganMs) / 1000) * perSecond); sent < due; sent++)
      socket.send(message, s.port, address)
  await sleep(300)
  return { ...got, sentOctets: count * message.length, seconds: (performance.now() - beganMs) / 1000 }
}

if (insideNamespace(t, import.meta.url)) {
  for (const one of ['10.9.0.1', '10.9.0.2', '10.9.0.3', '10.9.0.4']) execFileSync('ip', ['addr', 'add', `${one}/32`, 'dev', 'lo'])
  for (const config of [{}, { udp: 'dgram' }, { workers: 2 }]) {
    t.test(`a flood from another host, ${JSON.stringify(config)}`, async (t) => {
      const s = await stage(t, { listen: '10.9.0.1:5300', config })
      await askUdp({ port: s.port, address: '10.9.0.1' }, '10.9.0.3', 1)
      const got = await flood(t, s, '10.9.0.1', '10.9.0.2', 6000, 3000)
      t.ok(got.answers >= 100 && got.answers <= 200 * (got.seconds + 1), `${got.answers} answers in ${got.seconds.toFixed(1)} s`)
      t.ok(got.truncated >= 500, `${got.truncated} say: over TCP`)
      t.ok(got.octets < got.sentOctets * 1.1, `${got.octets} octets for ${got.sentOctets}`)
      unharmed(t, await askUdp({ port: s.port, address: '10.9.0.1' }, '10.9.0.3', 5))
      unharmed(t, await askTcp(s.port, '10.9.0.2', 5, '10.9.0.1'))
      await sleep(1100)
      t.ok(s.counts().limited >= 3000, 'in the status')
    })
  }
  t.test('a client of this host has no limit', async (t) => {
    const s = await stage(t)
    await askUdp({ port: s.port, address: '127.0.0.1' }, '127.0.0.3', 1)
    const got = await flood(t, s, '127.0.0.1', '127.0.0.2', 6000, 3000)
    t.ok(got.answers > 5500, `${got.answers} of 6,000`)
    t.equal(got.truncated, 0)
  })
}
