import { setTimeout as sleep } from 'node:timers/promises'
import { ask } from '../load/ask.ts'
import type { Peer } from '../peers/peer.ts'
import { firstAnswerMs } from '../peers/server.ts'
import { type Bench, CACHE, fleet, stopAll, usualVia } from './case.ts'

const isServer = (peer: Peer) => peer.role !== 'floor' && !['enigm-dns (dgram)', 'enigm-dns (node:http2)'].includes(peer.id)

/** (g) from exec to the first right answer, a handshake with the upstream included. */
export async function firstAnswer(bench: Bench): Promise<void> {
  const gone = new Set<Peer>()
  for (let round = 0; round < bench.plan.starts; round++) {
    for (const peer of bench.peers.filter(isServer)) {
      if (gone.has(peer)) continue
      try {
        const ms = await firstAnswerMs(peer, usualVia(peer), CACHE, bench.upstream)
        bench.add({ case: 'first', subject: peer.id, role: peer.role, round, values: { ms } })
        bench.say(`first ${round + 1}/${bench.plan.starts} ${peer.id}: ${ms.toFixed(0)} ms`)
      } catch (error) {
        gone.add(peer)
        bench.skip(`${peer.id} in first`, String(error))
      }
    }
  }
}

/** (h) what a server costs when nobody asks: all of them at once, since none should be doing anything. */
export async function idle(bench: Bench): Promise<void> {
  const servers = await fleet(bench, bench.peers.filter(isServer), usualVia)
  for (const server of servers) await ask(server.port, 'idle.bench.example', 2000)
  await sleep(3000) // what a start leaves behind
  const before = servers.map((server) => server.cost())
  const startedMs = performance.now()
  bench.say(`idle: ${servers.length} servers for ${bench.plan.idleSeconds} s`)
  await sleep(bench.plan.idleSeconds * 1000)
  const seconds = (performance.now() - startedMs) / 1000
  servers.forEach((server, i) => {
    const after = server.cost()
    const values = {
      cpuPct: ((after.cpuNs - (before[i]?.cpuNs ?? 0)) / 1e9 / seconds) * 100,
      wakeUpsPerS: (after.wakeUps - (before[i]?.wakeUps ?? 0)) / seconds,
      rssMb: server.rssMb(),
    }
    bench.add({ case: 'idle', subject: server.peer.id, role: server.peer.role, round: 0, values })
    bench.say(
      `idle ${server.peer.id}: ${values.cpuPct.toFixed(3)} % CPU, ${values.wakeUpsPerS.toFixed(1)} wake-ups a second, ${values.rssMb.toFixed(0)} MB`,
    )
  })
  await stopAll(servers)
}
