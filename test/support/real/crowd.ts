import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, isIPv6, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { createAuthority } from '../../../src/demo/authority.ts'
import { FrameReader, framed } from '../../../src/dns/framing.ts'
import { startDoh } from '../doh-server.ts'
import { startDot } from '../dot-server.ts'
import { query } from '../messages.ts'
import { addressRecord, replyTo } from '../replies.ts'
import { identityOf, RESOLVER_NAME, startDaemon } from './daemon.ts'

/** So that the attacker's questions have filled what they can before the victim comes. */
export const FILL_MS = 2500
const QUESTIONS = 20

/** A daemon and its resolver. */
export interface Stage {
  readonly port: number
  /** What the status says of the cache. */
  readonly counts: () => { readonly overloaded: number; readonly limited: number }
  /** Names that were asked upstream. */
  readonly asked: () => number
}

/** A daemon whose resolver answers what begins with "good", and nothing else. */
export async function stage(t: Test, o: { config?: object; listen?: string; over?: 'dot' | 'doh'; streams?: number } = {}): Promise<Stage> {
  const authority = await createAuthority()
  const identity = await identityOf(authority)
  let asked = 0
  const answer = (message: Uint8Array) => {
    asked++
    return Buffer.from(message.subarray(13, 17)).toString() === 'good' ? replyTo(message, [addressRecord()]) : undefined
  }
  const over = o.over ?? 'dot'
  const settings = { maxConcurrentStreams: o.streams ?? 1000 }
  const server = over === 'dot' ? await startDot({ identity, answer }) : await startDoh({ identity, answer, http2: { settings } })
  t.teardown(() => server.close())
  const transports = { [over]: { port: server.port } }
  const resolver = { id: 'loop', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], transports, caFile: 'ca.pem' }
  const config = { heartbeatS: 1, allowFrom: ['127.0.0.0/8', 'fd00::/16', '10.9.0.0/16'], ...o.config }
  const daemon = await startDaemon({ resolvers: [resolver], ca: authority.certificate, config, ...(o.listen && { listen: o.listen }) })
  t.teardown(() => daemon.stop())
  return {
    port: daemon.port,
    counts: () => (daemon.status() as unknown as { cache: { overloaded: number; limited: number } }).cache,
    asked: () => asked,
  }
}

/**
 * Asks ever new names that nobody answers, `perSecond`, from `ports` ports of each of `addresses`,
 * until the test ends.
 */
export async function floodUdp(t: Test, to: { port: number; address: string }, from: readonly string[], perSecond: number, ports = 1) {
  const sockets: UdpSocket[] = []
  for (const address of from) {
    for (let i = 0; i < ports; i++) {
      const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
      socket.bind(0, address)
      await once(socket, 'listening')
      socket.on('error', () => {})
      sockets.push(socket)
    }
  }
  let sent = 0
  const beganMs = performance.now()
  const timer = setInterval(() => {
    for (const due = ((performance.now() - beganMs) / 1000) * perSecond; sent < due; sent++)
      sockets[sent % sockets.length]?.send(query({ name: `lost${sent}.example`, id: sent & 0xffff }), to.port, to.address)
  }, 5)
  t.teardown(() => {
    clearInterval(timer)
    for (const socket of sockets) socket.close()
  })
}

/**
 * `connections` over TCP from one address, each with `each` names that nobody answers at once, then
 * `perSecond` more over all of them.
 */
export async function floodTcp(t: Test, port: number, from: string, connections: number, each: number, perSecond: number) {
  const sockets = Array.from({ length: connections }, () => connect({ port, host: '127.0.0.1', localAddress: from }))
  let sent = 0
  const ask = (socket: Socket | undefined) => {
    if (socket?.writable === true) socket.write(framed(query({ name: `lost${from}-${sent}.example` })))
    sent++
  }
  for (const socket of sockets) {
    socket.on('error', () => {})
    socket.resume()
    socket.once('connect', () => {
      for (let i = 0; i < each; i++) ask(socket)
    })
  }
  const timer = setInterval(() => {
    for (let i = 0; i < perSecond / 100; i++) ask(sockets[sent % connections])
  }, 10)
  t.teardown(() => clearInterval(timer))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  await sleep(100)
}

/** Somebody else who is answered all the time, so that the path is seen to live. */
export async function others(t: Test, to: { port: number; address: string }, from: string) {
  const socket = createSocket(isIPv6(from) ? 'udp6' : 'udp4')
  socket.bind(0, from)
  await once(socket, 'listening')
  let sent = 0
  const timer = setInterval(() => socket.send(query({ name: `good-too${sent++}.example` }), to.port, to.address), 100)
  t.teardown(() => {
    clearInterval(timer)
    socket.close()
  })
}

/** RCODE and time of each of its questions, one after the other. */
export type Met = readonly { readonly rcode: number | undefined; readonly tookMs: number }[]

const rcodeOf = (reply: Uint8Array | undefined) => (reply === undefined ? undefined : (reply[3] ?? 0) & 15)

/** One question after the other over UDP. */
export async function askUdp(to: { port: number; address: string }, from: string, questions = QUESTIONS): Promise<Met> {
  const socket = createSocket(isIPv6(from) ? 'udp6' : 'udp4')
  socket.bind(0, from)
  await once(socket, 'listening')
  const met: { rcode: number | undefined; tookMs: number }[] = []
  for (let i = 0; i < questions; i++) {
    const beganMs = performance.now()
    const reply = once(socket, 'message', { signal: AbortSignal.timeout(4000) }).then(
      ([message]) => message as Buffer,
      () => undefined,
    )
    socket.send(query({ name: `good${i}.example`, id: i }), to.port, to.address)
    met.push({ rcode: rcodeOf(await reply), tookMs: performance.now() - beganMs })
    await sleep(50)
  }
  socket.close()
  return met
}

/** One question after the other, over a new TCP connection each. */
export async function askTcp(port: number, from: string, questions = QUESTIONS, host = '127.0.0.1'): Promise<Met> {
  const met: { rcode: number | undefined; tookMs: number }[] = []
  for (let i = 0; i < questions; i++) {
    const beganMs = performance.now()
    const reply = await new Promise<Uint8Array | undefined>((resolve) => {
      const socket = connect({ port, host, localAddress: from }, () => socket.write(framed(query({ name: `good${i}.example` }))))
      const done = (reply?: Uint8Array) => {
        clearTimeout(late)
        socket.destroy()
        resolve(reply)
      }
      const late = setTimeout(done, 4000)
      const reader = new FrameReader()
      socket.on('data', (chunk) => void reader.push(chunk, (frame) => done(frame.slice())))
      socket.on('error', () => done())
      socket.on('close', () => done())
    })
    met.push({ rcode: rcodeOf(reply), tookMs: performance.now() - beganMs })
    await sleep(50)
  }
  return met
}

/** Every question was answered, and nine of ten within a second: one may wait for the processor. */
export function unharmed(t: Test, met: Met) {
  const slow = met.filter(({ tookMs }) => tookMs > 1000).length
  const well = met.filter(({ rcode }) => rcode === 0).length
  t.equal(well, met.length, `every question was answered; RCODEs ${JSON.stringify(met.map(({ rcode }) => rcode))}`)
  t.ok(
    slow <= Math.ceil(met.length / 10),
    `within a second; the slowest took ${Math.max(...met.map(({ tookMs }) => tookMs)).toFixed(0)} ms`,
  )
}
