import { Duplex } from 'node:stream'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { createAuthority } from '../../../src/demo/authority.ts'
import { withPaddedOpt } from '../../../src/dns/edns.ts'
import { FrameReader, framed } from '../../../src/dns/framing.ts'
import { idOf, setId } from '../../../src/dns/message.ts'
import { u16 } from '../../../src/dns/octets.ts'
import type { EnigmError } from '../../../src/errors.ts'
import { MAX_IN_FLIGHT } from '../../../src/link/carriers/carrier.ts'
import { DotCarrier } from '../../../src/link/carriers/dot.ts'
import { type DotOptions, startDot } from '../../support/dot-server.ts'
import { FakeClock, seededRandom } from '../../support/fake-clock.ts'
import { codeOf, endpointAt, linkTo, NAME, pause } from '../../support/link-rig.ts'
import { bytes, optRecord, query, rr, u16s } from '../../support/messages.ts'
import { addressRecord, replyTo, withOptions } from '../../support/replies.ts'

const authority = await createAuthority()
const identity = await authority.issue({ name: NAME })

/** A server with `answer`, and a link to it. */
async function scene(answer: DotOptions['answer'], onConnection?: DotOptions['onConnection']) {
  const server = await startDot({ identity, answer, ...(onConnection === undefined ? {} : { onConnection }) })
  const rig = linkTo(endpointAt(server.port, { ca: authority.certificate }), 'dot')
  const end = async () => {
    await rig.link.close()
    await server.close()
  }
  /** Replies that matched nothing, by the sum of what was reported. */
  const mismatches = () => rig.events.reduce((sum, e) => sum + (e.type === 'link.mismatch' ? (e.count ?? 1) : 0), 0)
  return { server, end, mismatches, ...rig }
}

const numbered = (n: number) => query({ name: `n${n}.example.com`, id: n })

t.test('a reply arrives whole, with the ID of the request, which is not changed', async (t) => {
  const ids = new Set<number>()
  const { ask, end, server } = await scene((q) => {
    ids.add(idOf(q))
    return replyTo(q, [addressRecord()])
  })
  const request = query({ id: 0 })
  const before = Buffer.from(request)
  const carried = await ask(request)
  t.same(Buffer.from(carried.wire), Buffer.from(replyTo(request, [addressRecord()])))
  t.same(Buffer.from(request), before)
  t.match(carried.protection, { authenticated: true, by: 'ca' })
  t.ok(carried.rttMs > 0 && carried.rttMs < 1000)
  for (let i = 0; i < 20; i++) await ask(request)
  t.ok(ids.size > 15, "IDs are random, not the request's")
  t.equal(server.counts.handshakes, 1)
  await end()
})

t.test('queries of one turn leave in one record; replies in reverse order find their queries', async (t) => {
  const held: Uint8Array[] = []
  const { ask, end, server } = await scene((q, peer) => {
    held.push(q)
    if (held.length === 200) for (const one of held.reverse()) peer.send(replyTo(one))
    return peer.number > 1 ? replyTo(q) : undefined
  })
  const replies = await Promise.all(Array.from({ length: 200 }, (_, i) => ask(numbered(i))))
  for (const [i, { wire }] of replies.entries()) t.same(Buffer.from(wire), Buffer.from(replyTo(numbered(i))), `reply ${i}`)
  t.equal(new Set(held.map(idOf)).size, 200)
  t.equal(server.counts.records, 1)
  await end()
})

t.test('unmatched replies are ignored and counted, and the wait continues', async (t) => {
  const wrong: Record<string, (q: Uint8Array) => Uint8Array> = {
    'another ID': (q) => {
      const reply = replyTo(q)
      setId(reply, idOf(q) ^ 1)
      return reply
    },
    'another name': (q) => replyTo(query({ name: 'www.example.org', id: idOf(q) })),
    'another type': (q) => replyTo(query({ type: 28, id: idOf(q) })),
    'another class': (q) => replyTo(query({ class: 3, id: idOf(q) })),
    'a query, not a response': (q) => replyTo(q, [], 0x0100),
    'another opcode': (q) => replyTo(q, [], 0xa180),
  }
  const names = Object.keys(wrong)
  for (const what of names) {
    const { ask, end, count } = await scene((q, peer) => {
      peer.send(wrong[what]?.(q) ?? q)
      return replyTo(q, [addressRecord(7)])
    })
    const { wire } = await ask(query())
    t.equal(wire[wire.length - 1], 7, `${what}: the true answer wins`)
    t.equal(count('link.mismatch'), 1, `${what}: counted`)
    await end()
  }
  const { ask, end } = await scene((q) => wrong['another name']?.(q))
  t.equal(await codeOf(ask(query(), 200)), 'deadline', 'alone, it leaves the query to its deadline')
  await end()
})

