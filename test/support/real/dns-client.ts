import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { FrameReader, framed } from '../../../src/dns/framing.ts'
import { RecordCursor } from '../../../src/dns/records.ts'

/**
 * Asks one server over one UDP socket or one TCP connection, any number of questions at a time,
 * told apart by ID.
 */
export interface DnsClient {
  /** The reply to `message`, whose ID is replaced. Rejects after `timeoutMs`. */
  ask(message: Uint8Array, timeoutMs?: number): Promise<Uint8Array>
  close(): void
}

interface Waiter {
  readonly done: (reply: Uint8Array) => void
}

/** A client over UDP; `from`: its own address. */
export async function udpClient(port: number, address = '127.0.0.1', from = '127.0.0.1'): Promise<DnsClient> {
  const socket: UdpSocket = createSocket({ type: 'udp4', recvBufferSize: 4_000_000 })
  socket.bind(0, from)
  await once(socket, 'listening')
  socket.connect(port, address)
  await once(socket, 'connect')
  const { ask, settle } = waiters((message) => socket.send(message))
  socket.on('message', settle)
  socket.on('error', () => {}) // a refused port is a timeout to the one who asks
  return { ask, close: () => socket.close() }
}

/** A client over TCP. */
export async function tcpClient(port: number): Promise<DnsClient> {
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const reader = new FrameReader()
  const { ask, settle } = waiters((message) => socket.write(framed(message)))
  socket.on('data', (chunk) => reader.push(chunk, (frame) => settle(Uint8Array.from(frame))))
  socket.on('error', () => {})
  return { ask, close: () => socket.destroy() }
}

function waiters(send: (message: Uint8Array) => void) {
  const waiting = new Map<number, Waiter>()
  let nextId = 1
  return {
    settle(reply: Uint8Array) {
      const id = ((reply[0] ?? 0) << 8) | (reply[1] ?? 0)
      waiting.get(id)?.done(reply)
      waiting.delete(id)
    },
    ask(message: Uint8Array, timeoutMs = 6000): Promise<Uint8Array> {
      const id = nextId
      nextId = (nextId % 65535) + 1
      const copy = Uint8Array.from(message)
      copy[0] = id >> 8
      copy[1] = id & 255
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(id)
          reject(new Error(`no reply within ${timeoutMs} ms`))
        }, timeoutMs)
        waiting.set(id, {
          done(reply) {
            clearTimeout(timer)
            resolve(reply)
          },
        })
        send(copy)
      })
    },
  }
}

export const rcodeOf = (reply: Uint8Array) => (reply[3] ?? 0) & 15
export const isTruncated = (reply: Uint8Array) => ((reply[2] ?? 0) & 2) !== 0

/**
 * A reply without what may differ between an upstream and the stub before it: ID, AA, RA, TTLs, the
 * OPT, the case of the question. Everything else is compared octet by octet, names still compressed
 * as the upstream compressed them.
 */
export function comparable(reply: Uint8Array): string {
  const copy = Uint8Array.from(reply)
  copy[0] = 0
  copy[1] = 0
  copy[2] = (copy[2] ?? 0) & ~0x04
  copy[3] = (copy[3] ?? 0) | 0x80
  const cursor = new RecordCursor(copy)
  let end = copy.length
  while (cursor.next()) {
    if (cursor.type === 41) {
      end = cursor.recordAt
      copy[11] = (copy[11] ?? 1) - 1
    } else copy.fill(0, cursor.ttlAt, cursor.ttlAt + 4)
  }
  if (cursor.malformed) return 'malformed'
  lowerQuestion(copy)
  return Buffer.from(copy.subarray(0, end)).toString('hex')
}

function lowerQuestion(message: Uint8Array): void {
  for (let at = 12; (message[at] ?? 0) !== 0; at += (message[at] ?? 0) + 1) {
    for (let i = at + 1; i <= at + (message[at] ?? 0); i++) {
      const octet = message[i] ?? 0
      if (octet >= 0x41 && octet <= 0x5a) message[i] = octet + 32
    }
  }
}
