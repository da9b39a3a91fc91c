import { forwardAll, unboundArgs, unboundConfig } from '../../test/support/real/unbound.ts'
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
  launch: (wish) => ({ args: unboundArgs(wish.dir), files: { 'unbound.conf': config(wish) } }),
}

const config = ({ dir, port, upstream, cacheBytes }: Wish) =>
  unboundConfig({
    dir,
    port,
    server: [
      'verbosity: 0',
      'so-rcvbuf: 4m',
      `msg-cache-size: ${cacheBytes / 2}`,
      `rrset-cache-size: ${cacheBytes / 2}`,
      'msg-cache-slabs: 1',
      'rrset-cache-slabs: 1',
      'num-queries-per-thread: 4096',
      'outgoing-range: 8192',
      'outgoing-num-tcp: 20',
      'qname-minimisation: no',
      `tls-cert-bundle: "${upstream.caFile}"`,
    ],
    zones: forwardAll([upstream.dotPort], upstream.name),
  })