t.test('another case in the name matches; so does an error without a question', async (t) => {
  const upper = await scene((q) => {
    const reply = replyTo(q)
    return Buffer.concat([
      reply.subarray(0, 12),
      Buffer.from(Buffer.from(reply.subarray(12, -4)).toString('latin1').toUpperCase(), 'latin1'),
      reply.subarray(-4),
    ])
  })
  t.equal(await codeOf(upper.ask(query())), 'answered')
  await upper.end()
  const bare = await scene((q) => Uint8Array.of(...q.subarray(0, 2), 0x81, 0x82, 0, 0, 0, 0, 0, 0, 0, 0))
  const { wire } = await bare.ask(query())
  t.equal(wire.length, 12)
  t.equal(bare.count('link.mismatch'), 0)
  await bare.end()
})

t.test('a late reply to a query that ran out of time is neither an answer nor a mismatch', async (t) => {
  const late: (() => void)[] = []
  const { ask, end, count, server } = await scene((q, peer) => {
    if (peer.queries > 1) return replyTo(q)
    late.push(() => peer.send(replyTo(q)))
    return undefined
  })
  t.equal(await codeOf(ask(query(), 100)), 'deadline')
  late[0]?.()
  await pause(20)
  t.equal(await codeOf(ask(query())), 'answered')
  t.equal(count('link.mismatch'), 0)
  t.equal(server.counts.handshakes, 1)
  await end()
})

t.test('a reply in single octets, and 65,535 octets', async (t) => {
  const big = new Uint8Array(65535)
  const { ask, end } = await scene((q, peer) => {
    if (peer.queries === 2) {
      big.set(replyTo(q))
      return big
    }
    const reply = replyTo(q)
    const octets = [0, reply.length, ...reply]
    const next = () => {
      const octet = octets.shift()
      if (octet === undefined) return
      peer.socket.write(Uint8Array.of(octet))
      setImmediate(next)
    }
    next()
    return undefined
  })
  t.same(Buffer.from((await ask(query())).wire), Buffer.from(replyTo(query())))
  t.equal((await ask(query())).wire.length, 65535)
  await end()
})

t.test('a frame too short for a message is ignored: the next answer arrives, on the same connection', async (t) => {
  for (const octets of [0, 1, 3, 11]) {
    const { ask, end, events, server, mismatches } = await scene((q, peer) => {
      for (let i = 0; i < 3; i++) peer.socket.write(Uint8Array.of(0, octets, ...new Uint8Array(octets).fill(q[0] ?? 0)))
      return replyTo(q)
    })
    t.equal(await codeOf(ask(query())), 'answered', `${octets} octets`)
    t.equal(await codeOf(ask(query())), 'answered')
    t.equal(server.counts.handshakes, 1)
    t.equal(events.filter((e) => e.type === 'link.down').length, 0)
    await end()
    t.equal(mismatches(), 6)
  }
})

const floods: Readonly<Record<string, (q: Uint8Array) => Uint8Array>> = {
  'empty frames': () => new Uint8Array(2 * 20_000),
  'short frames': () => bytes(...Array.from({ length: 20_000 }, () => [0, 3, 1, 2, 3])),
  'replies to nothing': (q) => {
    const reply = replyTo(q)
    setId(reply, idOf(q) ^ 1)
    return bytes(...Array.from({ length: 20_000 }, () => [0, reply.length, ...reply]))
  },
}

