import { setTimeout as sleep } from 'node:timers/promises'
import type { Protocol } from '../../test/support/faults/fault.ts'
import { type Asker, newName, quantile, type Told } from './asker.ts'
import type { Chaos, Row } from './row.ts'

const TIMEOUT_MS = 4000
/**
 * What a reply may be late by on a loaded machine: a deadline falls on a tick of 8 ms, the rest is
 * scheduling.
 */
const LATE_MS = 200
const took = (told: readonly Told[]) => told.map(({ tookMs }) => tookMs)
const share = (told: readonly Told[]) => told.filter(({ right }) => right).length / told.length

/** How many of `times` fall into any window of `ms`. */
function densest(times: readonly number[], ms: number): number {
  return Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + ms).length))
}

async function firstDark(c: Chaos, from: 'the start' | 'amid traffic'): Promise<void> {
  const { server, servers, asker } = await c.scene({ protocols: ['dot', 'dot'], usual: { rttMs: 10 } })
  const dark = from === 'the start' ? server : undefined
  dark?.begin({ kind: 'blackhole' })
  c.within(`first answer, dark from ${from}`, await asker.firstAnswer(5000), 500)
  await sleep(1500)
  const fair = await asker.traffic({ perS: 50, forMs: 2000, hits: 0 })
  const used = dark ?? servers.toSorted((a, b) => b.counts.queries - a.counts.queries)[0] ?? server
  if (dark === undefined) {
    used.begin({ kind: 'blackhole' })
    c.within('first answer after it went dark', await asker.firstAnswer(5000), 500)
    await sleep(1000)
  }
  const dialledBefore = used.path.dialledAtMs.length
  const seconds = c.fast ? 4 : 60
  const told = await asker.traffic({ perS: 50, forMs: seconds * 1000, hits: 0 })
  if (dark === undefined)
    c.check('p99 beside the baseline', quantile(took(told), 0.99) / quantile(took(fair), 0.99), '<=', 1.2 * c.slack, 'x')
  c.check('answered', share(told), '>=', 1)
  const dials = used.path.dialledAtMs.slice(dialledBefore)
  const gaps = dials.slice(1).map((at, i) => ((at - (dials[i] ?? at)) / 1000).toFixed(1))
  c.check('connects to the dark one in a minute', (dials.length / seconds) * 60, '<=', c.fast ? 60 : 12)
  c.note(`seconds between connects to it: ${gaps.join(' ') || 'none'}`)
}

async function allDark(c: Chaos, protocol: Protocol): Promise<void> {
  const scene = await c.scene({ protocols: [protocol, protocol], usual: { rttMs: 10 } })
  const { servers, asker } = scene
  await asker.firstAnswer(5000)
  await asker.traffic({ perS: 20, forMs: 500, hits: 0.5 })
  const rounds = c.fast ? [4] : [60, 3, 5, 7, 9, 11]
  c.note(`dark for ${rounds.join(', ')} s instead of 600 s`)
  const back: number[] = []
  for (const seconds of rounds) {
    for (const server of servers) server.begin({ kind: 'blackhole' })
    const beganMs = performance.now()
    const told = await asker.traffic({ perS: 20, forMs: seconds * 1000, hits: 0.5 })
    const lateMs = performance.now() - beganMs
    for (const server of servers) server.clear()
    back.push(await asker.firstAnswer(10_000))
    if (seconds !== rounds[0]) continue
    c.within('longest reply', Math.max(...took(told)), TIMEOUT_MS + LATE_MS)
    c.check('replies', told.filter(({ rcode }) => rcode >= 0).length / told.length, '>=', 1)
    const settled = servers.map(({ path }) => path.dialledAtMs.filter((at) => at > beganMs + 2000 && at < beganMs + lateMs))
    c.check('connects a second and upstream after 2 s', Math.max(...settled.map((at) => at.length / (lateMs / 1000 - 2))), '<=', 1.1)
    c.note(`most connects to one within 1 s: ${Math.max(...settled.map((at) => densest(at, 1000)))}`)
  }
  c.within('first answer after the return, the slowest', Math.max(...back), 1000)
  if (back.length > 1) c.within('median', quantile(back, 0.5), 600)
}

