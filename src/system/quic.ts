import { isIPv6 } from 'node:net'
import type { Quic, QuicConnection, QuicEnd, QuicOptions, QuicSession, QuicStream } from '../quic.ts'
import { type Koffi, withKoffi } from './koffi.ts'

/** A C pointer in the form of koffi. null: the null pointer. */
type Pointer = object | bigint | null

/* Constants of OpenSSL 3.5 (ssl.h, bio.h, quic.h). */
const AF_INET = 2
const AF_INET6 = 10
const VERIFY_PEER = 1
const VERIFY_NONE = 0
const CTRL_SET_SERVER_NAME = 55
const CTRL_SET_GROUPS_LIST = 92
const CTRL_SET_SIGALGS_LIST = 98
const BIO_CTRL_DGRAM_SET_CAPS = 87
const BIO_CAP_HANDLES_DST_ADDR = 2
const ERROR_WANT_READ = 2
const ERROR_WANT_WRITE = 3
const ERROR_ZERO_RETURN = 6
const STREAM_MODE_NONE = 0
const WRITE_CONCLUDE = 1n
const SHUTDOWN_RAPID_NO_BLOCK = 5n
const STREAM_STATE_RESET_REMOTE = 5
const CLOSE_FLAG_LOCAL = 1

const SUITES = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256'
const ALPN = Buffer.from('\x03doq')
const MAX_DATAGRAM_OCTETS = 65_536
const CHUNK_OCTETS = 16_384
/** The buffer for all reads from streams. Its content is copied before the next read. */
const CHUNK = Buffer.alloc(CHUNK_OCTETS)
const MAX_CERTIFICATE_OCTETS = 65_536
/** Longer chains are not built. */
const MAX_CHAIN = 10

/** The functions of OpenSSL that Node's own binary exports. */
function bind({ call }: Koffi) {
  return {
    method: call('void* OSSL_QUIC_client_method()'),
    contextNew: call('void* SSL_CTX_new(void*)'),
    contextFree: call('void SSL_CTX_free(void*)'),
    setVerify: call('void SSL_CTX_set_verify(void*, int, void*)'),
    setSuites: call('int SSL_CTX_set_ciphersuites(void*, str)'),
    contextControl: call('long SSL_CTX_ctrl(void*, int, long, str)'),
    storeNew: call('void* X509_STORE_new()'),
    storeFree: call('void X509_STORE_free(void*)'),
    setStore: call('void SSL_CTX_set1_cert_store(void*, void*)'),
    storeAdd: call('int X509_STORE_add_cert(void*, void*)'),
    memoryBio: call('void* BIO_new_mem_buf(void*, int)'),
    memory: call('void* BIO_s_mem()'),
    bioNew: call('void* BIO_new(void*)'),
    readPem: call('void* PEM_read_bio_X509(void*, void*, void*, void*)'),
    writeDer: call('int i2d_X509_bio(void*, void*)'),
    certificateFree: call('void X509_free(void*)'),
    bioFree: call('int BIO_free(void*)'),
    clearErrors: call('void ERR_clear_error()'),
    sslNew: call('void* SSL_new(void*)'),
    sslFree: call('void SSL_free(void*)'),
    control: call('long SSL_ctrl(void*, int, long, str)'),
    alpn: call('int SSL_set_alpn_protos(void*, void*, uint32_t)'),
    blocking: call('int SSL_set_blocking_mode(void*, int)'),
    peer: call('int SSL_set1_initial_peer_addr(void*, void*)'),
    addressNew: call('void* BIO_ADDR_new()'),
    addressMake: call('int BIO_ADDR_rawmake(void*, int, void*, size_t, uint16_t)'),
    addressFree: call('void BIO_ADDR_free(void*)'),
    pair: call('int BIO_new_bio_dgram_pair(_Out_ void**, size_t, _Out_ void**, size_t)'),
    setBio: call('void SSL_set_bio(void*, void*, void*)'),
    bioControl: call('long BIO_ctrl(void*, int, long, void*)'),
    bioRead: call('int BIO_read(void*, void*, int)'),
    bioWrite: call('int BIO_write(void*, void*, int)'),
    connect: call('int SSL_connect(void*)'),
    error: call('int SSL_get_error(void*, int)'),
    handle: call('int SSL_handle_events(void*)'),
    timeout: call('int SSL_get_event_timeout(void*, void*, _Out_ int*)'),
    streamMode: call('int SSL_set_default_stream_mode(void*, uint32_t)'),
    newStream: call('void* SSL_new_stream(void*, uint64_t)'),
    write: call('int SSL_write_ex2(void*, void*, size_t, uint64_t, _Out_ size_t*)'),
    read: call('int SSL_read_ex(void*, void*, size_t, _Out_ size_t*)'),
    readState: call('int SSL_get_stream_read_state(void*)'),
    readCode: call('int SSL_get_stream_read_error_code(void*, _Out_ uint64_t*)'),
    reset: call('int SSL_stream_reset(void*, void*, size_t)'),
    shutdown: call('int SSL_shutdown_ex(void*, uint64_t, void*, size_t)'),
    closeInfo: call('int SSL_get_conn_close_info(void*, void*, size_t)'),
    verifyResult: call('long SSL_get_verify_result(void*)'),
    certificate: call('void* SSL_get1_peer_certificate(void*)'),
    verifiedChain: call('void* SSL_get0_verified_chain(void*)'),
    stackSize: call('int OPENSSL_sk_num(void*)'),
    stackItem: call('void* OPENSSL_sk_value(void*, int)'),
    cipher: call('void* SSL_get_current_cipher(void*)'),
    cipherName: call('str SSL_CIPHER_get_name(void*)'),
    group: call('str SSL_get0_group_name(void*)'),
  }
}

