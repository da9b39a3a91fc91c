import type { Peer, Wish } from './peer.ts'

/** Knot Resolver forwarding over TLS, without validation. It pads its queries. */
export const kresd: Peer = {
  id: 'kresd',
  tool: 'kresd',
  via: ['dot'],
  caches: true,
  tcp: true,
  role: 'peer',
  version: { args: ['--version'], pattern: /version (\S+)/ },
  launch: (wish) => ({ args: ['-n', '-c', `${wish.dir}/kresd.conf`, wish.dir], files: { 'kresd.conf': config(wish) } }),
}

const config = ({ port, upstream, cacheBytes }: Wish) => `
net.ipv6 = false
net.listen('127.0.0.1', ${port}, { kind = 'dns' })
trust_anchors.remove('.')
cache.size = ${cacheBytes}
policy.add(policy.all(policy.TLS_FORWARD({{ '127.0.0.1@${upstream.dotPort}', hostname = '${upstream.name}', ca_file = '${upstream.caFile}' }})))
`
