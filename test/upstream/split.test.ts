import fc from 'fast-check'
import t from 'tap'
import { upstreamQuery } from '../../src/dns/message.ts'
import { nameFromText } from '../../src/dns/name.ts'
import type { Authenticated } from '../../src/resolve.ts'
import { type Manner, ON_DEMAND, ON_SCHEDULE } from '../../src/upstream/path-health.ts'
import { createSelection } from '../../src/upstream/selection.ts'
import { siteOf } from '../../src/upstream/sites.ts'
import { Split } from '../../src/upstream/split.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'
import { query, response, rr } from '../support/messages.ts'
import { type Act, answers, FakeUpstream, fails, MESSAGE, reached, reply, watch } from './fakes.ts'

const KEY = Buffer.alloc(32, 7)
const DAY_MS = 86_400_000

const queryFor = (name: string) => upstreamQuery({ lower: query({ name }).subarray(12), type: 1, class: 1 }, false)
const operatorsNamed = (...ids: readonly string[]) => new Map(ids.map((id) => [id, id.toUpperCase()]))

function splitOf(
  ids: readonly string[],
  more: { readonly by?: 'by-site' | 'rotate'; readonly key?: Uint8Array; readonly clock?: FakeClock } = {},
) {
  const { by = 'by-site', key = KEY, clock = new FakeClock() } = more
  return new Split({ by, key, operators: operatorsNamed(...ids), clock, siteOf })
}
const firstOf = (split: Split, name: string, ids: readonly string[]) => {
  const ranks = split.ranks(queryFor(name))
  return ids.find((id) => ranks(id) === 0)
}

const FIVE = ['a', 'b', 'c', 'd', 'e']
const SITES = Array.from({ length: 2000 }, (_, i) => `site${i}.example`)

t.test('a site is a registrable domain', (t) => {
  const site = (name: string) => siteOf(nameFromText(name))
  t.equal(site('www.example.com'), 'example.com')
  t.equal(site('a.b.example.co.uk'), 'example.co.uk')
  t.equal(site('one.github.io'), 'one.github.io', 'the customers of a host of sites are different sites')
  t.equal(site('example'), 'example')
  t.equal(site('co.uk'), 'co.uk', 'a suffix is a site by itself')
  t.equal(siteOf(Uint8Array.of(0)), '')
  t.equal(site('_443._tcp.www.example.com'), 'example.com')
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 60 }),
      (label) => typeof siteOf(Uint8Array.of(label.length, ...label, 0)) === 'string',
    ),
  )
  t.end()
})

t.test('all names of a site go to one operator, under any day, and another device divides otherwise', (t) => {
  const clock = new FakeClock()
  const split = splitOf(FIVE, { clock })
  const before = SITES.map((site) => firstOf(split, `www.${site}`, FIVE))
  t.strictSame(
    SITES.map((site) => firstOf(split, `img.cdn.${site}`, FIVE)),
    before,
  )
  clock.jumpWall(40 * DAY_MS)
  t.strictSame(
    SITES.map((site) => firstOf(splitOf(FIVE, { clock }), site, FIVE)),
    before,
    'and after a restart',
  )
  const other = SITES.map((site) => firstOf(splitOf(FIVE, { key: Buffer.alloc(32, 8) }), site, FIVE))
  const same = other.filter((operator, i) => operator === before[i]).length / SITES.length
  t.ok(same > 0.15 && same < 0.25, `${same} of the sites by chance`)
  t.end()
})

t.test('the share of sites that one operator learns: 1/2, 1/3, 1/5', (t) => {
  for (const paths of [2, 3, 5]) {
    const ids = FIVE.slice(0, paths)
    const split = splitOf(ids)
    const shares = ids.map((id) => SITES.filter((site) => firstOf(split, site, ids) === id).length / SITES.length)
    t.ok(Math.max(...shares) < 1.15 / paths, `${paths} paths: ${shares.map((share) => share.toFixed(3)).join(', ')}`)
  }
  t.end()
})

t.test('an operator less: only its sites move; resolvers of one operator count as one', (t) => {
  const [five, four] = [splitOf(FIVE), splitOf(FIVE.slice(0, 4))]
  for (const site of SITES) {
    const before = firstOf(five, site, FIVE)
    if (before !== 'e' && firstOf(four, site, FIVE) !== before) t.fail(`${site} moved`)
  }
  const twins = new Split({
    by: 'by-site',
    key: KEY,
    operators: new Map([
      ['a', 'X'],
      ['b', 'X'],
      ['c', 'Y'],
    ]),
    clock: new FakeClock(),
    siteOf,
  })
  const share = SITES.filter((site) => twins.ranks(queryFor(site))('a') === 0).length / SITES.length
  t.ok(share > 0.45 && share < 0.55, `${share}`)
  t.equal(twins.ranks(queryFor('x.example'))('a'), twins.ranks(queryFor('x.example'))('b'))
  t.end()
})

