import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { startDot } from '../support/dot-server.ts'
import { FAULT_ZONE, nameIn, rightAnswer } from '../support/faults/answers.ts'
import type { Fault, Protocol } from '../support/faults/fault.ts'
import { seeded } from '../support/faults/seeded.ts'
import { FAULT_SERVER_NAME, startFaultServer } from '../support/faults/server.ts'
import { faultEntry } from '../support/faults/trusted.ts'
import { pause } from '../support/link-rig.ts'
import { trustedRig } from '../support/trusted-rig.ts'

t.setTimeout(120_000)
const authority = await createAuthority()
const RESET: Fault = { kind: 'reset', victims: true }
const OTHERS_EVERY_MS: Readonly<Record<Protocol, number>> = { dot: 10, h2: 10, h1: 30 } // HTTP/1.1 has one at a time on the way

interface Wish {
  readonly over: Protocol
  readonly everyMs: number
  readonly fault: Fault
  readonly resolvers?: number
  readonly forMs?: number
  readonly othersEveryMs?: number
  readonly config?: Readonly<Record<string, unknown>>
}

/**
 * Poison every so often, another name much more often: what became of each, and how often a
 * resolver was asked for one name at most.
 */
async function disturbed(
  t: Test,
  { over, everyMs, fault, resolvers = 1, forMs = 2000, config, othersEveryMs = OTHERS_EVERY_MS[over] }: Wish,
) {
  const servers = await Promise.all(
    Array.from({ length: resolvers }, () => startFaultServer({ authority, protocol: over, chance: seeded(1), usual: { rttMs: 20 } })),
  )
  for (const server of servers) t.teardown(() => server.close())
  const entries = servers.map(({ port }, i) => faultEntry(`r${i}`, over, port))
  const rig = await trustedRig(t, { resolvers: entries, ca: authority.certificate, ...(config === undefined ? {} : { config }) })
  for (let i = 0; i < 4; i++) t.equal(await rig.ask(`before${i}.${FAULT_ZONE}`), 'answered')
  for (const server of servers) server.begin(fault)
  const [others, poison]: [Promise<string>[], Promise<string>[]] = [[], []]
  const took: number[] = []
  const beganMs = performance.now()
  for (let i = 0; performance.now() < beganMs + forMs; i++) {
    const atMs = performance.now()
    others.push(rig.ask(`other${i}.${FAULT_ZONE}`).finally(() => took.push(performance.now() - atMs)))
    if (atMs - beganMs >= poison.length * everyMs) poison.push(rig.ask(`victim${i}.${FAULT_ZONE}`))
    await pause(othersEveryMs)
  }
  const codes = await Promise.all(others)
  const asked = (before: string) => servers.flatMap(({ asked }) => [...asked].filter(([name]) => name.startsWith(before)))
  return {
    rig,
    servers,
    failed: codes.filter((code) => code !== 'answered'),
    of: codes.length,
    poison: await Promise.all(poison),
    slowestMs: Math.max(...took),
    triesOf: (before: string) => Math.max(...asked(before).map(([, times]) => times)),
  }
}

for (const [over, everyMs, othersEveryMs] of [
  ...(['dot', 'h2', 'h1'] as const).flatMap((over) => [1000, 300].map((everyMs) => [over, everyMs, OTHERS_EVERY_MS[over]] as const)),
  ['dot', 300, 1] as const, // more than twenty in flight each time
  ['h2', 300, 1] as const,
])
  t.test(
    `a question that kills its connection every ${everyMs} ms harms no other query, one every ${othersEveryMs} ms: ${over}`,
    async (t) => {
      const { failed, of, poison, triesOf, rig } = await disturbed(t, { over, everyMs, othersEveryMs, fault: RESET })
      t.ok(failed.length <= of / 100, `${failed.length} of ${of} failed: ${[...new Set(failed)]}`)
      t.same([...new Set(poison)], ['connection-lost'])
      t.ok(triesOf('other') <= 2 && triesOf('victim') <= 2, `asked ${triesOf('other')} and ${triesOf('victim')} times`)
      t.equal(rig.count('link.failed'), 0)
    },
  )

for (const over of ['dot', 'h2', 'h1'] as const)
  for (const inARow of [3, 8])
    t.test(`the same, with ${inARow} connections in a row dying without an answer: ${over}`, async (t) => {
      const { failed, of, triesOf } = await disturbed(t, { over, everyMs: 1000, fault: { ...RESET, inARow } })
      t.ok(failed.length <= of / 100, `${failed.length} of ${of} failed: ${[...new Set(failed)]}`)
      t.ok(triesOf('other') <= 2, `asked ${triesOf('other')} times`)
    })

t.test('two resolvers that both die of one question answer all others', async (t) => {
  const { failed, of, rig } = await disturbed(t, { over: 'dot', everyMs: 300, fault: RESET, resolvers: 2 })
  t.ok(failed.length <= of / 100, `${failed.length} of ${of} failed`)
  t.equal(rig.count('link.failed'), 0)
})

for (const [others, othersEveryMs] of [
  ['few', 10],
  ['many', 1],
] as const)
  t.test(
    `GOAWAY instead, as if nothing had been processed, under ${others} others: none is harmed, and none is sent more than twice`,
    async (t) => {
      const { failed, of, triesOf, poison } = await disturbed(t, {
        over: 'h2',
        everyMs: 300,
        othersEveryMs,
        fault: { kind: 'goaway-0', victims: true },
      })
      t.ok(failed.length <= of / 100, `${failed.length} of ${of} failed: ${[...new Set(failed)]}`)
      t.ok(triesOf('other') <= 2 && triesOf('victim') <= 2, `asked ${triesOf('other')} and ${triesOf('victim')} times`)
      t.same([...new Set(poison)], ['connection-lost'])
    },
  )

t.test('a hundred are in flight, 100 ms away, when the connection dies: all are answered, one after another', async (t) => {
  const server = await startDot({
    identity: await authority.issue({ name: FAULT_SERVER_NAME }),
    async answer(query, peer) {
      await pause(100)
      if (nameIn(query).startsWith('victim')) return void peer.socket.end()
      return rightAnswer(query)
    },
  })
  t.teardown(() => server.close())
  const rig = await trustedRig(t, { resolvers: [faultEntry('r0', 'dot', server.port)], ca: authority.certificate })
  for (let i = 0; i < 4; i++) await rig.ask(`before${i}.${FAULT_ZONE}`)
  const poison = rig.ask(`victim.${FAULT_ZONE}`)
  const others = await Promise.all(Array.from({ length: 100 }, (_, i) => rig.ask(`other${i}.${FAULT_ZONE}`)))
  t.same([...new Set(others)], ['answered'])
  t.equal(await poison, 'connection-lost')
  t.ok(server.counts.handshakes <= 12, `${server.counts.handshakes} connections`)
})
