import { setTimeout as sleep } from 'node:timers/promises'
import { ask } from '../load/ask.ts'
import { bareStart } from '../peers/floors.ts'
import type { Peer } from '../peers/peer.ts'
import { firstAnswerMs } from '../peers/server.ts'
import { type Bench, CACHE, fleet, takesPart, usualVia, withFleet } from './case.ts'

const isServer = (peer: Peer) => takesPart(peer, 'start')

/** (g) from exec to the first right answer, a handshake with the upstream included. */
export async function firstAnswer(bench: Bench): Promise<void> {
  for (let round = 0; round < bench.plan.starts; round++) {
    for (const peer of [bareStart, ...bench.peers.filter(isServer)]) {
      const what = `${peer.id} over ${usualVia(peer)}`
      if (bench.gone.has(what)) continue
      try {
        const ms = await firstAnswerMs(peer, usualVia(peer), CACHE, bench.upstream)
        bench.add({ case: 'first', subject: peer.id, role: peer.role, round, values: { ms } })
        bench.say(`first ${round + 1}/${bench.plan.starts} ${peer.id}: ${ms.toFixed(0)} ms`)
      } catch (error) {
        bench.gone.add(what)
        bench.skip(what, error instanceof Error ? error.message : String(error))
      }
    }
  }
}

/**
 * (h) what a server costs when nobody asks: all of them at once, since none should be doing
 * anything.
 */
export async function idle(bench: Bench): Promise<void> {
  await withFleet(fleet(bench, bench.peers.filter(isServer), usualVia), async (servers) => {
    for (const server of servers) await ask(server.port, 'idle.bench.example', 2000)
    // What a start and a first answer leave behind: collections, and a look at the network for some
    // seconds after each answer.
    await sleep(1000 * Math.max(3 * bench.plan.settleS, bench.plan.idleSeconds))
    bench.say(`idle: ${servers.length} servers for ${bench.plan.idleSeconds} s`)
    const before = new Map(servers.map((server) => [server, server.cost()]))
    const startedMs = performance.now()
    await sleep(bench.plan.idleSeconds * 1000)
    const seconds = (performance.now() - startedMs) / 1000
    for (const [server, { cpuNs, wakeUps }] of before) {
      const after = server.cost()
      const cpuPct = ((after.cpuNs - cpuNs) / 1e9 / seconds) * 100
      const wakeUpsPerS = (after.wakeUps - wakeUps) / seconds
      const rssMb = server.rssMb()
      bench.add({ case: 'idle', subject: server.peer.id, role: server.peer.role, round: 0, values: { cpuPct, wakeUpsPerS, rssMb } })
      bench.say(`idle ${server.peer.id}: ${cpuPct.toFixed(3)} % CPU, ${wakeUpsPerS.toFixed(1)} wake-ups a second, ${rssMb.toFixed(0)} MB`)
    }
  })
}
