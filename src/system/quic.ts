import { isIPv6 } from 'node:net'
import type { Quic, QuicConnection, QuicEnd, QuicOptions, QuicSession, QuicStream } from '../quic.ts'
import { withKoffi } from './koffi.ts'
import { bindOpenSsl, type OpenSsl, type Pointer, wouldBlock } from './openssl-calls.ts'
import { OpenSslStream, StreamTable } from './quic-streams.ts'

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
const STREAM_MODE_NONE = 0
const SHUTDOWN_RAPID_NO_BLOCK = 5n
const CLOSE_FLAG_LOCAL = 1
const VALUE_GENERIC = 0
const VALUE_EVENT_HANDLING = 6
const EVENT_HANDLING_EXPLICIT = 2n

const SUITES = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256'
const ALPN = Buffer.from('\x03doq')
const MAX_DATAGRAM_OCTETS = 65_536
const MAX_CERTIFICATE_OCTETS = 65_536
/** Longer chains are not built. */
const MAX_CHAIN = 10

let loaded: { readonly quic: Quic | undefined } | undefined

/** QUIC with Node's own OpenSSL. Undefined: that OpenSSL has no QUIC, or koffi is not installed. */
export function nativeQuic(): Quic | undefined {
  loaded ??= { quic: withKoffi((koffi) => new OpenSslQuic(bindOpenSsl(koffi))) }
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
  readonly #streams = new StreamTable()
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
    if (result === 1) {
      // Otherwise each call to a stream makes the progress that is due.
      o.setValue(this.#ssl, VALUE_GENERIC, VALUE_EVENT_HANDLING, EVENT_HANDLING_EXPLICIT)
      return this.#session()
    }
    return wouldBlock(error) ? 'more' : Number(o.verifyResult(this.#ssl))
  }

  request(octets: Uint8Array): QuicStream | undefined {
    if (this.#ssl === null) return undefined
    const o = this.#o
    const handle = o.newStream(this.#ssl, 0n) as Pointer
    if (handle === null) {
      o.clearErrors()
      return undefined
    }
    const stream = new OpenSslStream(o, handle, this.#streams)
    this.#streams.add(stream, o.address(handle))
    if (stream.write(octets)) return stream
    stream.free(0)
    return undefined
  }

  readable(): readonly QuicStream[] {
    return this.#ssl === null ? [] : this.#streams.readable(this.#o)
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
    for (const stream of this.#streams.list()) stream.free(code)
    this.#o.shutdown(this.#ssl, SHUTDOWN_RAPID_NO_BLOCK, how, how.length)
    this.drive()
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
    return chain.slice(0, broken < 0 ? undefined : broken).filter((one) => one !== undefined)
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
