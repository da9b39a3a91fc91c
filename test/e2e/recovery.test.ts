import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { query } from '../support/messages.ts'
import { cli, entryOf, identityOf, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { startNamed } from '../support/real/named.ts'
import { requireTool } from '../support/real/tools.ts'
import { ZONE_NAME } from '../support/real/zone.ts'

const ASK_EVERY_MS = 50

/**
 * The only resolver crashes, is away for a while, and comes back. A client asks all the time, each
 * time something that is in no cache.
 */
async function crashAndReturn(t: Test, transport: 'dot' | 'doh', awayMs: number): Promise<void> {
  const authority = await createAuthority()
  const named = await startNamed(await identityOf(authority))
  t.teardown(() => named.stop())
  const daemon = await startDaemon({ resolvers: [entryOf(named, [transport])], ca: authority.certificate })
  t.teardown(() => daemon.stop())
  const client = await udpClient(daemon.port)
  t.teardown(() => client.close())
  let asked = 0
  const ask = () => client.ask(query({ name: `q${asked++}.wild.${ZONE_NAME}` })).then(rcodeOf)

  t.equal(await ask(), 0)
  await named.kill()
  t.equal(await ask(), 2, 'SERVFAIL while it is away')
  await daemon.until('offline')
  t.equal((await cli('status', '--file', daemon.statusFile)).code, 2)

  const rcodes: number[] = []
  let backMs = 0
  let firstMs = 0
  const asking: Promise<void>[] = []
  const began = performance.now()
  while (firstMs === 0 && performance.now() - began < awayMs + 10_000) {
    asking.push(
      ask().then((rcode) => {
        rcodes.push(rcode)
        if (rcode === 0 && firstMs === 0) firstMs = performance.now()
      }),
    )
    if (backMs === 0 && performance.now() - began > awayMs) {
      await named.restart()
      backMs = performance.now()
    }
    await sleep(ASK_EVERY_MS)
  }
  await Promise.all(asking)
  t.comment(`back after ${awayMs} ms: first answer ${(firstMs - backMs).toFixed(0)} ms after the return`)
  t.ok(firstMs > 0 && firstMs - backMs < 1000 + ASK_EVERY_MS, 'answers within 1 s of the return')
  t.equal(rcodes.length, asked - 2, 'every question got its reply')
  await daemon.until('protected')
}

if (requireTool(t, 'named')) {
  t.test('DoT, away 2 s', (t) => crashAndReturn(t, 'dot', 2000))
  t.test('DoH, away 2 s', (t) => crashAndReturn(t, 'doh', 2000))
  t.test('DoT, away 8 s', (t) => crashAndReturn(t, 'dot', 8000))
}
