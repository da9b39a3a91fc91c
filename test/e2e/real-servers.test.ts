import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { readOpt } from '../../src/dns/edns.ts'
import { query, response, rr } from '../support/messages.ts'
import { entryOf, identityOf, startDaemon } from '../support/real/daemon.ts'
import { comparable, isTruncated, rcodeOf, tcpClient, udpClient } from '../support/real/dns-client.ts'
import { startDnsdist } from '../support/real/dnsdist.ts'
import { startKresd } from '../support/real/kresd.ts'
import { startNamed } from '../support/real/named.ts'
import type { Identity, RealServer } from '../support/real/server-process.ts'
import { requireTool, type Tool } from '../support/real/tools.ts'
import { startUnbound } from '../support/real/unbound.ts'
import { QUESTIONS, ZONE_NAME } from '../support/real/zone.ts'

t.jobs = 1

const START: Readonly<Record<string, (identity: Identity, authorityPort: number) => Promise<RealServer>>> = {
  unbound: startUnbound,
  dnsdist: startDnsdist,
  kresd: startKresd,
}
const EDNS = { size: 1232 }

/** Through the daemon and straight over TCP, every kind of question: the same octets. */
async function everyQuestion(t: Test, server: RealServer, transport: 'dot' | 'doh', ca: string): Promise<void> {
  const daemon = await startDaemon({ resolvers: [entryOf(server, [transport])], ca, config: { transports: [transport] } })
  const [straight, udp, tcp] = await Promise.all([tcpClient(server.dnsPort), udpClient(daemon.port), tcpClient(daemon.port)])
  t.teardown(async () => {
    for (const client of [straight, udp, tcp]) client.close()
    await daemon.stop()
  })
  for (const [name, type] of QUESTIONS) {
    const asked = query({ name, type, opt: EDNS })
    // AD set as the daemon sets it: some servers echo it.
    const expected = comparable(await straight.ask(query({ name: name.toLowerCase(), type, flags: 0x0120, opt: EDNS })))
    const overUdp = await udp.ask(asked)
    const overTcp = await tcp.ask(asked)
    t.equal(comparable(overTcp), expected, `${name} TYPE${type} over TCP`)
    if (isTruncated(overUdp)) t.ok(overUdp.length <= 1232 && overTcp.length > 1232, `${name} TYPE${type} is cut over UDP`)
    else t.equal(comparable(overUdp), expected, `${name} TYPE${type} over UDP`)
    t.strictSame(questionIn(overTcp, asked), questionIn(asked, asked), 'the case of the question is the client’s')
  }
  const big = query({ name: `big.${ZONE_NAME}`, type: 16, opt: EDNS })
  t.ok(isTruncated(await udp.ask(big)), 'an answer of 4 kB is cut over UDP')
  t.ok((await tcp.ask(big)).length > 4000, 'and whole over TCP')
  const broken = await udp.ask(query({ name: 'broken.example', opt: EDNS }), 8000)
  t.equal(rcodeOf(broken), 2, 'SERVFAIL stays SERVFAIL')
  t.ok(readOpt(broken), 'an OPT comes back with the error')
  const status = await daemon.until('protected')
  t.strictSame(
    status.resolvers.map((r) => [r.id, r.transport, r.authenticated]),
    [[server.kind, transport, 'ca']],
  )
  t.ok(
    Object.values(status.plaintext).every((count) => count === 0),
    'no cleartext',
  )
  t.equal(await daemon.stop(), 0, 'it ends cleanly')
}

/**
 * The question section, as long as the one in `asked`: header before it, OPT of 11 octets behind
 * it.
 */
function questionIn(message: Uint8Array, asked: Uint8Array): string {
  return Buffer.from(message.subarray(12, asked.length - 11)).toString('latin1')
}

t.test('the comparison detects one changed octet, and ignores TTLs', (t) => {
  const reply = (address: number, ttlS: number) => response({ answers: [rr({ ttlS, rdata: Uint8Array.of(192, 0, 2, address) })] })
  t.equal(comparable(reply(1, 5)), comparable(reply(1, 6)))
  t.not(comparable(reply(1, 5)), comparable(reply(2, 5)))
  t.end()
})

for (const kind of ['named', 'unbound', 'dnsdist', 'kresd'] as const satisfies readonly Tool[]) {
  t.test(kind, async (t) => {
    if (!requireTool(t, 'named', kind)) return
    const authority = await createAuthority()
    const identity = await identityOf(authority)
    const named = await startNamed(identity)
    t.teardown(() => named.stop())
    const server = kind === 'named' ? named : await START[kind]?.(identity, named.dnsPort)
    if (server === undefined) throw new Error(kind)
    t.teardown(() => server.stop())
    for (const transport of ['dot', 'doh'] as const)
      await t.test(transport, (t) => everyQuestion(t, server, transport, authority.certificate))
  })
}
