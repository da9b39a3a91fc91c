import t from 'tap'
import { MAX_IN_FLIGHT } from '../../../../src/link/carriers/carrier.ts'
import { FLAG, FRAME, H2, SETTING } from '../../../../src/link/carriers/h2/codes.ts'
import { type DohOptions, startDoh } from '../../../support/doh-server.ts'
import { pause } from '../../../support/link-rig.ts'
import { replyTo } from '../../../support/replies.ts'
import { carry, frame, GOOD, identity, isBody, isLast, numbered, type Peer, reply, type Seen, settings, u32, withScript } from './rig.ts'

async function against(answer: DohOptions['answer'], more: Partial<DohOptions> = {}) {
  const server = await startDoh({ identity, answer, ...more })
  const rig = await carry(server.port)
  const end = async () => {
    rig.end()
    await server.close()
  }
  return { ...rig, server, end }
}

t.test('thousands at once, each its own answer; one more is refused; idle once at the end', async (t) => {
  const { ask, carrier, told, end } = await against((q) => replyTo(q), { http2: { settings: { maxConcurrentStreams: 200 } } })
  const all = Array.from({ length: MAX_IN_FLIGHT }, (_, i) => ask(numbered(i)))
  t.equal(carrier.inFlight, MAX_IN_FLIGHT)
  t.same(await ask(numbered(1)), { code: 'overloaded', loss: 'final' })
  const outcomes = await Promise.all(all)
  const right = outcomes.filter((outcome, i) => 'wire' in outcome && Buffer.from(outcome.wire).readUInt16BE(0) === i)
  t.equal(right.length, MAX_IN_FLIGHT)
  t.equal(carrier.inFlight, 0)
  t.equal(carrier.silentSinceMs, undefined)
  t.same(told, ['idle'])
  await end()
})

t.test('queries that give way leave every eighth stream free, and come after the others', async (t) => {
  let held: (() => void)[] = []
  const seen: number[] = []
  const { ask, carrier, end } = await against(
    async (q) => {
      seen.push(Buffer.from(q).readUInt8(13))
      await new Promise<void>((resolve) => held.push(resolve))
      return replyTo(q)
    },
    { http2: { settings: { maxConcurrentStreams: 16 } } },
  )
  const named = (letter: number) => numbered(0).map((octet, i) => (i === 13 ? letter : octet))
  const first = ask(named(0x63))
  while (held.length === 0) await pause(5)
  held.shift()?.()
  await first
  seen.length = 0
  const outcomes = Array.from({ length: 20 }, () => ask(named(0x61), true))
  await pause(100)
  t.equal(seen.length, 14)
  const light = Array.from({ length: 3 }, () => ask(named(0x62)))
  await pause(100)
  t.equal(seen.filter((letter) => letter === 0x62).length, 2)
  held.shift()?.()
  await pause(100)
  t.equal(seen.filter((letter) => letter === 0x62).length, 3, 'the next place that is free')
  while (carrier.inFlight > 0) {
    for (const release of held.splice(0)) release()
    await pause(10)
  }
  held = []
  for (const outcome of await Promise.all([...outcomes, ...light])) t.ok('wire' in outcome)
  await end()
})

t.test('32 streams until SETTINGS state the limit, then all', async (t) => {
  let before = 0
  const { ask, end } = await withScript(async (peer) => {
    await peer.until((seen) => seen.type === FRAME.headers)
    await pause(30)
    before = peer.seen.filter((seen) => seen.type === FRAME.headers).length
    peer.socket.write(settings())
    await peer.until(isLast(2 * 100 - 1))
    peer.socket.write(Buffer.concat(peer.seen.filter(isBody).map((s) => reply(s.streamId, s.payload))))
  })
  const outcomes = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(numbered(i))))
  t.ok(outcomes.every((outcome) => 'wire' in outcome))
  t.equal(before, 32)
  await end()
})

t.test('one stream at a time if the peer accepts no more', async (t) => {
  let most = 0
  let open = 0
  const { ask, end } = await against(
    async (q) => {
      most = Math.max(most, ++open)
      await pause(1)
      open--
      return replyTo(q)
    },
    { http2: { settings: { maxConcurrentStreams: 1 } } },
  )
  await ask(numbered(0))
  most = 0
  const outcomes = await Promise.all(Array.from({ length: 30 }, (_, i) => ask(numbered(i))))
  t.ok(outcomes.every((outcome) => 'wire' in outcome))
  t.equal(most, 1)
  await end()
})

