import { type Identity, type RealServer, runServer } from './server-process.ts'
import { ZONE_NAME } from './zone.ts'

/** The arguments that run unbound in the foreground with `dir`/unbound.conf. */
export const unboundArgs = (dir: string) => ['-d', '-c', `${dir}/unbound.conf`]

export interface UnboundWish {
  /** Files are in it; unbound does not leave it. */
  readonly dir: string
  /** Where plain DNS is answered on 127.0.0.1. */
  readonly port: number
  /** DoT and DoH with key.pem and cert.pem of `dir`; left out: plain DNS only. */
  readonly encrypted?: { readonly dotPort: number; readonly dohPort: number }
  /** Lines of the `server:` part that only this use needs. */
  readonly server?: readonly string[]
  /** Clauses after it (stub-zone, forward-zone). */
  readonly zones?: string
  /** Validate with these trust anchors; left out: no validation. */
  readonly trustAnchor?: string
}

/**
 * The text of an unbound.conf for one thread on loopback, which may ask servers on loopback. Every
 * test and bench that runs unbound takes its configuration from here.
 */
export function unboundConfig({ dir, port, encrypted, server = [], zones = '', trustAnchor }: UnboundWish): string {
  const tls = ({ dotPort, dohPort }: { readonly dotPort: number; readonly dohPort: number }) => [
    `interface: 127.0.0.1@${dotPort}`,
    `interface: 127.0.0.1@${dohPort}`,
    `tls-port: ${dotPort}`,
    `https-port: ${dohPort}`,
    'http-endpoint: "/dns-query"',
    `tls-service-key: "${dir}/key.pem"`,
    `tls-service-pem: "${dir}/cert.pem"`,
    'pad-responses: yes',
    'pad-responses-block-size: 468',
  ]
  const lines = [
    `directory: "${dir}"`,
    'chroot: ""',
    'username: ""',
    'pidfile: ""',
    'use-syslog: no',
    'logfile: ""',
    `interface: 127.0.0.1@${port}`,
    ...(encrypted === undefined ? [] : tls(encrypted)),
    trustAnchor === undefined ? 'module-config: "iterator"' : `trust-anchor: "${trustAnchor}"`,
    'do-not-query-localhost: no',
    'do-ip6: no',
    'num-threads: 1',
    'incoming-num-tcp: 200',
    ...server,
  ]
  return `server:\n${lines.map((line) => `  ${line}\n`).join('')}remote-control:\n  control-enable: no\n${zones}`
}

/**
 * A `forward-zone:` for every name over plain DNS, or over DoT where `name` is in the certificate.
 */
export function forwardAll(ports: readonly number[], name?: string): string {
  const over = name === undefined ? '' : '  forward-tls-upstream: yes\n'
  const addresses = ports.map((port) => `  forward-addr: 127.0.0.1@${port}${name === undefined ? '' : `#${name}`}\n`)
  return `forward-zone:\n  name: "."\n${over}${addresses.join('')}`
}

/**
 * Unbound, resolving from the authority at `authorityPort`, over plain DNS, DoT and DoH. No
 * validation: the test zone is not signed.
 */
export function startUnbound(identity: Identity, authorityPort: number): Promise<RealServer> {
  const stub = (name: string) => `stub-zone:\n  name: "${name}"\n  stub-addr: 127.0.0.1@${authorityPort}\n  stub-prime: no\n`
  const server = ['verbosity: 0', 'qname-minimisation: no', 'rrset-roundrobin: no', 'minimal-responses: no']
  const zones = [stub('.'), stub(ZONE_NAME), stub('broken.example')].join('')
  return runServer(
    {
      tool: 'unbound',
      doh: true,
      files: ({ dir, dnsPort, dotPort, dohPort }) => ({
        'unbound.conf': unboundConfig({ dir, port: dnsPort, encrypted: { dotPort, dohPort }, server, zones }),
      }),
      args: ({ dir }) => unboundArgs(dir),
    },
    identity,
  )
}
