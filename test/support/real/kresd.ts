import { type Identity, type RealServer, runServer } from './server-process.ts'

/** Knot Resolver, asking the authority at `authorityPort`: plain DNS, DoT, and DoH over HTTP/2. */
export function startKresd(identity: Identity, authorityPort: number): Promise<RealServer> {
  return runServer(
    {
      tool: 'kresd',
      doh: true,
      files: ({ dir, dnsPort, dotPort, dohPort }) => ({
        'kresd.conf': `
net.ipv6 = false
net.listen('127.0.0.1', ${dnsPort}, { kind = 'dns' })
net.listen('127.0.0.1', ${dotPort}, { kind = 'tls' })
net.listen('127.0.0.1', ${dohPort}, { kind = 'doh2' })
net.tls('${dir}/cert.pem', '${dir}/key.pem')
net.tls_padding(true)
trust_anchors.remove('.')
reorder_RR(false)
cache.size = 10 * MB
policy.add(policy.all(policy.STUB('127.0.0.1@${authorityPort}')))
`,
      }),
      args: ({ dir }) => ['-n', '-c', `${dir}/kresd.conf`, dir],
    },
    identity,
  )
}
