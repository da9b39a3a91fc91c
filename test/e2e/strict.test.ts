import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { readOpt } from '../../src/dns/edns.ts'
import { query } from '../support/messages.ts'
import { cli, entryOf, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { startNamed } from '../support/real/named.ts'
import type { Identity } from '../support/real/server-process.ts'
import { requireTool } from '../support/real/tools.ts'
import { ZONE_NAME } from '../support/real/zone.ts'

const DAY_MS = 86_400_000
const NETWORK_ERROR = 23 // RFC 8914 section 4.24
/** A wrong clock is told apart (RFC 8914 section 4.15). */
const NOT_READY = 14
const NO_REACHABLE_AUTHORITY = 22

interface Case {
  readonly identity: Identity
  readonly ca: string
  readonly entry?: Readonly<Record<string, unknown>>
  readonly reason: string
  /** The extended error that clients get. Default: the ones of a network that fails. */
  readonly ede?: number
}

/** What is wrong with whom we reach; each must be refused for its own reason. */
async function cases(): Promise<Readonly<Record<string, Case>>> {
  const [authority, other] = [await createAuthority(), await createAuthority()]
  const right = await authority.issue({ name: RESOLVER_NAME })
  const ca = authority.certificate
  const issue = (wish: object) => authority.issue({ name: RESOLVER_NAME, ...wish })
  const dates = (from: number, to: number) => ({
    notBefore: new Date(Date.now() + from * DAY_MS),
    notAfter: new Date(Date.now() + to * DAY_MS),
  })
  const wrongPin = Buffer.alloc(32, 7).toString('base64')
  return {
    'another authority': { identity: right, ca: other.certificate, reason: 'certificate-untrusted' },
    'self-signed': { identity: await issue({ selfSigned: true }), ca, reason: 'certificate-untrusted' },
    'another name': { identity: await issue({ name: 'elsewhere.example' }), ca, reason: 'certificate-name' },
    expired: { identity: await issue(dates(-2, -1)), ca, reason: 'certificate-expired' },
    'not yet valid': { identity: await issue(dates(1, 2)), ca, reason: 'certificate-not-yet-valid', ede: NOT_READY },
    'another key': { identity: right, ca, entry: { spkiPins: [wrongPin] }, reason: 'pin-mismatch' },
  }
}

async function refused(t: Test, c: Case, transport: 'dot' | 'doh'): Promise<void> {
  const named = await startNamed(c.identity)
  t.teardown(() => named.stop())
  const daemon = await startDaemon({ resolvers: [entryOf(named, [transport], c.entry)], ca: c.ca })
  t.teardown(() => daemon.stop())
  const client = await udpClient(daemon.port)
  t.teardown(() => client.close())
  const reply = await client.ask(query({ name: `www.${ZONE_NAME}`, opt: {} }))
  t.equal(rcodeOf(reply), 2, 'SERVFAIL')
  const expected = c.ede === undefined ? [NETWORK_ERROR, NO_REACHABLE_AUTHORITY] : [c.ede]
  t.ok(expected.includes(readOpt(reply)?.ede?.code ?? -1), 'with an extended error')
  const status = daemon.status()
  t.equal(status?.state, 'offline', 'the status was written before the reply was sent')
  t.ok(
    status?.signals.secureNameResolution?.reasons.some((r) => r.code === c.reason),
    `the reason is ${c.reason}`,
  )
  t.ok(
    Object.values(status?.plaintext ?? { none: 1 }).every((count) => count === 0),
    'no cleartext',
  )
  const said = await cli('status', '--json', '--file', daemon.statusFile)
  t.equal(said.code, 2, 'status exits 2')
  t.ok(said.stdout.includes(c.reason), 'and says why')
  t.notMatch(daemon.log() + said.stdout, /zone\.example\b(?<!resolver\.zone\.example)/, 'no query name in log or status')
}

if (requireTool(t, 'named')) {
  for (const [name, c] of Object.entries(await cases())) {
    t.test(name, async (t) => {
      for (const transport of ['dot', 'doh'] as const) await t.test(transport, (t) => refused(t, c, transport))
    })
  }
  t.test('the right resolver is accepted, with its pin', async (t) => {
    const authority = await createAuthority()
    const identity = await authority.issue({ name: RESOLVER_NAME })
    const named = await startNamed(identity)
    t.teardown(() => named.stop())
    const daemon = await startDaemon({
      resolvers: [entryOf(named, ['dot'], { spkiPins: [identity.spkiPin] })],
      ca: authority.certificate,
    })
    t.teardown(() => daemon.stop())
    const client = await udpClient(daemon.port)
    t.teardown(() => client.close())
    t.equal(rcodeOf(await client.ask(query({ name: `www.${ZONE_NAME}` }))), 0)
    t.equal((await daemon.until('protected')).resolvers[0]?.authenticated, 'ca+spki')
    t.equal((await cli('status', '--file', daemon.statusFile)).code, 0)
  })
}
