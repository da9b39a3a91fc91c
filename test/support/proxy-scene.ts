import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { readOpt } from '../../src/dns/edns.ts'
import { startDoh } from './doh-server.ts'
import { startDot } from './dot-server.ts'
import { query } from './messages.ts'
import { type DaemonSpec, identityOf, RESOLVER_NAME, startDaemon } from './real/daemon.ts'
import { rcodeOf, udpClient } from './real/dns-client.ts'
import { addressRecord, replyTo } from './replies.ts'

const authority = await createAuthority()
/** Of the resolver, and of proxies with TLS. */
export const identity = await identityOf(authority)
/** The address of the resolver, to which no other test sends: each process has one of its own. */
export const RESOLVER = `127.9.${(process.pid >> 8) & 255}.${process.pid & 255 || 1}`

/** A resolver that offers both transports, as two entries of a trusted set. */
export async function farResolver(t: Test) {
  const answer = (q: Uint8Array) => replyTo(q, [addressRecord()])
  const dot = await startDot({ identity, answer, host: RESOLVER })
  const doh = await startDoh({ identity, answer, host: RESOLVER })
  t.teardown(() => Promise.all([dot.close(), doh.close()]))
  const entry = (over: 'dot' | 'doh', more: object = {}) => ({
    id: over,
    operator: `operator of ${over}`,
    authenticationDomainName: RESOLVER_NAME,
    addresses: [RESOLVER],
    transports: over === 'dot' ? { dot: { port: dot.port } } : { doh: { port: doh.port } },
    caFile: 'ca.pem',
    ...more,
  })
  return { dot, doh, entry }
}

/** A daemon with the CA of the resolver, and a client that asks it for a new name each time. */
export async function daemonWith(t: Test, spec: DaemonSpec) {
  const daemon = await startDaemon({ ca: authority.certificate, ...spec })
  const client = await udpClient(daemon.port)
  t.teardown(() => {
    client.close()
    return daemon.stop()
  })
  let asked = 0
  const ask = async () => {
    const reply = await client.ask(query({ name: `n${asked++}.example`, opt: {} }))
    return { rcode: rcodeOf(reply), ede: readOpt(reply)?.ede }
  }
  return { daemon, ask }
}
/** The address of a proxy on loopback, for the configuration. */
export const at = ({ port }: { readonly port: number }) => `127.0.0.1:${port}`

/** Whether `what` comes true within `ms`. */
export async function until(what: () => boolean | Promise<boolean>, ms = 5000): Promise<boolean> {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(20)) if (await what()) return true
  return false
}
