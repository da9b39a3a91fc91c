import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { query } from '../support/messages.ts'
import { entryOf, identityOf, type RunningDaemon, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { type SignedRoot, startSignedRoot } from '../support/real/signed-root.ts'
import { requireTool } from '../support/real/tools.ts'
import { startValidator, VALIDATORS } from '../support/real/validators.ts'

t.jobs = 1

const [NOERROR, NXDOMAIN] = [0, 3]
const [A, NS, PTR, TXT, AAAA, DS, DNSKEY, SVCB, HTTPS] = [1, 2, 12, 16, 28, 43, 48, 64, 65]

/** What is answered here, of every kind, and what a validator must make of it. */
const LOCAL_NAMES: readonly (readonly [name: string, type: number, rcode: number])[] = [
  ['printer.local', A, NXDOMAIN],
  ['_http._tcp.local', PTR, NXDOMAIN],
  ['local', A, NXDOMAIN],
  ['local', DS, NXDOMAIN],
  ['local', DNSKEY, NXDOMAIN],
  ['nas.internal', A, NXDOMAIN],
  ['a.b.c.internal', HTTPS, NXDOMAIN],
  ['foo.alt', TXT, NXDOMAIN],
  ['x.test', AAAA, NXDOMAIN],
  ['x.invalid', A, NXDOMAIN],
  ['expyuzz4wqqyqhjn.onion', A, NXDOMAIN],
  ['myhost', A, NXDOMAIN],
  ['myhost', AAAA, NXDOMAIN],
  ['nas', A, NXDOMAIN],
  ['printer', HTTPS, NXDOMAIN],
  ['zz', A, NXDOMAIN],
  ['q', A, NXDOMAIN],
  ['arpa', A, NOERROR],
  ['192.168.1.1', A, NXDOMAIN],
  ['10.0.0x7f', A, NXDOMAIN],
  ['nas.home.arpa', A, NXDOMAIN],
  ['default.service.arpa', A, NXDOMAIN],
  ['_dns.resolver.arpa', SVCB, NOERROR],
  ['home.arpa', NS, NOERROR],
  ['5.0.0.10.in-addr.arpa', PTR, NXDOMAIN],
  ['5.1.168.192.in-addr.arpa', PTR, NXDOMAIN],
  ['5.0.0.127.in-addr.arpa', PTR, NXDOMAIN],
  ['1.64.100.in-addr.arpa', PTR, NXDOMAIN],
  [`${'1.'.repeat(30)}d.f.ip6.arpa`, PTR, NXDOMAIN],
  [`${'1.'.repeat(29)}8.e.f.ip6.arpa`, PTR, NXDOMAIN],
  ['noob.eap.arpa', A, NXDOMAIN],
]

/**
 * Labels that must never be seen outside. `local`, `alt`, and the zones below arpa are the same for
 * everybody.
 */
const PRIVATE = /printer|_http|nas|myhost|expyuzz|192\.168|^5\.|^zz |^q |^x\.|^foo/

async function start(
  t: Test,
  options: { readonly nsec3?: boolean; readonly shaping?: string } = {},
): Promise<{ root: SignedRoot; daemon: RunningDaemon }> {
  const authority = await createAuthority()
  const root = await startSignedRoot(await identityOf(authority), options)
  t.teardown(() => root.server.stop())
  const daemon = await startDaemon({
    resolvers: [entryOf(root.server, ['dot'])],
    ca: authority.certificate,
    config: { shaping: { profile: options.shaping ?? 'off' } },
  })
  t.teardown(() => daemon.stop())
  return { root, daemon }
}

for (const kind of VALIDATORS) {
  t.test(`validation works behind ${kind} for every local name`, async (t) => {
    if (!requireTool(t, kind, 'named', 'dnssec-signzone', 'dnssec-keygen')) return
    const { root, daemon } = await start(t)
    const validator = await startValidator(kind, daemon.port, root.anchor)
    const client = await udpClient(validator.dnsPort)
    t.teardown(async () => {
      client.close()
      await validator.stop()
    })
    const ask = (name: string, type: number) => client.ask(query({ name, type, flags: 0x0120, opt: { size: 1232 } }), 15_000)
    const signed = await ask('www.signed.example', A)
    t.equal(rcodeOf(signed), NOERROR, 'a signed name validates')
    t.ok(((signed[3] ?? 0) & 0x20) !== 0, 'and AD says so')
    for (const [name, type, rcode] of LOCAL_NAMES) t.equal(rcodeOf(await ask(name, type)), rcode, `${name} TYPE${type}`)
    t.equal(rcodeOf(await ask('no.signed.example', A)), NXDOMAIN, 'a signed denial still validates')
    t.ok(root.asked().includes('www.signed.example a'), 'what leaves is seen')
    t.strictSame(
      root.asked().filter((line) => PRIVATE.test(line)),
      [],
      'no private name left',
    )
  })
}

t.test('under a schedule the same, in its slots; a root with NSEC3 proves the zones of the list', async (t) => {
  if (!requireTool(t, 'unbound', 'named', 'dnssec-signzone', 'dnssec-keygen')) return
  for (const [options, names] of [
    [{ shaping: 'lite' }, LOCAL_NAMES],
    [{ nsec3: true }, LOCAL_NAMES.filter(([name]) => /local$|internal|alt|test|invalid|onion|home/.test(name))],
  ] as const) {
    const { root, daemon } = await start(t, options)
    const validator = await startValidator('unbound', daemon.port, root.anchor)
    const client = await udpClient(validator.dnsPort)
    t.teardown(async () => {
      client.close()
      await validator.stop()
    })
    for (const [name, type, rcode] of names)
      t.equal(rcodeOf(await client.ask(query({ name, type, flags: 0x0120, opt: { size: 1232 } }), 15_000)), rcode, `${name} TYPE${type}`)
    t.strictSame(
      root.asked().filter((line) => PRIVATE.test(line)),
      [],
      'no private name left',
    )
  }
})
