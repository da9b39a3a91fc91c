// Two views never see each other's answers: every place that keeps or shares one, asked for by name.
import t, { type Test } from 'tap'
import { createMemory } from '../../src/cache/memory.ts'
import { putSaved, readSaved } from '../../src/cache/saved-records.ts'
import type { Random } from '../../src/clock.ts'
import type { ViewRule } from '../../src/config/forwarding.ts'
import { record, synthesise } from '../../src/dns/response.ts'
import { EnigmError } from '../../src/errors.ts'
import type { Job, Outcome, SideAsker, Stage } from '../../src/job.ts'
import type { Answer } from '../../src/resolve.ts'
import { pipeline } from '../../src/resolver.ts'
import { createResponder } from '../../src/responder.ts'
import { Loops } from '../../src/rules/loops.ts'
import { sidesOf } from '../../src/rules/sides.ts'
import { viewsByAddress } from '../../src/rules/views.ts'
import { createMissClient } from '../../src/workers/miss-client.ts'
import { missServer } from '../../src/workers/miss-server.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { query } from '../support/messages.ts'
import { openGate } from '../support/rules.ts'
import { repliesTo } from '../support/stages.ts'

const HOME = '192.168.1.5'
const KID = '192.168.1.32'
const GUEST = '192.168.1.64'
const VIEWS: readonly ViewRule[] = [
  { id: 'kids', clients: ['192.168.1.32/28'], use: ['family'] },
  { id: 'guests', clients: ['192.168.1.64/26'], forward: [{ zone: 'lan.example', to: ['lan'] }] },
]
/** What each resolver answers: the last octet of an address. */
const OCTETS: Readonly<Record<string, number>> = { quad: 1, family: 2, lan: 3 }
const random: Random = { bytes: (n) => new Uint8Array(n).fill(7), below: () => 0 }

interface SceneOptions {
  /** Who answers, how late; an error instead. */
  readonly fails?: Set<string>
  readonly ttlS?: number
}

function scene(_t: Test, { fails = new Set(), ttlS = 60 }: SceneOptions = {}) {
  const clock = new FakeClock()
  const gate = openGate()
  const sides = sidesOf({ use: ['quad'], forward: [], views: VIEWS })
  const view = viewsByAddress(VIEWS.map(({ clients }) => clients))
  const asked: string[] = []
  const held: (() => void)[] = []
  let holds = false
  const answerOf = (job: Job, id: string): Outcome => {
    if (fails.has(id)) return new EnigmError('deadline', 'silent')
    const { question } = job.query
    const answers = [record(question.lower.subarray(0, -4), 1, ttlS, Uint8Array.of(192, 0, 2, OCTETS[id] ?? 0))]
    return {
      wire: synthesise(question, { rcode: 0, answers }),
      rcode: 0,
      storeS: ttlS,
      from: { upstream: id, transport: 'dot' },
    } satisfies Answer
  }
  const askers = sides.all.map(
    ({ to: [id = ''] }): SideAsker => ({
      ask(job, done) {
        asked.push(id)
        const settle = () => done(answerOf(job, id))
        if (holds) held.push(settle)
        else settle()
      },
    }),
  )
  const live = { stages: [] as readonly Stage[], timeoutMs: 4000, prefetch: true, view }
  const memory = createMemory({ clock, random, maxBytes: 1_000_000, staleMaxS: 3600, current: () => live, renewed() {} })
  const loops = new Loops({ clock, random, emit: () => {}, askers, serversOf: () => [] })
  live.stages = pipeline({
    ...memory,
    clock,
    random,
    gate,
    sides,
    askers,
    loops,
    viewOf: undefined,
    rebinding: { protect: false, allow: [], allowAddresses: [] },
  })
  const responder = createResponder({ ...memory, gate, clock, emit: () => {}, counts: { hits: 0, misses: 0 }, current: () => live })
  /** The last octet of the address in the reply, or its RCODE as a negative number. */
  const ask = async (name: string, address: string) => {
    const reply = await repliesTo(responder, Buffer.from(query({ name })), { address, transport: 'udp', view: view(address) })
    return reply === undefined ? undefined : (reply[3] ?? 0) & 15 ? -((reply[3] ?? 0) & 15) : reply.at(-1)
  }
  return {
    ...{ clock, gate, asked, ask, memory, live, view, responder },
    hold: () => {
      holds = true
    },
    release: () => {
      holds = false
      for (const settle of held.splice(0)) settle()
    },
  }
}

