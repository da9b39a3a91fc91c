import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { query } from '../support/messages.ts'
import { entryOf, identityOf, type RunningDaemon, startDaemon } from '../support/real/daemon.ts'
import { comparable, type DnsClient, isTruncated, rcodeOf, tcpClient, udpClient } from '../support/real/dns-client.ts'
import { startNamed } from '../support/real/named.ts'
import type { RealServer } from '../support/real/server-process.ts'
import { requireTool } from '../support/real/tools.ts'
import { QUESTIONS, ZONE_NAME } from '../support/real/zone.ts'

/** BIND's respdiff uses 100,000; a commit gets fewer. */
const RESPDIFF = Number(process.env.RESPDIFF ?? 5000)
const AT_A_TIME = 100
const GARBAGE = 2000

async function stage(
  t: Test,
  over: 'dot' | 'doh' = 'dot',
  config: Readonly<Record<string, unknown>> = {},
): Promise<{ readonly named: RealServer; readonly daemon: RunningDaemon }> {
  const authority = await createAuthority()
  const named = await startNamed(await identityOf(authority))
  t.teardown(() => named.stop())
  const daemon = await startDaemon({ resolvers: [entryOf(named, [over])], ca: authority.certificate, config })
  t.teardown(() => daemon.stop())
  return { named, daemon }
}

async function clientOf(t: Test, kind: typeof udpClient | typeof tcpClient, port: number): Promise<DnsClient> {
  const client = await kind(port)
  t.teardown(() => client.close())
  return client
}

/**
 * Names that are there (often asked again: hits), names that are not, and every kind of record.
 * Reproducible: no chance in it.
 */
function question(i: number): { readonly name: string; readonly type: number } {
  const [name, type] = QUESTIONS[i % QUESTIONS.length] ?? [ZONE_NAME, 6]
  if (i % 10 === 0) return { name, type }
  if (i % 10 === 1) return { name: `missing${i}.${ZONE_NAME}`, type: 1 }
  return { name: `${i % 2 === 0 ? 'h' : 'H'}${(i * 7919) % 250}.${ZONE_NAME}`, type: i % 3 === 0 ? 28 : 1 }
}

async function respdiff(t: Test, over: 'dot' | 'doh', config: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const { named, daemon } = await stage(t, over, config)
  const straight = await clientOf(t, tcpClient, named.dnsPort)
  const [udp, tcp] = [await clientOf(t, udpClient, daemon.port), await clientOf(t, tcpClient, daemon.port)]
  const known = new Map<string, Promise<string>>()
  const expected = (name: string, type: number) => {
    const key = `${name.toLowerCase()} ${type}`
    const reply = known.get(key) ?? straight.ask(query({ name: name.toLowerCase(), type, flags: 0x0120, opt: {} })).then(comparable)
    known.set(key, reply)
    return reply
  }
  const wrong: string[] = []
  let next = 0
  const worker = async () => {
    while (next < RESPDIFF) {
      const { name, type } = question(next++)
      const asked = query({ name, type, opt: {} })
      const reply = await udp.ask(asked)
      const whole = isTruncated(reply) ? await tcp.ask(asked) : reply
      if (comparable(whole) !== (await expected(name, type))) wrong.push(`${name} TYPE${type}`)
    }
  }
  const began = performance.now()
  await Promise.all(Array.from({ length: AT_A_TIME }, worker))
  t.comment(`${RESPDIFF} questions in ${((performance.now() - began) / 1000).toFixed(1)} s, ${known.size} different`)
  t.strictSame(wrong.slice(0, 10), [], `${RESPDIFF} questions over ${over}: no reply differs`)
}

/**
 * 200 over UDP, 10 on each of 20 TCP connections. What a client pipelines beyond the limit of one
 * connection stays unread, as RFC 7766 section 6.2.1.1 allows.
 */
