import fc from 'fast-check'
import t from 'tap'
import type { CacheEntry } from '../../src/cache/answer-record.ts'
import { AnswerTable } from '../../src/cache/answer-table.ts'
import { markOf } from '../../src/cache/key.ts'
import type { Asked } from '../../src/job.ts'

const HEADER = Buffer.from([0, 0, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0])
const NAME = 'n0000'
const LEAST_BYTES = 65_536
/** The table has 256 buckets, and room for three times as many of these. */
const NAMES = 1000

/** A question for a name of five octets. `hash`: as if its hash were this. */
function asked(number: number, hash = 0): Asked {
  const octets = Buffer.from(`\x05${NAME.slice(0, -String(number).length)}${number}\0\0\x01\0\x01`, 'latin1')
  return { octets, from: 0, end: octets.length, mark: markOf(octets.length, 0, false, false), hash }
}
/** Writes an answer without records, whose lifetime tells it apart from others. */
function write(table: AnswerTable, question: Asked, expiresAtMs: number, nowMs: number): void {
  const wire = Buffer.concat([HEADER, question.octets])
  table.write(question, { wire, rcode: 0, ttlAts: [] }, nowMs, expiresAtMs, nowMs, { version: 0, isOwn: false })
}
const numberIn = ({ octets, at }: CacheEntry) => Number(Buffer.from(octets.subarray(at + 14, at + 18)).toString('latin1'))

const step = fc.record({
  what: fc.constantFrom('write', 'write', 'write', 'remove', 'use', 'sweep', 'drop'),
  from: fc.nat(NAMES - 1),
  count: fc.nat(80),
  lifeMs: fc.integer({ min: 1, max: 50 }),
})
t.test('a table with several records in each bucket: all that it holds is found, and nothing else', async () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer(), (steps, seed) => {
      const table = new AnswerTable(LEAST_BYTES, seed)
      const written = new Map<number, number>()
      let nowMs = 0
      for (const { what, from, count, lifeMs } of steps) {
        nowMs += 5
        if (what === 'sweep') table.sweep(count, nowMs)
        else if (what === 'drop') table.drop((entry) => numberIn(entry) % 7 === from % 7)
        else
          for (let number = from; number < from + count; number++) {
            const question = asked(number % NAMES)
            if (what === 'remove') table.remove(question)
            else if (what === 'write') {
              write(table, question, nowMs + lifeMs, nowMs)
              written.set(number % NAMES, nowMs + lifeMs)
            } else {
              const entry = table.find(question)
              if (entry !== undefined) entry.recountMs = nowMs
            }
          }
        const held = new Set(Array.from(table.walk(), numberIn))
        if (held.size !== table.entries) throw new Error(`${held.size} walked, ${table.entries} counted`)
        for (let number = 0; number < NAMES; number++) {
          const entry = table.find(asked(number))
          if ((entry !== undefined) !== held.has(number)) throw new Error(`${number} is ${held.has(number) ? '' : 'not '}there`)
          if (entry !== undefined && (numberIn(entry) !== number || entry.expiresAtMs !== written.get(number)))
            throw new Error('another one')
        }
      }
    }),
    { numRuns: 60 },
  )
})

t.test('names of equal hash: the newest 64 are found, also after others of them were removed', async (t) => {
  const table = new AnswerTable(LEAST_BYTES, 1)
  const found = () => Array.from({ length: 100 }, (_, i) => i).filter((number) => table.find(asked(number, 77)) !== undefined)
  for (let number = 0; number < 100; number++) write(table, asked(number, 77), 1000, number)
  t.strictSame(
    found(),
    Array.from({ length: 64 }, (_, i) => i + 36),
  )
  for (const number of [99, 36, 50]) table.remove(asked(number, 77))
  t.equal(found().length, 61)
  for (const number of [0, 1, 2, 3]) write(table, asked(number, 77), 1000, 200)
  t.equal(table.entries, 64)
  t.ok(found().includes(3) && !found().includes(37))
})
