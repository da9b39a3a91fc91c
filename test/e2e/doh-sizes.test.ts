import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { seededRandom } from '../support/fake-clock.ts'
import { query } from '../support/messages.ts'
import { startCapture } from '../support/real/capture.ts'
import { entryOf, identityOf, startDaemon } from '../support/real/daemon.ts'
import { udpClient } from '../support/real/dns-client.ts'
import { startDnsdist } from '../support/real/dnsdist.ts'
import { startNamed } from '../support/real/named.ts'
import { startNginx } from '../support/real/nginx.ts'
import type { Identity, RealServer } from '../support/real/server-process.ts'
import { requireTool } from '../support/real/tools.ts'
import { startUnbound } from '../support/real/unbound.ts'
import { ZONE_FILE, ZONE_NAME } from '../support/real/zone.ts'

t.setTimeout(120_000)

const NAMES = 150
const PADDED_OCTETS = 468
/** A framed reply of 468 octets in a record: its header, content type and tag. */
const DOT_OCTETS = 470 + 22

/** Times to live as they are found: from seconds to a day, in one to five digits. */
const random = seededRandom(14)
const VARIED = Array.from({ length: NAMES }, (_, i) => `ttl${i} ${Math.ceil(10 ** (random.below(4900) / 1000))} IN A 192.0.2.1`)

type Start = (identity: Identity, named: RealServer) => Promise<RealServer>

/**
 * Sizes of the records that at least one reply in fifty has, of one server that is asked for names
 * of many times to live: two replies that left together are none.
 */
async function usualSizes(t: Test, transport: 'dot' | 'doh', start: Start): Promise<readonly number[]> {
  const authority = await createAuthority()
  const identity = await identityOf(authority)
  const named = await startNamed(identity, { zone: `${ZONE_FILE}${VARIED.join('\n')}\n` })
  t.teardown(() => named.stop())
  const server = await start(identity, named)
  if (server !== named) t.teardown(() => server.stop())
  const port = transport === 'dot' ? server.dotPort : (server.dohPort ?? 0)
  const capture = await startCapture(`tcp port ${port}`)
  t.teardown(() => capture.remove())
  const config = { shaping: { profile: 'balanced' } }
  const daemon = await startDaemon({ resolvers: [entryOf(server, [transport])], ca: authority.certificate, config })
  t.teardown(() => daemon.stop())
  const client = await udpClient(daemon.port)
  t.teardown(() => client.close())
  await Promise.all(
    VARIED.map((_, i) =>
      client.ask(query({ name: `ttl${i}.${ZONE_NAME}` })).then(
        () => {},
        () => {},
      ),
    ),
  )
  await sleep(2000)
  await capture.stop()
  const replies = capture.records(port).flatMap(({ direction, octets }) => (direction === 'in' ? [octets] : []))
  const counts = new Map<number, number>()
  for (const octets of replies.slice(3)) counts.set(octets, (counts.get(octets) ?? 0) + 1)
  const least = replies.length / 50
  return [...counts].flatMap(([octets, count]) => (count >= least ? [octets] : [])).toSorted((a, b) => a - b)
}

const throughNginx = async (identity: Identity, named: RealServer) => {
  const behind = await startDnsdist(identity, named.dnsPort)
  const nginx = await startNginx(identity, {
    http2: true,
    server: `location /dns-query { proxy_pass https://127.0.0.1:${behind.dohPort}; proxy_http_version 1.1; }`,
  })
  return { ...nginx, stop: async () => void (await Promise.all([nginx.stop(), behind.stop()])) }
}

if (requireTool(t, 'dnsdist', 'named', 'unbound', 'nginx', 'tcpdump', 'tshark')) {
  // Octets between the largest usual reply and the smallest, at most; see docs/shaping.md.
  const servers: readonly (readonly [string, Start, number])[] = [
    ['BIND', async (_, named) => named, 4],
    ['dnsdist', (identity, named) => startDnsdist(identity, named.dnsPort), 12],
    ['nginx before dnsdist', throughNginx, 4],
  ]
  for (const [name, start, most] of servers) {
    t.test(`${name}: over DoH the digits of headers change the size of a reply`, async (t) => {
      const sizes = (await usualSizes(t, 'doh', start)).filter((octets) => octets > PADDED_OCTETS)
      const spread = Math.max(...sizes) - Math.min(...sizes)
      t.ok(sizes.length > 1 && spread <= most, `${sizes}`)
    })
    if (name.startsWith('nginx')) continue
    t.test(`${name}: over DoT they have one size`, async (t) => {
      t.strictSame(await usualSizes(t, 'dot', start), [DOT_OCTETS])
    })
  }

  t.test('unbound: over DoT they have one size', async (t) => {
    t.strictSame(await usualSizes(t, 'dot', (identity, named) => startUnbound(identity, named.dnsPort)), [DOT_OCTETS])
  })

  t.test('unbound 1.17: over DoH replies are not padded', async (t) => {
    const sizes = await usualSizes(t, 'doh', (identity, named) => startUnbound(identity, named.dnsPort))
    t.ok(
      sizes.every((octets) => octets < PADDED_OCTETS),
      `${sizes}`,
    )
  })
}
