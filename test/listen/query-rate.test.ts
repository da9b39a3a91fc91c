import t from 'tap'
import { systemRandom } from '../../src/clock.ts'
import { QueryRate } from '../../src/listen/query-rate.ts'
import { query } from '../support/messages.ts'

const packet = query({ name: 'www.example.com', id: 7 })
const out = Buffer.alloc(1232)

/** What becomes of `count` queries that come at one time: answered, refused, without a reply. */
function fates(rate: QueryRate, address: string, count: number, nowMs: number) {
  const found = { answered: 0, refused: 0, silent: 0 }
  for (let i = 0; i < count; i++) {
    const length = rate.limitedReply(address, nowMs, packet, out, 0)
    if (length === undefined) found.answered++
    else if (length === 0) found.silent++
    else found.refused++
  }
  return found
}

t.test('without a limit nothing is counted', async (t) => {
  const rate = new QueryRate(systemRandom, () => t.fail('nobody is limited'))
  t.strictSame(fates(rate, '192.0.2.1', 10_000, 0), { answered: 10_000, refused: 0, silent: 0 })
})

t.test('so many come at once, and so many each second; above that a query is refused, far above not answered', async (t) => {
  let limited = 0
  const rate = new QueryRate(systemRandom, () => limited++)
  rate.perSecond = 10
  t.strictSame(fates(rate, '192.0.2.1', 200, 0), { answered: 10, refused: 40, silent: 150 })
  t.equal(limited, 190)
  t.strictSame(fates(rate, '192.0.2.2', 5, 0), { answered: 5, refused: 0, silent: 0 }, 'another client is not concerned')
  t.equal(fates(rate, '192.0.2.1', 20, 500).answered, 5)
  let answered = 0
  for (let ms = 2000; ms < 12_000; ms += 10) answered += fates(rate, '192.0.2.1', 1, ms).answered
  t.ok(answered >= 100 && answered <= 110, `${answered} of 1000 in ten seconds`)
})

t.test('the addresses of an IPv6 /64 are one client', async (t) => {
  const rate = new QueryRate(systemRandom, () => {})
  rate.perSecond = 4
  const answered = Array.from({ length: 20 }, (_, i) => fates(rate, `2001:db8:0:1::${i + 1}`, 1, 0).answered)
  t.equal(
    answered.reduce((a, b) => a + b),
    4,
  )
  t.equal(fates(rate, '2001:db8:0:2::1', 1, 0).answered, 1)
})

t.test('a refusal holds the question and REFUSED; threads share the memory', async (t) => {
  const rate = new QueryRate(systemRandom, () => {})
  const other = new QueryRate(systemRandom, () => {}, rate.shared)
  rate.perSecond = other.perSecond = 1
  t.equal(rate.limitedReply('192.0.2.1', 0, packet, out, 0), undefined)
  const length = other.limitedReply('192.0.2.1', 0, packet, out, 4) ?? 0
  t.equal(length, packet.length)
  t.equal((out[4 + 3] ?? 0) & 15, 5)
  t.equal(out.readUInt16BE(4), 7)
  t.equal((out[4 + 2] ?? 0) & 0x80, 0x80)
})