t.test('all queries of a turn, the preface too, leave in one record', async (t) => {
  let sizes: number[] = []
  const { ask, end } = await withScript((peer) => {
    peer.socket.on('data', (chunk) => sizes.push(chunk.length))
    peer.socket.write(settings())
    void peer
      .until(isLast(5))
      .then(() => peer.socket.write(Buffer.concat(peer.seen.filter(isBody).map((s) => reply(s.streamId, s.payload)))))
  })
  const turn = await Promise.all([1, 2, 3].map((n) => ask(numbered(n))))
  t.ok(turn.every((outcome) => 'wire' in outcome))
  t.equal(sizes[0] !== undefined && sizes[0] > 3 * 100, true, `${sizes}`)
  t.ok(sizes.length <= 2, 'the rest is the ACK of SETTINGS')
  sizes = []
  await end()
})

t.test('GOAWAY: streams above its last ID are refused, those below answered, the queue was not sent', async (t) => {
  const { ask, told, end } = await withScript(async (peer) => {
    peer.socket.write(settings([SETTING.maxConcurrentStreams, 3]))
    const q = await peer.until(isLast(1))
    await peer.until(isLast(5))
    peer.socket.write(Buffer.concat([frame(FRAME.goaway, 0, 0, u32(1), u32(0)), reply(1, q.payload)]))
  })
  await pause(20) // SETTINGS are there
  const [first, ...others] = await Promise.all([1, 2, 3, 4, 5].map((n) => ask(numbered(n))))
  t.ok(first !== undefined && 'wire' in first)
  const losses = others.map((outcome) => 'loss' in outcome && outcome.loss)
  t.same(losses, ['refused', 'refused', 'unsent', 'unsent'])
  t.same(await ask(numbered(9)), { code: 'connection-lost', loss: 'refused' }, 'no more are taken')
  t.same(told, ['draining', 'idle'])
  await end()
})

t.test('GOAWAY that denies an answered stream: all requests in flight are denied', async (t) => {
  const { ask, told, end } = await withScript(async (peer) => {
    peer.socket.write(settings())
    const q = await peer.until(isLast(1))
    peer.socket.write(reply(1, q.payload))
    await peer.until(isLast(5))
    peer.socket.write(frame(FRAME.goaway, 0, 0, u32(0), u32(0)))
  })
  const first = await ask(numbered(1))
  t.ok('wire' in first)
  const outcomes = await Promise.all([ask(numbered(2)), ask(numbered(3))])
  t.same(
    outcomes,
    [2, 3].map(() => ({ code: 'connection-lost', loss: 'denied' })),
  )
  t.same(told, ['idle', 'draining', 'idle'])
  await end()
})

t.test('GOAWAY for an error: requests in flight are lost at once, or refused above its last ID', async (t) => {
  const { ask, told, end } = await withScript(async (peer) => {
    peer.socket.write(settings())
    await peer.until(isLast(3))
    const pong = frame(FRAME.ping, FLAG.ack, 0, u32(0), u32(0))
    peer.socket.write(Buffer.concat([frame(FRAME.goaway, 0, 0, u32(1), u32(H2.enhanceYourCalm)), pong]))
  })
  const outcomes = await Promise.all([ask(numbered(1)), ask(numbered(2))])
  t.same(outcomes, [
    { code: 'connection-lost', loss: 'lost' },
    { code: 'connection-lost', loss: 'refused' },
  ])
  t.same(told, ['draining', 'down'])
  await end()
})

t.test('REFUSED_STREAM: retried three times on the same connection, then refused; another reset is a loss', async (t) => {
  let refusals = 0
  const refuseUpTo = (limit: number) => async (peer: Peer) => {
    peer.socket.write(settings())
    for (let id = 1; ; id += 2) {
      const q = await peer.until(isLast(id))
      peer.socket.write(refusals++ < limit ? frame(FRAME.rstStream, 0, id, u32(H2.refusedStream)) : reply(id, q.payload))
    }
  }
  const kind = await withScript(refuseUpTo(2))
  t.ok('wire' in (await kind.ask(numbered(1))))
  await kind.end()
  refusals = 0
  const hard = await withScript(refuseUpTo(99))
  t.same(await hard.ask(numbered(1)), { code: 'connection-lost', loss: 'refused' })
  t.equal(refusals, 4)
  t.notOk(hard.told.includes('down'))
  await hard.end()
  const reset = await withScript(async (peer) => {
    peer.socket.write(settings())
    await peer.until(isBody)
    peer.socket.write(frame(FRAME.rstStream, 0, 1, u32(2)))
  })
  t.same(await reset.ask(numbered(1)), { code: 'connection-lost', loss: 'lost' })
  await reset.end()
})

