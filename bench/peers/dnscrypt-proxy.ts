import type { Peer, Wish } from './peer.ts'

/**
 * dnscrypt-proxy over DoH and DNSCrypt: a static server given by its stamp. Go reads the private CA from
 * SSL_CERT_FILE.
 */
export const dnscryptProxy: Peer = {
  id: 'dnscrypt-proxy',
  tool: 'dnscrypt-proxy',
  via: ['doh', 'dnscrypt'],
  caches: true,
  tcp: true,
  role: 'peer',
  version: { args: ['-version'], pattern: /(\S+)/ },
  launch: (wish) => ({
    args: ['-config', `${wish.dir}/dnscrypt-proxy.toml`],
    files: { 'dnscrypt-proxy.toml': config(wish) },
    env: { SSL_CERT_FILE: wish.upstream.caFile, GOMAXPROCS: '1' },
  }),
}

const config = ({ port, upstream, entries, via }: Wish) => `
listen_addresses = ['127.0.0.1:${port}']
server_names = ['bench']
max_clients = 10000
doh_servers = true
require_dnssec = false
require_nolog = false
require_nofilter = false
ignore_system_dns = true
netprobe_timeout = 0
log_level = 4
cache = true
cache_size = ${entries}
cache_min_ttl = 0
[static.bench]
stamp = '${via === 'dnscrypt' ? dnscryptStamp(upstream) : stamp(`127.0.0.1:${upstream.dohPort}`, `${upstream.name}:${upstream.dohPort}`, '/dns-query')}'
`

/**
 * A DNS stamp for DoH: 0x02, 8 octets of properties, then address, certificate hashes (none), host
 * and path, each behind its length.
 */
function stamp(address: string, host: string, path: string): string {
  const counted = (text: string) => [Buffer.of(text.length), Buffer.from(text)]
  const parts = [Buffer.of(2), Buffer.alloc(8), ...counted(address), Buffer.of(0), ...counted(host), ...counted(path)]
  return `sdns://${Buffer.concat(parts).toString('base64url')}`
}

/** The same for DNSCrypt: 0x01, properties, address, the key of the provider, and its name. */
export function dnscryptStamp({ dnscrypt }: Wish['upstream']): string {
  if (dnscrypt === undefined) throw new Error('the upstream does not speak DNSCrypt')
  const parts = [Buffer.from(`127.0.0.1:${dnscrypt.port}`), Buffer.from(dnscrypt.publicKey, 'hex'), Buffer.from(dnscrypt.providerName)]
  const counted = parts.flatMap((part) => [Buffer.of(part.length), part])
  return `sdns://${Buffer.concat([Buffer.of(1), Buffer.alloc(8), ...counted]).toString('base64url')}`
}