for (const [what, flood] of Object.entries(floods))
  t.test(`a flood of ${what} causes few events, which count them all`, async (t) => {
    const { ask, end, count, mismatches } = await scene((q, peer) => {
      if (peer.queries === 1) peer.socket.write(flood(q))
      return replyTo(q)
    })
    const startMs = performance.now()
    t.equal(await codeOf(ask(query())), 'answered')
    t.equal(await codeOf(ask(query())), 'answered')
    await end()
    const most = 2 + (performance.now() - startMs) / 10
    t.ok(count('link.mismatch') <= most, `${count('link.mismatch')} events, at most ${most}`)
    t.equal(mismatches(), 20_000)
  })

/**
 * The first connection brings `first` and then `again` every 50 ms, and no answer: a second one is
 * dialled, and answers.
 */
async function goesElsewhere(t: Test, first: readonly number[], again: readonly number[]) {
  const { ask, end, server } = await scene((q, peer) => {
    if (peer.number > 1 || peer.queries > 1) return peer.number > 1 ? replyTo(q) : undefined
    const timer = setInterval(() => peer.socket.write(Uint8Array.from(again)), 50)
    if (first.length > 0) peer.socket.write(Uint8Array.from(first))
    peer.socket.on('close', () => clearInterval(timer))
    return undefined
  })
  t.equal(await codeOf(ask(query(), 1000)), 'answered')
  t.equal(await codeOf(ask(query(), 200)), 'answered')
  t.equal(server.counts.handshakes, 2)
  await end()
}

t.test('a stream of short frames is no sign of life: the next query goes elsewhere', async (t) => {
  await goesElsewhere(t, [], [0, 0, 0, 1, 9])
})

t.test('an answer without a question fails its query at once, and only that one', async (t) => {
  const bare = (q: Uint8Array, flags: number) => Uint8Array.of(...q.subarray(0, 2), flags >> 8, flags & 255, 0, 0, 0, 0, 0, 0, 0, 0)
  for (const flags of [0x8180, 0x8380, 0xa180, 0xa181]) {
    const held: (() => void)[] = []
    const { ask, end, count, server } = await scene((q, peer) => {
      if (peer.queries === 2) return bare(q, flags)
      held.push(() => peer.send(replyTo(q)))
      return undefined
    })
    const bystander = codeOf(ask(query()))
    const startMs = performance.now()
    t.equal(await codeOf(ask(query())), 'reply-mismatch', `flags ${flags.toString(16)}`)
    t.ok(performance.now() - startMs < 500, 'at once')
    for (const answer of held) answer()
    t.equal(await bystander, 'answered')
    t.equal(count('link.mismatch'), 1)
    t.equal(server.counts.handshakes, 1)
    await end()
  }
})

/** A header of a response to `q` with these flags and number of questions, and what follows. */
const headed = (q: Uint8Array, flags: number, questions: number, rest: Uint8Array = new Uint8Array(0)) =>
  bytes(q.subarray(0, 2), u16s(flags, questions, 0, 0, 0), rest)

t.test('a question that is cut off or malformed is none: its query fails at once', async (t) => {
  const bare: Record<string, (q: Uint8Array) => Uint8Array> = {
    'counted and not there': (q) => headed(q, 0x8180, 1),
    'cut off': (q) => headed(q, 0x8180, 1, q.subarray(12, 20)),
    'a pointer': (q) => headed(q, 0x8180, 1, bytes(0xc0, 12, u16s(1, 1))),
    'none, but a record': (q) => bytes(q.subarray(0, 2), u16s(0x8180, 0, 1, 0, 0), rr({ name: 'www.example.com' })),
    'none, but an OPT': (q) => bytes(q.subarray(0, 2), u16s(0x8180, 0, 0, 0, 1), optRecord({})),
  }
  for (const [what, reply] of Object.entries(bare)) {
    const { ask, end, server } = await scene((q) => (q[13] === 0x6e ? replyTo(q) : reply(q)))
    const startedMs = performance.now()
    const other = codeOf(ask(numbered(1)))
    t.equal(await codeOf(ask(query(), 4000)), 'reply-mismatch', what)
    t.ok(performance.now() - startedMs < 2000, `${what}: not at the deadline`)
    t.equal(await other, 'answered', `${what}: the other query`)
    t.match([server.counts.handshakes, server.counts.queries], [1, 2], `${what}: not asked again`)
    await end()
  }
})

