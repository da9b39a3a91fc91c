import t from 'tap'
import type { AnswerCache } from '../../src/cache/answer-cache.ts'
import { remember } from '../../src/cache/memory.ts'
import { EnigmError } from '../../src/errors.ts'
import type { Answer, Ask, Client, Query } from '../../src/resolve.ts'
import { createResponder } from '../../src/responder.ts'
import { createMissClient, type MissClient } from '../../src/workers/miss-client.ts'
import { missServer } from '../../src/workers/miss-server.ts'
import { cacheOf } from '../support/caches.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { query, response, rr } from '../support/messages.ts'
import { openGate, view } from '../support/rules.ts'
import { endsIn, type Resolve, repliesTo } from '../support/stages.ts'

const CLIENT = { address: '127.0.0.1', transport: 'udp', view: view(0) } as const satisfies Client

interface WorkerEnd {
  readonly cache: AnswerCache
  readonly counts: { hits: number; misses: number }
  readonly ask: (name: string, options?: Uint8Array, client?: Client) => Promise<Buffer>
  readonly hit: (name: string) => Buffer
}

/** Workers without threads: what they post is delivered in the next turn. */
function house(end: Resolve) {
  const clock = new FakeClock()
  const main = cacheOf(1 << 20)
  const asks: Ask[] = []
  const posted = { asks: 0, replies: 0 }
  const gate = openGate()
  const ending = endsIn((q, ask) => {
    asks.push(ask)
    return end(q, ask)
  })
  const worker = (): WorkerEnd => {
    const cache = cacheOf(1 << 20)
    const counts = { hits: 0, misses: 0 }
    const server = missServer(
      {
        gate,
        cache: main,
        clock,
        current: () => ({ stages: [remember(main, clock), ending], view: (address) => view(address === '192.0.2.7' ? 7 : 0) }),
      },
      (message) => {
        posted.replies++
        queueMicrotask(() => asker.settle(Uint8Array.from(message)))
      },
    )
    const asker: MissClient = createMissClient(cache, clock, gate, (message) => {
      posted.asks++
      queueMicrotask(() => server(Uint8Array.from(message)))
    })
    const current = () => ({ stages: [asker.stage], timeoutMs: 4000 })
    const responder = createResponder({ gate, cache, clock, counts, current, emit: () => {} })
    const out = Buffer.alloc(2000)
    return {
      cache,
      counts,
      ask: async (name, options, client = CLIENT) =>
        Buffer.from((await repliesTo(responder, query({ name, opt: options ? { options } : {} }), client)) ?? []),
      hit: (name) =>
        Buffer.from(out.subarray(0, responder.now(query({ name, opt: {} }), 0, query({ name, opt: {} }).length, out, 0, 1232, view(0)))),
    }
  }
  return { clock, main, asks, posted, gate, worker }
}

function answerTo(name: string, more: Partial<Answer> = {}): Answer {
  return {
    wire: response({ name, answers: [rr({ ttlS: 300 })] }),
    rcode: 0,
    storeS: 300,
    from: { upstream: 'one', transport: 'dot' },
    ...more,
  }
}
const nameOf = (q: Query) => Buffer.from(q.question.lower.subarray(1, 1 + (q.question.lower[0] ?? 0))).toString()
/** Of the one record, which has an address and an OPT of 11 octets behind it. */
const ttlOf = (reply: Buffer) => reply.readUInt32BE(reply.length - 11 - 10)

t.test('all misses of a turn are one message, and so are their answers', async (t) => {
  const h = house(async (q) => answerTo(nameOf(q)))
  const w = h.worker()
  const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => w.ask(`n${i}`)))
  t.ok(replies.every((reply) => ttlOf(reply) === 300))
  t.strictSame(h.posted, { asks: 1, replies: 1 })
  t.equal(w.cache.entries, 50)
  t.strictSame(w.counts, { hits: 0, misses: 50 })
  t.equal(ttlOf(w.hit('n7')), 300)
})

t.test('the deadline crosses the threads as remaining time', async (t) => {
  const h = house(async (q) => answerTo(nameOf(q)))
  await h.worker().ask('www')
  t.equal(h.asks[0]?.purpose, 'client')
  t.equal(h.asks[0]?.deadlineMs, h.clock.nowMs() + 4000)
})