async function resets(c: Chaos, protocol: Protocol): Promise<void> {
  const { server, asker } = await c.scene({ protocols: [protocol] })
  await asker.firstAnswer(5000)
  const count = c.fast ? 100 : 1000
  server.begin({ kind: 'reset', every: 3 })
  const alone: Told[] = []
  for (let i = 0; i < count; i++) alone.push(await asker.ask(newName('alone')))
  c.check('answered, every 3rd reset, one at a time', share(alone), '>=', 0.999)
  server.begin({ kind: 'reset', every: 100 })
  const many = await asker.traffic({ perS: c.fast ? 100 : 500, forMs: c.fast ? 2000 : 30_000, hits: 0 })
  c.check('answered, every 100th reset, many in flight', share(many), '>=', 0.999)
  c.check('most often that one name was asked', Math.max(...server.asked.values()), '<=', 2)
}

async function poison(c: Chaos, protocol: Protocol): Promise<void> {
  const { server, asker } = await c.scene({ protocols: [protocol], usual: { rttMs: 20 } })
  await asker.firstAnswer(5000)
  const others = (forMs: number) => asker.traffic({ perS: 33, forMs, hits: 0 })
  const calm = await others(2000)
  for (const everyMs of [1000, 300]) {
    server.begin({ kind: 'reset', victims: true })
    const timer = setInterval(() => void asker.ask(newName('victim')), everyMs)
    const told = await others(c.fast ? 2000 : 20_000)
    clearInterval(timer)
    server.clear()
    c.check(`others answered, one every ${everyMs} ms`, share(told), '>=', 0.99)
    c.check('their p50 beside undisturbed', quantile(took(told), 0.5) / quantile(took(calm), 0.5), '<=', 2 * c.slack, 'x')
  }
  const { '': root = 0, ...asked } = Object.fromEntries(server.asked)
  c.check('most often that one name was asked', Math.max(...Object.values(asked)), '<=', 2)
  c.note(`${root} queries for the root`)
}

async function halfOpen(c: Chaos, protocols: readonly Protocol[]): Promise<void> {
  const rttMs = 20
  const { servers, asker } = await c.scene({ protocols, usual: { rttMs } })
  await asker.firstAnswer(5000)
  await asker.traffic({ perS: 20, forMs: 1000, hits: 0 })
  const deaths = c.fast ? 5 : 100
  const times: number[] = []
  let used = 0
  for (let i = 0; i < deaths; i++) {
    const octets = servers.map(({ path }) => path.strand())
    times.push((await asker.ask(newName('dead'))).tookMs)
    const sum = () => octets.reduce((all, of) => all + of(), 0)
    await sleep(50)
    const before = sum()
    for (let k = 0; k < 3; k++) await asker.ask(newName('next'))
    if (sum() > before + 100) used++ // an alert or a PING that was on its way is no query: those are 128 octets and more
    await sleep(c.fast ? 100 : 150)
  }
  const limit = protocols.length > 1 ? 200 + rttMs : 300 + 3 * rttMs
  c.within(`first answer, p99 of ${deaths} deaths`, quantile(times, 0.99), limit)
  c.note(`median ${quantile(times, 0.5).toFixed(0)} ms`)
  c.check('deaths after which a later query used the dead connection', used, '<=', 0)
}

async function goaway(c: Chaos, kind: 'goaway' | 'goaway-0'): Promise<void> {
  const { server, asker } = await c.scene({ protocols: ['h2'] })
  await asker.firstAnswer(5000)
  const before = server.counts.handshakes
  server.begin({ kind, every: 100 })
  const told = await asker.traffic({ perS: c.fast ? 100 : 500, forMs: c.fast ? 3000 : 30_000, hits: 0 })
  c.check('answered', share(told), '>=', 1)
  c.check('handshakes for each GOAWAY', (server.counts.handshakes - before) / server.counts.committed, '<=', 1)
  c.note(`${server.counts.committed} GOAWAYs, ${told.length} questions`)
}

