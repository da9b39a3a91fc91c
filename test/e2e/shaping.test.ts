import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { query } from '../support/messages.ts'
import { type CapturedRecord, startCapture } from '../support/real/capture.ts'
import { entryOf, identityOf, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { startNamed } from '../support/real/named.ts'
import { requireTool } from '../support/real/tools.ts'
import { startUnbound } from '../support/real/unbound.ts'
import { ZONE_NAME } from '../support/real/zone.ts'

/** A framed query of 128 octets, or of 468 for replies: content type 1, tag 16, record header 5. */
const DOT = { out: 130 + 22, in: 470 + 22 }

interface Scene {
  readonly transport: 'dot' | 'doh'
  readonly profile: string
  /** Who answers: BIND pads on DoT and DoH, Unbound 1.17 on DoT alone. */
  readonly by: 'named' | 'unbound'
  readonly names: readonly string[]
  readonly inForce: 'yes' | 'no'
}

/** What an observer sees of names asked at once, and of three more later. */
async function onTheWire(t: Test, { transport, profile, by, names, inForce }: Scene): Promise<readonly CapturedRecord[]> {
  const authority = await createAuthority()
  const identity = await identityOf(authority)
  const named = await startNamed(identity)
  t.teardown(() => named.stop())
  const server = by === 'named' ? named : await startUnbound(identity, named.dnsPort)
  t.teardown(() => server.stop())
  const port = transport === 'dot' ? server.dotPort : (server.dohPort ?? 0)
  const capture = await startCapture(`tcp port ${port}`)
  t.teardown(() => capture.remove())
  const daemon = await startDaemon({
    resolvers: [entryOf(server, [transport])],
    ca: authority.certificate,
    config: { shaping: { profile } },
  })
  t.teardown(() => daemon.stop())
  const client = await udpClient(daemon.port)
  t.teardown(() => client.close())
  const page = names.map((name) => client.ask(query({ name: `${name}.${ZONE_NAME}`, opt: {} })))
  const rcodes = (await Promise.all(page)).map(rcodeOf)
  t.ok(
    rcodes.every((rcode) => rcode === 0),
    `${rcodes}`,
  )
  await sleep(700)
  for (let i = 0; i < 3; i++) await client.ask(query({ name: `h${100 + i}.${ZONE_NAME}`, opt: {} }))
  t.match(await daemon.until(inForce === 'yes' ? 'protected' : 'degraded'), { shaping: { profile, inForce } })
  t.notMatch(daemon.status(), { cache: { misses: Number } }, 'how much was real is not told')
  await capture.stop()
  return capture.records(port)
}

const sizes = (records: readonly CapturedRecord[], direction: 'in' | 'out') =>
  records.filter((r) => r.direction === direction).map((r) => r.octets)

/** A page of 25 names, and one so long that its query takes two records. */
const SHORT = Array.from({ length: 25 }, (_, i) => `h${i}`)
const MIXED = [...SHORT, `${'a'.repeat(50)}.${'b'.repeat(50)}.${'c'.repeat(40)}.wild`]

if (requireTool(t, 'named', 'unbound', 'tcpdump', 'tshark')) {
  for (const profile of ['balanced', 'always-on']) {
    t.test(`${profile} over DoT: all packets have one size, in both directions, from the first query on`, async (t) => {
      const records = await onTheWire(t, { transport: 'dot', profile, by: 'named', names: MIXED, inForce: 'yes' })
      // The client's Finished is the first encrypted record out; the server's handshake and its
      // tickets are the first ones in.
      const out = sizes(records, 'out').slice(1)
      const firstReply = sizes(records, 'in').indexOf(DOT.in)
      t.strictSame([...new Set(out)], [DOT.out])
      t.strictSame([...new Set(sizes(records, 'in').slice(firstReply))], [DOT.in])
      t.ok(out.length > 35, `${out.length} cells`)
    })
  }

  t.test('balanced over DoH: all packets sent have one size; those received differ only by digits of headers', async (t) => {
    const records = await onTheWire(t, { transport: 'doh', profile: 'balanced', by: 'named', names: SHORT, inForce: 'yes' })
    // Finished, then the preface of HTTP/2: part of the handshake.
    const out = sizes(records, 'out').slice(2)
    t.equal(new Set(out).size, 1, `${[...new Set(out)]}`)
    t.ok(out.length > 60, `${out.length} cells`)
    const replies = sizes(records, 'in').filter((octets) => octets > 468)
    t.ok(replies.length > 60)
    t.ok(Math.max(...replies) - Math.min(...replies) <= 24, `${[...new Set(replies)]}`)
  })

  t.test('a resolver that does not pad its replies: not in force, and packets sent still have one size', async (t) => {
    const records = await onTheWire(t, { transport: 'doh', profile: 'lite', by: 'unbound', names: MIXED, inForce: 'no' })
    t.equal(new Set(sizes(records, 'out').slice(2)).size, 1)
  })

  t.test('DoT comes before DoH whatever is preferred, and the status says why where it is DoH', async (t) => {
    const authority = await createAuthority()
    const named = await startNamed(await identityOf(authority))
    t.teardown(() => named.stop())
    for (const offered of [['dot', 'doh'], ['doh']] as const) {
      const config = { shaping: { profile: 'balanced' }, transports: ['doh', 'dot'] }
      const daemon = await startDaemon({ resolvers: [entryOf(named, offered)], ca: authority.certificate, config })
      t.teardown(() => daemon.stop())
      const client = await udpClient(daemon.port)
      t.teardown(() => client.close())
      t.equal(rcodeOf(await client.ask(query({ name: `h1.${ZONE_NAME}`, opt: {} }))), 0)
      const status = await daemon.until('protected')
      t.equal(status.resolvers[0]?.transport, offered[0])
      const said = status.signals.secureNameResolution?.reasons.map(({ code }) => code) ?? []
      t.equal(said.includes('shaping-over-doh'), offered.length === 1, `${said}`)
    }
  })

  t.test('another profile requires only a reload', async (t) => {
    const authority = await createAuthority()
    const named = await startNamed(await identityOf(authority))
    t.teardown(() => named.stop())
    const daemon = await startDaemon({ resolvers: [entryOf(named, ['dot'])], ca: authority.certificate })
    t.teardown(() => daemon.stop())
    const client = await udpClient(daemon.port)
    t.teardown(() => client.close())
    const file = join(dirname(daemon.statusFile), 'config.json')
    const config = JSON.parse(readFileSync(file, 'utf8')) as object
    for (const [i, profile] of ['always-on', 'lite', 'jitter', 'balanced'].entries()) {
      writeFileSync(file, JSON.stringify({ ...config, shaping: { profile } }), { mode: 0o600 })
      daemon.kill('SIGHUP')
      for (let waited = 0; daemon.log().split('in force').length < i + 2 && waited < 5000; waited += 20) await sleep(20)
      t.equal(rcodeOf(await client.ask(query({ name: `h${i}.${ZONE_NAME}`, opt: {} }))), 0)
      const told = () => JSON.stringify((daemon.status() as { shaping?: object } | undefined)?.shaping ?? '')
      const holds = () => told().includes(`"${profile}"`) && told().includes('"yes"')
      for (let waited = 0; !holds() && waited < 8000; waited += 50) await sleep(50)
      t.ok(holds(), `${profile}: ${told()}`)
    }
    t.equal(await daemon.stop(), 0)
  })
}
