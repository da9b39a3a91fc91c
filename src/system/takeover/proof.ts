import { existsSync } from 'node:fs'
import { createConnection } from 'node:net'
import type { Clock } from '../../clock.ts'
import { encodeQuestion, presentMessage } from '../../dns/presentation.ts'
import { isRecord } from '../../files/json.ts'
import { textOf } from '../../files/reading.ts'
import { nameserversIn } from '../system-resolver.ts'
import type { TakeoverHost } from './backend.ts'

/** A name that was looked up must arrive at our listener within this time. */
const WAY_MS = 2500
const DIRECT_MS = 2000
const UPSTREAM_MS = 6000
const PAUSE_MS = 100
const STATUS_MS = 3000
const RESOLVED_SOCKET = '/run/systemd/resolve/io.systemd.Resolve'

/** A new name that nobody has queried. The service counts its queries. */
interface Nonce {
  readonly token: string
  readonly name: string
}

/** Makes a new name and announces it to the service. Undefined: no service accepts the order. */
async function awaitedName(host: TakeoverHost): Promise<Nonce | undefined> {
  const token = Buffer.from(host.random.bytes(16)).toString('hex')
  const reply = await host.order(`await ${token}`)
  return isRecord(reply) && typeof reply.name === 'string' ? { token, name: reply.name } : undefined
}

/** How many queries for the name arrived at the service, by transport. */
async function arrivals(host: TakeoverHost, { token }: Nonce): Promise<{ readonly udp: number; readonly tcp: number }> {
  const reply = await host.order(`arrived ${token}`)
  if (!isRecord(reply)) return { udp: 0, tcp: 0 }
  return { udp: Number(reply.udp) || 0, tcp: Number(reply.tcp) || 0 }
}

/** The result of a proof. `told`: whether the service could report which names arrived. */
export interface Proof {
  readonly told: boolean
  /** A sentence for each path that does not lead to this service. */
  readonly faults: readonly string[]
}

const UNTOLD: Proof = { told: false, faults: ['The service does not say what arrives: no control socket answers this user.'] }

/**
 * Proves that the lookups of programs arrive at the service. It looks up a new name over each path:
 * with getaddrinfo, over the socket of systemd-resolved if it runs, and at every server in
 * resolv.conf, over UDP and TCP. A server on another host is a fault and is not asked. Never
 * rejects.
 */
export async function provePaths(host: TakeoverHost): Promise<Proof> {
  const ways: Promise<string | undefined | 'untold'>[] = [byGetaddrinfo(host), byResolved(host), ...byResolvConf(host)]
  const found = await Promise.all(ways)
  if (found.includes('untold')) return UNTOLD
  return { told: true, faults: found.filter((fault) => fault !== undefined) }
}

/**
 * Whether any path of `provePaths` leads to this service. True also if the service cannot report
 * which names arrived. Never rejects.
 */
export async function leadsHere(host: TakeoverHost): Promise<boolean> {
  const resolved = existsSync(RESOLVED_SOCKET) ? [byResolved(host)] : []
  const found = await Promise.all([byGetaddrinfo(host), ...resolved, ...byResolvConf(host)])
  return found.some((fault) => fault === undefined || fault === 'untold')
}

/**
 * Repeats `provePaths` until there is no fault or `limitMs` is over. Owners write their files some
 * time after they report success.
 */
export async function proveWithin(host: TakeoverHost, limitMs: number, more: () => Promise<readonly string[]>): Promise<Proof> {
  const endMs = host.clock.nowMs() + limitMs
  for (;;) {
    const objections = await more()
    const proof = objections.length > 0 ? { told: true, faults: objections } : await provePaths(host)
    if (!proof.told || proof.faults.length === 0 || host.clock.nowMs() >= endMs) return proof
    await pause(host.clock, PAUSE_MS)
  }
}

async function byGetaddrinfo(host: TakeoverHost): Promise<string | undefined | 'untold'> {
  const nonce = await awaitedName(host)
  if (nonce === undefined) return 'untold'
  await Promise.race([host.lookup(nonce.name), pause(host.clock, WAY_MS)])
  const { udp, tcp } = await arrivals(host, nonce)
  return udp + tcp > 0 ? undefined : 'A name that was asked with getaddrinfo did not arrive at this service.'
}

