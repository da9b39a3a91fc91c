import t from 'tap'
import { accuracy, auc, bits, decided, quantile, wilson } from '../../../bench/adversary/metrics.ts'
import { chance } from '../../../bench/observer/chance.ts'

t.test('Wilson’s interval', (t) => {
  const { value, low, high } = wilson(80, 4000)
  t.equal(value, 0.02)
  t.ok(Math.abs(low - 0.0161) < 2e-4 && Math.abs(high - 0.0248) < 2e-4, `${low} ${high}`)
  t.strictSame(wilson(0, 0), { value: 0, low: 0, high: 1 })
  t.equal(wilson(0, 50).low, 0)
  t.ok(wilson(50, 50).high > 0.999)
  t.end()
})

t.test('area under the curve', (t) => {
  t.equal(auc([3, 4], [1, 2]).value, 1)
  t.equal(auc([1, 2], [3, 4]).value, 0)
  t.equal(auc([1, 1], [1, 1]).value, 0.5, 'ties count half')
  t.equal(auc([2, 4], [1, 3]).value, 0.75)
  const c = chance('auc')
  const scores = () => Array.from({ length: 500 }, () => c.unit())
  const { low, high } = auc(scores(), scores())
  t.ok(low < 0.5 && high > 0.5 && high - low < 0.08)
  t.end()
})

t.test('decisions, accuracy, quantiles', (t) => {
  t.strictSame([...decided(Float32Array.of(1, 3, 2, 0, 0, 5), 3)], [1, 2])
  t.equal(accuracy(Uint16Array.of(1, 2), Uint16Array.of(1, 0)).value, 0.5)
  t.equal(quantile([0, 10], 0.25), 2.5)
  t.end()
})

t.test('bits: all of them if votes are right, none in noise', (t) => {
  const truth = Uint16Array.from({ length: 400 }, (_, i) => i % 8)
  const right = new Float32Array(400 * 8)
  truth.forEach((label, row) => {
    right[row * 8 + label] = 10
  })
  t.ok(bits(right, truth, 8, 10) > 2.9)
  const c = chance('bits')
  const noise = Float32Array.from({ length: 400 * 8 }, () => c.unit() * 2.5)
  t.ok(bits(noise, truth, 8, 10) < 0.05)
  t.end()
})
