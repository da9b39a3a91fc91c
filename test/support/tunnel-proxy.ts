import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'

/** A proxy on loopback for tests of routes: SOCKS5 without credentials, or HTTP CONNECT. */
export interface TunnelProxy {
  readonly port: number
  /** Who asked for which next hop. */
  readonly log: readonly { readonly from: string; readonly to: string }[]
  close(): Promise<void>
}

/**
 * Starts one. With `identity`, the connection to it is TLS. `places` says where a name or an address
 * of the next hop is; others are dialled as they are.
 */
export async function startTunnelProxy(
  kind: 'socks5' | 'http-connect',
  o: { readonly identity?: { readonly key: string; readonly cert: string }; readonly places?: Readonly<Record<string, number>> } = {},
): Promise<TunnelProxy> {
  const log: { from: string; to: string }[] = []
  const sockets = new Set<Socket>()
  const follow = (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket))
  }
  const open = (client: Socket, host: string, port: number, granted: string | Uint8Array) => {
    log.push({ from: client.remoteAddress ?? '', to: `${host}:${port}` })
    const placed = o.places?.[`${host}:${port}`]
    const far = connect(placed ?? port, placed === undefined ? host : '127.0.0.1')
    follow(far)
    far.once('connect', () => {
      client.write(granted)
      client.pipe(far).pipe(client)
    })
    far.on('close', () => client.destroy())
    client.on('close', () => far.destroy())
  }
  const serve = (client: Socket) => {
    follow(client)
    void (kind === 'socks5' ? socks(client, open) : httpConnect(client, open)).catch(() => client.destroy())
  }
  const server = o.identity === undefined ? createServer(serve) : createTlsServer(o.identity, serve)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    log,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((done) => server.close(done))
    },
  }
}

type Open = (client: Socket, host: string, port: number, granted: string | Uint8Array) => void

/** The next octets that come; clients of tests write each message at once. */
async function message(client: Socket): Promise<Buffer> {
  for (;;) {
    const chunk: Buffer | null = client.read()
    if (chunk !== null) return chunk
    await once(client, 'readable')
  }
}

async function socks(client: Socket, open: Open): Promise<void> {
  await message(client)
  client.write(Uint8Array.of(5, 0))
  const request = await message(client)
  const octets = request[3] === 1 ? 4 : request[3] === 4 ? 16 : (request[4] ?? 0) + 1
  const address = request.subarray(4, 4 + octets)
  const host = request[3] === 1 ? address.join('.') : request[3] === 3 ? address.subarray(1).toString() : '::1'
  open(client, host, request.readUInt16BE(4 + octets), Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0))
}

async function httpConnect(client: Socket, open: Open): Promise<void> {
  const [, host = '', port = ''] = /^CONNECT \[?([^\s\]]+?)\]?:(\d+) HTTP/.exec((await message(client)).toString()) ?? []
  open(client, host, Number(port), 'HTTP/1.1 200 OK\r\n\r\n')
}
