import { type Peer, upstreamPort, type Wish } from './peer.ts'

/**
 * dnsdist with a packet cache. maxInFlight: out-of-order pipelining to the upstream, which is off
 * by default. It does not pad.
 */
export const dnsdist: Peer = {
  id: 'dnsdist',
  tool: 'dnsdist',
  via: ['dot', 'doh'],
  caches: true,
  tcp: true,
  role: 'peer',
  version: { args: ['--version'], pattern: /dnsdist (\S+)/ },
  launch: (wish) => ({
    args: ['--supervised', '--disable-syslog', '-C', `${wish.dir}/dnsdist.conf`],
    files: { 'dnsdist.conf': config(wish) },
  }),
}

const config = ({ port, upstream, entries, via }: Wish) => `
setSecurityPollSuffix("")
setACL({"127.0.0.0/8"})
setLocal("127.0.0.1:${port}")
setUDPSocketBufferSizes(4194304, 4194304)
setMaxUDPOutstanding(65535)
setMaxTCPClientThreads(1)
setOutgoingDoHWorkerThreads(1)
newServer({address="127.0.0.1:${upstreamPort(upstream, via)}", tls="openssl", caStore="${upstream.caFile}", subjectName="${upstream.name}",
  validateCertificates=true, healthCheckMode="up", maxInFlight=1000${via === 'doh' ? ', dohPath="/dns-query"' : ''}})
getPool(""):setCache(newPacketCache(${entries}, {maxTTL=86400}))
`
