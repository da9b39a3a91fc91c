import fc from 'fast-check'
import t from 'tap'
import { clientOf, FairShares } from '../src/client-shares.ts'
import { seededRandom } from './support/fake-clock.ts'

t.test('one client: an IPv4 address, or an IPv6 /64 in any spelling', async (t) => {
  t.equal(clientOf('192.0.2.1'), '192.0.2.1')
  t.not(clientOf('127.0.0.2'), clientOf('127.0.0.3'))
  for (const [one, other, same] of [
    ['2001:db8::1', '2001:db8:0:0:ffff::2', true],
    ['2001:db8::1', '2001:db8:0:0:0:0:0:1', true],
    ['2001:DB8:0:1::1', '2001:db8:0:0001::2', true],
    ['2001:db8:0:1::1', '2001:db8:0:2::1', false],
    ['::1', '0:0:0:0:0:0:0:1', true],
    ['::1', '0:0:0:1::1', false],
    ['fe80::1', 'fe80::ffff:ffff:ffff:ffff', true],
    ['1:2:3:4::', '1:2:3:4:5:6:7:8', true],
    ['1::4:5:6:7:8', '1:0:0:4:1:1:1:1', true],
    ['::', '1::', false],
  ] as const)
    t.equal(clientOf(one) === clientOf(other), same, `${one} and ${other}`)
})

/** Clients that want all they can get, one unit at a time in turns, until nobody gets any more. */
function filled(shares: FairShares, clients: readonly string[], sequential = false): ReadonlyMap<string, number> {
  const held = new Map<string, number>()
  const more = (client: string) => {
    if (!shares.take(client, 1)) return false
    held.set(client, (held.get(client) ?? 0) + 1)
    return true
  }
  if (sequential) for (const client of clients) while (more(client));
  else while (clients.filter(more).length > 0);
  return held
}
const addresses = (count: number, prefix = '10.0') => Array.from({ length: count }, (_, i) => `${prefix}.${i >> 8}.${i & 255}`)

t.test('a single client gets nearly everything; simultaneous ones get about the same; a newcomer is always admitted', async (t) => {
  for (const count of [1, 2, 5, 50, 254]) {
    const shares = new FairShares(4096, 1, seededRandom(count))
    const held = [...filled(shares, addresses(count)).values()]
    const [least, most] = [Math.min(...held), Math.max(...held)]
    t.ok(most - least <= 4, `${count}: from ${least} to ${most}`)
    t.ok(shares.total >= 4096 * 0.85 && shares.total <= 4096 * (1 + 1 / 16), `${shares.total} in use`)
    for (let i = 0; i < 4; i++) t.ok(shares.take('192.0.2.1', 1), 'a few are always taken')
  }
})
t.test('clients one after another: even if the first took too much, the next one is admitted', async (t) => {
  const shares = new FairShares(4096, 1, seededRandom(1))
  const held = filled(shares, addresses(20), true)
  t.equal(held.get('10.0.0.0'), 3641)
  for (const address of addresses(20)) t.ok((held.get(address) ?? 0) >= 4)
  for (let i = 0; i < 4; i++) t.ok(shares.take('192.0.2.1', 1))
})
t.test('addresses of one /64 are one client', async (t) => {
  const shares = new FairShares(4096, 1, seededRandom(1))
  const held = filled(
    shares,
    Array.from({ length: 500 }, (_, i) => `fd00:a::${i.toString(16)}`),
  )
  t.ok([...held.values()].reduce((sum, count) => sum + count, 0) <= 3645)
})
t.test('a heavy client holds more than half of the average of the others, and more than next to nothing', async (t) => {
  const shares = new FairShares(4096, 1, seededRandom(1))
  for (let i = 0; i < 16; i++) shares.take('10.0.0.1', 1)
  t.notOk(shares.isHeavy('10.0.0.1'))
  shares.take('10.0.0.1', 1)
  t.ok(shares.isHeavy('10.0.0.1'))
  for (let i = 0; i < 100; i++) shares.take('10.0.0.2', 1)
  t.ok(shares.isHeavy('10.0.0.2'))
  t.notOk(shares.isHeavy('10.0.0.1'), 'it is light beside the other')
  t.notOk(shares.isHeavy('10.0.0.3'))
})
t.test('for any sequence of takes and returns: never more than the capacity, and all of it comes back', async () => {
  const step = fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 1, max: 9 }), fc.boolean())
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), fc.integer(), (steps, seed) => {
      const shares = new FairShares(200, 9, seededRandom(seed))
      const held: [string, number][] = []
      for (const [client, amount, gives] of steps) {
        const last = gives ? held.pop() : undefined
        if (last !== undefined) shares.give(...last)
        else if (shares.take(`10.0.0.${client}`, amount)) held.push([`10.0.0.${client}`, amount])
        if (shares.total > 200 * (1 + 1 / 16)) return false
      }
      for (const one of held) shares.give(...one)
      return shares.total === 0 && !shares.isHeavy('10.0.0.1') && shares.take('10.0.0.1', 9)
    }),
  )
})
