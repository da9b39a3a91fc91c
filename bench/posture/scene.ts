import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { askedByScan } from '../../src/cache/key.ts'
import { createMemory } from '../../src/cache/memory.ts'
import { type Clock, systemClock, systemRandom } from '../../src/clock.ts'
import { loadConfig } from '../../src/config/load.ts'
import { newScan, scanQuery, VERDICT } from '../../src/dns/query-scan.ts'
import type { Event } from '../../src/events.ts'
import { gatherEvidence } from '../../src/evidence.ts'
import { SelfCanary } from '../../src/local-names/self-canary.ts'
import { PolicyGate } from '../../src/policy/gate.ts'
import { type Protection, type Responder, VIEW_OF_ALL } from '../../src/resolve.ts'
import { createResponder } from '../../src/responder.ts'
import { QueryTrace } from '../../src/trace/query-trace.ts'
import { answerTo, queryFor } from '../micro/loops.ts'
import type * as Bare from './bare-hit.ts'

/** As a UDP listener calls it: a query, and how many octets its reply has. */
export type Hit = Responder['now']

/**
 * A daemon's inside as far as a hit goes: its responder with all that watches and tells about it,
 * and the same hit with nothing of that.
 */
export interface Scene {
  readonly packets: readonly Uint8Array[]
  /**
   * The responder: gate, trace (off), counts, popularity for prefetching; status, signature, ledger
   * and host checks live beside it.
   */
  readonly watched: Hit
  /** The same octets from the same cache, twice, without any of that. */
  readonly bare: readonly [Hit, Hit]
  /** One answer of a resolver, as the reducer is told of it. */
  answered(rttMs: number): void
  /**
   * One heartbeat: a verdict, the document, its signature, three files, and a look around; resolves
   * when all of it is done.
   */
  heartbeat(): Promise<void>
  readonly heartbeatS: number
  close(): void
}

const UDP_LIMIT = 1232
const PROTECTION: Protection = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', resumed: false }

/** `names` answers are in the cache. Throws where the two hits do not write the same octets. */
export async function scene(names: number): Promise<Scene> {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-bench-posture-'))
  const config = {
    statusFile: 'run/status.json',
    stateDir: 'state',
    policy: { jurisdictions: ['CH', 'SE', 'DE', 'CZ', 'US'], minimumOperators: 1, audit: 'on' },
  }
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config), { mode: 0o600 })
  const loaded = await loadConfig(join(dir, 'config.json'))
  const { heartbeatS, cache: limits } = loaded.config
  const time = systemClock()
  let beat = () => {}
  let aheadMs = 0
  const clock: Clock = {
    nowMs: () => time.nowMs() + aheadMs,
    wallMs: () => time.wallMs(),
    setExactTimer() {
      throw new Error('nothing here keeps a schedule')
    },
    setTimer(delayMs, fn) {
      if (delayMs !== heartbeatS * 1000) return time.setTimer(delayMs, fn)
      beat = fn
      return { cancel() {} }
    },
  }
  const gate = new PolicyGate()
  const counts = { hits: 0, misses: 0 }
  const current = () => ({ stages: [], timeoutMs: 1000, prefetch: true })
  const memory = createMemory({
    clock,
    random: systemRandom,
    maxBytes: limits.maxBytes,
    staleMaxS: limits.staleMaxS,
    current,
    renewed() {},
  })
  const { cache } = memory
  let looked = () => {}
  const evidence = gatherEvidence({
    ...{ loaded, clock, random: systemRandom, version: '0', warn() {}, onHeartbeat() {}, gate, onGateMoved() {}, canary: new SelfCanary() },
    log(event: Event) {
      if (event.type === 'seen.bypass') looked()
    },
    counts: () => ({ entries: cache.entries, bytes: cache.bytes, maxBytes: limits.maxBytes, ...counts }),
  })
  const trace = new QueryTrace(clock, evidence.emit)
  const responder = createResponder({ ...memory, clock, emit: evidence.emit, counts, gate, tracer: trace.tracer, current })
  await evidence.start([])
  const packets = Array.from({ length: names }, (_, n) => queryFor(`n${n}.bench.example`))
  for (const packet of packets) remember(cache, packet, clock.nowMs())
  const [resolver] = loaded.resolvers
  /**
   * A module of its own each: V8 compiles a function worse once two closures were made of it, by 35
   * ns a hit, which is more than what is measured.
   */
  const ofItsOwn = async (n: number): Promise<Hit> => {
    const module: typeof Bare = await import(new URL(`./bare-hit.js?${n}`, import.meta.url).href)
    return module.bareHit(cache, clock)
  }
  const bare = [await ofItsOwn(1), await ofItsOwn(2)] as const
  for (const hit of bare) same(packets, responder.now, hit)
  return {
    packets,
    watched: responder.now,
    bare,
    answered: (rttMs) =>
      evidence.emit({
        type: 'upstream.answered',
        resolver: resolver?.id ?? '',
        transport: 'dot',
        rttMs,
        protection: PROTECTION,
        paddedReply: true,
      }),
    heartbeat: () =>
      new Promise((resolve) => {
        looked = resolve
        // Some of what is looked at is looked at once a minute.
        aheadMs += heartbeatS * 1000
        beat()
      }),
    heartbeatS,
    close() {
      evidence.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

function remember(cache: ReturnType<typeof createMemory>['cache'], packet: Uint8Array, nowMs: number): void {
  const scan = newScan()
  if (scanQuery(packet, 0, packet.length, scan) !== VERDICT.ok) throw new Error('a query that is refused')
  cache.put(askedByScan(packet, scan, VIEW_OF_ALL), { ...answerTo(packet), storeS: 86_400 }, cache.epoch, nowMs)
}

function same(packets: readonly Uint8Array[], one: Hit, other: Hit): void {
  const [a, b] = [Buffer.alloc(UDP_LIMIT), Buffer.alloc(UDP_LIMIT)]
  for (const packet of packets) {
    const length = one(packet, 0, packet.length, a, 0, UDP_LIMIT, VIEW_OF_ALL)
    if (
      length === 0 ||
      other(packet, 0, packet.length, b, 0, UDP_LIMIT, VIEW_OF_ALL) !== length ||
      a.compare(b, 0, length, 0, length) !== 0
    ) {
      throw new Error('the bare hit does not answer as the responder does')
    }
  }
}
