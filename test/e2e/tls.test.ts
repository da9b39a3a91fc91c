import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { startDoh } from '../support/doh-server.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { cli, identityOf, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const authority = await createAuthority()
const identity = await identityOf(authority)
const answer = (q: Uint8Array) => replyTo(q, [addressRecord()])

const entry = (transports: object, more: object = {}) => ({
  ...{ id: 'mine', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], transports },
  ...more,
})

async function askOnce(t: Test, port: number): Promise<number> {
  const client = await udpClient(port)
  t.teardown(() => client.close())
  return rcodeOf(await client.ask(query()))
}

t.test('the status says what the connection is encrypted with, for DoT and DoH', async (t) => {
  const dot = await startDot({ identity, answer, tls: { ciphers: 'TLS_CHACHA20_POLY1305_SHA256' } })
  const doh = await startDoh({ identity, answer, http2: { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' } })
  t.teardown(() => Promise.all([dot.close(), doh.close()]))
  for (const [transports, cipher] of [
    [{ dot: { port: dot.port } }, 'TLS_CHACHA20_POLY1305_SHA256'],
    [{ doh: { port: doh.port, path: '/dns-query' } }, 'ECDHE-ECDSA-AES256-GCM-SHA384'],
  ] as const) {
    const daemon = await startDaemon({ resolvers: [entry(transports, { caFile: 'ca.pem' })], ca: authority.certificate })
    t.teardown(() => daemon.stop())
    t.equal(await askOnce(t, daemon.port), 0)
    const [resolver] = (await daemon.until('protected')).resolvers as readonly { readonly cipher?: string }[]
    t.equal(resolver?.cipher, cipher)
    t.match((await cli('status', '--file', daemon.statusFile)).stdout, new RegExp(`^cipher ${cipher} with `, 'm'))
  }
})

t.test('an environment that would weaken TLS: exit 2, each named, and nothing is bound', async (t) => {
  const env = { NODE_OPTIONS: '--tls-cipher-list=NULL:@SECLEVEL=0 --tls-max-v1.2', OPENSSL_CONF: '/nowhere/openssl.cnf' }
  const started = startDaemon({ resolvers: [entry({ dot: { port: 853 } })], env })
  const error = await started.then(() => new Error('it started')).catch((error: Error) => error)
  t.match(error.message, /the daemon ended \(2\)/)
  for (const named of [/NODE_OPTIONS holds --tls-cipher-list: /, /NODE_OPTIONS holds --tls-max-v1\.2: /, /OPENSSL_CONF is set: /])
    t.match(error.message, named)
})

t.test('roots that the environment adds are never trusted', async (t) => {
  const server = await startDot({ identity, answer })
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-roots-'))
  t.teardown(async () => {
    rmSync(dir, { recursive: true, force: true })
    await server.close()
  })
  const file = join(dir, 'ca.pem')
  writeFileSync(file, authority.certificate)
  for (const env of [
    { NODE_EXTRA_CA_CERTS: file },
    { NODE_OPTIONS: '--use-openssl-ca', SSL_CERT_FILE: file },
    { NODE_OPTIONS: '--use-openssl-ca', SSL_CERT_DIR: dir },
  ]) {
    const daemon = await startDaemon({ resolvers: [entry({ dot: { port: server.port } })], env })
    t.teardown(() => daemon.stop())
    t.equal(await askOnce(t, daemon.port), 2)
    const status = await daemon.until('offline')
    t.ok(
      status.signals.secureNameResolution?.reasons.some(({ code }) => code === 'certificate-untrusted'),
      JSON.stringify(env),
    )
  }
  t.equal(server.counts.queries, 0)
})