t.test('an answer for one worker is a hit for another from the main cache, with the same TTL everywhere', async (t) => {
  const h = house(async (q) => answerTo(nameOf(q)))
  const [one, two] = [h.worker(), h.worker()]
  await one.ask('www')
  await h.clock.advance(10_700)
  t.equal(ttlOf(await two.ask('www')), 290)
  t.equal(h.asks.length, 1)
  t.strictSame(two.counts, { hits: 1, misses: 0 })
  for (let i = 0; i < 8; i++) {
    await h.clock.advance(100)
    t.equal(ttlOf(two.hit('www')), ttlOf(one.hit('www')))
  }
  t.equal(ttlOf(two.hit('www')), 289)
  await h.clock.advance(300_000 - 11_500 - 1)
  t.ok(one.hit('www').length > 0 && two.hit('www').length > 0)
  await h.clock.advance(1)
  t.equal(one.hit('www').length, 0)
  t.equal(two.hit('www').length, 0, 'both forget it at the same millisecond')
})

t.test('a failure keeps its code', async (t) => {
  const h = house(async () => {
    throw new EnigmError('connect-timeout', 'no')
  })
  const reply = await h.worker().ask('www')
  t.equal((reply[3] ?? 0) & 15, 2)
  t.ok(reply.includes('connect-timeout'), 'the EDE that the main thread would have given')
})

t.test('an answer requested before the cache was cleared is delivered, not stored', async (t) => {
  let release: () => void = () => {}
  const h = house(async (q) => {
    await new Promise<void>((resolve) => {
      release = resolve
    })
    return answerTo(nameOf(q))
  })
  const w = h.worker()
  const asking = w.ask('www')
  await h.clock.advance(0)
  w.cache.clear()
  release()
  t.equal(ttlOf(await asking), 300)
  t.equal(w.cache.entries, 0)
})

t.test('no is not stored', async (t) => {
  const h = house(async (q) => answerTo(nameOf(q), { storeS: 'no' }))
  const w = h.worker()
  await w.ask('www')
  t.equal(w.cache.entries, 0)
})

t.test('a gate that closes while an answer is between threads: it is neither delivered nor stored, except answers of policy', async (t) => {
  const h = house(async (q) => {
    // Behind the main thread's own check of the gate.
    queueMicrotask(() => h.gate.set('vpn-required'))
    return answerTo(nameOf(q), nameOf(q) === 'local' ? { from: 'policy' } : {})
  })
  const w = h.worker()
  const [refused, local] = await Promise.all([w.ask('www'), w.ask('local')])
  t.equal((refused[3] ?? 0) & 15, 2)
  t.equal((local[3] ?? 0) & 15, 0)
  t.equal(w.cache.entries, 1, 'the local one')
  h.gate.set(undefined)
  t.equal(w.hit('www').length, 0)
})

t.test('the view is passed on: the main thread stores the answer under the view of the client that asked a worker', async (t) => {
  const seen: number[] = []
  const h = house(async (q) => {
    seen.push(q.client.view)
    return answerTo(nameOf(q))
  })
  const [one, two] = [h.worker(), h.worker()]
  const client = { ...CLIENT, address: '192.0.2.7', view: view(7) }
  await one.ask('www', undefined, client)
  await two.ask('www', undefined, client)
  t.same(seen, [7], 'the other worker has it from the main thread')
  t.equal(one.hit('www').length, 0, 'everybody else has not')
  await two.ask('www')
  t.same(seen, [7, 0])
})

t.test('an answer for a client whose view the worker does not know yet is not stored there', async (t) => {
  const h = house(async (q) => answerTo(nameOf(q)))
  const w = h.worker()
  for (let round = 0; round < 2; round++) t.equal(ttlOf(await w.ask('www', undefined, { ...CLIENT, address: '192.0.2.7' })), 300)
  t.equal(w.cache.entries, 0, 'from the stages, and from the cache of the main thread')
  t.equal(h.asks.length, 1)
  await w.ask('www')
  t.equal(w.cache.entries, 1)
})