t.test('an error without its question is the answer for any code, also if a question is counted', async (t) => {
  for (const rcode of [1, 2, 4, 5, 9])
    for (const questions of [0, 1]) {
      const { ask, end, count } = await scene((q) => headed(q, 0x8180 | rcode, questions))
      const { wire } = await ask(query())
      t.equal((wire[3] ?? 0) & 15, rcode)
      t.equal(count('link.mismatch'), 0)
      await end()
    }
  const badVers = await scene((q) => bytes(q.subarray(0, 2), u16s(0x8180, 0, 0, 0, 1), [0], u16s(41, 1232), [1, 0], u16s(0, 0)))
  t.equal(await codeOf(badVers.ask(query())), 'answered', 'BADVERS: its upper bits are in the OPT')
  await badVers.end()
})

/**
 * A carrier on a stream that is none, whose IDs are drawn from 0, 1, 2 ... round `most`; the IDs
 * that it wrote, in turn.
 */
function counting(most: number) {
  let drawn = 0
  const ids: number[] = []
  const frames = new FrameReader()
  const stream = new Duplex({
    read() {},
    write(chunk: Uint8Array, _encoding, done) {
      frames.push(chunk, (frame) => void ids.push(idOf(frame)))
      done()
    },
  })
  const told: string[] = []
  const watcher = {
    ...{ heard() {}, idle() {}, down() {} },
    draining: () => void told.push('draining'),
    mismatch: () => void told.push('mismatch'),
  }
  const protection = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: '', resumed: false } as const
  const connection = { stream, address: '127.0.0.1', protection, handshakeMs: 1, protocol: 'dot', certificate: () => undefined }
  const random = { ...seededRandom(1), below: () => drawn++ % most }
  const carrier = new DotCarrier(connection, { clock: new FakeClock(), random, watcher })
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
  /** Queries that nobody waits for any more once they are written. */
  const abandon = async (times: number) => {
    const sent = Array.from({ length: times }, () => carrier.send(query(), { answered() {}, failed() {} }))
    await turn()
    for (const one of sent) one.cancel()
  }
  return { carrier, stream, ids, told, abandon, turn }
}

t.test('an ID that ran out of time is reserved until its connection closes', async (t) => {
  const { stream, ids, told, abandon } = counting(10_000)
  await abandon(4000)
  await abandon(4000)
  await abandon(1900)
  t.equal(new Set(ids).size, 9900, 'each of them once')
  stream.emit('data', framed(replyTo(query({ id: 5 }))))
  stream.emit('data', framed(replyTo(query({ id: 5 }))))
  t.same(told, [], 'what comes late for one of them, however often, is no mismatch')
  await abandon(50)
  t.notOk(ids.slice(9900).includes(5), 'nor does it free the ID')
})

t.test('a connection on which too many ran out of time takes no more, and its last ones are answered', async (t) => {
  const { carrier, stream, ids, told, abandon, turn } = counting(65_536)
  for (let i = 0; i < 13; i++) await abandon(2000)
  const outcomes: string[] = []
  const ticket = {
    answered: () => void outcomes.push('answered'),
    failed: ({ code }: EnigmError, loss: string) => void outcomes.push(`${code} ${loss}`),
  }
  carrier.send(query(), ticket)
  await abandon(2000)
  t.same(told, ['draining'])
  const last = ids[26_000] ?? 0
  carrier.send(query(), ticket)
  await turn()
  t.same(outcomes, ['connection-lost refused'])
  stream.emit('data', framed(replyTo(query({ id: last }))))
  t.same(outcomes, ['connection-lost refused', 'answered'])
})

