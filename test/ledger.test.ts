import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createAuthority } from '../src/demo/authority.ts'
import { startDot } from './support/dot-server.ts'
import { query } from './support/messages.ts'
import { startCapture } from './support/real/capture.ts'
import { RESOLVER_NAME, startDaemon } from './support/real/daemon.ts'
import { udpClient } from './support/real/dns-client.ts'
import { insideNamespace } from './support/real/namespace.ts'
import { requireTool } from './support/real/tools.ts'
import { addressRecord, replyTo } from './support/replies.ts'

/** Modules that can open a socket or have one opened. */
const OPENERS = ['dgram', 'net', 'tls', 'http', 'https', 'http2', 'dns', 'dns/promises', 'undici', 'inspector'].flatMap((name) => [
  name,
  `node:${name}`,
])
/**
 * Who imports one of them for more than types and isIP, and why no cleartext DNS packet of the
 * daemon's can leave by it.
 */
const ALLOWED: Readonly<Record<string, string>> = {
  'config/cidr.ts': 'BlockList',
  'dns/rdata-text.ts': 'SocketAddress, to write addresses',
  'listen/udp.ts': 'answers who asked',
  'listen/udp-batch.ts': 'answers who asked',
  'listen/tcp.ts': 'answers who asked',
  'link/dial/byte-stream.ts': 'TLS only, and the TCP below it',
  'link/dial/udp-path.ts':
    'a UDP socket for doq/, which speaks QUIC, and for dnscrypt/, which encrypts, and counts each certificate query in the ledger before it leaves',
  'link/doq/open.ts': 'rootCertificates',
  'link/dnscrypt/carrier.ts': 'encrypted packets over TCP',
  'link/dial/identity.ts': 'checkServerIdentity',
  'link/dial/tunnel.ts': 'TLS to a resolver, or to a proxy on the way; the question is inside TLS to the resolver',
  'link/odoh/fetch-config.ts': 'HTTPS over a verified connection',
  'link/dial/tls-settings.ts': 'createSecureContext, for handshake.ts',
  'files/socket.ts': 'a Unix socket of this host',
  'system/system-resolver.ts': 'getaddrinfo, only while every name server of the system is on this host (host-checks.ts)',
  'system/egress.ts': 'connects UDP sockets to port 853 to learn their source address; sends nothing',
  'system/netlink.ts': 'a netlink socket',
  'system/takeover/proof.ts': "resolved's Unix socket, for names that only this host answers",
  'cleartext/plain-exchange.ts': 'the one that sends cleartext DNS: each packet is an event `cleartext` before it leaves',
  'portal/probe.ts': 'HTTP to an address, no DNS',
  'fetcher/fetch-source.ts': 'https to the sources of the configuration; their names are resolved by this service itself',
  'page/page.ts': 'answers HTTP on a Unix socket or on loopback',
  'system/control-socket.ts': 'a Unix socket of this host',
  'system/control-client.ts': 'a Unix socket of this host',
  'demo/': 'the demo speaks to itself on loopback',
  'commands/': 'one-shot commands: they ask the server that their user names',
}

let root = dirname(fileURLToPath(import.meta.url))
while (!readdirSync(root).includes('package.json')) root = dirname(root)
const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({ path: path.split(sep).join('/'), text: readFileSync(join(root, 'src', path), 'utf8') }))