async function refused(c: Chaos): Promise<void> {
  const { server, asker } = await c.scene({ protocols: ['h2'] })
  await asker.firstAnswer(5000)
  server.begin({ kind: 'refused-stream', every: 2 })
  const told = await asker.traffic({ perS: 200, forMs: c.fast ? 2000 : 10_000, hits: 0 })
  c.check('answered, every 2nd stream refused', share(told), '>=', 1)
}

async function oneStream(c: Chaos): Promise<void> {
  const { server, asker } = await c.scene({ protocols: ['h2'] })
  server.begin({ kind: 'max-streams', streams: 1 })
  await asker.firstAnswer(5000)
  await sleep(100)
  const [less, more] = c.fast ? [50, 400] : [900, 3000]
  const few = await atOnce(asker, less)
  c.check(`answered of ${less} at once`, share(few), '>=', 1)
  const many = await atOnce(asker, more)
  if (!c.fast) c.check(`answered of ${more} at once`, many.filter(({ right }) => right).length, '>=', 1000)
  c.check(`replies of ${more}`, many.filter(({ rcode }) => rcode >= 0).length, '>=', more)
  c.within('longest reply', Math.max(...took(many)), TIMEOUT_MS + LATE_MS)
}

/** As fast as no socket buffer of anybody overflows. */
async function atOnce(asker: Asker, count: number): Promise<readonly Told[]> {
  const asked: Promise<Told>[] = []
  for (let i = 0; i < count; i++) {
    asked.push(asker.ask(newName('once')))
    if (i % 100 === 99) await sleep(5)
  }
  return Promise.all(asked)
}

async function trickle(c: Chaos, protocol: Protocol): Promise<void> {
  const { server, asker } = await c.scene({ protocols: [protocol] })
  await asker.firstAnswer(5000)
  server.begin({ kind: 'trickle', victims: true })
  const victims = Promise.all(Array.from({ length: 3 }, () => asker.ask(newName('victim'))))
  const others = await asker.traffic({ perS: 50, forMs: c.fast ? 4500 : 10_000, hits: 0 })
  c.within('the trickled ones end', Math.max(...took(await victims)), TIMEOUT_MS + LATE_MS)
  c.check('others answered', share(others), '>=', 1)
  c.within('others, p99', quantile(took(others), 0.99), protocol === 'dot' ? 700 : 400)
}

async function slowHead(c: Chaos): Promise<void> {
  const { server, servers, asker } = await c.scene({ protocols: ['h2', 'dot'] })
  await asker.firstAnswer(5000)
  await sleep(1500)
  for (const one of servers) one.begin({ kind: 'rate', octetsPerS: 1 })
  const told = await Promise.all(Array.from({ length: 10 }, () => asker.ask(newName())))
  c.within('every octet a second late (headers, TLS): longest reply', Math.max(...took(told)), TIMEOUT_MS + LATE_MS)
  for (const one of servers) one.clear()
  c.within('first answer when it is over', await asker.firstAnswer(5000), 1500)
  c.note(`${server.path.counts.connections} connects`)
}

async function certificate(c: Chaos, kind: 'expired' | 'wrong-name'): Promise<void> {
  const { server, asker, daemon } = await c.scene({ protocols: ['dot'] })
  await asker.firstAnswer(5000)
  server.begin({ kind })
  const { handshakes, queries } = { ...server.counts }
  const told = await asker.traffic({ perS: 20, forMs: c.fast ? 2000 : 10_000, hits: 0 })
  c.check('SERVFAIL', told.filter(({ rcode }) => rcode === 2).length / told.length, '>=', 1)
  c.check('queries that reached it', server.counts.queries - queries, '<=', 0)
  const text = JSON.stringify(daemon.status())
  c.check('the reason in the status file', Number(text.includes(kind === 'expired' ? 'certificate-expired' : 'certificate-name')), '>=', 1)
  server.clear()
  c.within('first answer after the mend', await asker.firstAnswer(15_000), 10_000)
  c.note(`${server.counts.handshakes - handshakes} handshakes finished by the server`)
}

