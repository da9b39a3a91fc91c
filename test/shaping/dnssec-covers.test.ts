import t from 'tap'
import { DnssecCovers, PROOF_ZONES } from '../../src/shaping/dnssec-covers.ts'
import { seededRandom } from '../support/fake-clock.ts'

function drawn(covers: DnssecCovers, n = 4000) {
  const counts = { without: 0, 'with-do': 0, proof: 0 }
  for (let i = 0; i < n; i++) counts[covers.next()]++
  return { withDo: (counts['with-do'] + counts.proof) / n, proof: counts.proof / n }
}

t.test('DO in the observed share, from the first query on', (t) => {
  const covers = new DnssecCovers(seededRandom(1))
  t.equal(drawn(covers).withDo, 0)
  covers.asked(true)
  t.equal(drawn(covers).withDo, 1)
  for (let i = 0; i < 300; i++) covers.asked(i % 4 === 0)
  t.ok(Math.abs(drawn(covers).withDo - 0.25) < 0.05)
  t.end()
})

t.test('as many large replies as real queries with DO have, for any share', (t) => {
  for (const real of [0.15, 0.5, 0.8]) {
    const random = seededRandom(3)
    const chance = (share: number) => (random.below(1000) < share * 1000 ? 900 : 400)
    const covers = new DnssecCovers(random)
    covers.asked(true)
    let [large, sent] = [0, 0]
    for (let i = 0; i < 3000; i++) {
      if (i % 3 === 0) covers.answered('real', chance(real))
      const manner = covers.next()
      const octets = chance(manner === 'proof' ? 0.9 : 0.1)
      if (manner !== 'without') covers.answered(manner, octets)
      if (i > 1000) {
        sent++
        if (octets > 468) large++
      }
    }
    t.ok(Math.abs(large / sent - real) < 0.08, `${large / sent} for ${real}`)
    t.notOk(covers.unmatched)
  }
  t.end()
})

t.test('if no cover has a large reply it is reported', (t) => {
  const covers = new DnssecCovers(seededRandom(4))
  for (let i = 0; i < 600; i++) {
    covers.answered('real', i % 2 === 0 ? 900 : 400)
    covers.answered('proof', 400)
    covers.answered('with-do', 400)
  }
  t.ok(covers.unmatched)
  t.end()
})

t.test('zones for proofs are below signed top-level domains', (t) => {
  t.ok(PROOF_ZONES.length > 100)
  t.ok(PROOF_ZONES.every((zone) => /^[^.]+\.(com|net|org)$/.test(zone)))
  t.end()
})
