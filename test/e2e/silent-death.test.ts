import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { FAULT_ZONE } from '../support/faults/answers.ts'
import type { Protocol } from '../support/faults/fault.ts'
import { seeded } from '../support/faults/seeded.ts'
import { type FaultServer, startFaultServer } from '../support/faults/server.ts'
import { faultEntry } from '../support/faults/trusted.ts'
import { query } from '../support/messages.ts'
import { startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'

/** ENIGM_DNS_DEATHS=100 for the figures of docs/recovery.md. */
const DEATHS = Number(process.env.ENIGM_DNS_DEATHS ?? 10)
/**
 * Questions between two deaths, so that the p95 is known and the budget of second connections is
 * earned back as it is in use.
 */
const BETWEEN = 10
/**
 * A busy machine is late with every timer: what a question takes when nothing has died is added to
 * what is allowed.
 */
const RTT_MS = 20

/**
 * A resolver that failed is probed again after a second: until then there is no second healthy one.
 */
const PROBED_AGAIN_MS = 1500

const at = (sorted: readonly number[], q: number) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN

interface Case {
  readonly protocols: readonly Protocol[]
  /**
   * `connections`: those that exist fall silent, new ones work. `resolver`: nothing passes any more
   * to the one in use, until the next death.
   */
  readonly dies: 'connections' | 'resolver'
  readonly allowedMs: number
}

/**
 * Kills what is in use, silently, again and again, and measures the first answer after each death.
 */
async function deaths(t: Test, { protocols, dies, allowedMs }: Case): Promise<void> {
  const authority = await createAuthority()
  const servers: FaultServer[] = []
  for (const [i, protocol] of protocols.entries())
    servers.push(await startFaultServer({ authority, protocol, chance: seeded(i), usual: { rttMs: RTT_MS } }))
  const daemon = await startDaemon({
    resolvers: servers.map(({ protocol, port }, i) => faultEntry(`r${i}`, protocol, port)),
    ca: authority.certificate,
  })
  const client = await udpClient(daemon.port)
  t.teardown(async () => {
    client.close()
    await daemon.stop()
    await Promise.all(servers.map((server) => server.close()))
  })
  let asked = 0
  const ask = async () => {
    const began = performance.now()
    const rcode = rcodeOf(await client.ask(query({ name: `n${asked++}.${FAULT_ZONE}` })))
    return rcode === 0 ? performance.now() - began : Number.POSITIVE_INFINITY
  }

  const usual: number[] = []
  const first: number[] = []
  const second: number[] = []
  for (let death = 0; death < DEATHS; death++) {
    for (let i = 0; i < BETWEEN; i++) usual.push(await ask())
    const before = servers.map((server) => server.counts.queries)
    await ask()
    const inUse = servers.find((server, i) => server.counts.queries > (before[i] ?? 0)) ?? servers[0]
    const idleMs = death % 3 === 0 ? 300 : 0
    await sleep(idleMs)
    if (dies === 'resolver') inUse?.begin({ kind: 'blackhole' })
    else for (const { path } of servers) path.strand()
    first.push(await ask())
    second.push(await ask())
    if (dies === 'resolver') {
      inUse?.clear()
      await sleep(PROBED_AGAIN_MS)
    }
  }
  for (const list of [usual, first, second]) list.sort((a, b) => a - b)
  const figures = (list: readonly number[]) => `p50 ${at(list, 0.5).toFixed(0)} ms, p99 ${at(list, 0.99).toFixed(0)} ms`
  t.comment(`${DEATHS} deaths: first answer ${figures(first)}; the next ${figures(second)}; usually ${figures(usual)}`)
  const lateMs = at(usual, 0.95) - RTT_MS
  t.ok(at(first, 0.5) <= allowedMs, `p50 within ${allowedMs} ms`)
  // The worst of a few deaths also meets whatever else the machine did at that moment: a second try
  // is allowed there. A question that nothing moves on takes seconds.
  const worstMs = (DEATHS < 100 ? 2 : 1) * allowedMs
  t.ok(
    at(first, 0.99) <= worstMs + 2 * lateMs,
    `p99 within ${worstMs} ms, and twice the ${lateMs.toFixed(0)} ms that this machine is late anyway`,
  )
  t.ok(at(second, 0.5) <= 3 * RTT_MS, 'no later question meets the dead connection')
}

const one = { dies: 'connections', allowedMs: 300 + 3 * RTT_MS } as const
const two = { allowedMs: 200 + RTT_MS } as const
t.test('one resolver, DoT', (t) => deaths(t, { ...one, protocols: ['dot'] }))
t.test('one resolver, DoH', (t) => deaths(t, { ...one, protocols: ['h2'] }))
t.test('two resolvers, connections die', (t) => deaths(t, { ...two, dies: 'connections', protocols: ['dot', 'h2'] }))
t.test('two resolvers, the one in use becomes unreachable', (t) => deaths(t, { ...two, dies: 'resolver', protocols: ['dot', 'dot'] }))
