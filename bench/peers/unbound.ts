import type { Peer, Wish } from './peer.ts'

/**
 * Unbound as a forwarder over TLS. It pads its queries to 128 by default; half of the cache is for
 * messages, half for their records.
 */
export const unbound: Peer = {
  id: 'unbound',
  tool: 'unbound',
  via: ['dot'],
  caches: true,
  tcp: true,
  role: 'peer',
  version: { args: ['-V'], pattern: /Version (\S+)/ },
  launch: (wish) => ({ args: ['-d', '-c', `${wish.dir}/unbound.conf`], files: { 'unbound.conf': config(wish) } }),
}

const config = ({ dir, port, upstream, cacheBytes }: Wish) => `
server:
  directory: "${dir}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  verbosity: 0
  interface: 127.0.0.1@${port}
  num-threads: 1
  so-rcvbuf: 4m
  msg-cache-size: ${cacheBytes / 2}
  rrset-cache-size: ${cacheBytes / 2}
  msg-cache-slabs: 1
  rrset-cache-slabs: 1
  num-queries-per-thread: 4096
  outgoing-range: 8192
  outgoing-num-tcp: 20
  incoming-num-tcp: 200
  module-config: "iterator"
  qname-minimisation: no
  do-not-query-localhost: no
  do-ip6: no
  tls-cert-bundle: "${upstream.caFile}"
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-tls-upstream: yes
  forward-addr: 127.0.0.1@${upstream.dotPort}#${upstream.name}
`