t.test('in the cache and on the hit path: each view has its own answer', async (t) => {
  const { ask, asked } = scene(t)
  for (let round = 0; round < 3; round++)
    t.strictSame([await ask('www.example', HOME), await ask('www.example', KID), await ask('www.example', GUEST)], [1, 2, 1])
  t.strictSame(asked, ['quad', 'family', 'quad'], 'three questions, and then hits')
  t.strictSame([await ask('nas.lan.example', GUEST), await ask('nas.lan.example', HOME), await ask('nas.lan.example', KID)], [3, 1, 2])
})

t.test('while a question is in progress: a client of another view does not join it', async (t) => {
  const { ask, asked, hold, release } = scene(t)
  hold()
  const waiting = [HOME, KID, HOME, GUEST, KID].map((address) => ask('www.example', address))
  release()
  t.strictSame(await Promise.all(waiting), [1, 2, 1, 1, 2])
  t.strictSame(asked, ['quad', 'family', 'quad'])
})

t.test('stale answers and failures: each view gets its own', async (t) => {
  const fails = new Set<string>()
  const { ask, asked, clock } = scene(t, { fails, ttlS: 10 })
  t.strictSame([await ask('www.example', HOME), await ask('www.example', KID)], [1, 2])
  await clock.advance(11_000)
  fails.add('family')
  t.equal(await ask('www.example', KID), 2, 'its own stale answer')
  t.equal(await ask('www.example', HOME), 1)
  t.equal(await ask('new.example', KID), -2)
  const before = asked.length
  t.equal(await ask('new.example', HOME), 1, 'the failure of one view is not that of another')
  t.equal(asked.length, before + 1)
  t.equal(await ask('new.example', GUEST), 1)
})

t.test('in a saved cache: the view is saved with the answer', async (t) => {
  const { ask, memory } = scene(t)
  await ask('www.example', HOME)
  await ask('www.example', KID)
  const page = Buffer.alloc(4096)
  let used = 0
  for (const entry of memory.cache.walk()) used = putSaved(page, used, entry, 0)
  const later = scene(t, { fails: new Set(['quad', 'family']) })
  const each = readSaved(page.subarray(0, used), ({ asked, wire, rcode, leftMs }) => {
    later.memory.cache.restore(asked, { wire, rcode }, 0, leftMs, 0)
  })
  t.equal(each, true)
  t.strictSame(
    [await later.ask('www.example', HOME), await later.ask('www.example', KID), await later.ask('www.example', GUEST)],
    [1, 2, -2],
  )
  t.strictSame(later.asked, ['quad'], 'only the view without a saved answer asked')
})

t.test('through workers: the view goes with the question, and the answer is kept under it', async (t) => {
  const { memory, live, clock, gate, asked, view } = scene(t)
  const cache = createMemory({ clock, random, maxBytes: 1_000_000, staleMaxS: 0, current: () => live, renewed() {} }).cache
  const client = createMissClient(cache, clock, gate, (message) => serve(message))
  const serve = missServer({ cache: memory.cache, clock, gate, current: () => live }, (message) => client.settle(message))
  const current = () => ({ stages: [client.stage], timeoutMs: 4000 })
  const worker = createResponder({ cache, gate, clock, emit: () => {}, counts: { hits: 0, misses: 0 }, current })
  const ask = async (address: string, claimed = view(address)) =>
    (await repliesTo(worker, Buffer.from(query({ name: 'www.example' })), { address, transport: 'udp', view: claimed }))?.at(-1)
  for (let round = 0; round < 2; round++) t.strictSame([await ask(HOME), await ask(KID), await ask(GUEST)], [1, 2, 1])
  t.strictSame(asked, ['quad', 'family', 'quad'])
  cache.clear()
  t.equal(await ask(KID, view(HOME)), 2, 'a worker that does not know the latest views: the main thread does')
})
