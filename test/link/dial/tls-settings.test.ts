import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectTcp, createServer as createTcp, type Server, type Socket } from 'node:net'
import { createServer as createTls, type TLSSocket, type TlsOptions } from 'node:tls'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { systemClock } from '../../../src/clock.ts'
import { createAuthority } from '../../../src/demo/authority.ts'
import { FrameReader, framed } from '../../../src/dns/framing.ts'
import { connect } from '../../../src/link/dial/connect.ts'
import { tlsSessions } from '../../../src/link/dial/sessions.ts'
import { codeOf, endpointAt, linkTo, NAME } from '../../support/link-rig.ts'
import { query } from '../../support/messages.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'
import { freePace } from '../../support/rules.ts'

const SECRET = 'what-is-asked'
const authority = await createAuthority()
const identity = await authority.issue({ name: NAME })
const ca = authority.certificate

const portOf = (server: Server) => (server.address() as { port: number }).port

/** A DoT server with `tls`, and a relay in front that keeps every octet. */
async function tapped(t: Test, tls: TlsOptions) {
  const sockets = new Set<Socket | TLSSocket>()
  const server = createTls({ ALPNProtocols: ['dot'], ...tls, key: identity.key, cert: identity.cert }, (socket) => {
    const frames = new FrameReader()
    socket.on('error', () => {})
    socket.on('data', (chunk) => frames.push(chunk, (frame) => socket.write(framed(replyTo(frame, [addressRecord()])))))
  })
  server.on('tlsClientError', () => {})
  server.on('connection', (socket: Socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const seen: Buffer[] = []
  const relay = createTcp((client) => {
    const behind = connectTcp(portOf(server), '127.0.0.1')
    for (const socket of [client, behind]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('data', (chunk: Buffer) => seen.push(chunk))
    }
    client.pipe(behind).pipe(client)
  })
  relay.listen(0, '127.0.0.1')
  await once(relay, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
    relay.close()
  })
  return { port: portOf(relay), wire: () => Buffer.concat(seen) }
}

/** Asks over DoT at a port, in a Node that was started with `flags`; says what came of it. */
async function askedBy(flags: readonly string[], port: number, usageProfile: 'strict' | 'opportunistic' = 'strict'): Promise<string> {
  const asker = fileURLToPath(import.meta.url)
  const child = spawn(process.execPath, [asker], {
    env: { ASK_PORT: String(port), ASK_CA: ca, ASK_PROFILE: usageProfile, NODE_OPTIONS: flags.join(' '), PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  await once(child, 'close')
  return said.trim()
}

/** The child's part. */
async function ask(port: number): Promise<void> {
  const endpoint = { ...endpointAt(port, { ca: process.env.ASK_CA ?? '' }), usageProfile: process.env.ASK_PROFILE as 'strict' }
  const { link, ask } = linkTo(endpoint, 'dot')
  const answer = ask(query({ name: `${SECRET}.example` }), 2000)
  const said = await answer.then(({ protection }) => `answered ${protection.cipher}`).catch((error: { code?: string }) => error.code)
  await link.close()
  process.stdout.write(`${said}\n`)
}

const NULLS = 'ECDHE-ECDSA-NULL-SHA:ECDHE-RSA-NULL-SHA:AECDH-NULL-SHA:NULL-SHA256:@SECLEVEL=0'
const WEAK_NODE = [`--tls-cipher-list=${NULLS}`, '--tls-min-v1.0', '--tls-max-v1.2']

function tests(): void {
  t.test('a Node configured for NULL ciphers, and a server that accepts them: no query in cleartext', async (t) => {
    for (const profile of ['strict', 'opportunistic'] as const) {
      const server = await tapped(t, { ciphers: NULLS, maxVersion: 'TLSv1.2' })
      t.equal(await askedBy(WEAK_NODE, server.port, profile), 'tls-failed', profile)
      t.ok(server.wire().length > 0, 'it was dialled')
      t.notOk(server.wire().includes(SECRET))
    }
    const both = await tapped(t, { ciphers: `${NULLS}:ECDHE-ECDSA-AES128-GCM-SHA256`, honorCipherOrder: true, maxVersion: 'TLSv1.2' })
    t.equal(await askedBy(WEAK_NODE, both.port), 'answered ECDHE-ECDSA-AES128-GCM-SHA256', 'where it has another, that')
    t.notOk(both.wire().includes(SECRET))
    const modern = await tapped(t, {})
    t.match(await askedBy(WEAK_NODE, modern.port), /^answered TLS_/, 'and TLS 1.3 where there is')
  })

  t.test('calls of OpenSSL here do not affect the next key that is read', (t) => {
    const module = new URL('../../../src/link/dial/tls-settings.js', import.meta.url).href
    const script = `
      import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
      const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
      await import(${JSON.stringify(module)})
      console.log(createPrivateKey(pem).asymmetricKeyType)`
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
    t.equal(stdout, 'ed25519\n', stderr)
    t.end()
  })

  t.test('defaults of Node that we do not accept', async (t) => {
    const weak: [string, TlsOptions][] = [
      ['TLS 1.1', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' }],
      ['CBC', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384' }],
      ['CCM', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0' }],
      ['ARIA', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-ARIA128-GCM-SHA256' }],
      ['another group', { ecdhCurve: 'secp256k1' }],
      ['SHA-1 signatures', { sigalgs: 'ECDSA+SHA1', maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256:@SECLEVEL=0' }],
    ]
    for (const [what, tls] of weak) {
      const server = await tapped(t, tls)
      const { link, ask } = linkTo(endpointAt(server.port, { ca }), 'dot')
      t.equal(await codeOf(ask(query())), 'tls-failed', what)
      await link.close()
    }
  })

  t.test('each cipher and each group that is offered works', async (t) => {
    const clock = systemClock()
    const ciphers = ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305']
    const suites = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']
    const groups = ['X25519', 'P-256', 'P-384', 'P-521']
    const offers: [string | undefined, TlsOptions][] = [
      ...ciphers.map((ciphers): [string, TlsOptions] => [ciphers, { ciphers, maxVersion: 'TLSv1.2' }]),
      ...suites.map((ciphers): [string, TlsOptions] => [ciphers, { ciphers, minVersion: 'TLSv1.3' }]),
      ...groups.map((ecdhCurve): [undefined, TlsOptions] => [undefined, { ecdhCurve }]),
    ]
    for (const [cipher, tls] of offers) {
      const server = await tapped(t, tls)
      const { stream, protection } = await connect(endpointAt(server.port, { ca }), 'dot', {
        clock,
        sessions: tlsSessions(clock),
        pace: freePace(clock),
      })
      stream.destroy()
      t.ok(protection.authenticated)
      if (cipher !== undefined) t.equal(protection.cipher, cipher)
    }
  })
}

const port = process.env.ASK_PORT
if (port === undefined) tests()
else await ask(Number(port))
