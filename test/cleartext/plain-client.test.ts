import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { PlainClient } from '../../src/cleartext/plain-client.ts'
import type { PlainManner } from '../../src/cleartext/plain-exchange.ts'
import { systemClock, systemRandom } from '../../src/clock.ts'
import { readOpt } from '../../src/dns/edns.ts'
import { FrameReader, framed } from '../../src/dns/framing.ts'
import { nameFromText } from '../../src/dns/name.ts'
import type { AcceptedReply } from '../../src/dns/response.ts'
import { EnigmError } from '../../src/errors.ts'
import type { Question } from '../../src/resolve.ts'
import { bytes, u16s } from '../support/messages.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const NAME = 'a-long-name-with-many-letters.corp.example'
const question: Question = { lower: bytes(nameFromText(NAME), u16s(1, 1)), type: 1, class: 1 }
const MANNER: PlainManner = {
  thorough: true,
  mostPackets: 4,
  retryMs: 150,
  clamp: { minTtlS: 0, maxTtlS: 86_400 },
  says: { silent: 'silent', unreachable: 'unreachable', closed: 'closed' },
}

type Answer = (query: Buffer, port: number) => Uint8Array | readonly Uint8Array[] | undefined

/** A server on one port: what it says over UDP, and over TCP (absent: the port is closed). */
async function server(t: Test, udp: Answer, tcp?: Answer) {
  const seen: { readonly query: Buffer; readonly over: 'udp' | 'tcp'; readonly port: number }[] = []
  const stream = createServer((socket: Socket) => {
    const reader = new FrameReader()
    socket.on('error', () => {})
    socket.on('data', (chunk) =>
      reader.push(chunk, (frame) => {
        const query = Buffer.from(frame)
        seen.push({ query, over: 'tcp', port: socket.remotePort ?? 0 })
        const reply = tcp?.(query, 0)
        if (reply instanceof Uint8Array) socket.write(framed(reply))
        else socket.destroy()
      }),
    )
  })
  stream.listen(0, '127.0.0.1')
  await once(stream, 'listening')
  const { port } = stream.address() as { port: number }
  if (tcp === undefined) {
    stream.close()
    await once(stream, 'close')
  }
  const socket = createSocket('udp4')
  socket.on('message', (query, from) => {
    seen.push({ query, over: 'udp', port: from.port })
    const said = udp(query, from.port)
    for (const reply of said === undefined ? [] : said instanceof Uint8Array ? [said] : said) socket.send(reply, from.port, from.address)
  })
  socket.bind(port, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => {
    socket.close()
    stream.close()
  })
  return { seen, address: { address: '127.0.0.1', port } }
}

async function ask(client: PlainClient, ms = 1000, dnssecOk = false): Promise<AcceptedReply | string> {
  const clock = systemClock()
  // The timers of the clock do not keep the process alive.
  const alive = setTimeout(() => {}, ms + 1000)
  const outcome = await new Promise<AcceptedReply | EnigmError>((resolve) =>
    client.send(question, { dnssecOk, checkingDisabled: false }, clock.nowMs() + ms, resolve),
  )
  clearTimeout(alive)
  return outcome instanceof EnigmError ? outcome.code : outcome
}
const clientOf = (t: Test, ...resolvers: readonly { readonly address: string; readonly port: number }[]) => {
  const client = new PlainClient({ clock: systemClock(), random: systemRandom, resolvers, manner: MANNER, mayLeave: () => true })
  t.teardown(() => client.close())
  return client
}
const lowered = (query: Buffer) => Buffer.from(query.map((octet, i) => (i >= 12 && octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet)))
const nameIn = (query: Buffer) => query.subarray(12, 12 + question.lower.length - 4).toString('latin1')
const good = (query: Uint8Array) => replyTo(query, [addressRecord()])

t.test('each query has its own ID, source port and case; the reply is that of any other', async (t) => {
  const { seen, address } = await server(t, good)
  const client = clientOf(t, address)
  for (let i = 0; i < 8; i++) t.match(await ask(client, 1000, i % 2 === 0), { rcode: 0, kind: 'positive', ttlS: 300 })
  const distinct = (of: (one: (typeof seen)[number]) => unknown) => new Set(seen.map(of)).size
  t.equal(seen.length, 8)
  t.ok(distinct(({ query }) => query.readUInt16BE(0)) >= 7, 'IDs')
  t.ok(distinct(({ port }) => port) >= 7, 'ports')
  t.ok(distinct(({ query }) => nameIn(query)) >= 7, 'letters')
  t.strictSame(
    seen.map(({ query }) => readOpt(query)?.dnssecOk),
    [true, false, true, false, true, false, true, false],
  )
})