async function byResolved(host: TakeoverHost): Promise<string | undefined | 'untold'> {
  if (!existsSync(RESOLVED_SOCKET)) return undefined
  const nonce = await awaitedName(host)
  if (nonce === undefined) return 'untold'
  if (!(await askResolved(host.clock, nonce.name))) return undefined
  const { udp, tcp } = await arrivals(host, nonce)
  return udp + tcp > 0 ? undefined : 'A name that was asked of systemd-resolved did not arrive at this service.'
}

function byResolvConf(host: TakeoverHost): readonly Promise<string | undefined | 'untold'>[] {
  const servers = nameserversIn(textOf('/etc/resolv.conf'))
  if (servers.length === 0) return [Promise.resolve('/etc/resolv.conf names no server.')]
  return servers.flatMap((address) => {
    if (!address.startsWith('127.') && address !== '::1')
      return [Promise.resolve(`/etc/resolv.conf names ${address}, which is not of this host.`)]
    return (['udp', 'tcp'] as const).map(async (over) => {
      const nonce = await awaitedName(host)
      if (nonce === undefined) return 'untold'
      const query = encodeQuestion(nonce.name, 'A', host.random.below(65_536))
      await host.ask({ address, port: 53 }, query, over, DIRECT_MS).catch(() => {})
      const { udp, tcp } = await arrivals(host, nonce)
      return udp + tcp > 0 ? undefined : `${address} in /etc/resolv.conf does not lead to this service (${over.toUpperCase()}).`
    })
  })
}

/**
 * Checks before the change that the service answers a new name over UDP and TCP, with an answer of
 * an authenticated resolver. Returns a sentence that says why not. Undefined: it does. The name is
 * below example.com (RFC 2606), so it reveals nothing to the resolver.
 */
export async function upstreamFault(host: TakeoverHost, address: string): Promise<string | undefined> {
  const endMs = host.clock.nowMs() + UPSTREAM_MS
  let fault: string | undefined
  do {
    const found = await Promise.all((['udp', 'tcp'] as const).map((over) => fromUpstream(host, address, over)))
    fault = found.find((one) => one !== undefined)
    if (fault === undefined) break
    await pause(host.clock, PAUSE_MS)
  } while (host.clock.nowMs() < endMs)
  if (fault !== undefined) return fault
  return host.authenticated() === false ? 'The answering resolvers do not prove their identity (usageProfile "opportunistic").' : undefined
}

async function fromUpstream(host: TakeoverHost, address: string, over: 'udp' | 'tcp'): Promise<string | undefined> {
  const label = Buffer.from(host.random.bytes(8)).toString('hex')
  const query = encodeQuestion(`${label}.example.com`, 'A', host.random.below(65_536))
  const reply = await host.ask({ address, port: 53 }, query, over, DIRECT_MS).catch(() => undefined)
  if (reply === undefined) return `The service does not answer at ${address}:53 over ${over.toUpperCase()}.`
  const source = presentMessage(reply)?.source
  if (source?.includes('/') === true) return undefined
  return 'The service has no answer from a trusted resolver: there may be no network, or none of them can be reached.'
}

/** Whether anything answers at an address. The name is below example.com, as above. */
export async function answers(host: TakeoverHost, address: string): Promise<boolean> {
  const query = encodeQuestion(`${Buffer.from(host.random.bytes(8)).toString('hex')}.example.com`, 'A', host.random.below(65_536))
  return host.ask({ address, port: 53 }, query, 'udp', DIRECT_MS).then(
    () => true,
    () => false,
  )
}

/**
 * Asks systemd-resolved one question over its varlink interface, as nss-resolve does. Resolves to
 * whether any answer came before the limit.
 */
function askResolved(clock: Clock, name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(RESOLVED_SOCKET)
    const late = clock.setTimer(WAY_MS, () => end(true))
    const end = (asked: boolean) => {
      late.cancel()
      socket.destroy()
      resolve(asked)
    }
    const parameters = { name: name.replace(/\.$/, ''), family: 2, flags: 0 }
    socket.on('error', () => end(false))
    socket.on('data', () => end(true))
    socket.on('connect', () => socket.write(`${JSON.stringify({ method: 'io.systemd.Resolve.ResolveHostname', parameters })}\0`))
  })
}

/**
 * Makes the service look at the system's DNS now, and waits at most 3 s until its status shows the
 * result. It looks at intervals: until then its status would show the state before a change.
 */
export async function updateStatus(host: TakeoverHost): Promise<void> {
  await Promise.race([host.order('watch'), pause(host.clock, STATUS_MS)])
}

/** Resolves after `ms`. The timer does not keep the process alive. */
export function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.setTimer(ms, resolve))
}
