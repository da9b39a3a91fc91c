// The transports over datagrams, with the real daemon: DNSCrypt directly and through a relay, and
// DoQ, for which the whole test runs in a newer Node.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { PROVIDER, Provider, startDnscrypt, startRelay } from '../support/dnscrypt.ts'
import { startDoq } from '../support/doq-server.ts'
import { query } from '../support/messages.ts'
import { cli, type DaemonSpec, identityOf, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { udpClient } from '../support/real/dns-client.ts'
import { newerNode, runIn } from '../support/real/newer-node.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const NAME = 'secret-name.example'

/** The reply to one query of a daemon, and its status. */
async function asked(spec: DaemonSpec) {
  const daemon = await startDaemon(spec)
  try {
    const client = await udpClient(daemon.port)
    const reply = await client.ask(query({ name: NAME, id: 7 }))
    client.close()
    const status = await daemon.until('protected')
    return { answers: reply[7] ?? 0, rcode: (reply[3] ?? 0) & 15, status, log: daemon.log() }
  } finally {
    await daemon.stop()
  }
}

async function doqInNewerNode(): Promise<void> {
  const authority = await createAuthority()
  const server = startDoq({ identity: await identityOf(authority), answer: (q) => replyTo(q, [addressRecord()]) })
  const resolver = { id: 'quic', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], caFile: 'ca.pem' }
  const { status, answers } = await asked({
    ca: authority.certificate,
    resolvers: [{ ...resolver, transports: { doq: { port: server.port } } }],
    config: { transports: ['doq'] },
  })
  await server.close()
  process.stdout.write(JSON.stringify({ answers, resolver: status.resolvers[0], plaintext: status.plaintext }))
}

function tests(): void {
  t.test('DNSCrypt: answers, and certificates in the ledger', async (t) => {
    const provider = new Provider()
    const server = await startDnscrypt({ certificates: [provider.certify()], answer: (q) => replyTo(q, [addressRecord()]) })
    const relay = await startRelay()
    t.teardown(() => Promise.all([server.close(), relay.close()]))
    const place = { providerName: PROVIDER, publicKey: provider.publicKey, port: server.port }
    const config = { transports: ['dnscrypt'], allowDnscryptCertificates: true }
    const spec = (dnscrypt: object): DaemonSpec => ({
      resolvers: [{ id: 'crypt', addresses: ['127.0.0.1'], transports: { dnscrypt } }],
      relays: [{ id: 'anon', type: 'dnscrypt', addresses: ['127.0.0.1'], port: relay.port }],
      config,
    })
    for (const dnscrypt of [place, { ...place, relay: 'anon' }]) {
      const { status, answers } = await asked(spec(dnscrypt))
      t.equal(answers, 1)
      t.match(status.resolvers[0], { transport: 'dnscrypt', authenticated: 'provider-key', cipher: 'XChaCha20-Poly1305', group: 'X25519' })
      t.match(status, { plaintext: { 'dnscrypt-certificate': 1 }, plaintextAllowed: ['dnscrypt-certificate'] })
    }
    t.ok(relay.counts.passed >= 2)
    t.notOk(Buffer.concat(relay.seen).includes('secret-name'))
  })

  t.test('commands wait for a resolver that is asked with datagrams alone', async (t) => {
    const provider = new Provider()
    const server = await startDnscrypt({ certificates: [provider.certify()], answer: (q) => replyTo(q, [addressRecord()]) })
    const dnscrypt = { providerName: PROVIDER, publicKey: provider.publicKey, port: server.port }
    const daemon = await startDaemon({
      resolvers: [{ id: 'crypt', addresses: ['127.0.0.1'], transports: { dnscrypt } }],
      config: { transports: ['dnscrypt'], allowDnscryptCertificates: true },
    })
    t.teardown(() => Promise.all([daemon.stop(), server.close()]))
    const config = ['--config', join(daemon.dir, 'config.json')]
    const check = await cli('check', ...config)
    t.strictSame([check.code, check.stderr], [0, ''])
    t.match(check.stdout, /crypt +dnscrypt +ok/)
    t.match(await cli('resolvers', 'rank', ...config), { code: 0, stdout: /crypt/ })
    t.match(await cli('doctor', ...config), { stdout: /crypt/ })
  })

  t.test('strict does not start with it unless it is allowed', async (t: Test) => {
    const resolvers = [
      { id: 'crypt', addresses: ['127.0.0.1'], transports: { dnscrypt: { providerName: PROVIDER, publicKey: '00'.repeat(32) } } },
    ]
    await t.rejects(startDaemon({ resolvers, config: { transports: ['dnscrypt'] } }), { message: /allowDnscryptCertificates/ })
  })

  t.test('DoQ in a newer Node', { timeout: 120_000 }, async (t) => {
    const node = newerNode(t, 24)
    if (node === undefined) return
    const found = JSON.parse(await runIn(node, fileURLToPath(import.meta.url), { IN_NEWER_NODE: 'yes' }))
    t.match(found, {
      answers: 1,
      resolver: { transport: 'doq', authenticated: 'ca', tlsVersion: 'TLSv1.3', group: 'X25519MLKEM768' },
      plaintext: { 'dnscrypt-certificate': 0 },
    })
  })
}

if (process.env.IN_NEWER_NODE === undefined) tests()
else await doqInNewerNode().then(() => process.exit(0))
