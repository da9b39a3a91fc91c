import { createRequire } from 'node:module'
import { framed } from '../../src/dns/framing.ts'

/**
 * A DoQ server by the server side of OpenSSL 3.5 (Node 24 and later). It polls every millisecond,
 * which is enough for tests.
 */

type Call = (...args: readonly unknown[]) => unknown
type Pointer = object | bigint | null

interface Koffi {
  load(path: null): { func(declaration: string): Call }
  proto(declaration: string): object
  pointer(type: object): object
  register(fn: Call, type: object): Pointer
  address(pointer: Pointer | Buffer): bigint
  encode(pointer: Pointer, type: string, value: unknown): void
}

const WANT_READ = 2
const ZERO_RETURN = 6
const NO_BLOCK = 1n
const CONCLUDE = 1n
const RAPID_NO_BLOCK = 5n
const ADD_CHAIN_CERTIFICATE = 89

let bound: ReturnType<typeof bind> | undefined

function bind() {
  const koffi = createRequire(import.meta.url)('koffi') as Koffi
  const program = koffi.load(null)
  const func = (declaration: string) => program.func(declaration)
  const proto = koffi.proto('int DoqAlpn(void* ssl, void* out, void* outlen, void* in, unsigned int inlen, void* arg)')
  const select = koffi.register((_ssl, out, outlen, offered) => {
    // The client's list is `\x03doq`: the answer points into it.
    koffi.encode(out as Pointer, 'uint64_t', koffi.address(offered as Pointer) + 1n)
    koffi.encode(outlen as Pointer, 'uint8_t', 3)
    return 0
  }, koffi.pointer(proto))
  return {
    ...{ koffi, select },
    socket: func('int socket(int, int, int)'),
    bindTo: func('int bind(int, void*, int)'),
    name: func('int getsockname(int, void*, void*)'),
    closeFd: func('int close(int)'),
    method: func('void* OSSL_QUIC_server_method()'),
    contextNew: func('void* SSL_CTX_new(void*)'),
    memoryBio: func('void* BIO_new_mem_buf(void*, int)'),
    readCertificate: func('void* PEM_read_bio_X509(void*, void*, void*, void*)'),
    readKey: func('void* PEM_read_bio_PrivateKey(void*, void*, void*, void*)'),
    useCertificate: func('int SSL_CTX_use_certificate(void*, void*)'),
    contextControl: func('long SSL_CTX_ctrl(void*, int, long, void*)'),
    useKey: func('int SSL_CTX_use_PrivateKey(void*, void*)'),
    alpn: func('void SSL_CTX_set_alpn_select_cb(void*, void*, void*)'),
    listener: func('void* SSL_new_listener(void*, uint64_t)'),
    setFd: func('int SSL_set_fd(void*, int)'),
    listen: func('int SSL_listen(void*)'),
    blocking: func('int SSL_set_blocking_mode(void*, int)'),
    handle: func('int SSL_handle_events(void*)'),
    accept: func('void* SSL_accept_connection(void*, uint64_t)'),
    acceptStream: func('void* SSL_accept_stream(void*, uint64_t)'),
    streamMode: func('int SSL_set_default_stream_mode(void*, uint32_t)'),
    incoming: func('int SSL_set_incoming_stream_policy(void*, int, uint64_t)'),
    read: func('int SSL_read_ex(void*, void*, size_t, _Out_ size_t*)'),
    write: func('int SSL_write_ex2(void*, void*, size_t, uint64_t, _Out_ size_t*)'),
    error: func('int SSL_get_error(void*, int)'),
    reset: func('int SSL_stream_reset(void*, void*, size_t)'),
    shutdown: func('int SSL_shutdown_ex(void*, uint64_t, void*, size_t)'),
    closeInfo: func('int SSL_get_conn_close_info(void*, void*, size_t)'),
    free: func('void SSL_free(void*)'),
    clear: func('void ERR_clear_error()'),
  }
}

export interface DoqPeer {
  readonly connection: number
  /** Ends the connection with a code. */
  kill(code?: number): void
}

export interface DoqServerOptions {
  readonly identity: { readonly key: string; readonly cert: string }
  readonly port?: number
  /** A message; `Buffer` of raw octets through `raw`; a number resets the stream with it. */
  readonly answer: (
    query: Uint8Array,
    peer: DoqPeer,
  ) => Uint8Array | { readonly raw: Uint8Array } | number | undefined | Promise<Uint8Array | undefined>
}

export interface DoqServer {
  readonly port: number
  readonly counts: { connections: number; queries: number; resets: number }
  present(identity: { readonly key: string; readonly cert: string }): void
  close(): Promise<void>
}

interface Connection {
  readonly handle: Pointer
  readonly number: number
  readonly streams: Map<Pointer, Buffer>
  over: boolean
}

