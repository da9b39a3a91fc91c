import { execFile } from 'node:child_process'
import { createSocket, type RemoteInfo } from 'node:dgram'
import { once } from 'node:events'
import { connect, isIPv6, type Socket } from 'node:net'
import { FrameReader, framed } from '../../src/dns/framing.ts'

export interface Datagram {
  readonly wire: Buffer
  readonly from: RemoteInfo
}

/** A UDP client that keeps every reply and where it came from. */
export class UdpClient {
  readonly replies: Datagram[] = []
  readonly #address: string
  readonly #socket

  constructor(address: string) {
    this.#address = address
    this.#socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
    this.#socket.on('message', (wire, from) => this.replies.push({ wire, from }))
    this.#socket.on('error', () => {})
  }

  send(packet: Uint8Array, port: number, address = this.#address): void {
    this.#socket.send(packet, port, address)
  }

  /** The next reply; fails after 2 s. */
  async ask(packet: Uint8Array, port: number, address = this.#address): Promise<Datagram> {
    const next = once(this.#socket, 'message', { signal: AbortSignal.timeout(2_000) })
    this.send(packet, port, address)
    const [wire, from] = (await next) as [Buffer, RemoteInfo]
    return { wire, from }
  }

  close(): void {
    this.#socket.close()
  }
}

/** A TCP client that cuts what it reads into messages. */
export class TcpClient {
  readonly replies: Buffer[] = []
  readonly socket: Socket
  ended = false
  closed = false

  private constructor(socket: Socket) {
    this.socket = socket
    const reader = new FrameReader()
    socket.on('data', (chunk) => void reader.push(chunk as Buffer, (frame) => this.replies.push(Buffer.from(frame))))
    socket.on('error', () => {})
    socket.on('end', () => {
      this.ended = true
    })
    socket.on('close', () => {
      this.closed = true
    })
  }

  static async open(port: number, host = '127.0.0.1', localAddress?: string): Promise<TcpClient> {
    const socket = connect({ port, host, allowHalfOpen: true, ...(localAddress === undefined ? {} : { localAddress }) })
    const client = new TcpClient(socket)
    await once(socket, 'connect')
    return client
  }

  send(...messages: Uint8Array[]): void {
    this.socket.write(Buffer.concat(messages.map(framed)))
  }
}

/** Runs a program; its standard output and error, and how it ended. Never rejects. */
export function run(program: string, ...args: string[]): Promise<{ readonly code: number; readonly out: string }> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: 8_000, maxBuffer: 8 << 20 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, out: stdout + stderr })
    })
  })
}

/** Whether a program is installed: tests with foreign clients are skipped where it is not. */
export async function missing(program: string): Promise<string | false> {
  return (await run('sh', '-c', `command -v ${program}`)).code === 0 ? false : `${program} is not installed`
}
