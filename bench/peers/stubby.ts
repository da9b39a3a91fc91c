import type { Peer, Wish } from './peer.ts'

/** Stubby: DoT, no cache. */
export const stubby: Peer = {
  id: 'stubby',
  tool: 'stubby',
  via: ['dot'],
  caches: false,
  tcp: false,
  role: 'peer',
  version: { args: ['-V'], pattern: /Stubby (\S+)/ },
  launch: (wish) => ({ args: ['-C', `${wish.dir}/stubby.yml`], files: { 'stubby.yml': config(wish) } }),
}

const config = ({ dir, port, upstream }: Wish) => `
resolution_type: GETDNS_RESOLUTION_STUB
dns_transport_list:
  - GETDNS_TRANSPORT_TLS
tls_authentication: GETDNS_AUTHENTICATION_REQUIRED
tls_query_padding_blocksize: 128
tls_ca_file: "${upstream.caFile}"
edns_client_subnet_private: 1
round_robin_upstreams: 0
idle_timeout: 10000
limit_outstanding_queries: 0
appdata_dir: "${dir}"
listen_addresses:
  - 127.0.0.1@${port}
upstream_recursive_servers:
  - address_data: 127.0.0.1
    tls_port: ${upstream.dotPort}
    tls_auth_name: "${upstream.name}"
`