export function startDoq(options: DoqServerOptions): DoqServer {
  bound ??= bind()
  const o = bound
  const counts = { connections: 0, queries: 0, resets: 0 }
  const contextOf = ({ key, cert }: { readonly key: string; readonly cert: string }) => {
    const context = o.contextNew(o.method()) as Pointer
    const bio = (pem: string) => o.memoryBio(Buffer.from(pem), Buffer.byteLength(pem))
    kept.push(cert, key)
    if (o.useCertificate(context, o.readCertificate(bio(cert), null, null, null)) !== 1) throw new Error('certificate')
    // The certificates above the leaf.
    for (const above of cert
      .split(/(?<=-----END CERTIFICATE-----\n)/)
      .slice(1)
      .filter((pem) => pem.trim() !== ''))
      o.contextControl(context, ADD_CHAIN_CERTIFICATE, 0, o.readCertificate(bio(above), null, null, null))
    if (o.useKey(context, o.readKey(bio(key), null, null, null)) !== 1) throw new Error('key')
    o.alpn(context, o.select, null)
    return context
  }
  const kept: unknown[] = []
  const fd = Number(o.socket(2, 2 | 2048, 0))
  const place = Buffer.alloc(16)
  place.writeUInt16LE(2)
  place.writeUInt16BE(options.port ?? 0, 2)
  place.set([127, 0, 0, 1], 4)
  if (o.bindTo(fd, place, 16) !== 0) throw new Error('the port is in use')
  const length = Buffer.from([16, 0, 0, 0])
  o.name(fd, place, length)
  const port = place.readUInt16BE(2)

  let listener: Pointer = null
  const listenWith = (identity: { readonly key: string; readonly cert: string }) => {
    if (listener !== null) o.free(listener)
    listener = o.listener(contextOf(identity), 0n) as Pointer
    o.setFd(listener, fd)
    o.blocking(listener, 0)
    if (o.listen(listener) !== 1) throw new Error('listen')
  }
  listenWith(options.identity)

  const connections = new Set<Connection>()
  const end = (connection: Connection, code: number) => {
    if (connection.over) return
    connection.over = true
    const how = Buffer.alloc(16)
    how.writeBigUInt64LE(BigInt(code))
    o.shutdown(connection.handle, RAPID_NO_BLOCK, how, 16)
    o.handle(listener)
    for (const stream of connection.streams.keys()) o.free(stream)
    connection.streams.clear()
    o.free(connection.handle)
    connections.delete(connection)
  }
  const serve = (connection: Connection, stream: Pointer, frame: Buffer) => {
    counts.queries++
    const peer = { connection: connection.number, kill: (code = 0) => end(connection, code) }
    Promise.resolve(options.answer(Uint8Array.from(frame.subarray(2)), peer)).then((reply) => {
      if (connection.over || !connection.streams.has(stream) || reply === undefined) return
      if (typeof reply === 'number') {
        const how = Buffer.alloc(8)
        how.writeBigUInt64LE(BigInt(reply))
        o.reset(stream, how, 8)
      } else {
        const octets = 'raw' in reply ? reply.raw : framed(reply)
        o.write(stream, octets, octets.length, CONCLUDE, [0])
      }
      connection.streams.delete(stream)
      o.free(stream)
      o.handle(listener)
      o.clear()
    })
  }
  const work = () => {
    o.handle(listener)
    for (;;) {
      const handle = o.accept(listener, NO_BLOCK) as Pointer
      if (handle === null) break
      o.blocking(handle, 0)
      o.incoming(handle, 1, 0n)
      connections.add({ handle, number: ++counts.connections, streams: new Map(), over: false })
    }
    for (const connection of [...connections]) {
      o.handle(connection.handle)
      if (o.closeInfo(connection.handle, Buffer.alloc(40), 40) === 1) {
        end(connection, 0)
        continue
      }
      for (;;) {
        const stream = o.acceptStream(connection.handle, NO_BLOCK) as Pointer
        if (stream === null) break
        connection.streams.set(stream, Buffer.alloc(0))
      }
      for (const [stream, before] of connection.streams) {
        if (before.length > 1 && before.length === before.readUInt16BE(0) + 2) continue
        const chunk = Buffer.alloc(65_537)
        const got = [0]
        const result = Number(o.read(stream, chunk, chunk.length, got))
        const octets = result === 1 ? Buffer.concat([before, chunk.subarray(0, Number(got[0]))]) : before
        const error = result === 1 ? 0 : Number(o.error(stream, result))
        if (result !== 1 && error !== WANT_READ && error !== ZERO_RETURN) counts.resets++
        connection.streams.set(stream, octets)
        if (octets.length > 1 && octets.length === octets.readUInt16BE(0) + 2) serve(connection, stream, octets)
      }
    }
    o.clear()
  }
  const timer = setInterval(work, 1)
  let closed = false
  return {
    ...{ port, counts },
    present: (identity) => listenWith(identity),
    close: async () => {
      if (closed) return
      closed = true
      clearInterval(timer)
      for (const connection of [...connections]) end(connection, 0)
      o.free(listener)
      o.closeFd(fd)
    },
  }
}