/** What a file imports of the openers; `import type` and isIP open nothing. */
function openersOf(text: string): readonly string[] {
  const imports = text.matchAll(/^import (type )?([^'"]*)from '([^']+)'|\bimport\('([^']+)'\)|\brequire\('([^']+)'\)/gm)
  return [...imports].flatMap(([, type, what = '', from, dynamic, required]) => {
    const module = from ?? dynamic ?? required ?? ''
    const names = what
      .replace(/[{}\s]/g, '')
      .split(',')
      .filter((name) => name !== '' && !name.startsWith('type') && !/^isIP/.test(name))
    return OPENERS.includes(module) && type === undefined && (from === undefined || names.length > 0) ? [module] : []
  })
}

if (process.env.ENIGM_DNS_INSIDE_NAMESPACE === undefined) {
  t.test('every module that can open a socket is on the list, with the reason why it sends no cleartext', (t) => {
    const allowed = (path: string) => Object.keys(ALLOWED).some((key) => path === key || (key.endsWith('/') && path.startsWith(key)))
    const opening = sources.filter(({ text }) => openersOf(text).length > 0)
    t.strictSame(
      opening.filter(({ path }) => !allowed(path)).map(({ path, text }) => `${path}: ${openersOf(text)}`),
      [],
      'a new one says here why it sends no cleartext, or counts each packet in the status (posture/document.ts)',
    )
    t.ok(opening.length > 8, 'the list is not vacuous')
    for (const [key] of Object.entries(ALLOWED))
      t.ok(opening.some(({ path }) => path === key || path.startsWith(key)) || /open-udp/.test(key), `${key} is still needed`)
    t.strictSame(openersOf("import { createSocket } from 'node:dgram'\nimport { isIP } from 'node:net'\nawait import('undici')"), [
      'node:dgram',
      'undici',
    ])
    t.strictSame(openersOf("import type { Socket } from 'node:net'\nimport { type Socket, isIPv6 } from 'node:net'"), [])
    t.end()
  })
  t.test('port 53 appears only in listeners, in their checks, and in sentences', (t) => {
    const naming = sources
      .filter(({ text }) => /(\bport\b[^\n]{0,20}|, )\b53\b(?!\d)/.test(text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')))
      .map(({ path }) => path)
    const known = [
      'system/system-resolver.ts',
      'system/bypass.ts',
      'system/takeover/',
      'commands/',
      'config/',
      'demo/',
      'dns/',
      'link/carriers/h2/',
      // Read the configuration of other programs; a plain server becomes no server of ours.
      'importers/',
      'posture/',
      'listen/bind.ts',
    ]
    t.strictSame(
      naming.filter((path) => !known.some((k) => path.startsWith(k))),
      [],
    )
    t.end()
  })
}

if (requireTool(t, 'tcpdump', 'tshark') && insideNamespace(t, import.meta.url)) {
  t.test('strict: in every case, not one packet to port 53 is sent', { timeout: 120_000 }, async (t) => {
    // A way out, so that what would leave is seen leaving.
    for (const args of [
      'link add wan0 type veth peer name far0',
      'link set wan0 up',
      'link set far0 up',
      'addr add 10.7.0.2/24 dev wan0',
      'route add default via 10.7.0.1',
      'neigh add 10.7.0.1 lladdr 02:00:00:00:00:01 dev wan0',
    ])
      execFileSync('ip', args.split(' '))
    const authority = await createAuthority()
    const right = await authority.issue({ name: RESOLVER_NAME })
    const wrong = await authority.issue({ name: 'elsewhere.example' })
    const answer = (q: Uint8Array) => replyTo(q, [addressRecord()])
    const servers = [await startDot({ identity: right, answer }), await startDot({ identity: wrong, answer })]
    const entry = (id: string, port: number) => ({
      id,
      authenticationDomainName: RESOLVER_NAME,
      addresses: ['127.0.0.1', '198.51.100.9'],
      transports: { dot: { port } },
      caFile: 'ca.pem',
    })
    const capture = await startCapture('port 53 or host 198.51.100.9', 'any')
    const daemon = await startDaemon({
      resolvers: servers.map((s, i) => entry(`r${i}`, s.port)),
      ca: authority.certificate,
      config: { timeoutMs: 1000 },
    })
    t.teardown(() => daemon.stop())
    const client = await udpClient(daemon.port)
    t.teardown(() => client.close())
    for (let i = 0; i < 20; i++) await client.ask(query({ name: `a${i}.zone.example` }))
    await servers[0]?.close()
    for (let i = 0; i < 3; i++) await client.ask(query({ name: `b${i}.zone.example` }))
    // One packet of somebody else's: the capture would have seen ours.
    const other = createSocket('udp4')
    await new Promise((resolve) => other.send(query({ name: 'somebody.else.example' }), 53, '198.51.100.53', resolve))
    other.close()
    await servers[1]?.close()
    const status = daemon.status()
    await capture.stop()
    t.teardown(() => capture.remove())
    t.ok(
      Object.values(status?.plaintext ?? { none: 1 }).every((count) => count === 0),
      'the ledger says none',
    )
    t.equal(capture.count('udp.dstport == 53 || tcp.dstport == 53'), capture.count('ip.dst == 198.51.100.53'), 'and none was seen')
    t.ok(capture.count('ip.dst == 198.51.100.53') > 0, 'where one of somebody else was')
  })
}
