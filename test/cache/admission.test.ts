import t from 'tap'
import { admit } from '../../src/cache/admission.ts'
import type { Answer } from '../../src/resolve.ts'
import { ask, End, good } from './scene.ts'

/** Room for ten queries in all and six of one client. */
function scene() {
  const end = new End()
  const held: ((answer: Answer) => void)[] = []
  end.will = () => new Promise<Answer>((resolve) => held.push(resolve))
  let away = 0
  const room = 2048 + ask().question.lower.length
  const resolve = admit(() => away++, { octets: room * 10, octetsPerClient: room * 6 })(end.resolve)
  const query = (address: string, purpose: 'client' | 'refresh' = 'client') =>
    resolve(ask('www.example.com', address), { purpose, deadlineMs: 0 }).catch((error: { code: string }) => error.code)
  return { query, held, away: () => away }
}

t.test('one client cannot take it all, all together have an end, and room comes back', async (t) => {
  const s = scene()
  const waiting = Array.from({ length: 6 }, () => s.query('192.0.2.1'))
  t.equal(await s.query('192.0.2.1'), 'overloaded', 'the seventh of one client')
  waiting.push(...Array.from({ length: 4 }, () => s.query('192.0.2.2')))
  t.equal(await s.query('192.0.2.3'), 'overloaded', 'the eleventh of all')
  t.equal(s.away(), 2)
  for (const release of s.held.splice(0)) release(good())
  for (const answer of await Promise.all(waiting)) t.match(answer, { rcode: 0 })
  const again = Array.from({ length: 6 }, () => s.query('192.0.2.1'))
  await Promise.resolve()
  t.equal(s.held.length, 6)
  for (const release of s.held.splice(0)) release(good())
  await Promise.all(again)
})
t.test('what fails leaves as well', async (t) => {
  const end = new End()
  end.will = () => 'deadline'
  const resolve = admit(() => {}, { octets: 3000, octetsPerClient: 3000 })(end.resolve)
  for (let i = 0; i < 5; i++) await t.rejects(resolve(ask(), { purpose: 'client', deadlineMs: 0 }), { code: 'deadline' })
})
t.test('what is refused further in is counted too', async (t) => {
  const end = new End()
  end.will = () => 'overloaded'
  let away = 0
  const resolve = admit(() => away++)(end.resolve)
  await t.rejects(resolve(ask(), { purpose: 'client', deadlineMs: 0 }), { code: 'overloaded' })
  t.equal(away, 1)
})
t.test('renewals leave half of the room to clients', async (t) => {
  const s = scene()
  for (let i = 0; i < 5; i++) void s.query('', 'refresh')
  t.equal(await s.query('', 'refresh'), 'overloaded')
  void s.query('192.0.2.1')
  await Promise.resolve()
  t.equal(s.held.length, 6)
})
