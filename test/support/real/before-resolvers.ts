import type { Test } from 'tap'
import { createAuthority } from '../../../src/demo/authority.ts'
import { startDoh, startDohH1 } from '../doh-server.ts'
import { startDot } from '../dot-server.ts'
import { identityOf, RESOLVER_NAME, startDaemon } from './daemon.ts'
import { tcpClient, udpClient } from './dns-client.ts'

const authority = await createAuthority()
const identity = await identityOf(authority)

export type Answer = (query: Uint8Array) => Uint8Array | undefined
const STARTS = {
  dot: (answer: Answer) => startDot({ identity, answer }),
  h2: (answer: Answer) => startDoh({ identity, answer }),
  h1: (answer: Answer) => startDohH1({ identity, answer }),
}
export type Protocol = keyof typeof STARTS
export const PROTOCOLS = Object.keys(STARTS) as readonly Protocol[]

/**
 * The built program in front of one resolver for each of `answers`, and clients for both of its
 * transports.
 */
export async function beforeResolvers(
  t: Test,
  protocol: Protocol,
  answers: readonly Answer[],
  config: Readonly<Record<string, unknown>> = {},
) {
  const servers = await Promise.all(answers.map((answer) => STARTS[protocol](answer)))
  const transports = (port: number) => (protocol === 'dot' ? { dot: { port } } : { doh: { port, path: '/dns-query' } })
  const resolvers = servers.map(({ port }, i) => ({
    id: `r${i}`,
    authenticationDomainName: RESOLVER_NAME,
    addresses: ['127.0.0.1'],
    transports: transports(port),
    caFile: 'ca.pem',
  }))
  const daemon = await startDaemon({ resolvers, ca: authority.certificate, config })
  const [udp, tcp] = await Promise.all([udpClient(daemon.port), tcpClient(daemon.port)])
  t.teardown(async () => {
    udp.close()
    tcp.close()
    await daemon.stop()
    await Promise.all(servers.map((server) => server.close()))
  })
  return { daemon, udp, tcp }
}
