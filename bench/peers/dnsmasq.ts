import type { Peer, Wish } from './peer.ts'

/**
 * dnsmasq: cleartext to its upstream, and so only in the hit cases. It forks for every TCP
 * connection.
 */
export const dnsmasq: Peer = {
  id: 'dnsmasq',
  tool: 'dnsmasq',
  via: ['do53'],
  caches: true,
  tcp: true,
  role: 'peer',
  version: { args: ['--version'], pattern: /version (\S+)/ },
  launch: (wish) => ({ args: ['-k', '-C', `${wish.dir}/dnsmasq.conf`], files: { 'dnsmasq.conf': config(wish) } }),
}

const config = ({ port, upstream, entries }: Wish) => `
port=${port}
listen-address=127.0.0.1
bind-interfaces
user=root
pid-file=
no-resolv
no-hosts
cache-size=${entries}
dns-forward-max=10000
server=127.0.0.1#${upstream.dnsPort}
`
