import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { FAULT_ZONE } from '../support/faults/answers.ts'
import type { Protocol } from '../support/faults/fault.ts'
import { seeded } from '../support/faults/seeded.ts'
import { startFaultServer } from '../support/faults/server.ts'
import { faultEntry } from '../support/faults/trusted.ts'
import { query } from '../support/messages.ts'
import { startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'

/**
 * Longer than any busy loop: from 5 s on it counts as sleep. ENIGM_DNS_STOP_S=30 for the row of the
 * chaos table.
 */
const STOP_MS = 1000 * Number(process.env.ENIGM_DNS_STOP_S ?? 6)

for (const protocol of ['dot', 'h2'] as const satisfies readonly Protocol[]) {
  t.test(`${protocol}: SIGSTOP, SIGCONT; meanwhile the path forgot the connection, and a short-lived answer expired`, async (t) => {
    const authority = await createAuthority()
    const server = await startFaultServer({ authority, protocol, chance: seeded(1) })
    const daemon = await startDaemon({ resolvers: [faultEntry('r', protocol, server.port)], ca: authority.certificate })
    const client = await udpClient(daemon.port)
    t.teardown(async () => {
      client.close()
      await daemon.stop()
      await server.close()
    })
    t.equal(rcodeOf(await client.ask(query({ name: `before.${FAULT_ZONE}` }))), 0)
    const handshakes = server.counts.handshakes
    daemon.kill('SIGSTOP')
    await sleep(STOP_MS)
    const written = server.path.strand()
    daemon.kill('SIGCONT')
    const began = performance.now()
    t.equal(rcodeOf(await client.ask(query({ name: `after.${FAULT_ZONE}` }))), 0)
    const tookMs = performance.now() - began
    t.comment(`first answer ${tookMs.toFixed(0)} ms after SIGCONT`)
    t.ok(tookMs < 1000)
    t.match(daemon.log(), /the machine slept, or this process was stopped/)
    await sleep(300)
    t.equal(server.counts.handshakes, handshakes + 1, 'one handshake')
    t.equal(written() < 600, true, 'no query went out on the old connection')
  })
}
