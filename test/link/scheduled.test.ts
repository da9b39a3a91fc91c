import t, { type Test } from 'tap'
import { systemClock, systemRandom } from '../../src/clock.ts'
import { createAuthority } from '../../src/demo/authority.ts'
import { repadded } from '../../src/dns/edns.ts'
import { EnigmError } from '../../src/errors.ts'
import type { Event } from '../../src/events.ts'
import { createScheduledLink } from '../../src/link/create-link.ts'
import { tlsSessions } from '../../src/link/dial/sessions.ts'
import type { Ask, ScheduledLink } from '../../src/resolve.ts'
import { requestFor } from '../shaping/paced-rig.ts'
import { startDoh, startDohH1 } from '../support/doh-server.ts'
import { startDot } from '../support/dot-server.ts'
import { endpointAt, NAME, pause } from '../support/link-rig.ts'
import { addressRecord, replyTo, withOptions } from '../support/replies.ts'
import { freePace } from '../support/rules.ts'

const authority = await createAuthority()
const identity = await authority.issue({ name: NAME })
const LONG = `${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(40)}.example`

function scheduledLinkTo(t: Test, port: number, transport: 'dot' | 'doh') {
  const clock = systemClock()
  const events: Event[] = []
  const tools = {
    clock,
    dialPace: freePace(clock),
    random: systemRandom,
    emit: (event: Event) => void events.push(event),
    sessions: tlsSessions(clock),
  }
  const link = createScheduledLink(endpointAt(port, { ca: authority.certificate }), transport, tools)
  t.teardown(() => link.close())
  const send = async (name: string, records = 1, ms = 3000, purpose: Ask['purpose'] = 'client') => {
    for (let waited = 0; !link.ready && waited < 1000; waited += 2) await pause(2)
    const cell = repadded(requestFor(name), link.octets(records) ?? 0)
    if (cell === undefined) throw new Error('fits no cell')
    const carried = link.exchange(cell, { purpose, deadlineMs: clock.nowMs() + ms })
    return carried
  }
  return { link, events, send }
}

async function rest(link: ScheduledLink): Promise<void> {
  for (let i = 0; link.unfinished && i < 100; i++) {
    await pause(5)
    link.more()
  }
}

t.test('DoT: dials only on open; a query is a record, a longer one several, each on request', async (t) => {
  const sizes: number[] = []
  const server = await startDot({
    identity,
    answer: (q) => replyTo(q, [addressRecord()]),
    onConnection: ({ socket }) => void socket.on('data', (chunk: Buffer) => sizes.push(chunk.length)),
  })
  t.teardown(() => server.close())
  const { link, send } = scheduledLinkTo(t, server.port, 'dot')
  t.notOk(link.ready)
  await t.rejects(link.exchange(requestFor('a.example'), { purpose: 'client', deadlineMs: 1e15 }), { code: 'connection-lost' })
  t.equal(server.counts.tcp, 0)
  await Promise.all([link.open(), link.open()])
  await Promise.all(Array.from({ length: 10 }, (_, i) => send(`n${i}.example`).then(() => pause(3))))
  const long = send(LONG, 3)
  await pause(30)
  t.ok(link.unfinished)
  t.notOk(link.ready)
  await rest(link)
  await long
  t.equal(server.counts.handshakes, 1)
  t.strictSame([...new Set(sizes)], [130])
  t.equal(sizes.length, 13)
})

t.test('DoH: the same; acknowledgements are sent in cells, never separately', async (t) => {
  const bodies: number[] = []
  const acknowledged: string[] = []
  let written = 0
  const server = await startDoh({
    identity,
    answer: (q) => {
      bodies.push(q.length)
      return replyTo(q, [addressRecord()])
    },
    onSession: (session) => {
      session.on('localSettings', () => acknowledged.push('settings'))
      session.ping((error) => void (error === null && acknowledged.push('ping')))
    },
  })
  t.teardown(() => server.close())
  const { link, send } = scheduledLinkTo(t, server.port, 'doh')
  await link.open()
  await pause(200)
  t.strictSame(acknowledged, [], 'what the server sent is owed')
  for (let i = 0; i < 4; i++) {
    await send(`n${i}.example`)
    written++
  }
  await pause(50)
  t.strictSame(acknowledged.toSorted(), ['ping', 'settings'])
  const long = send(LONG, 2)
  await pause(20)
  await rest(link)
  const { wire } = await long
  t.ok(wire.length > 200)
  t.strictSame([...new Set(bodies.slice(0, 4))], [link.octets(1)])
  t.equal(bodies[4], link.octets(2))
  t.equal(written, 4)
})

t.test('HTTP/1.1 has no cells: it is refused, not used', async (t) => {
  const server = await startDohH1({ identity, answer: (q) => replyTo(q) })
  t.teardown(() => server.close())
  const { link, events } = scheduledLinkTo(t, server.port, 'doh')
  await t.rejects(link.open(), { code: 'alpn-missing' })
  t.equal(events.filter((e) => e.type === 'link.failed').length, 1)
})

t.test(
  'silence of names alone does not prove that it is dead, but silence of own cells does; it sends and dials nothing by itself',
  async (t) => {
    let silent = false
    const server = await startDot({ identity, answer: (q) => (silent ? undefined : replyTo(q)) })
    t.teardown(() => server.close())
    const { link, send, events } = scheduledLinkTo(t, server.port, 'dot')
    await link.open()
    await send('a.example')
    silent = true
    for (let i = 0; i < 18; i++) {
      void send('silent.example', 1, 500).catch(() => {})
      await pause(100)
    }
    t.ok(link.ready && link.doubtful, 'names of others: their own servers may be silent')
    const lost: string[] = []
    for (let i = 0; i < 20 && link.ready; i++) {
      void send('b.example', 1, 5000, 'cover').catch((error: unknown) => lost.push(error instanceof EnigmError ? error.code : 'other'))
      await pause(100)
    }
    t.notOk(link.ready, 'given up after 1.5 s of silence')
    await pause(20)
    t.ok(lost.length > 3 && lost.every((code) => code === 'connection-lost'))
    t.equal(server.counts.tcp, 1, 'nothing was dialled')
    t.equal(events.at(-1)?.type, 'link.down')
    silent = false
    await link.open()
    await send('c.example')
    t.equal(server.counts.tcp, 2)
  },
)

t.test('close waits for requests in flight', async (t) => {
  const server = await startDot({ identity, answer: async (q) => pause(100).then(() => replyTo(q)) })
  t.teardown(() => server.close())
  const { link, send } = scheduledLinkTo(t, server.port, 'dot')
  await link.open()
  const asked = send('a.example')
  await pause(5)
  await link.close()
  t.ok((await asked).wire.length > 12)
  await t.rejects(link.open(), { code: 'closed' })
})

t.test('when idle, it closes after the time that the resolver states, and not earlier', async (t) => {
  const keepalive = Uint8Array.of(0, 11, 0, 2, 0, 4) // 400 ms
  const server = await startDot({ identity, answer: (q) => withOptions(replyTo(q), keepalive) })
  t.teardown(() => server.close())
  const { link, send, events } = scheduledLinkTo(t, server.port, 'dot')
  await link.open()
  for (let i = 0; i < 8; i++) {
    await send('a.example')
    await pause(100)
  }
  t.ok(link.ready, 'in use for twice as long')
  for (let waited = 0; link.ready && waited < 3000; waited += 20) await pause(20)
  t.match(events.at(-1), { type: 'link.down', code: 'closed' })
})
