import fc from 'fast-check'
import t from 'tap'
import { type Place, Slabs } from '../../src/cache/slabs.ts'

/** Whether a place that was held all the while is among those of one round. */
function aRound(slabs: Slabs<Place>, between: () => void): ReadonlySet<Place> {
  const seen = new Set<Place>()
  for (let place = slabs.next(); place !== undefined; place = slabs.next()) {
    seen.add(place)
    between()
  }
  return seen
}

t.test('a round has every place that was there throughout, whatever is taken and given back meanwhile', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 60 })
  fc.assert(
    fc.property(sizes, sizes, fc.nat(), (first, later, seed) => {
      const slabs = new Slabs((place: Place) => place, 65_536)
      const held = first.flatMap((octets) => slabs.take(octets) ?? [])
      const [kept, given] = [held.filter((_, i) => (i + seed) % 3 !== 0), held.filter((_, i) => (i + seed) % 3 === 0)]
      const seen = aRound(slabs, () => {
        const place = given.pop()
        if (place !== undefined) slabs.give(place)
        const octets = later.pop()
        if (octets !== undefined) slabs.take(octets)
      })
      if (!kept.every((place) => seen.has(place))) throw new Error('a place was left out')
      if (!kept.every((place) => aRound(slabs, () => {}).has(place))) throw new Error('the next round left one out')
    }),
    { numRuns: 100 },
  )
})

t.test('an empty one has no round, and neither has one that was wiped in the middle', async (t) => {
  const slabs = new Slabs((place: Place) => place, 65_536)
  t.equal(slabs.next(), undefined)
  for (let i = 0; i < 10; i++) slabs.take(100)
  t.ok(slabs.next())
  slabs.wipe()
  t.equal(slabs.next(), undefined)
  t.equal(slabs.next(), undefined)
})
