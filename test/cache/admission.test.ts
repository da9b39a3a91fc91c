import t from 'tap'
import { admit } from '../../src/cache/admission.ts'
import { coalesce } from '../../src/cache/coalesce.ts'
import type { Asked } from '../../src/job.ts'
import { type Answer, type Ask, markedView, VIEW_OF_ALL } from '../../src/resolve.ts'
import { cacheOf } from '../support/caches.ts'
import { seededRandom } from '../support/fake-clock.ts'
import { through } from '../support/stages.ts'
import { ask, End, good } from './scene.ts'

const random = seededRandom(1)
const cache = cacheOf(1 << 16)
const hashOf = (asked: Asked) => cache.hashOf(asked)

/** Room for ninety queries. */
function scene(o: { countsFurtherIn?: boolean } = {}) {
  const end = new End()
  const held: ((answer: Answer) => void)[] = []
  end.will = () => new Promise<Answer>((resolve) => held.push(resolve))
  let away = 0
  const octets = 90 * (2048 + ask().question.lower.length)
  const seen: Ask[] = []
  const stages = [admit({ random, turnedAway: () => away++, octets, ...o })]
  const resolve = through(stages, (query, ask) => {
    seen.push(ask)
    return end.resolve(query, ask)
  })
  const query = (address: string, purpose: 'client' | 'refresh' = 'client') =>
    resolve(ask('www.example.com', address), { purpose, deadlineMs: 0 }).catch((error: { code: string }) => error.code)
  return { end, query, held, seen, away: () => away }
}

t.test('one client cannot take everything, all together are bounded, and room is freed', async (t) => {
  const s = scene()
  const heavy = Array.from({ length: 100 }, () => s.query('192.0.2.1'))
  await Promise.resolve()
  t.equal(s.held.length, 80, 'eight ninths')
  t.equal(s.away(), 20)
  const light = Array.from({ length: 3 }, () => s.query('192.0.2.2'))
  await Promise.resolve()
  t.equal(s.held.length, 83, 'another one finds room')
  t.equal(await s.query('192.0.2.1'), 'overloaded')
  for (const release of s.held.splice(0)) release(good())
  t.equal((await Promise.all(heavy)).filter((answer) => answer === 'overloaded').length, 20)
  for (const answer of await Promise.all(light)) t.match(answer, { rcode: 0 })
  const again = Array.from({ length: 80 }, () => s.query('192.0.2.1'))
  await Promise.resolve()
  t.equal(s.held.length, 80)
  for (const release of s.held.splice(0)) release(good())
  await Promise.all(again)
})
t.test('failed queries free their room too', async (t) => {
  const end = new End()
  end.will = () => 'deadline'
  const resolve = through([admit({ random, turnedAway() {}, octets: 3000 })], end.resolve)
  for (let i = 0; i < 5; i++) await t.rejects(resolve(ask(), { purpose: 'client', deadlineMs: 0 }), { code: 'deadline' })
})
t.test('refusals of later stages are counted too, unless another stage counts them', async (t) => {
  for (const countsFurtherIn of [true, false]) {
    const s = scene({ countsFurtherIn })
    s.end.will = () => 'overloaded'
    t.equal(await s.query('192.0.2.1'), 'overloaded')
    t.equal(s.away(), countsFurtherIn ? 1 : 0)
  }
})
t.test('renewals leave half of the room to clients', async (t) => {
  const s = scene()
  for (let i = 0; i < 45; i++) void s.query('', 'refresh')
  t.equal(await s.query('', 'refresh'), 'overloaded')
  void s.query('192.0.2.1')
  await Promise.resolve()
  t.equal(s.held.length, 46)
})
t.test('a client with more queries than others gives way in later stages', async (t) => {
  const s = scene()
  for (let i = 0; i < 40; i++) void s.query('192.0.2.1')
  void s.query('192.0.2.2')
  void s.query('192.0.2.1')
  await Promise.resolve()
  t.equal(s.seen[0]?.givesWay, undefined)
  t.equal(s.seen[40]?.givesWay, undefined, 'the light one')
  t.equal(s.seen[41]?.givesWay, true)
  t.match(s.seen[41], { purpose: 'client', deadlineMs: 0 })
})
t.test('one question: clients that give way share half of the places, the rest is for others', async (t) => {
  const end = new End()
  end.will = () => new Promise<Answer>(() => {})
  const resolve = through([coalesce(hashOf, random, undefined, { questions: 10, waitersPerQuestion: 3 })], end.resolve)
  const wait = (givesWay: boolean) =>
    Promise.race([
      resolve(ask(), { purpose: 'client', deadlineMs: 0, ...(givesWay && { givesWay }) }).catch((error: { code: string }) => error.code),
      new Promise((done) => setImmediate(done, 'waits')),
    ])
  for (let i = 0; i < 3; i++) t.equal(await wait(true), 'waits')
  t.equal(await wait(true), 'overloaded')
  for (let i = 0; i < 3; i++) t.equal(await wait(false), 'waits')
  t.equal(await wait(false), 'overloaded')
})
t.test('questions are shared fairly: those of a light client are sent while a heavy one has its full share', async (t) => {
  const end = new End()
  end.will = () => new Promise<Answer>(() => {})
  const resolve = through([coalesce(hashOf, random, undefined, { questions: 90, waitersPerQuestion: 3 })], end.resolve)
  const go = (name: string, address: string) =>
    resolve(ask(name, address), { purpose: 'client', deadlineMs: 0 }).catch((error: { code: string }) => error.code)
  for (let i = 0; i < 100; i++) void go(`n${i}.example`, '192.0.2.1')
  t.equal(end.asked.length, 80)
  void go('one.example', '192.0.2.2')
  t.equal(end.asked.length, 81)
})
t.test('one question: a client that has another view when the answer comes asks for itself', async (t) => {
  const end = new End()
  const held: ((answer: Answer) => void)[] = []
  end.will = () => new Promise<Answer>((resolve) => held.push(resolve))
  let other = VIEW_OF_ALL
  const viewOf = (address: string) => (address === '192.0.2.9' ? other : VIEW_OF_ALL)
  const resolve = through([coalesce(hashOf, random, viewOf)], end.resolve)
  const replied: string[] = []
  for (const address of ['192.0.2.1', '192.0.2.2', '192.0.2.9'])
    void resolve(ask('www.example.com', address), { purpose: 'client', deadlineMs: 0 }).then(() => replied.push(address))
  t.equal(end.asked.length, 1)
  other = markedView(VIEW_OF_ALL, 'unshared')
  held[0]?.(good())
  await new Promise((done) => setImmediate(done))
  t.strictSame([replied, end.asked.length], [['192.0.2.1', '192.0.2.2'], 2])
  held[1]?.(good())
  await new Promise((done) => setImmediate(done))
  t.strictSame(replied, ['192.0.2.1', '192.0.2.2', '192.0.2.9'])
})
t.test('one question of clients that are each judged by their address: none waits for another', async (t) => {
  const end = new End()
  end.will = () => new Promise<Answer>(() => {})
  const resolve = through([coalesce(hashOf, random, undefined)], end.resolve)
  for (const address of ['192.0.2.1', '192.0.2.2']) {
    const question = ask('www.example.com', address)
    void resolve(
      { ...question, client: { ...question.client, view: markedView(VIEW_OF_ALL, 'unshared') } },
      { purpose: 'client', deadlineMs: 0 },
    )
  }
  t.equal(end.asked.length, 2)
})