t.test('stream IDs run out: those in flight are answered, the rest is not sent, and the connection drains', async (t) => {
  const answerAll = async (peer: Peer) => {
    peer.socket.write(settings())
    await peer.until(isLast(5))
    peer.socket.write(Buffer.concat(peer.seen.filter(isBody).map((seen) => reply(seen.streamId, seen.payload))))
  }
  const { ask, told, end } = await withScript(answerAll, { lastStreamId: 5 })
  const outcomes = await Promise.all([1, 2, 3, 4].map((n) => ask(numbered(n))))
  t.same(
    outcomes.map((outcome) => ('wire' in outcome ? 'answered' : outcome.loss)),
    ['answered', 'answered', 'answered', 'unsent'],
  )
  t.same(told, ['draining', 'idle'])
  await end()
})

t.test('cancelled: RST_STREAM, later frames are ignored, and the ticket is not called', async (t) => {
  let told: Seen | undefined
  const { asked, ask, carrier, end } = await withScript(async (peer) => {
    peer.socket.write(settings())
    const q = await peer.until(isLast(1))
    told = await peer.until((seen) => seen.type === FRAME.rstStream)
    const late = Buffer.concat([reply(1, q.payload), frame(FRAME.rstStream, 0, 1, u32(0))])
    const next = await peer.until(isLast(3))
    peer.socket.write(Buffer.concat([late, reply(3, next.payload)]))
  })
  const { outcome, cancel } = asked(numbered(1))
  let touched = false
  void outcome.then(() => {
    touched = true
  })
  await pause(20)
  cancel()
  cancel()
  t.equal(carrier.inFlight, 0)
  const early = asked(numbered(2))
  early.cancel()
  t.ok('wire' in (await ask(numbered(3))), 'stream 3: the one that was never written took no ID')
  t.equal(told?.payload.readUInt32BE(0), H2.cancel)
  t.equal(touched, false)
  await end()
})

t.test('PING is answered with its octets, and a probe is answered', async (t) => {
  let pong: Seen | undefined
  let probed: Seen | undefined
  const { carrier, end } = await withScript(async (peer) => {
    peer.socket.write(Buffer.concat([settings(), frame(FRAME.ping, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8])]))
    pong = await peer.until((seen) => seen.type === FRAME.ping && seen.flags === FLAG.ack)
    probed = await peer.until((seen) => seen.type === FRAME.ping && seen.flags === 0)
  })
  carrier.probe()
  await pause(50)
  t.same([...(pong?.payload ?? [])], [1, 2, 3, 4, 5, 6, 7, 8])
  t.equal(probed?.payload.length, 8)
  await end()
})

t.test('octets that trickle are no sign of life; a response is', async (t) => {
  const { ask, carrier, end } = await withScript(async (peer) => {
    peer.socket.write(settings())
    const q = await peer.until(isBody)
    const head = frame(FRAME.headers, FLAG.endHeaders, 1, GOOD)
    for (const octet of head.subarray(0, 10)) {
      peer.socket.write(Uint8Array.of(octet))
      await pause(2)
    }
    await pause(50)
    peer.socket.write(Buffer.concat([head.subarray(10), reply(1, q.payload).subarray(head.length)]))
  })
  const outcome = ask(numbered(1))
  await pause(50)
  t.ok(carrier.silentSinceMs, 'still silent')
  t.ok('wire' in (await outcome))
  t.equal(carrier.silentSinceMs, undefined)
  await end()
})

t.test('the connection ends: sent requests are lost, unsent ones are not, and later ones are refused', async (t) => {
  const { ask, told, downs, end } = await withScript(async (peer) => {
    peer.socket.write(settings([SETTING.maxConcurrentStreams, 1]))
    await peer.until(isBody)
    peer.socket.destroy()
  })
  await pause(20)
  const [sent, queued] = await Promise.all([ask(numbered(1)), ask(numbered(2))])
  t.same(sent, { code: 'connection-lost', loss: 'lost' })
  t.same(queued, { code: 'connection-lost', loss: 'unsent' })
  t.same(await ask(numbered(3)), { code: 'connection-lost', loss: 'refused' })
  t.same(told, ['down'])
  t.equal(downs[0]?.code, 'connection-lost')
  await end()
})

t.test('destroy: requests in flight are lost, and no down follows', async (t) => {
  const { ask, told, end } = await against(() => undefined)
  const outcome = ask(numbered(1))
  await pause(20)
  await end()
  t.same(await outcome, { code: 'closed', loss: 'lost' })
  t.same(told, [])
})