type OpenSsl = ReturnType<typeof bind>

let loaded: { readonly quic: Quic | undefined } | undefined

/** QUIC with Node's own OpenSSL. Undefined: that OpenSSL has no QUIC, or koffi is not installed. */
export function nativeQuic(): Quic | undefined {
  loaded ??= { quic: withKoffi((koffi) => new OpenSslQuic(bind(koffi))) }
  return loaded.quic
}

/**
 * Roots are kept, because reading them is as costly as a handshake. Nothing else is shared by
 * connections: a context keeps the tokens of peers (RFC 9000 section 8.1.3), which would show the
 * resolver, and everybody on the path, that two connections are of one client.
 */
class OpenSslQuic implements Quic {
  readonly #o: OpenSsl
  readonly #stores = new Map<string, Pointer>()

  constructor(o: OpenSsl) {
    this.#o = o
  }

  connect(options: QuicOptions): QuicConnection {
    const context = this.#context(options)
    try {
      return new OpenSslConnection(this.#o, context, options)
    } finally {
      // The connection holds its own reference.
      this.#o.contextFree(context)
    }
  }

  #context({ roots, groups, verify }: QuicOptions): Pointer {
    const o = this.#o
    const context = o.contextNew(o.method()) as Pointer
    if (context === null) throw new Error('OpenSSL has no memory for a connection')
    o.setVerify(context, verify ? VERIFY_PEER : VERIFY_NONE, null)
    o.setSuites(context, SUITES)
    if (Number(o.contextControl(context, CTRL_SET_GROUPS_LIST, 0, groups)) !== 1) {
      o.contextFree(context)
      o.clearErrors()
      throw new Error('the groups are not known to OpenSSL')
    }
    o.contextControl(context, CTRL_SET_SIGALGS_LIST, 0, SIGNATURES)
    o.setStore(context, this.#store(roots))
    return context
  }

  #store(roots: string): Pointer {
    const known = this.#stores.get(roots)
    if (known !== undefined) return known
    const o = this.#o
    if (this.#stores.size >= MAX_STORES) {
      // Each context holds its own reference.
      for (const store of this.#stores.values()) o.storeFree(store)
      this.#stores.clear()
    }
    const store = o.storeNew() as Pointer
    addRoots(o, store, roots)
    this.#stores.set(roots, store)
    return store
  }
}

const MAX_STORES = 16
const SIGNATURES =
  'ecdsa_secp256r1_sha256:ed25519:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:ed448:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512'

function addRoots(o: OpenSsl, store: Pointer, pem: string): void {
  const octets = Buffer.from(pem)
  const bio = o.memoryBio(octets, octets.length) as Pointer
  for (;;) {
    const certificate = o.readPem(bio, null, null, null) as Pointer
    if (certificate === null) break
    o.storeAdd(store, certificate)
    o.certificateFree(certificate)
  }
  o.bioFree(bio)
  // The end of the PEM text leaves an error in OpenSSL's queue. Node's TLS would report it.
  o.clearErrors()
}

/** One QUIC connection. It owns its pointers: `#free` frees them once, after all streams. */
class OpenSslConnection implements QuicConnection {
  readonly #o: OpenSsl
  readonly #send: (datagram: Uint8Array) => void
  readonly #streams = new Set<OpenSslStream>()
  readonly #out = Buffer.alloc(MAX_DATAGRAM_OCTETS)
  readonly #timeval = Buffer.alloc(16)
  readonly #info = Buffer.alloc(40)
  #ssl: Pointer
  #network: Pointer

