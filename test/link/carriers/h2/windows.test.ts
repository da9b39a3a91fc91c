import t from 'tap'
import { systemClock, systemRandom } from '../../../../src/clock.ts'
import { repadded } from '../../../../src/dns/edns.ts'
import type { Event } from '../../../../src/events.ts'
import { FLAG, FRAME, H2, SETTING } from '../../../../src/link/carriers/h2/codes.ts'
import { leanH2CellCarrier } from '../../../../src/link/carriers/h2/connection.ts'
import { createScheduledLink } from '../../../../src/link/create-link.ts'
import { tlsSessions } from '../../../../src/link/dial/sessions.ts'
import { requestFor } from '../../../shaping/paced-rig.ts'
import { endpointAt, pause } from '../../../support/link-rig.ts'
import { query } from '../../../support/messages.ts'
import { replyTo } from '../../../support/replies.ts'
import { freePace } from '../../../support/rules.ts'
import { authority, frame, GOOD, isLast, numbered, type Peer, reply, type Seen, scripted, settings, u32, withScript } from './rig.ts'

t.test('send windows: of the stream, of the connection, and SETTINGS that change open streams (RFC 9113 section 6.9)', async (t) => {
  const sent = (peer: Peer, id: number) =>
    peer.seen.filter((s) => s.type === FRAME.data && s.streamId === id).reduce((sum, s) => sum + s.payload.length, 0)
  const steps: number[] = []
  const { ask, end } = await withScript(async (peer) => {
    const step = async (bytes: Buffer, id: number) => {
      peer.socket.write(bytes)
      await pause(30)
      steps.push(sent(peer, id))
    }
    peer.socket.write(settings([SETTING.initialWindowSize, 10]))
    await peer.until((seen) => seen.type === FRAME.headers)
    await step(frame(FRAME.ping, 0, 0, new Uint8Array(8)), 1)
    await step(frame(FRAME.windowUpdate, 0, 1, u32(5)), 1)
    await step(settings([SETTING.initialWindowSize, 3]), 1) // the window is -7 now
    await step(frame(FRAME.windowUpdate, 0, 1, u32(7)), 1) // 0
    await step(frame(FRAME.windowUpdate, 0, 1, u32(1)), 1)
    await step(settings([SETTING.initialWindowSize, 1000]), 1)
    const whole = await peer.until(isLast(1))
    steps.push(whole.streamId)
    const octets = Buffer.concat(peer.seen.filter((s) => s.type === FRAME.data).map((s) => s.payload))
    peer.socket.write(reply(1, octets))
  })
  await pause(20)
  const outcome = await ask(numbered(1))
  t.ok('wire' in outcome)
  t.same(steps, [10, 15, 15, 15, 16, numbered(1).length, 1])
  await end()

  const large = query({ opt: { options: new Uint8Array(30_000) } })
  let before = 0
  const narrow = await withScript(async (peer) => {
    peer.socket.write(settings([SETTING.initialWindowSize, 1_000_000]))
    await pause(60)
    before = peer.seen.filter((s) => s.type === FRAME.data).reduce((sum, s) => sum + s.payload.length, 0)
    peer.socket.write(frame(FRAME.windowUpdate, 0, 0, u32(100_000)))
    for (const id of [1, 3, 5]) {
      await peer.until(isLast(id))
      peer.socket.write(reply(id, Buffer.concat(peer.seen.filter((s) => s.type === FRAME.data && s.streamId === id).map((s) => s.payload))))
    }
    t.ok(
      peer.seen.every((s) => s.payload.length <= 16_384),
      'no frame is longer than every peer takes',
    )
  })
  await pause(20)
  const outcomes = await Promise.all([large, large, large].map((request) => narrow.ask(request)))
  t.ok(outcomes.every((o) => 'wire' in o))
  t.equal(before, 65_535, 'not an octet above the window of the connection')
  await narrow.end()
})

t.test(
  'several INITIAL_WINDOW_SIZE in one SETTINGS: each moves every open stream, in order (RFC 9113 sections 6.5.3 and 6.9.2)',
  async (t) => {
    const initial = (...sizes: readonly number[]) => settings(...sizes.map((size) => [SETTING.initialWindowSize, size] as const))
    const sent = (peer: Peer, id: number) =>
      peer.seen.filter((s) => s.type === FRAME.data && s.streamId === id).reduce((sum, s) => sum + s.payload.length, 0)
    const steps: number[][] = []
    const { ask, end } = await withScript(async (peer) => {
      const step = async (bytes: Buffer) => {
        peer.socket.write(bytes)
        await pause(30)
        steps.push([sent(peer, 1), sent(peer, 3)])
      }
      peer.socket.write(initial(500, 10))
      await peer.until((seen) => seen.type === FRAME.headers && seen.streamId === 3)
      await step(initial(2, 12))
      await step(initial(30, 5, 14)) // the last one counts, and what lay between leaves nothing behind
      await step(initial(40, 8)) // -6
      await step(Buffer.concat([initial(9), initial(11, 10)])) // -4
      await step(frame(FRAME.windowUpdate, 0, 3, u32(5)))
      await step(settings([SETTING.initialWindowSize, 12], [SETTING.maxConcurrentStreams, 5], [0xfafa, 7], [SETTING.initialWindowSize, 16]))
      peer.socket.write(initial(0, 1000))
      for (const id of [1, 3]) {
        await peer.until(isLast(id))
        const octets = Buffer.concat(peer.seen.filter((s) => s.type === FRAME.data && s.streamId === id).map((s) => s.payload))
        peer.socket.write(reply(id, octets))
      }
    })
    await pause(20)
    const outcomes = await Promise.all([1, 2].map((n) => ask(numbered(n))))
    t.ok(outcomes.every((o) => 'wire' in o))
    t.same(steps, [
      [12, 12],
      [14, 14],
      [14, 14],
      [14, 14],
      [14, 15],
      [16, 21],
    ])
    await end()
  },
)

