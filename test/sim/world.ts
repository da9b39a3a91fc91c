import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMemory } from '../../src/cache/memory.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Event } from '../../src/events.ts'
import type { Stage } from '../../src/job.ts'
import { tlsSessions } from '../../src/link/dial/sessions.ts'
import { PolicyGate } from '../../src/policy/gate.ts'
import { createMonitor } from '../../src/posture/monitor.ts'
import { newStageCounts, pipeline } from '../../src/resolver.ts'
import { createResponder } from '../../src/responder.ts'
import { sideAskers } from '../../src/side-askers.ts'
import { type NetworkMonitor, startNetworkMonitor } from '../../src/system/network-monitor.ts'
import { trustedResolvers } from '../../src/trusted-resolvers.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'
import { dice } from './dice.ts'
import { memoryNetwork, type Peer } from './network.ts'
import { answerOf } from './zone.ts'

/**
 * The daemon's rooms, joined as the daemon joins them, on a clock, a random source and a network
 * that are all of one seed. No socket, no file.
 */
export async function createWorld(seed: number, rttsMs: readonly number[], config: Readonly<Record<string, unknown>> = {}) {
  const clock = new FakeClock()
  const random = seededRandom(seed)
  const peers: Peer[] = rttsMs.map((rttMs, i) => ({
    ...{ address: `192.0.2.${i + 1}`, rttMs, mood: 'well', dials: [] },
    answer: (query) => answerOf(query, clock.nowMs()),
  }))
  const network = memoryNetwork(peers, clock, dice(seed, 7))
  const loaded = await loadedFor(peers, config)
  const counts = { hits: 0, misses: 0 }
  const tally = newStageCounts()
  const { timeoutMs } = loaded.config
  const live: { stages: readonly Stage[]; timeoutMs: number; prefetch: boolean } = {
    stages: [],
    timeoutMs,
    prefetch: true,
  }
  const { maxBytes, staleMaxS } = loaded.config.cache
  const memory = createMemory({ clock, random, maxBytes, staleMaxS, current: () => live, renewed: () => tally.renewed++ })
  const gate = new PolicyGate()
  let document = ''
  let writes = 0
  const monitor = createMonitor({
    setup: {
      usageProfile: 'strict',
      queryBlock: 128,
      policy: undefined,
      shaping: loaded.config.shaping,
      paced: false,
      systemEnabled: false,
      splitDns: [],
      paths: [],
      generalSides: [loaded.resolvers.map(({ id }) => id)],
      split: 'none',
      resolvers: loaded.resolvers.map(({ id }) => ({ id, operator: id, transports: ['dot'] })),
    },
    writer: { version: 'simulated', pid: 1, heartbeatS: loaded.config.heartbeatS },
    clock,
    gate: (reason) => gate.set(reason),
    file: {
      replace(text) {
        document = text
        writes++
        return true
      },
      withdraw() {
        document = ''
      },
    },
    counts: () => ({ entries: memory.cache.entries, bytes: memory.cache.bytes, maxBytes, ...counts }),
    onHeartbeat: () => networkMonitor?.beat(),
  })
  const faults: string[] = []
  const emit = (event: Event) => {
    if (event.type === 'fault') faults.push(event.where)
    monitor.emit(event)
  }
  let networkMonitor: NetworkMonitor | undefined
  let place = 'home'
  let kernelTells = () => {}
  const around = {
    gate,
    clock,
    random,
    emit,
    sessions: tlsSessions(clock),
    notice: (nowMs?: number) => networkMonitor?.notice(nowMs),
    beforeDial: () => networkMonitor?.look(),
  }
  const trusted = trustedResolvers(loaded, { ...around, splitKey: () => new Uint8Array(32), handshake: network.handshake })
  const { sides, askers, loops } = sideAskers(loaded.config, trusted, {
    ...around,
    resolvers: loaded.resolvers,
    linkServers: async () => [],
  })
  live.stages = pipeline({ ...around, viewOf: undefined, ...memory, sides, askers, loops, rebinding: loaded.config.rebinding, tally })
  const responder = createResponder({ ...memory, gate, clock, emit, counts, current: () => live })
  networkMonitor = startNetworkMonitor({
    clock,
    emit,
    read: () => ({ text: place, online: network.up }),
    beatMs: 1000 * loaded.config.heartbeatS,
    listen(heard) {
      kernelTells = heard
      return { close() {} }
    },
    disturbed(what, online) {
      if (what === 'network') memory.newNetwork()
      trusted.react(what, online)
    },
  })
  emit({ type: 'service.started' })
  monitor.start()
  return {
    ...{ clock, peers, network, responder, counts, tally, memory, timeoutMs, faults },
    status: () => JSON.parse(document) as { readonly state: string },
    writes: () => writes,
    /** Another network: what was connected is cut off, as behind another router. */
    roam(to: string) {
      place = to
      network.forgetConnections()
      kernelTells()
    },
    async stop() {
      networkMonitor?.stop()
      const closed = trusted.close()
      await clock.advance(timeoutMs + 1000)
      await closed
      monitor.stop()
    },
  }
}

export type World = Awaited<ReturnType<typeof createWorld>>

/** Read as the daemon reads it: the checks and defaults are part of what is simulated. */
async function loadedFor(peers: readonly Peer[], config: Readonly<Record<string, unknown>>) {
  const directory = mkdtempSync(join(tmpdir(), 'enigm-sim-'))
  const write = (name: string, value: unknown) => writeFileSync(join(directory, name), JSON.stringify(value), { mode: 0o600 })
  const resolvers = peers.map(({ address }, i) => ({
    ...{ id: `r${i}`, authenticationDomainName: `r${i}.example`, addresses: [address] },
    transports: { dot: { port: 853 } },
  }))
  write('resolvers.json', { version: 1, resolvers })
  write('config.json', { resolvers: 'resolvers.json', transports: ['dot'], listen: ['127.0.0.1:0'], statusFile: 'status.json', ...config })
  try {
    return await loadConfig(join(directory, 'config.json'))
  } finally {
    rmSync(directory, { recursive: true })
  }
}
