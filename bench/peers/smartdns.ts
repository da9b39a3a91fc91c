import { COMMON_NAME } from '../../src/demo/authority.ts'
import type { Peer, Wish } from './peer.ts'

/**
 * smartdns over TLS, without what it does beyond forwarding: racing addresses, prefetching, stale
 * answers, a TTL of 3 s at first and of 10 minutes then. Its DoH speaks HTTP/1.1 only. Version 40
 * looks for the name in the certificate's common name and nowhere else.
 */
export const smartdns: Peer = {
  id: 'smartdns',
  tool: 'smartdns',
  via: ['dot'],
  caches: true,
  tcp: true,
  role: 'peer',
  version: { args: ['-v'], pattern: /smartdns (\S+)/ },
  launch: (wish) => ({ args: ['-f', '-p', '-', '-c', `${wish.dir}/smartdns.conf`], files: { 'smartdns.conf': config(wish) } }),
}

const config = ({ dir, port, upstream, entries }: Wish) => `
bind 127.0.0.1:${port}
bind-tcp 127.0.0.1:${port}
cache-size ${entries}
cache-persist no
prefetch-domain no
serve-expired no
speed-check-mode none
dualstack-ip-selection no
response-mode first-ping
rr-ttl-min 3600
log-level fatal
log-file ${dir}/smartdns.log
audit-enable no
ca-file ${upstream.caFile}
server-tls 127.0.0.1:${upstream.dotPort} -host-name ${upstream.name} -tls-host-verify ${COMMON_NAME}
`
