import { createHash } from 'node:crypto'
import { readOpt } from '../../src/dns/edns.ts'
import { view } from '../support/rules.ts'
import { type Dice, dice } from './dice.ts'
import type { Mood, Peer } from './network.ts'
import { createWorld, type World } from './world.ts'
import { factOf, heldWithin, NAMES, questionFor, ttlS } from './zone.ts'

/**
 * What came of one seed. `broken` is empty where every promise held; `digest` is the same for the
 * same seed.
 */
export interface Outcome {
  readonly seed: number
  readonly hours: number
  readonly queries: number
  readonly failed: number
  readonly stale: number
  readonly faults: Readonly<Record<string, number>>
  readonly broken: readonly string[]
  readonly digest: string
}

const MOODS: readonly Mood[] = ['dark', 'refusing', 'resetting', 'half-open', 'slow', 'lying', 'servfail']
/**
 * A resolver that has been well so long, on a network that has been the same so long, must answer.
 */
const SETTLED_MS = 70_000
/** What the ticks of timers add at most. */
const SLACK_MS = 60
const STALE_TTL_S = 30
const EDE_STALE = 3
const MAX_STALE_MS = 86_400_000

interface Play {
  readonly world: World
  readonly dice: Dice
  readonly broken: string[]
  readonly faults: Record<string, number>
  /** When each peer last became well; undefined while it is not. */
  readonly wellSince: Map<Peer, number | undefined>
  calmSinceMs: number
  lastWakeMs: number
  asked: number
  settled: number
  failed: number
  stale: number
}

/**
 * Plays `hours` of traffic, faults, suspends and network changes for `seed`. Deterministic: nothing
 * is read from the real world.
 */
export async function play(seed: number, hours = 1): Promise<Outcome> {
  const draws = dice(seed, 1)
  const world = await createWorld(
    seed,
    Array.from({ length: 1 + draws.below(3) }, () => 5 + draws.below(120)),
    { shaping: { profile: draws.oneIn(2) ? 'off' : 'jitter' } },
  )
  const { clock, peers } = world
  const hash = createHash('sha256')
  const p: Play = {
    ...{ world, dice: draws, broken: [], faults: {}, calmSinceMs: clock.nowMs(), lastWakeMs: clock.nowMs() },
    ...{ asked: 0, settled: 0, failed: 0, stale: 0 },
    wellSince: new Map(peers.map((peer) => [peer, clock.nowMs()])),
  }
  const untilMs = clock.nowMs() + hours * 3_600_000
  let nextFaultMs = clock.nowMs() + draws.after(60_000)
  while (clock.nowMs() < untilMs) {
    if (clock.nowMs() >= nextFaultMs) {
      await disturb(p)
      nextFaultMs = clock.nowMs() + 1000 + draws.after(120_000)
    }
    // A page: several names at once, then a pause.
    for (let left = 1 + draws.below(12); left > 0; left--)
      ask(p, Math.floor((draws.below(1000) / 1000) ** 3 * NAMES), (line) => hash.update(line))
    await clock.advance(Math.min(50 + draws.after(4000), Math.max(1, nextFaultMs - clock.nowMs())))
  }
  await recovery(p, (line) => hash.update(line))
  await ending(p)
  return {
    ...{ seed, hours, queries: p.asked, failed: p.failed, stale: p.stale, faults: p.faults, broken: p.broken.slice(0, 20) },
    digest: hash.digest('hex').slice(0, 16),
  }
}

const out = Buffer.alloc(1500)

function ask(p: Play, name: number, note: (line: string) => void): void {
  const { clock, responder, timeoutMs } = p.world
  const id = p.asked++ & 0xffff
  const query = questionFor(name, id)
  const askedMs = clock.nowMs()
  const length = responder.now(query, 0, query.length, out, 0, 1232, view(0))
  if (length > 0) {
    judge(p, name, id, askedMs, Uint8Array.from(out.subarray(0, length)), note)
    return
  }
  // Timers stand still in a suspend: its time is not the query's.
  const mustBeBy = () => Math.max(askedMs, p.lastWakeMs) + timeoutMs + SLACK_MS
  responder.later({ address: '127.0.0.1', transport: 'udp', view: view(0) }, (octets, length) => {
    if (length === 0) {
      p.broken.push(`${askedMs}: no reply to a good query`)
      return
    }
    if (clock.nowMs() > mustBeBy()) p.broken.push(`${askedMs}: answered after ${Math.round(clock.nowMs() - askedMs)} ms`)
    judge(p, name, id, askedMs, Uint8Array.from(octets.subarray(0, length)), note)
  })
}

