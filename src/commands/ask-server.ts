import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import type { Clock, Timer } from '../clock.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import { FrameReader, framed } from '../dns/framing.ts'
import { idOf, isReplyTo } from '../dns/message.ts'
import { EnigmError, systemCode } from '../errors.ts'

export interface AskOptions {
  readonly clock: Clock
  readonly timeoutMs: number
  /** If true, TCP is used from the start. */
  readonly tcpOnly: boolean
}

export interface StubReply {
  readonly wire: Uint8Array
  readonly over: 'udp' | 'tcp'
  readonly rttMs: number
}

/**
 * Number of UDP attempts. Loopback loses a datagram only if a buffer is full; the second attempt
 * follows halfway to the timeout.
 */
const TRIES = 2

/** The TC bit, in the third octet of a header. */
const TRUNCATED = 0x02

/**
 * Asks one server in plain DNS, first over UDP, and over TCP if the reply is truncated. Packets go
 * only to `server`: it is an IP literal, and the sockets are connected, so packets of other hosts
 * are not received. A reply with another ID or question is ignored. Rejects with an EnigmError.
 */
export async function askServer(server: SocketAddress, query: Uint8Array, options: AskOptions): Promise<StubReply> {
  const startMs = options.clock.nowMs()
  const since = (wire: Uint8Array, over: 'udp' | 'tcp'): StubReply => ({ wire, over, rttMs: options.clock.nowMs() - startMs })
  if (!options.tcpOnly) {
    const reply = await overUdp(server, query, options)
    if (((reply[2] ?? 0) & TRUNCATED) === 0) return since(reply, 'udp')
  }
  return since(await overTcp(server, query, options), 'tcp')
}

function matches(query: Uint8Array, reply: Uint8Array): boolean {
  return isReplyTo(query, reply) && idOf(query) === idOf(reply)
}

function overUdp(server: SocketAddress, query: Uint8Array, { clock, timeoutMs }: AskOptions): Promise<Uint8Array> {
  const type = isIPv6(server.address) ? 'udp6' : 'udp4'
  const family = type === 'udp6' ? 6 : 4
  // dgram calls `lookup` even for IP literals: this function returns the literal and sends no
  // query.
  const socket = createSocket({ type, lookup: (address, _options, done) => done(null, address, family) })
  let timer: Timer | undefined
  return new Promise<Uint8Array>((resolve, reject) => {
    let left = TRIES
    const send = (): void => {
      if (left-- === 0) {
        reject(silence())
        return
      }
      timer = clock.setTimer(timeoutMs / TRIES, send)
      socket.send(query, (error) => {
        if (error !== null) reject(refusal(error))
      })
    }
    socket.on('error', (error) => reject(refusal(error)))
    socket.on('message', (reply) => matches(query, reply) && resolve(reply))
    // `connect` gets no callback: with one, Node reports the error there and emits no event.
    socket.once('connect', send).connect(server.port, server.address)
  }).finally(() => {
    timer?.cancel()
    socket.close()
  })
}

function overTcp(server: SocketAddress, query: Uint8Array, { clock, timeoutMs }: AskOptions): Promise<Uint8Array> {
  const socket = connect({ host: server.address, port: server.port, noDelay: true })
  let timer: Timer | undefined
  return new Promise<Uint8Array>((resolve, reject) => {
    const reader = new FrameReader()
    timer = clock.setTimer(timeoutMs, () => reject(silence()))
    socket.on('error', (error) => reject(refusal(error)))
    socket.on('close', () => reject(new EnigmError('connection-lost', 'The server closed the connection without a reply.')))
    socket.on('data', (chunk) => {
      const sound = reader.push(chunk, (frame) => matches(query, frame) && resolve(new Uint8Array(frame)))
      if (!sound) reject(new EnigmError('reply-malformed', 'The server sent an invalid DNS message.'))
    })
    socket.write(framed(query))
  }).finally(() => {
    timer?.cancel()
    socket.destroy()
  })
}

/** Whether the system said that nothing listens there. */
export function nobodyListens({ cause }: EnigmError): boolean {
  return systemCode(cause) === 'ECONNREFUSED'
}

function silence(): EnigmError {
  return new EnigmError('deadline', 'No reply arrived in time.')
}

function refusal(cause: Error): EnigmError {
  const refused = 'code' in cause && cause.code === 'ECONNREFUSED'
  return refused
    ? new EnigmError('connect-refused', 'Nothing listens there. Is enigm-dns running?', { cause })
    : new EnigmError('connect-failed', `It cannot be reached (${'code' in cause ? String(cause.code) : 'unknown'}).`, { cause })
}