t.test('FIN or RST with queries in flight: each is retried once on one fresh connection', async (t) => {
  for (const how of ['end', 'reset'] as const) {
    let asked = 0
    const { ask, end, server } = await scene((q, peer) => {
      if (q[12] !== 0) asked++
      if (peer.number > 1) return replyTo(q)
      if (peer.queries === 50) how === 'end' ? peer.socket.end() : peer.reset()
      return undefined
    })
    const outcomes = await Promise.all(Array.from({ length: 50 }, (_, i) => codeOf(ask(numbered(i)))))
    t.same(new Set(outcomes), new Set(['answered']), how)
    t.equal(server.counts.handshakes, 2)
    t.equal(asked, 100)
    await end()
  }
  const always = await scene((_, peer) => peer.reset() as undefined)
  t.equal(await codeOf(always.ask(query())), 'connection-lost')
  t.equal(always.server.counts.queries, 2, 'once more, not for ever')
  await always.end()
})

t.test('thousands in flight, and a limit', async (t) => {
  const { ask, end, link, server } = await scene((q, peer) => (peer.queries === 1 ? replyTo(q) : undefined))
  await ask(query())
  const outcomes = Array.from({ length: MAX_IN_FLIGHT + 1 }, (_, i) => codeOf(ask(numbered(i), 400)))
  t.equal(await outcomes[MAX_IN_FLIGHT], 'overloaded')
  // `connection-lost` where what was asked as a sign of life went unanswered on both connections.
  t.ok(['deadline', 'connection-lost'].includes((await outcomes[MAX_IN_FLIGHT - 1]) ?? ''))
  t.ok(server.counts.queries >= MAX_IN_FLIGHT + 1)
  await link.close()
  await end()
})

t.test('a silent name: a root query of the same length is sent too, and nothing is dialled', async (t) => {
  const asked: Uint8Array[] = []
  const { ask, end, events, server } = await scene((q) => {
    asked.push(q)
    return u16(q, 12) === 0x0773 ? undefined : replyTo(q) // \7s...
  })
  for (let i = 0; i < 10; i++) await ask(query())
  asked.length = 0
  const silent = withPaddedOpt(query({ name: 'silents.example' }), { dnssecOk: false, block: 128, keepalive: true })
  t.equal(await codeOf(ask(silent, 1500)), 'deadline')
  t.equal(server.counts.handshakes, 1)
  t.same(
    asked.map((q) => [q.length, q[12]]),
    [
      [128, 7],
      [128, 0],
    ],
  )
  t.not(u16(asked[0] ?? silent, 0), u16(asked[1] ?? silent, 0))
  t.equal(events.filter((e) => e.type === 'link.mismatch').length, 0)
  await end()
})

t.test('edns-tcp-keepalive: 0 closes when no reply is pending, another value is the idle limit', async (t) => {
  const keepalive = (value: number) => Uint8Array.of(0, 11, 0, 2, value >> 8, value & 255)
  const zero = await scene((q) => withOptions(replyTo(q), keepalive(0)))
  await zero.ask(query())
  t.match(zero.events, [{ type: 'link.up' }, { type: 'link.down', code: 'closed' }])
  await zero.ask(query())
  t.equal(zero.server.counts.handshakes, 2)
  await zero.end()
  const brief = await scene((q) => withOptions(replyTo(q), keepalive(2)))
  await brief.ask(query())
  t.equal(brief.count('link.down'), 0)
  await pause(400)
  t.match(brief.events, [{ type: 'link.up' }, { type: 'link.down', code: 'closed' }])
  await brief.end()
})

t.test('a trickle of single octets delays no other query: the next one goes elsewhere', async (t) => {
  await goesElsewhere(t, [1], [0])
})

t.test('for any octets from a resolver, a query ends with an answer or a code, by its deadline', async (t) => {
  let octets: Uint8Array = new Uint8Array(0)
  const { ask, end } = await scene((q, peer) => {
    peer.socket.write(octets)
    return peer.queries === 1 ? replyTo(q) : undefined
  })
  const header = fc.uint8Array({ minLength: 12, maxLength: 60 }).map((m) => Uint8Array.of(0, m.length, ...m))
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 200 }), header), async (sent) => {
      octets = sent
      const code = await codeOf(ask(query(), 60))
      return ['answered', 'deadline', 'reply-malformed', 'connection-lost', 'connect-timeout'].includes(code)
    }),
    { numRuns: 25 },
  )
  octets = new Uint8Array(0)
  await pause(1100)
  t.equal(await codeOf(ask(query())), 'answered')
  await end()
})