/** DATA without its padding. */
const unpadded = ({ flags, payload }: Seen) =>
  (flags & FLAG.padded) === 0 ? payload : payload.subarray(1, payload.length - (payload[0] ?? 0))

t.test('cells: a request of several records stops when SETTINGS narrowed its window, and continues when it is wide again', async (t) => {
  let narrowed: () => void = () => {}
  let widened: () => void = () => {}
  const narrow = new Promise<void>((resolve) => {
    narrowed = resolve
  })
  const wide = new Promise<void>((resolve) => {
    widened = resolve
  })
  const data = (peer: Peer) => peer.seen.filter((s) => s.type === FRAME.data)
  let whileNarrow = 0
  const { carrier, ask, end } = await withScript(
    async (peer) => {
      peer.socket.write(settings())
      await peer.until((seen) => seen.type === FRAME.data)
      peer.socket.write(settings([SETTING.initialWindowSize, 1000], [SETTING.initialWindowSize, 100]))
      await pause(30)
      narrowed()
      await pause(60)
      whileNarrow = data(peer).length
      peer.socket.write(settings([SETTING.initialWindowSize, 65_535]))
      await pause(30)
      widened()
      await peer.until(isLast(1))
      peer.socket.write(reply(1, Buffer.concat(data(peer).map(unpadded))))
    },
    { client: leanH2CellCarrier },
  )
  await pause(30)
  const octets = carrier.cells?.octets(2) ?? 0
  const outcome = ask(query({ opt: { options: new Uint8Array(octets - query({ opt: { options: new Uint8Array(0) } }).length) } }))
  await narrow
  carrier.cells?.more()
  t.ok(carrier.cells?.unfinished, 'the rest waits')
  await wide
  t.equal(whileNarrow, 1, 'nothing went beyond the window')
  carrier.cells?.more()
  t.ok('wire' in (await outcome))
  await end()
})

t.test('cells: a peer that gives back no window for padding, as the h2 crate before 0.4.13, gets a new connection', async (t) => {
  let connections = 0
  const server = await scripted(async (peer) => {
    connections++
    peer.socket.write(settings())
    let owed = 0
    for (let id = 1; ; id += 2) {
      const query = unpadded(await peer.until(isLast(id)))
      owed += query.length
      // It counts only what it hands to the program, and reports it in steps of half a window.
      const update = owed < 32_768 ? Buffer.alloc(0) : frame(FRAME.windowUpdate, 0, 0, u32(owed))
      if (update.length > 0) owed = 0
      peer.socket.write(Buffer.concat([update, reply(id, query)]))
    }
  })
  t.teardown(() => server.end())
  const clock = systemClock()
  const events: Event[] = []
  const emit = (event: Event) => void events.push(event)
  const tools = { clock, dialPace: freePace(clock), random: systemRandom, emit, sessions: tlsSessions(clock) }
  const link = createScheduledLink(endpointAt(server.port, { ca: authority.certificate }), 'doh', tools)
  t.teardown(() => link.close())
  let answered = 0
  for (let slot = 0; slot < 600 && answered < 500; slot++) {
    const cell = repadded(requestFor(`n${slot}.example`), 128)
    if (cell === undefined || !link.ready) await link.open().then(() => pause(2))
    else if ((await link.exchange(cell, { purpose: 'client', deadlineMs: clock.nowMs() + 1000 })).wire.length > 12) answered++
  }
  t.equal(answered, 500)
  t.equal(connections, 3, 'a connection takes 213 cells')
  t.match(events.filter(({ type }) => type === 'link.down')[0], { code: 'closed' })
})

t.test('an answer before the whole question was sent: the rest is not sent', async (t) => {
  const code = new Promise<number>((resolve, reject) => {
    void withScript(async (peer) => {
      peer.socket.write(settings([SETTING.initialWindowSize, 20]))
      await peer.until((seen) => seen.type === FRAME.data)
      peer.socket.write(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, [0x8e]))
      resolve((await peer.until((seen) => seen.type === FRAME.rstStream)).payload.readUInt32BE(0))
    }).then(async ({ ask, end }) => {
      await pause(20)
      t.same(await ask(numbered(1)), { code: 'http-status', loss: 'final' })
      await code
      await end()
    }, reject)
  })
  t.equal(await code, H2.cancel)
})

t.test('the window of the connection is reopened in large steps', async (t) => {
  let updates: Seen[] = []
  const big = Buffer.alloc(60_000)
  const { ask, end } = await withScript(async (peer) => {
    peer.socket.write(settings())
    for (let id = 1; ; id += 2) {
      const q = await peer.until(isLast(id))
      const whole = Buffer.concat([replyTo(q.payload), big])
      const parts = [0, 1, 2, 3].map((i) => whole.subarray(i * 16_384, Math.min(whole.length, (i + 1) * 16_384)))
      const frames = parts.map((part, i) => frame(FRAME.data, i === 3 ? FLAG.endStream : 0, id, part))
      peer.socket.write(Buffer.concat([frame(FRAME.headers, FLAG.endHeaders, id, GOOD), ...frames]))
      updates = peer.seen.filter((seen) => seen.type === FRAME.windowUpdate)
    }
  })
  let answered = 0
  for (let i = 0; i < 100; i++) if ('wire' in (await ask(numbered(i)))) answered++
  t.equal(answered, 100, 'six megabytes through a window of four')
  t.equal(updates.length, 3, 'one at the start')
  t.ok(updates.every((seen) => seen.streamId === 0))
  await end()
})