function judge(p: Play, name: number, id: number, askedMs: number, reply: Uint8Array, note: (line: string) => void): void {
  const nowMs = p.world.clock.nowMs()
  p.settled++
  const rcode = (reply[3] ?? 0) & 15
  const fact = factOf(reply)
  note(`${Math.round(askedMs)} ${Math.round(nowMs)} ${name} ${rcode} ${fact?.version ?? '-'}\n`)
  const wrong = (what: string) => p.broken.push(`${Math.round(nowMs)}: n${name} ${what}`)
  if (((reply[0] ?? 0) << 8) + (reply[1] ?? 0) !== id) wrong('came back under another ID')
  if (rcode !== 0) {
    p.failed++
    if (mustWork(p, askedMs)) wrong(`failed (rcode ${rcode}) with a resolver that has been well for long`)
    return
  }
  if (fact === undefined || fact.name !== name) {
    wrong('got the answer to another question')
    return
  }
  const isStale = readOpt(reply)?.ede?.code === EDE_STALE
  if (isStale) {
    p.stale++
    if (fact.ttlS > STALE_TTL_S) wrong(`stale with a TTL of ${fact.ttlS} s`)
    if (!heldWithin(fact, nowMs - MAX_STALE_MS, nowMs)) wrong('stale, and never true in a day')
    return
  }
  if (fact.ttlS > ttlS(name)) wrong('got a TTL that grew')
  // It was true when the resolver said it, at most its TTL and one exchange ago.
  if (!heldWithin(fact, nowMs - (ttlS(name) - fact.ttlS + 1) * 1000 - p.world.timeoutMs, nowMs))
    wrong(`got what had expired, as fresh (version ${fact.version})`)
}

/**
 * Whether some resolver has been well, and the network the same, since long before the question.
 */
function mustWork(p: Play, askedMs: number): boolean {
  if (!p.world.network.up || askedMs - p.calmSinceMs < SETTLED_MS) return false
  return [...p.wellSince.values()].some((since) => since !== undefined && askedMs - since >= SETTLED_MS)
}

async function disturb(p: Play): Promise<void> {
  const { world, dice: d } = p
  const { clock, network } = world
  const kind = d.pick(['mood', 'mood', 'mood', 'mend', 'mend', 'die', 'roam', 'offline', 'suspend', 'stop', 'wall'] as const)
  p.faults[kind] = (p.faults[kind] ?? 0) + 1
  const calm = () => (p.calmSinceMs = clock.nowMs())
  switch (kind) {
    case 'mood':
      return setMood(p, d.pick(world.peers), d.pick(MOODS))
    case 'mend':
      for (const peer of world.peers) setMood(p, peer, 'well')
      return
    case 'die':
      network.forgetConnections()
      calm()
      return
    case 'roam':
      world.roam(`place ${d.below(4)}`)
      calm()
      return
    case 'offline':
      network.up = false
      network.forgetConnections()
      await clock.advance(d.after(60_000))
      network.up = true
      world.roam(`place ${d.below(4)}`)
      calm()
      return
    case 'suspend':
      clock.suspend(d.after(3_600_000))
      network.forgetConnections()
      p.lastWakeMs = calm()
      return
    case 'stop':
      clock.stopFor(d.after(30_000))
      p.lastWakeMs = calm()
      return
    case 'wall':
      clock.jumpWall((d.oneIn(2) ? 1 : -1) * d.pick([3_600_000, 86_400_000, 315_360_000_000]))
      return
  }
}

function setMood(p: Play, peer: Peer, mood: Mood): void {
  peer.mood = mood
  p.wellSince.set(peer, mood === 'well' ? (p.wellSince.get(peer) ?? p.world.clock.nowMs()) : undefined)
}

/** All is mended: what is asked is answered, and the status says so. */
async function recovery(p: Play, note: (line: string) => void): Promise<void> {
  for (const peer of p.world.peers) setMood(p, peer, 'well')
  p.world.network.up = true
  p.world.roam('at last')
  await p.world.clock.advance(SETTLED_MS)
  p.calmSinceMs = p.world.clock.nowMs() - SETTLED_MS
  for (let name = 0; name < 40; name++) ask(p, name * 9, note)
  await p.world.clock.advance(p.world.timeoutMs + 1000)
  const { state } = p.world.status()
  if (state !== 'protected') p.broken.push(`mended, and the status says ${state}`)
}

/** Nothing is left behind. */
async function ending(p: Play): Promise<void> {
  const { world } = p
  if (p.settled !== p.asked) p.broken.push(`${p.asked - p.settled} queries were never answered`)
  for (const peer of world.peers) {
    const crowded = peer.dials.findIndex((atMs, i) => (peer.dials[i + DIALS_IN_10_S] ?? Number.POSITIVE_INFINITY) - atMs < 10_000)
    if (crowded >= 0) p.broken.push(`${peer.address} was dialled more than ${DIALS_IN_10_S} times in 10 s, at ${peer.dials[crowded]}`)
  }
  await world.stop()
  await world.clock.advance(10_000)
  if (world.clock.timers > 0) p.broken.push(`${world.clock.timers} timers are left`)
  if (world.faults.length > 0) p.broken.push(`faults of our own: ${world.faults.slice(0, 3).join(', ')}`)
}

/** One a second while nothing answers, and what changes of network add. */
const DIALS_IN_10_S = 24
