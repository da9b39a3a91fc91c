import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { startDoh } from '../support/doh-server.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { identityOf, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { replyTo } from '../support/replies.ts'

const MISSES = 30_000
const IN_FLIGHT = 100
/** What these first collections promote is the program itself. */
const STARTING = 10
const PROBE = fileURLToPath(new URL('../../../test/support/gc-probe.mjs', import.meta.url))
const UNDER = ['sh', '-c', 'node=$1; shift; exec "$node" --import "$PROBE" "$@"', 'sh']

/** An A record of the question's name. */
const address = (ttlS: number) => Uint8Array.of(0xc0, 12, 0, 1, 0, 1, 0, 0, ttlS >> 8, ttlS & 255, 0, 4, 192, 0, 2, 1)

/** Octets a miss that young collections move into old space, over MISSES names. */
async function promotedPerMiss(
  t: Test,
  over: 'dot' | 'doh',
  ttlS: number,
  config: Readonly<Record<string, unknown>> = {},
): Promise<number> {
  const authority = await createAuthority()
  const answer = (asked: Uint8Array) => replyTo(asked, [address(ttlS)])
  const server = await (over === 'dot' ? startDot : startDoh)({ identity: await identityOf(authority), answer })
  t.teardown(() => server.close())
  const transports = over === 'dot' ? { dot: { port: server.port } } : { doh: { port: server.port, path: '/dns-query' } }
  const entry = { id: 'one', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], transports, caFile: 'ca.pem' }
  const file = join(t.testdir({}), 'promoted.json')
  const env = { PROBE, GC_PROBE_FILE: file }
  const daemon = await startDaemon({ resolvers: [entry], ca: authority.certificate, config, under: UNDER, env })
  t.teardown(() => daemon.stop())
  const client = await udpClient(daemon.port)
  let next = 0
  const worker = async () => {
    while (next < MISSES) {
      const reply = await client.ask(query({ name: `n${next++}.example.com` }))
      if (rcodeOf(reply) !== 0) t.fail(`RCODE ${rcodeOf(reply)}`)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  client.close()
  t.equal(await daemon.stop(), 0)
  const promoted = JSON.parse(readFileSync(file, 'utf8')) as number[]
  t.ok(promoted.length > 2 * STARTING, `${promoted.length} young collections`)
  const settled = promoted.slice(STARTING)
  return settled.reduce((sum, octets) => sum + octets, 0) / ((MISSES * settled.length) / promoted.length)
}

/**
 * What is in flight is dead when the next collection comes: a table that was abandoned in old space
 * and still points at it shows as hundreds of octets a miss.
 */
for (const over of ['dot', 'doh'] as const) {
  t.test(`a miss over ${over} promotes no object that is no longer in use`, { timeout: 120_000 }, async (t) => {
    const octets = await promotedPerMiss(t, over, 0)
    t.ok(octets < 100, `${octets.toFixed(0)} octets a miss`)
  })
}

t.test('a stored answer costs no object that the collector must move', { timeout: 120_000 }, async (t) => {
  const octets = await promotedPerMiss(t, 'dot', 300)
  t.ok(octets < 120, `${octets.toFixed(0)} octets a miss`)
})