async function slowLink(c: Chaos): Promise<void> {
  const { server, asker } = await c.scene({ protocols: ['dot'] })
  await asker.firstAnswer(5000)
  await asker.traffic({ perS: 20, forMs: 500, hits: 1 }) // a hit is one only if the name was asked before the link became slow
  const upBefore = server.path.counts.up
  server.begin({ kind: 'rate', octetsPerS: 1000 })
  const forMs = c.fast ? 4000 : 60_000
  const told = await asker.traffic({ perS: 2, forMs, hits: 0.5 })
  c.within('longest reply', Math.max(...took(told)), TIMEOUT_MS + LATE_MS)
  c.check('replies', told.filter(({ rcode }) => rcode >= 0).length / told.length, '>=', 1)
  const misses = told.filter(({ hit }) => !hit).length
  const record = 128 + 2 + 22 // the padded query, its length, TLS 1.3
  const dials = server.path.dialledAtMs.length
  c.check('octets sent beside one query each, handshakes too', (server.path.counts.up - upBefore) / (misses * record), '<=', 2)
  c.note(`${(share(told.filter(({ hit }) => !hit)) * 100).toFixed(0)} % of misses answered; ${dials} connects in all`)
  server.clear()
  c.within('first answer when it is over', await asker.firstAnswer(10_000), 1500)
}

/** Rows about what upstreams and the path to them do. */
export const UPSTREAM_ROWS: readonly Row[] = [
  {
    name: 'first-dark-from-start',
    fault: 'first upstream blackholed from the start, second healthy',
    run: (c) => firstDark(c, 'the start'),
  },
  { name: 'first-dark', fault: 'first upstream goes dark, second healthy', run: (c) => firstDark(c, 'amid traffic') },
  { name: 'all-dark', fault: 'all blackholed', over: 'dot', run: (c) => allDark(c, 'dot') },
  { name: 'all-dark-h2', fault: 'all blackholed', over: 'h2', slow: true, run: (c) => allDark(c, 'h2') },
  ...(['dot', 'h2', 'h1'] as const).map(
    (over): Row => ({ name: `reset-${over}`, fault: 'RST on every Nth request', over, run: (c) => resets(c, over) }),
  ),
  ...(['dot', 'h2', 'h1'] as const).map(
    (over): Row => ({ name: `poison-${over}`, fault: 'one question kills its connection', over, run: (c) => poison(c, over) }),
  ),
  ...(['dot', 'h2', 'h1'] as const).map(
    (over): Row => ({ name: `half-open-${over}`, fault: 'half-open, one resolver', over, run: (c) => halfOpen(c, [over]) }),
  ),
  { name: 'half-open-two', fault: 'half-open, two resolvers', over: 'dot', run: (c) => halfOpen(c, ['dot', 'dot']) },
  { name: 'goaway', fault: 'GOAWAY every 100 streams', over: 'h2', run: (c) => goaway(c, 'goaway') },
  { name: 'goaway-0', fault: 'GOAWAY with last-id 0', over: 'h2', run: (c) => goaway(c, 'goaway-0') },
  { name: 'refused-stream', fault: 'REFUSED_STREAM', over: 'h2', run: refused },
  { name: 'one-stream', fault: 'max concurrent streams = 1', over: 'h2', run: oneStream },
  ...(['dot', 'h2', 'h1'] as const).map(
    (over): Row => ({ name: `trickle-${over}`, fault: 'trickle of 1 byte a second', over, run: (c) => trickle(c, over) }),
  ),
  { name: 'trickle-all', fault: 'trickle of 1 byte a second: TLS and headers too', run: slowHead },
  { name: 'certificate-expired', fault: 'certificate expires mid-run', over: 'dot', run: (c) => certificate(c, 'expired') },
  { name: 'certificate-name', fault: 'certificate name changes mid-run', over: 'dot', run: (c) => certificate(c, 'wrong-name') },
  { name: 'slow-link', fault: '8 kbit/s link', over: 'dot', run: slowLink },
]
