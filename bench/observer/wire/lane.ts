import { createSocket } from 'node:dgram'
import { setTimeout as sleep } from 'node:timers/promises'
import { type LinkTap, tapLink } from '../../../src/demo/link-tap.ts'
import { nameFromText } from '../../../src/dns/name.ts'
import type { Peer } from '../../peers/peer.ts'
import { startServer } from '../../peers/server.ts'
import type { Seen } from '../observed.ts'
import type { Visit } from '../pages.ts'
import type { WireResolver } from './resolver.ts'

/** One server under test with a tap on its link of its own. */
export interface Lane {
  /**
   * Loads a page through it, at the speed it has, and gives what the tap saw from its first query
   * until the link fell silent, or for `windowMs` where it never does.
   */
  load(visit: Visit, windowMs: number | undefined): Promise<Seen>
  /** Everything that the tap saw since the lane was opened. */
  seen(): LinkTap['records']
  close(): Promise<void>
}

/** A proxy between a server under test and the resolver. */
export interface Hop {
  readonly port: number
  /** The peer that reaches the proxy at `port`. */
  through(port: number): Peer
}

const SIZE = { entries: 10_000, cacheBytes: 4_194_304 }
const RECORD_HEADER = 5
/** Longer than a miss takes nearly always, and than any schedule's slot. */
const SILENT_MS = 1200
const LONGEST_MS = 150_000
let names = 0

/**
 * Starts `peer` behind a tap of its own; any core will do: it is watched, not measured. `hop`: the
 * tap is on the way to this proxy, and `through` gives the peer that goes over it.
 */
export async function openLane(peer: Peer, resolver: WireResolver, hop?: Hop): Promise<Lane> {
  const tap = await tapLink(hop?.port ?? resolver.port, () => performance.now())
  const behind = resolver.behind(hop === undefined ? tap.port : resolver.port)
  const server = await startServer(hop?.through(tap.port) ?? peer, 'dot', SIZE, behind, '0,1')
  const socket = createSocket('udp4')
  socket.on('error', () => {}) // a server that is not there any more shows in the tap
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  await sleep(SILENT_MS)
  return {
    async load(visit, windowMs) {
      const from = windowMs === undefined ? await silence(tap, 0) : tap.records.length
      const startMs = performance.now()
      for (const atMs of visit.atMs) {
        const aheadMs = startMs + atMs - performance.now()
        if (aheadMs > 0.5) await sleep(aheadMs)
        socket.send(freshQuery(), server.port, '127.0.0.1')
      }
      if (windowMs === undefined) await silence(tap, SILENT_MS)
      else await sleep(Math.max(0, startMs + windowMs - performance.now()))
      const records = tap.records.slice(from).filter(({ applicationData, atMs }) => applicationData && atMs >= startMs)
      return {
        atMs: Float64Array.from(records, ({ atMs }) => atMs - startMs),
        octets: Int16Array.from(records, ({ octets, direction }) => (octets - RECORD_HEADER) * (direction === 'out' ? 1 : -1)),
      }
    },
    seen: () => tap.records,
    async close() {
      socket.close()
      await server.stop()
      await tap.close()
    },
  }
}

/**
 * Waits until nothing was seen for a while, at least `atLeastMs` from now; how much was seen by
 * then.
 */
async function silence(tap: LinkTap, atLeastMs: number): Promise<number> {
  const beganMs = performance.now()
  for (;;) {
    const nowMs = performance.now()
    const quietMs = nowMs - (tap.records.at(-1)?.atMs ?? 0)
    if (nowMs - beganMs >= atLeastMs && quietMs >= SILENT_MS) return tap.records.length
    if (nowMs - beganMs > LONGEST_MS) throw new Error('the link does not fall silent')
    await sleep(50)
  }
}

/**
 * A name that nobody has asked for yet, of always the same length: the server's own cache must not
 * answer.
 */
function freshQuery(): Uint8Array {
  const name = `n${String(names++).padStart(8, '0')}.page.bench.example`
  return Buffer.concat([Buffer.of(names >> 8, names & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0), nameFromText(name), Buffer.of(0, 1, 0, 1)])
}
