import { writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startNginx } from '../../test/support/real/nginx.ts'
import { freePort } from '../../test/support/real/server-process.ts'
import { CORE, end, newPlace, pathOf, start } from '../children.ts'
import { type CountingUpstream, listening } from '../upstream/upstream.ts'

/** A resolver that another program offers in front of the upstream. */
export interface Offered {
  /** What the row is called. */
  readonly name: string
  /** The entries of the trusted set. */
  readonly set: { readonly resolvers: readonly object[]; readonly relays?: readonly object[] }
  /** What the configuration says beside it. */
  readonly config: Readonly<Record<string, unknown>>
  stop(): Promise<void>
}

/** Why there is no such row. */
export type Missing = string

const DOH_PROXY = 'ENIGM_DNS_DOH_PROXY'
const ENCRYPTED_DNS = 'ENIGM_DNS_ENCRYPTED_DNS'

const missing = (name: string, crate: string, variable: string): Missing =>
  `${name}: not measured, there is no ${crate} (cargo install ${crate}, or its path as ${variable})`

/** Oblivious DoH: doh-proxy is the target, with its own TLS, and nginx the relay. */
export async function throughRelay(upstream: CountingUpstream): Promise<Offered | Missing> {
  const program = process.env[DOH_PROXY] ?? pathOf('doh-proxy')
  if (program === undefined) return missing('odoh', 'doh-proxy', DOH_PROXY)
  if (pathOf('nginx') === undefined) return 'odoh: not measured, there is no nginx'
  const { name, identity, dnsPort } = upstream
  const dir = newPlace('odoh')
  for (const [file, text] of Object.entries({ 'cert.pem': identity.cert, 'key.pem': identity.key }))
    writeFileSync(join(dir, file), text, { mode: 0o600 })
  const port = await freePort()
  const places = ['-l', `127.0.0.1:${port}`, '-u', `127.0.0.1:${dnsPort}`]
  const child = start(CORE.load, program, [...places, '-i', join(dir, 'cert.pem'), '-I', join(dir, 'key.pem')])
  await listening(child, /Listening on/)
  const relay = await startNginx(identity, {
    http2: true,
    http: `keepalive_requests 1000000; upstream target { server 127.0.0.1:${port}; keepalive 64; keepalive_requests 1000000; }`,
    server: `location = /proxy {
      proxy_pass https://target/dns-query; proxy_ssl_name ${name}; proxy_http_version 1.1; proxy_set_header Connection "";
    }`,
  })
  const common = { addresses: ['127.0.0.1'], caFile: 'ca.pem', authenticationDomainName: name }
  const config = (await published(port, upstream)).toString('base64')
  return {
    name: 'odoh (nginx, doh-proxy)',
    set: {
      resolvers: [{ id: 'bench', operator: 'Names', ...common, transports: { odoh: { port, relay: 'relay', config } } }],
      relays: [{ id: 'relay', operator: 'Relays', type: 'odoh', port: relay.dohPort, path: '/proxy', ...common }],
    },
    config: { transports: ['odoh'] },
    stop: async () => {
      await relay.stop()
      await end(child)
    },
  }
}

/**
 * The keys that the target publishes; it draws new ones at each start. It listens shortly before it
 * has read its certificate, and closes connections until then.
 */
async function published(port: number, upstream: CountingUpstream): Promise<Buffer> {
  for (let tries = 0; tries < 50; tries++) {
    const found = await fetched(port, upstream).catch(() => undefined)
    if (found !== undefined) return found
    await sleep(20)
  }
  throw new Error('doh-proxy does not publish its keys')
}

function fetched(port: number, { ca, name: servername }: CountingUpstream): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, ca, servername, path: '/.well-known/odohconfigs' }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => resolve(Buffer.concat(chunks)))
    })
    asked.on('error', reject).end()
  })
}

const PROVIDER = '2.dnscrypt-cert.bench.example'

/** DNSCrypt by encrypted-dns. */
export async function encryptedDns(upstream: CountingUpstream): Promise<Offered | Missing> {
  const program = process.env[ENCRYPTED_DNS] ?? pathOf('encrypted-dns')
  if (program === undefined) return missing('dnscrypt', 'encrypted-dns', ENCRYPTED_DNS)
  const dir = newPlace('encrypted-dns')
  const port = await freePort()
  writeFileSync(join(dir, 'encrypted-dns.toml'), encryptedDnsConfig({ dir, port, behindPort: upstream.dnsPort }))
  const child = start(CORE.load, program, ['-c', join(dir, 'encrypted-dns.toml')], { cwd: dir })
  let said = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  await listening(child, /DNS Stamp/)
  const publicKey = /public key: ([0-9a-f]{64})/.exec(said)?.[1]
  return {
    name: 'dnscrypt (encrypted-dns)',
    set: { resolvers: [{ id: 'bench', addresses: ['127.0.0.1'], transports: { dnscrypt: { providerName: PROVIDER, publicKey, port } } }] },
    config: { transports: ['dnscrypt'], allowDnscryptCertificates: true },
    stop: () => end(child),
  }
}

function encryptedDnsConfig({ dir, port, behindPort }: { readonly dir: string; readonly port: number; readonly behindPort: number }) {
  return `
listen_addrs = [{ local = "127.0.0.1:${port}", external = "127.0.0.1:${port}" }]
upstream_addrs = ["127.0.0.1:${behindPort}"]
state_file = "${dir}/encrypted-dns.state"
udp_timeout = 10
tcp_timeout = 10
udp_max_active_connections = 10000
tcp_max_active_connections = 1000
cache_capacity = 100
cache_ttl_min = 1
cache_ttl_max = 86400
cache_ttl_error = 1
daemonize = false
[dnscrypt]
provider_name = "${PROVIDER}"
key_cache_capacity = 1000
dnssec = false
no_filters = true
no_logs = true
[tls]
[filtering]
`
}
