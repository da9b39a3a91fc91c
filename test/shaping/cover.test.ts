import t from 'tap'
import { withPaddedOpt } from '../../src/dns/edns.ts'
import { questionEnd, textFromName } from '../../src/dns/name.ts'
import { u16 } from '../../src/dns/octets.ts'
import type { Event } from '../../src/events.ts'
import { CoverQuestions } from '../../src/shaping/cover.ts'
import { ExpiryDeck, SizeDeck } from '../../src/shaping/cover-decks.ts'
import { COVER_PAGES, LARGE_COVER_NAMES, RARE_COVER_NAMES } from '../../src/shaping/cover-names.ts'
import { CoverPermission, CoverTraffic } from '../../src/shaping/cover-traffic.ts'
import { LookupLatencies, ReplySizes } from '../../src/shaping/likeness.ts'
import { seededRandom } from '../support/fake-clock.ts'

const nameOf = (message: Uint8Array) => textFromName(message.subarray(12, questionEnd(message) - 4)).replace(/\.$/, '')

t.test('the lists: host names, each short enough for one cell, no page without a site', async (t) => {
  const names = [...COVER_PAGES.flat(), ...RARE_COVER_NAMES, ...LARGE_COVER_NAMES]
  t.ok(COVER_PAGES.length > 100 && RARE_COVER_NAMES.length > 3000 && LARGE_COVER_NAMES.length > 100)
  for (const name of names) {
    t.match(name, /^(?=.{4,80}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$/)
  }
  const pageNames = new Set(COVER_PAGES.flat())
  t.strictSame(
    RARE_COVER_NAMES.filter((name) => pageNames.has(name)),
    [],
    'no name is both usual and rare',
  )
})

t.test('complete pages: all names of one before the next, A and AAAA of each, every query one cell', async (t) => {
  const cover = new CoverQuestions(seededRandom(3))
  const usual: { name: string; type: number }[] = []
  for (let i = 0; i < 3000; i++) {
    const { message, kind } = cover.next(0)
    t.equal(withPaddedOpt(message, { dnssecOk: false, block: 128, keepalive: true }).length, 128)
    if (kind === 'usual') usual.push({ name: nameOf(message), type: u16(message, questionEnd(message) - 4) })
  }
  const sites = new Set(COVER_PAGES.map(([site]) => site))
  let page: readonly string[] = []
  let missing = 0
  for (const [i, { name, type }] of usual.entries()) {
    if (type !== 1) continue
    t.equal(usual[i + 1]?.name ?? name, name, 'AAAA follows')
    if (sites.has(name) && !page.includes(name)) page = COVER_PAGES.find(([site]) => site === name) ?? []
    if (!page.includes(name)) missing++
  }
  t.ok(missing < usual.length / 50, `${missing} names outside of their page`)
  t.ok(new Set(usual.map(({ type }) => type)).size === 3)
})

t.test('a rare question is repeated only after all others', async (t) => {
  const cover = new CoverQuestions(seededRandom(5))
  const rare: string[] = []
  while (rare.length < RARE_COVER_NAMES.length * 3) {
    const { message, kind } = cover.next(0)
    if (kind === 'rare') rare.push(`${nameOf(message)} ${u16(message, questionEnd(message) - 4)}`)
  }
  t.equal(new Set(rare).size, RARE_COVER_NAMES.length * 3)
})

t.test('a rare name is asked after its answer has left the cache of the resolver, and not earlier', async (t) => {
  const deck = new ExpiryDeck(50, seededRandom(6))
  const goneMs = new Map<number, number>()
  const ttls = seededRandom(7)
  let early = 0
  for (let nowMs = 0; nowMs < 36_000_000; nowMs += 60_000) {
    const drawn = deck.draw(nowMs)
    if ((goneMs.get(drawn) ?? 0) > nowMs) early++
    const ttlS = 1 + ttls.below(2000)
    goneMs.set(drawn, nowMs + ttlS * 1000)
    deck.answered(drawn, nowMs, ttlS)
  }
  t.equal(early, 0)
  const busy = new ExpiryDeck(2, seededRandom(6))
  const [first, second] = [busy.draw(0), busy.draw(0)]
  busy.answered(first, 0, 0)
  busy.answered(second, 0, 300)
  t.strictSame([busy.draw(1000), busy.draw(1000)], [first, second], 'what is gone first; without an answer it is taken to stay an hour')
  t.end()
})

t.test('at a resolver with one cache covers stay as slow as real queries', async (t) => {
  const cover = new CoverQuestions(seededRandom(11))
  const random = seededRandom(12)
  const until = new Map<string, number>()
  let [slow, counted] = [0, 0]
  for (let nowMs = 0; nowMs < 4 * 3_600_000; nowMs += 50) {
    const question = cover.next(nowMs)
    const key = Buffer.from(question.message).toString('latin1')
    const ttlS = question.kind === 'rare' ? 3600 : 300
    const leftS = ((until.get(key) ?? 0) - nowMs) / 1000
    const missed = leftS <= 0 && question.kind !== 'usual'
    if (missed) until.set(key, nowMs + ttlS * 1000)
    const rttMs = 20 + random.below(5) + (missed ? 40 : 0)
    cover.answered(question, { nowMs, rttMs, octets: 468, ttlS: () => (missed ? ttlS : leftS) })
    if (nowMs % 1000 === 0) cover.real(20 + (random.below(100) < 15 ? 40 : 0), 468)
    if (nowMs < 3 * 3_600_000) continue
    counted++
    if (missed) slow++
  }
  t.ok(
    Math.abs(slow / counted - 0.15) < 0.03,
    `in the fourth hour ${(slow / counted).toFixed(3)} of covers are slow, of real queries 0.150`,
  )
  t.equal(cover.unlikeness, undefined)
})

t.test('if no share makes covers as slow, the profile is not in force', async (t) => {
  const alike = { real: [20, 60], usual: 20, rare: 60 }
  for (const [what, { real, usual, rare }, told] of [
    ['rare names are slow', alike, undefined],
    ['all that covers ask for is in the cache', { ...alike, rare: 20 }, 'slower'],
    ['nothing is slow at all', { real: [20, 20], usual: 20, rare: 20 }, undefined],
    ['covers alone are slow', { real: [20, 20], usual: 60, rare: 60 }, 'slower'],
  ] as const) {
    const events: Event[] = []
    const setup = { random: seededRandom(4), emit: (event: Event) => void events.push(event), resolver: 'r', transport: 'dot' } as const
    const covers = new CoverTraffic({ ...setup, wanted: true, coversADay: 1e9 }, () => {})
    const wire = new Uint8Array(468)
    const carried = (rttMs: number) =>
      ({ wire, rttMs, protection: { authenticated: true, by: 'ca', tlsVersion: 'x', cipher: 'x', resumed: false } }) as const
    for (let nowMs = 0; nowMs < 1_900_000; nowMs += 100) {
      const cover = covers.next(nowMs)
      if (cover === undefined) throw new Error('covers do not flow')
      covers.answered(cover, carried(nowMs === 0 ? 20 : cover.question.kind === 'rare' ? rare : usual), nowMs)
      if (nowMs % 500 === 0) covers.real(carried(real[(nowMs / 500) % 4 === 0 ? 1 : 0] ?? 0))
    }
    const last = events.at(-1)
    t.equal(last?.type === 'shaping.covers' ? last.covers : undefined, told, what)
  }
})

t.test('covers have large replies, of the sizes of real ones, and more of them', async (t) => {
  const cover = new CoverQuestions(seededRandom(13))
  const blocks = [0, 0, 0, 0, 0]
  for (let nowMs = 0; nowMs < 4_000_000; nowMs += 50) {
    const question = cover.unconditional() ?? cover.next(nowMs)
    const size = question.kind === 'large' ? 1 + (question.number % 5) : 1
    cover.answered(question, { nowMs, rttMs: 20, octets: size * 468, ttlS: () => 300 })
    if (nowMs % 500 === 0) cover.real(20, nowMs % 100_000 === 0 ? 936 : 468)
    if (nowMs > 2_000_000) blocks[size - 1] = (blocks[size - 1] ?? 0) + 1
  }
  const [one = 0, ...large] = blocks
  const all = large.reduce((sum, n) => sum + n, 0)
  t.ok(all / (all + one) > 0.045 && all / (all + one) < 0.07, `${((100 * all) / (all + one)).toFixed(2)} % of covers have a large reply`)
  t.ok(
    (large[0] ?? 0) > (large[1] ?? 0) && (large[1] ?? 0) > (large[2] ?? 0) && (large[2] ?? 0) > 0 && (large[3] ?? 0) < all / 20,
    large.join(),
  )
  t.equal(cover.unlikeness, undefined)
})

t.test('large replies that covers lack are reported', async (t) => {
  const sizes = new ReplySizes()
  for (let i = 0; i < 3000; i++) {
    sizes.add('usual', 468)
    sizes.add('real', i % 50 === 0 ? 936 : 468)
  }
  t.ok(sizes.unmatched)
  t.ok(sizes.largeShare() > 0.05, 'more of them are wanted')
  const deck = new SizeDeck(3, seededRandom(1))
  for (let i = 0; i < 3; i++) deck.answered(i, 1)
  t.equal(deck.draw(2), undefined, 'no reply is large')
  deck.answered(1, 3)
  t.equal(deck.draw(2), 1, 'another size is better than none')
})

t.test('covers are slow as often as real queries are', async (t) => {
  for (const missShare of [0.05, 0.2, 0.4]) {
    const cover = new CoverQuestions(seededRandom(8))
    const random = seededRandom(9)
    const missOf = { real: missShare, usual: 0.03, rare: 0.7, large: 0.3 }
    const rtt = (kind: keyof typeof missOf) => 20 + random.below(5) + (random.below(1000) < missOf[kind] * 1000 ? 40 : 0)
    let slow = 0
    let counted = 0
    for (let nowMs = 0; nowMs < 6_000_000; nowMs += 100) {
      const { kind } = cover.next(nowMs)
      const rttMs = rtt(kind)
      cover.latencies.add(kind, rttMs)
      if (nowMs % 500 === 0) cover.latencies.add('real', rtt('real'))
      if (nowMs < 3_000_000) continue
      counted++
      if (rttMs > 50) slow++
    }
    t.ok(Math.abs(slow / counted - missShare) < 0.05, `${missShare}: covers ${(slow / counted).toFixed(3)}`)
  }
})

t.test('the share of rare names: bounded for any measurement', async (t) => {
  const latencies = new LookupLatencies()
  t.ok(latencies.rareShare() > 0.1 && latencies.rareShare() < 0.5, 'expected before anything is measured')
  for (let i = 0; i < 3000; i++) {
    latencies.add('usual', 10)
    latencies.add('rare', 10)
    latencies.add('real', 90)
  }
  t.equal(latencies.rareShare(), 0.9)
  for (let i = 0; i < 3000; i++) latencies.add('real', 10)
  t.equal(latencies.rareShare(), 0)
})

t.test('refusals: first other content, then a pause that doubles to a day; later successes reset it', async (t) => {
  const standing = new CoverPermission({ wanted: true, coversADay: 1e9 })
  let nowMs = 0
  const refuseUntil = (reaction: string) => {
    for (let i = 1; i < 100; i++) if (standing.refused(nowMs) === reaction) return i
    return 0
  }
  const pauses: number[] = []
  for (let i = 0; i < 10; i++) {
    t.equal(refuseUntil('change content'), 12)
    t.equal(standing.state(nowMs), 'flowing')
    t.equal(refuseUntil('end at step'), 12)
    const sinceMs = nowMs
    while (standing.state(nowMs) === 'refused') nowMs += 60_000
    pauses.push((nowMs - sinceMs) / 60_000)
  }
  t.strictSame(pauses, [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440])
  for (let i = 0; i < 2000; i++) standing.accepted()
  t.equal(refuseUntil('change content'), 12)
  refuseUntil('end at step')
  t.equal(standing.state(nowMs + 599_000), 'refused')
  t.equal(standing.state(nowMs + 601_000), 'flowing')
})

t.test('a few refusals among many replies are about the name', async (t) => {
  const standing = new CoverPermission({ wanted: true, coversADay: 1e9 })
  for (let i = 0; i < 1000; i++) {
    if (i % 4 === 0) t.equal(standing.refused(0), 'go on')
    else standing.accepted()
  }
})