async function sigtermUnderLoad(t: Test): Promise<void> {
  const { daemon } = await stage(t)
  const udp = await clientOf(t, udpClient, daemon.port)
  const connections = await Promise.all(Array.from({ length: 20 }, () => clientOf(t, tcpClient, daemon.port)))
  for (const client of [udp, ...connections]) t.equal(rcodeOf(await client.ask(query({ name: `www.${ZONE_NAME}` }))), 0)
  const asking = Array.from({ length: 400 }, (_, i) => {
    const client = i < 200 ? udp : connections[i % connections.length]
    return client?.ask(query({ name: `t${i}.wild.${ZONE_NAME}` })) ?? Promise.reject(new Error('no client'))
  })
  const settling = Promise.allSettled(asking)
  await Promise.race(asking)
  const code = daemon.stop()
  const settled = await settling
  const answered = settled.map((s) => s.status === 'fulfilled' && rcodeOf(s.value) === 0)
  t.equal(answered.slice(0, 200).filter(Boolean).length, 200, 'every question asked over UDP before SIGTERM is answered')
  t.equal(answered.slice(200).filter(Boolean).length, 200, 'every question asked over TCP before SIGTERM is answered')
  t.equal(await code, 0, 'exit 0')
}

async function garbage(t: Test): Promise<void> {
  const { daemon } = await stage(t)
  const good = await clientOf(t, udpClient, daemon.port)
  t.equal(rcodeOf(await good.ask(query({ name: `www.${ZONE_NAME}` }))), 0)
  const socket = createSocket('udp4')
  for (let i = 0; i < GARBAGE; i++) {
    // Half of it looks like a query for as long as possible: a valid header, then noise.
    const noise = randomBytes(1 + ((i * 131) % 1400))
    const packet = i % 2 === 0 ? noise : Buffer.concat([query({ id: i }).subarray(0, 12 + (i % 20)), noise])
    socket.send(packet, daemon.port, '127.0.0.1')
    if (i % 10 === 0) await sleep(1)
  }
  const began = performance.now()
  t.equal(rcodeOf(await good.ask(query({ name: `after-udp.wild.${ZONE_NAME}` }))), 0)
  t.ok(performance.now() - began < 100, `a good query after UDP garbage: ${(performance.now() - began).toFixed(1)} ms`)
  await new Promise<void>((resolve) => socket.close(() => resolve()))

  const streams = await Promise.all(Array.from({ length: 20 }, () => garbageStream(daemon.port)))
  const laterMs = performance.now()
  t.equal(rcodeOf(await good.ask(query({ name: `after-tcp.wild.${ZONE_NAME}` }))), 0)
  t.ok(performance.now() - laterMs < 100, `a good query after TCP garbage: ${(performance.now() - laterMs).toFixed(1)} ms`)
  for (const stream of streams) stream.destroy()
  t.equal(
    daemon
      .log()
      .split('\n')
      .filter((line) => /"level":(50|60)/.test(line)).length,
    0,
    'no fault was logged',
  )
  t.equal(await daemon.stop(), 0)
}

async function garbageStream(port: number) {
  const stream = connect(port, '127.0.0.1')
  stream.on('error', () => {})
  await once(stream, 'connect')
  stream.write(randomBytes(65_533))
  return stream
}

if (requireTool(t, 'named')) {
  t.test('respdiff over DoT', { timeout: 600_000 }, (t) => respdiff(t, 'dot'))
  t.test('respdiff over DoH', { timeout: 600_000 }, (t) => respdiff(t, 'doh'))
  t.test('respdiff over DoT, two workers', { timeout: 600_000 }, (t) => respdiff(t, 'dot', { workers: 2 }))
  t.test('respdiff over DoT, dgram', { timeout: 600_000 }, (t) => respdiff(t, 'dot', { udp: 'dgram' }))
  t.test('SIGTERM under load', (t) => sigtermUnderLoad(t))
  t.test('garbage', (t) => garbage(t))
}