t.test('rotate: another division each day; in time every operator gets every site', (t) => {
  const clock = new FakeClock()
  const split = splitOf(FIVE, { by: 'rotate', clock })
  const today = SITES.map((site) => firstOf(split, site, FIVE))
  clock.jumpWall(DAY_MS)
  const tomorrow = SITES.map((site) => firstOf(split, site, FIVE))
  const same = tomorrow.filter((operator, i) => operator === today[i]).length / SITES.length
  t.ok(same > 0.15 && same < 0.25, `${same}`)
  const seen = new Set<string | undefined>()
  for (let day = 0; day < 60; day++) {
    clock.jumpWall(DAY_MS)
    seen.add(firstOf(split, 'site1.example', FIVE))
  }
  t.equal(seen.size, FIVE.length)
  t.end()
})

t.test('names that an answer leads to stay with the site, for an hour, and their number is bounded', async (t) => {
  const clock = new FakeClock()
  const split = splitOf(FIVE, { clock })
  const target = 'edge7.cdn.example.net'
  const owner = firstOf(split, target, FIVE)
  const site = SITES.find((one) => firstOf(split, one, FIVE) !== owner) ?? ''
  const chain = response({
    name: `www.${site}`,
    answers: [rr({ name: `www.${site}`, type: 5, rdata: nameFromText('EDGE7.cdn.example.net') }), rr({ name: target, type: 1 })],
  })
  split.learn(queryFor(`www.${site}`), chain)
  t.equal(firstOf(split, target, FIVE), firstOf(split, site, FIVE), 'with the site, whose operator knows it')
  t.equal(firstOf(split, `other.cdn.example.net`, FIVE), owner, 'its siblings are not known there')
  await clock.advance(3_600_001)
  t.equal(firstOf(split, target, FIVE), owner)
  for (let i = 0; i < 5000; i++)
    split.learn(
      queryFor(`www.${site}`),
      response({ name: `www.${site}`, answers: [rr({ name: `www.${site}`, type: 5, rdata: nameFromText(`n${i}.example.org`) })] }),
    )
  const left = Array.from({ length: 5000 }, (_, i) => i).filter(
    (i) => firstOf(split, `n${i}.example.org`, FIVE) !== firstOf(split, 'example.org', FIVE),
  )
  t.ok(left.length <= 4096)
  split.learn(queryFor('x.example'), Uint8Array.of(1, 2, 3))
})

/** Asks three operators for one name; the acts are in the order of its ranks. */
async function ask({ manner }: { readonly manner: Manner }, ...acts: readonly Act[]) {
  const clock = new FakeClock()
  const ids = ['a', 'b', 'c']
  const split = splitOf(ids, { clock })
  const ranks = split.ranks(MESSAGE)
  const upstreams = ids.map((id) => new FakeUpstream(id, clock, acts[ranks(id)] ?? 'dark'))
  const ordered = upstreams.toSorted((x, y) => ranks(x.id) - ranks(y.id))
  const selection = createSelection<Authenticated>({ manner, upstreams, clock, random: seededRandom(1), emit: () => {}, split })
  const one = async () => {
    const startMs = clock.nowMs()
    const seen = watch(clock, reached(selection, MESSAGE, false, { purpose: 'client', deadlineMs: startMs + 4000 }))
    await clock.advance(4000)
    return { rank: ordered.findIndex(({ id }) => id === seen.value?.upstream), afterMs: (seen.atMs ?? 0) - startMs, code: seen.code }
  }
  return { clock, ordered, one, asked: () => ordered.map((u) => u.queries.length) }
}

t.test('while the first operator lives, no other learns the name: slow, failing, unable', async (t) => {
  for (const [what, act] of [
    ['slow', answers(2500)],
    ['slow for probes too', answers(2200)],
    ['SERVFAIL', answers(10, reply({ rcode: 2 }))],
    ['REFUSED', answers(10, reply({ rcode: 5 }))],
    ['FORMERR', answers(10, reply({ rcode: 1 }))],
  ] as const) {
    const { one, asked, ordered } = await ask({ manner: ON_DEMAND }, act, answers(5), answers(5))
    if (!what.includes('too')) for (const upstream of ordered) upstream.probeAct = answers(5)
    await one()
    t.strictSame(asked(), [1, 0, 0], what)
  }
})

t.test('a dead first operator: the next one is asked, soon, and the first again when it is back', async (t) => {
  for (const act of [fails('connect-refused'), 'dark'] as const) {
    const { one, asked, ordered, clock } = await ask({ manner: ON_DEMAND }, act, answers(5), answers(5))
    const { rank, afterMs } = await one()
    t.equal(rank, 1)
    t.ok(afterMs < (act === 'dark' ? 2400 : 100), `after ${afterMs} ms`)
    t.equal(asked()[2], 0, 'one more, not all')
    const [first] = ordered
    if (first !== undefined) first.act = answers(5)
    await clock.advance(120_000)
    t.equal((await one()).rank, 0)
  }
})

t.test('on a schedule too: one operator while it lives, the next one if its path is dead', async (t) => {
  for (const [act, asked] of [
    [answers(10, reply({ rcode: 2 })), [1, 0, 0]],
    ['dark', [1, 0, 0]],
    [fails('connect-refused'), [1, 1, 0]],
  ] as const) {
    const { one, asked: found } = await ask({ manner: ON_SCHEDULE }, act, answers(5), answers(5))
    await one()
    t.strictSame(found(), asked)
  }
})
