import { type Identity, type RealServer, runServer } from './server-process.ts'
import { ZONE_NAME } from './zone.ts'

/**
 * Unbound, resolving from the authority at `authorityPort`, over plain DNS, DoT and DoH. No
 * validation: the test zone is not signed.
 */
export function startUnbound(identity: Identity, authorityPort: number): Promise<RealServer> {
  const stub = (name: string) => `stub-zone:\n  name: "${name}"\n  stub-addr: 127.0.0.1@${authorityPort}\n  stub-prime: no\n`
  return runServer(
    {
      tool: 'unbound',
      doh: true,
      files: ({ dir, dnsPort, dotPort, dohPort }) => ({
        'unbound.conf': `
server:
  directory: "${dir}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 0
  interface: 127.0.0.1@${dnsPort}
  interface: 127.0.0.1@${dotPort}
  interface: 127.0.0.1@${dohPort}
  tls-port: ${dotPort}
  https-port: ${dohPort}
  http-endpoint: "/dns-query"
  tls-service-key: "${dir}/key.pem"
  tls-service-pem: "${dir}/cert.pem"
  do-not-query-localhost: no
  module-config: "iterator"
  qname-minimisation: no
  rrset-roundrobin: no
  minimal-responses: no
  pad-responses: yes
  pad-responses-block-size: 468
  incoming-num-tcp: 200
  num-threads: 1
  do-ip6: no
remote-control:
  control-enable: no
${stub('.')}${stub(ZONE_NAME)}${stub('broken.example')}`,
      }),
      args: ({ dir }) => ['-d', '-c', `${dir}/unbound.conf`],
    },
    identity,
  )
}
