import { dnscryptStamp } from './dnscrypt-proxy.ts'
import { type Peer, upstreamPort, type Wish } from './peer.ts'

/**
 * AdGuard dnsproxy. Its DoH asks by GET, which the upstream in C does not serve: the check then
 * says so.
 */
export const dnsproxy: Peer = {
  id: 'dnsproxy',
  tool: 'dnsproxy',
  via: ['dot', 'doh', 'doq', 'dnscrypt'],
  caches: true,
  tcp: true,
  role: 'peer',
  version: { args: ['--version'], pattern: /v?(\d\S+)/ },
  launch: (wish) => ({ args: args(wish), env: { SSL_CERT_FILE: wish.upstream.caFile, GOMAXPROCS: '1' } }),
}

const args = ({ port, upstream, cacheBytes, via }: Wish) => [
  '--listen=127.0.0.1',
  `--port=${port}`,
  '--cache',
  `--cache-size=${cacheBytes}`,
  `--upstream=${via === 'dnscrypt' ? dnscryptStamp(upstream) : `${SCHEMES[via]}://127.0.0.1:${upstreamPort(upstream, via)}${via === 'doh' ? '/dns-query' : ''}`}`,
]

const SCHEMES: Readonly<Partial<Record<Wish['via'], string>>> = { dot: 'tls', doh: 'https', doq: 'quic' }