t.test('forged replies are ignored: another ID, another name, another case, no question', async (t) => {
  const wrongId = (query: Buffer) => {
    const reply = Buffer.from(good(query))
    reply.writeUInt16BE((reply.readUInt16BE(0) + 1) & 0xffff, 0)
    return reply
  }
  const otherName = (query: Buffer) => {
    const reply = Buffer.from(good(query))
    reply[14] = 0x7a
    return reply
  }
  const { address } = await server(t, (query) => [wrongId(query), otherName(query), query, Buffer.from('garbage'), good(query)])
  const other = createSocket('udp4')
  t.teardown(() => other.close())
  t.match(await ask(clientOf(t, address)), { rcode: 0, kind: 'positive' })
})

t.test('another case: over TCP, and the server is remembered to change it', async (t) => {
  const lower = (query: Buffer) => good(lowered(query))
  const { seen, address } = await server(t, lower, lower)
  const client = clientOf(t, address)
  t.match(await ask(client), { kind: 'positive' })
  t.strictSame(
    seen.map(({ over }) => over),
    ['udp', 'tcp'],
  )
  t.match(await ask(client), { kind: 'positive' })
  t.strictSame(
    seen.map(({ over }) => over),
    ['udp', 'tcp', 'udp'],
    'then asked in lower case',
  )
  t.equal(nameIn(seen[2]?.query ?? Buffer.alloc(0)), Buffer.from(question.lower.subarray(0, -4)).toString('latin1'))
})

t.test('a forged reply in another case costs a query over TCP, and changes nothing', async (t) => {
  let first = true
  const { seen, address } = await server(
    t,
    (query) => {
      const forged = first ? replyTo(lowered(query), [addressRecord(66)]) : good(query)
      first = false
      return forged
    },
    good,
  )
  const client = clientOf(t, address)
  const answer = await ask(client)
  t.equal(typeof answer === 'string' ? 0 : answer.wire.at(-1), 1, 'the answer came over TCP')
  await ask(client)
  t.not(nameIn(seen[2]?.query ?? Buffer.alloc(0)), nameIn(lowered(seen[2]?.query ?? Buffer.alloc(0))), 'letters of random case as before')
})

t.test('another case, and no TCP: asked again in lower case from another port', async (t) => {
  const { seen, address } = await server(t, (query) => good(lowered(query)))
  t.match(await ask(clientOf(t, address)), { kind: 'positive' })
  t.equal(seen.length, 2)
  t.not(seen[0]?.port, seen[1]?.port)
})

t.test('a truncated reply is fetched over TCP', async (t) => {
  const { seen, address } = await server(t, (query) => replyTo(query, [], 0x8380), good)
  t.match(await ask(clientOf(t, address)), { kind: 'positive' })
  t.strictSame(
    seen.map(({ over }) => over),
    ['udp', 'tcp'],
  )
})

t.test('a server that cannot read EDNS is asked without it', async (t) => {
  const { seen, address } = await server(t, (query) => (readOpt(query) === undefined ? good(query) : replyTo(query, [], 0x8181)))
  const client = clientOf(t, address)
  t.match(await ask(client), { kind: 'positive' })
  t.match(await ask(client), { kind: 'positive' })
  t.strictSame(
    seen.map(({ query }) => readOpt(query) !== undefined),
    [true, false, false],
  )
})

t.test('the next server is asked if one is silent, refuses, or has no answer', async (t) => {
  const well = await server(t, good)
  const silent = await server(t, () => undefined)
  const failing = await server(t, (query) => replyTo(query, [], 0x8182))
  t.match(await ask(clientOf(t, silent.address, well.address)), { kind: 'positive' })
  t.match(await ask(clientOf(t, failing.address, well.address)), { kind: 'positive' })
  t.match(await ask(clientOf(t, { address: '127.0.0.1', port: 1 }, well.address)), { kind: 'positive' })
  t.match(await ask(clientOf(t, failing.address, silent.address), 500), { rcode: 2 }, 'else what the first one said')
})

t.test('a server that is gone fails the question early, a silent one at the deadline', async (t) => {
  const beganMs = performance.now()
  t.equal(await ask(clientOf(t, { address: '127.0.0.1', port: 1 }), 10_000), 'connect-failed')
  t.ok(performance.now() - beganMs < 5000)
  const silent = await server(t, () => undefined)
  t.equal(await ask(clientOf(t, silent.address), 700), 'deadline')
  t.equal(silent.seen.length, 4)
})

t.test('nothing leaves once the policy says no', async (t) => {
  const { seen, address } = await server(t, good)
  const parts = { clock: systemClock(), random: systemRandom, resolvers: [address], manner: MANNER, mayLeave: () => false }
  t.equal(await ask(new PlainClient(parts)), 'closed')
  t.equal(seen.length, 0)
})
