import { readFileSync } from 'node:fs'
import { join } from 'node:path'
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

/** Where dnsdist speaks DNSCrypt, and the server to which it passes queries on. */
export interface DnscryptScene {
  /** Where its files are; the keys are made there. */
  readonly dir: string
  readonly port: number
  /** A port for plain DNS, without which it does not start. */
  readonly plainPort: number
  readonly provider: string
  readonly behindPort: number
}

/** The configuration of a dnsdist with DNSCrypt. */
export function dnscryptConfig({ dir, port, plainPort, provider, behindPort }: DnscryptScene): string {
  const at = (name: string) => JSON.stringify(join(dir, name))
  const nowS = Math.floor(Date.now() / 1000)
  return `
setSecurityPollSuffix("")
setACL({"127.0.0.0/8"})
setLocal("127.0.0.1:${plainPort}")
setMaxUDPOutstanding(65535)
generateDNSCryptProviderKeys(${at('provider.pub')}, ${at('provider.key')})
generateDNSCryptCertificate(${at('provider.key')}, ${at('cert')}, ${at('key')}, 1, ${nowS - 60}, ${nowS + 86_400}, DNSCryptExchangeVersion.VERSION2)
addDNSCryptBind("127.0.0.1:${port}", "${provider}", ${at('cert')}, ${at('key')})
newServer({address="127.0.0.1:${behindPort}", healthCheckMode="up"})
`
}

/** The public key of its provider, in hexadecimal, once it runs. */
export function dnscryptKey(dir: string): string {
  return readFileSync(join(dir, 'provider.pub')).toString('hex')
}
