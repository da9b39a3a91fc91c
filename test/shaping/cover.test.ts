import t from 'tap'
import { withPaddedOpt } from '../../src/dns/edns.ts'
import { questionEnd, textFromName } from '../../src/dns/name.ts'
import { u16 } from '../../src/dns/octets.ts'
import { CoverQuestions, LookupLatencies } from '../../src/shaping/cover.ts'
import { COVER_PAGES, RARE_COVER_NAMES } from '../../src/shaping/cover-names.ts'
import { CoverPermission } from '../../src/shaping/cover-traffic.ts'
import { seededRandom } from '../support/fake-clock.ts'

const nameOf = (message: Uint8Array) => textFromName(message.subarray(12, questionEnd(message) - 4)).replace(/\.$/, '')

t.test('the lists: host names, each short enough for one cell, no page without a site', async (t) => {
  const names = [...COVER_PAGES.flat(), ...RARE_COVER_NAMES]
  t.ok(COVER_PAGES.length > 100 && RARE_COVER_NAMES.length > 300)
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

t.test('whole pages: all names of one before the next, A and AAAA of each, every query one cell', async (t) => {
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

t.test('no page and no rare name comes again before all others have', async (t) => {
  const cover = new CoverQuestions(seededRandom(5))
  const rare: string[] = []
  while (rare.length < RARE_COVER_NAMES.length) {
    const { message, kind } = cover.next(0)
    if (kind === 'rare') rare.push(nameOf(message))
  }
  t.equal(new Set(rare).size, RARE_COVER_NAMES.length)
})

t.test('covers are slow as often as real queries are', async (t) => {
  for (const missShare of [0.05, 0.2, 0.4]) {
    const cover = new CoverQuestions(seededRandom(8))
    const random = seededRandom(9)
    const missOf = { real: missShare, usual: 0.03, rare: 0.7 }
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

t.test('the share of rare names: bounded whatever is measured', async (t) => {
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

t.test('refusals: other content first, then a pause that doubles to a day; good times forgive', async (t) => {
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