  constructor(o: OpenSsl, context: Pointer, { address, port, serverName, send }: QuicOptions) {
    this.#o = o
    this.#send = send
    this.#ssl = o.sslNew(context) as Pointer
    const inner: Pointer[] = [null]
    const outer: Pointer[] = [null]
    if (this.#ssl === null || o.pair(inner, 0, outer, 0) !== 1) {
      o.sslFree(this.#ssl)
      o.clearErrors()
      throw new Error('OpenSSL has no memory for a connection')
    }
    this.#network = outer[0] ?? null
    o.bioControl(this.#network, BIO_CTRL_DGRAM_SET_CAPS, BIO_CAP_HANDLES_DST_ADDR, null)
    // From here on, the connection owns its end of the BIO pair.
    o.setBio(this.#ssl, inner[0], inner[0])
    if (serverName !== undefined) o.control(this.#ssl, CTRL_SET_SERVER_NAME, 0, serverName)
    o.alpn(this.#ssl, ALPN, ALPN.length)
    o.blocking(this.#ssl, 0)
    o.streamMode(this.#ssl, STREAM_MODE_NONE)
    const octets = addressOctets(address)
    const place = o.addressNew() as Pointer
    // The port must be in network byte order.
    o.addressMake(place, isIPv6(address) ? AF_INET6 : AF_INET, octets, octets.length, ((port & 0xff) << 8) | (port >> 8))
    o.peer(this.#ssl, place)
    o.addressFree(place)
  }

  receive(datagram: Uint8Array): void {
    if (this.#ssl !== null) this.#o.bioWrite(this.#network, datagram, datagram.length)
  }

  drive(): void {
    if (this.#ssl === null) return
    this.#o.handle(this.#ssl)
    this.#flush()
  }

  timeoutMs(): number | undefined {
    if (this.#ssl === null) return undefined
    const infinite = [0]
    if (this.#o.timeout(this.#ssl, this.#timeval, infinite) !== 1 || infinite[0] !== 0) return undefined
    return Number(this.#timeval.readBigInt64LE(0)) * 1000 + Math.ceil(Number(this.#timeval.readBigInt64LE(8)) / 1000)
  }

  handshake(): QuicSession | 'more' | number {
    if (this.#ssl === null) return 0
    const o = this.#o
    const result = Number(o.connect(this.#ssl))
    const error = result === 1 ? 0 : Number(o.error(this.#ssl, result))
    o.clearErrors()
    this.#flush()
    if (result === 1) return this.#session()
    return error === ERROR_WANT_READ || error === ERROR_WANT_WRITE ? 'more' : Number(o.verifyResult(this.#ssl))
  }

  request(octets: Uint8Array): QuicStream | undefined {
    if (this.#ssl === null) return undefined
    const o = this.#o
    const handle = o.newStream(this.#ssl, 0n) as Pointer
    if (handle === null) {
      o.clearErrors()
      return undefined
    }
    const stream = new OpenSslStream(o, handle, () => this.#streams.delete(stream))
    this.#streams.add(stream)
    if (stream.write(octets)) return stream
    stream.free(0)
    return undefined
  }

  ended(): QuicEnd | undefined {
    if (this.#ssl === null) return { code: 0, remote: false }
    const found = this.#o.closeInfo(this.#ssl, this.#info, this.#info.length) === 1
    if (!found) return undefined
    return { code: Number(this.#info.readBigUInt64LE(0)), remote: (this.#info.readUInt32LE(32) & CLOSE_FLAG_LOCAL) === 0 }
  }

  close(code: number): void {
    if (this.#ssl === null) return
    const how = Buffer.alloc(16)
    how.writeBigUInt64LE(BigInt(code), 0)
    for (const stream of [...this.#streams]) stream.free(code)
    this.#o.shutdown(this.#ssl, SHUTDOWN_RAPID_NO_BLOCK, how, how.length)
    this.#flush()
    this.#free()
  }

  #session(): QuicSession {
    const o = this.#o
    const cipher = o.cipher(this.#ssl)
    const group = o.group(this.#ssl)
    return {
      cipher: cipher === null ? 'unknown' : String(o.cipherName(cipher)),
      group: typeof group === 'string' ? group : undefined,
      chain: this.#chain(),
      verifyResult: Number(o.verifyResult(this.#ssl)),
    }
  }

  #chain(): readonly Uint8Array[] {
    const o = this.#o
    const leaf = o.certificate(this.#ssl) as Pointer
    if (leaf === null) return []
    const chain = [this.#der(leaf)]
    o.certificateFree(leaf)
    // It belongs to the connection, and so do its certificates. Its first one is the leaf.
    const verified = o.verifiedChain(this.#ssl) as Pointer
    const length = verified === null ? 0 : Math.min(Number(o.stackSize(verified)), MAX_CHAIN)
    for (let i = 1; i < length; i++) chain.push(this.#der(o.stackItem(verified, i) as Pointer))
    const broken = chain.indexOf(undefined)
    return chain.slice(0, broken < 0 ? chain.length : broken).filter((one) => one !== undefined)
  }

  #der(certificate: Pointer): Uint8Array | undefined {
    const o = this.#o
    const bio = o.bioNew(o.memory()) as Pointer
    o.writeDer(bio, certificate)
    const octets = Buffer.alloc(MAX_CERTIFICATE_OCTETS)
    const length = Number(o.bioRead(bio, octets, octets.length))
    o.bioFree(bio)
    // A certificate that fills the buffer may be longer than the buffer, so it is not used.
    return length > 0 && length < octets.length ? Uint8Array.from(octets.subarray(0, length)) : undefined
  }

  /** Sends the datagrams that are due. */
  #flush(): void {
    while (this.#ssl !== null) {
      const length = Number(this.#o.bioRead(this.#network, this.#out, this.#out.length))
      if (length <= 0) break
      this.#send(Uint8Array.from(this.#out.subarray(0, length)))
    }
    this.#o.clearErrors()
  }

  #free(): void {
    const [ssl, network] = [this.#ssl, this.#network]
    this.#ssl = null
    this.#network = null
    this.#o.sslFree(ssl)
    this.#o.bioFree(network)
    this.#o.clearErrors()
  }
}

/** One stream of a connection. */
class OpenSslStream implements QuicStream {
  readonly #o: OpenSsl
  readonly #freed: () => void
  #handle: Pointer
  #over = false

  constructor(o: OpenSsl, handle: Pointer, freed: () => void) {
    this.#o = o
    this.#handle = handle
    this.#freed = freed
  }

  /** Writes a whole request and ends our direction. False: it was not written completely. */
  write(octets: Uint8Array): boolean {
    const written = [0]
    const result = this.#o.write(this.#handle, octets, octets.length, WRITE_CONCLUDE, written)
    if (result !== 1) this.#o.clearErrors()
    return result === 1 && Number(written[0]) === octets.length
  }

  read(): Uint8Array | 'end' | 'more' | number {
    if (this.#handle === null) return 'end'
    const o = this.#o
    const length = [0]
    const result = Number(o.read(this.#handle, CHUNK, CHUNK_OCTETS, length))
    if (result === 1) return Uint8Array.from(CHUNK.subarray(0, Number(length[0])))
    const error = Number(o.error(this.#handle, result))
    o.clearErrors()
    if (error === ERROR_WANT_READ || error === ERROR_WANT_WRITE) return 'more'
    this.#over = true
    if (error === ERROR_ZERO_RETURN) return 'end'
    if (o.readState(this.#handle) !== STREAM_STATE_RESET_REMOTE) return 'more'
    const code = [0n]
    return o.readCode(this.#handle, code) === 1 ? Number(code[0]) : 0
  }

  free(code: number): void {
    const handle = this.#handle
    if (handle === null) return
    this.#handle = null
    this.#freed()
    if (!this.#over) {
      const how = Buffer.alloc(8)
      how.writeBigUInt64LE(BigInt(code))
      this.#o.reset(handle, how, how.length)
    }
    this.#o.sslFree(handle)
    this.#o.clearErrors()
  }
}

function addressOctets(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number))
  const [front = '', back] = address.split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)))
  const head = groups(front)
  const tail = back === undefined ? [] : groups(back)
  const all = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail]
  const octets = Buffer.alloc(16)
  for (const [i, group] of all.entries()) octets.writeUInt16BE(group, i * 2)
  return octets
}
