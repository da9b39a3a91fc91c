import { type Identity, type RealServer, runServer } from './server-process.ts'

/**
 * dnsdist in front of the authority at `authorityPort`: plain DNS, DoT and DoH, nothing cached,
 * bytes passed through.
 */
export function startDnsdist(identity: Identity, authorityPort: number): Promise<RealServer> {
  return runServer(
    {
      tool: 'dnsdist',
      doh: true,
      files: ({ dir, dnsPort, dotPort, dohPort }) => ({
        'dnsdist.conf': `
setSecurityPollSuffix("")
setACL({"127.0.0.0/8"})
setLocal("127.0.0.1:${dnsPort}")
addTLSLocal("127.0.0.1:${dotPort}", "${dir}/cert.pem", "${dir}/key.pem")
addDOHLocal("127.0.0.1:${dohPort}", "${dir}/cert.pem", "${dir}/key.pem", "/dns-query")
newServer({address="127.0.0.1:${authorityPort}", healthCheckMode="up", tcpOnly=true})
`,
      }),
      args: ({ dir }) => ['--supervised', '--disable-syslog', '-C', `${dir}/dnsdist.conf`],
    },
    identity,
  )
}
