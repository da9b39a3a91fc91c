import fc from 'fast-check'
import t from 'tap'
import { type Linked, LinkedSet, NumberTable } from '../src/containers.ts'

class Member implements Linked<Member> {
  before: Member | undefined
  after: Member | undefined
  holder: object | undefined
  readonly name: number
  constructor(name: number) {
    this.name = name
  }
}

t.test('a linked set behaves like a Set, and keeps no deleted member alive', async (t) => {
  const step = fc.record({ member: fc.nat(9), what: fc.constantFrom('add', 'delete', 'clear') })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const members = Array.from({ length: 10 }, (_, name) => new Member(name))
      const set = new LinkedSet<Member>()
      const model = new Set<Member>()
      for (const { member, what } of steps) {
        const one = members[member] as Member
        if (what === 'add') {
          set.add(one)
          model.add(one)
        } else if (what === 'delete') t.equal(set.delete(one), model.delete(one))
        else {
          set.clear()
          model.clear()
        }
        t.same(
          set.list().map(({ name }) => name),
          Array.from(model, ({ name }) => name),
        )
        t.equal(set.size, model.size)
        t.equal(set.first, [...model][0])
      }
      for (const one of members) {
        t.equal(set.has(one), model.has(one))
        if (!model.has(one)) t.same([one.before, one.after, one.holder], [undefined, undefined, undefined])
      }
    }),
    { numRuns: 50 },
  )
})

t.test('a member is in one set at most', async (t) => {
  const member = new Member(0)
  const set = new LinkedSet<Member>()
  set.add(member)
  const other = new LinkedSet<Member>()
  t.throws(() => other.add(member), { message: 'a member of another set' })
  t.equal(other.delete(member), false)
  t.equal(set.size, 1)
})

t.test('a number table behaves like a Map, for any numbers', async (t) => {
  const key = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 2 ** 31 - 2 }))
  const step = fc.record({ key, what: fc.constantFrom('set', 'set', 'delete', 'clear') })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const table = new NumberTable<{ readonly at: number }>()
      const model = new Map<number, { readonly at: number }>()
      steps.forEach(({ key, what }, at) => {
        if (what === 'set') {
          table.set(key, { at })
          model.set(key, { at })
        } else if (what === 'delete') t.equal(table.delete(key), model.delete(key))
        else if (at % 5 === 0) {
          table.clear()
          model.clear()
        }
        t.equal(table.size, model.size)
      })
      for (const { key } of steps) {
        t.same(table.get(key), model.get(key))
        t.equal(table.has(key), model.has(key))
      }
      const order = (list: readonly { readonly at: number }[]) => list.map(({ at }) => at).sort((a, b) => a - b)
      t.same(order(table.list()), order([...model.values()]))
    }),
    { numRuns: 60 },
  )
})

t.test('a thousand at once, taken out in another order', async (t) => {
  const table = new NumberTable<number>()
  for (let key = 1; key <= 2000; key += 2) table.set(key, key)
  for (let key = 1999; key > 0; key -= 4) t.equal(table.delete(key), true)
  t.equal(table.size, 500)
  for (let key = 1; key <= 2000; key += 2) t.equal(table.get(key), key % 4 === 1 ? key : undefined)
})
