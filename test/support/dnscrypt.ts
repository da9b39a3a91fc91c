import { createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createTcp, type Server as TcpServer, type Socket as TcpSocket } from 'node:net'
import { poly1305 } from '@noble/ciphers/_poly1305.js'
import { hchacha, xchacha20 } from '@noble/ciphers/chacha.js'
import { FrameReader, framed } from '../../src/dns/framing.ts'
import { nameFromText } from '../../src/dns/name.ts'

/**
 * A DNSCrypt server and a relay, written from the specification and not from src/: their box is
 * that of noble's XChaCha20, where src/ uses Node's ChaCha20.
 */

export const PROVIDER = '2.dnscrypt-cert.resolver.test'
const RESOLVER_MAGIC = Buffer.from('r6fnvWj8')
const RELAY_MAGIC = Buffer.from('ffffffffffffffff0000', 'hex')
const SIGMA = new Uint32Array([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574])

const raw = (key: KeyObject) => key.export({ type: 'spki', format: 'der' }).subarray(-32)
const x25519 = (key: Uint8Array) =>
  createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b656e032100', 'hex'), key]), format: 'der', type: 'spki' })

/** One key pair of a provider and the short-lived ones that it signs. */
export class Provider {
  readonly #long = generateKeyPairSync('ed25519')
  readonly publicKey = raw(this.#long.publicKey).toString('base64')

  certify(
    o: {
      readonly serial?: number
      readonly fromMs?: number
      readonly toMs?: number
      readonly version?: number
      /** Instead of the public key that belongs to it. */
      readonly serverKey?: Uint8Array
    } = {},
  ): Certified {
    const pair = generateKeyPairSync('x25519')
    const magic = randomBytes(8)
    const signed = Buffer.alloc(52)
    signed.set(o.serverKey ?? raw(pair.publicKey))
    signed.set(magic, 32)
    signed.writeUInt32BE(o.serial ?? 1, 40)
    signed.writeUInt32BE(Math.floor((o.fromMs ?? Date.now() - 3_600_000) / 1000), 44)
    signed.writeUInt32BE(Math.floor((o.toMs ?? Date.now() + 86_400_000) / 1000), 48)
    const head = Buffer.from('444e534300020000', 'hex')
    head.writeUInt16BE(o.version ?? 2, 4)
    return { text: Buffer.concat([head, sign(null, signed, this.#long.privateKey), signed]), magic, key: pair.privateKey }
  }
}

export interface Certified {
  /** What the TXT record holds. */
  readonly text: Buffer
  readonly magic: Buffer
  readonly key: KeyObject
}

function box(shared: Uint8Array, nonce: Uint8Array, octets: Uint8Array, opens: boolean): Buffer | undefined {
  const authenticator = xchacha20(shared, nonce, new Uint8Array(32))
  const crypt = (text: Uint8Array) => xchacha20(shared, nonce, Uint8Array.from(Buffer.concat([Buffer.alloc(32), text]))).subarray(32)
  if (!opens) {
    const text = crypt(octets)
    return Buffer.concat([poly1305(text, authenticator), text])
  }
  const text = octets.subarray(16)
  return Buffer.from(poly1305(text, authenticator)).equals(octets.subarray(0, 16)) ? Buffer.from(crypt(text)) : undefined
}

function sharedKey(mine: KeyObject, theirs: Uint8Array): Uint8Array {
  const secret = diffieHellman({ privateKey: mine, publicKey: x25519(theirs) })
  const words = (octets: Uint8Array) => new Uint32Array(Uint8Array.from(octets).buffer)
  const out = new Uint32Array(8)
  hchacha(SIGMA, words(secret), words(new Uint8Array(16)), out)
  return new Uint8Array(out.buffer)
}

/** One client, as an `answer` function sees it: one key is one connection. */
export interface DnscryptPeer {
  readonly connection: number
  readonly over: 'udp' | 'tcp'
  /** Octets of the packet. */
  readonly octets: number
}

export type DnscryptAnswer = (query: Uint8Array, peer: DnscryptPeer) => Uint8Array | undefined | Promise<Uint8Array | undefined>

export interface DnscryptServer {
  readonly port: number
  /**
   * Clients by source port, certificate queries, queries that could be read, packets of any kind,
   * and queries over TCP.
   */
  readonly counts: { clients: number; certificates: number; queries: number; packets: number; tcp: number }
  /** Lengths of the encrypted packets, and of the certificate queries. */
  readonly lengths: { readonly queries: number[]; readonly certificates: number[] }
  /** Addresses and ports that packets came from. */
  readonly from: Set<string>
  /** The certificates from now on; those of earlier ones are no longer read. */
  present(...certificates: readonly Certified[]): void
  /** Drops the next datagrams of encrypted queries. */
  drop(count: number): void
  /** Sends anything to the last client. */
  inject(packet: Uint8Array): void
  close(): Promise<void>
}

export async function startDnscrypt(o: {
  readonly certificates: readonly Certified[]
  readonly answer: DnscryptAnswer
  readonly port?: number
  /** Sent instead of the certificates. */
  readonly texts?: readonly Uint8Array[]
  /** A reply with certificates that is longer than its query has none, and is marked as cut. */
  readonly cuts?: true
  /**
   * Replies with certificates are marked as cut: encrypted-dns leaves out one with a post-quantum
   * key, which is longer than the query.
   */
  readonly marks?: true
}): Promise<DnscryptServer> {
  let certificates = o.certificates
  let dropping = 0
  let last: RemoteInfo | undefined
  const keys: string[] = []
  const clients = new Set<string>()
  const counts = { clients: 0, certificates: 0, queries: 0, packets: 0, tcp: 0 }
  const lengths = { queries: [] as number[], certificates: [] as number[] }
  const from = new Set<string>()
  const { udp, tcp, port } = await bothAt(o.port ?? 0)

  const decrypted = (packet: Uint8Array) => {
    const found = certificates.find(({ magic }) => magic.equals(packet.subarray(0, 8)))
    if (found === undefined || packet.length < 68) return undefined
    const client = packet.subarray(8, 40)
    const nonce = Buffer.alloc(24)
    nonce.set(packet.subarray(40, 52))
    const shared = sharedKey(found.key, client)
    const plain = box(shared, nonce, packet.subarray(52), true)
    const end = plain?.lastIndexOf(0x80) ?? -1
    if (plain === undefined || end < 0 || plain.length % 64 !== 0) return undefined
    const name = Buffer.from(client).toString('hex')
    if (!keys.includes(name)) keys.push(name)
    const padding = plain.length - end
    return { query: plain.subarray(0, end), padding, nonce, shared, connection: keys.indexOf(name) + 1 }
  }
  const sealed = ({ nonce, shared }: NonNullable<ReturnType<typeof decrypted>>, reply: Uint8Array) => {
    nonce.set(randomBytes(12), 12)
    const padded = Buffer.alloc(Math.ceil((reply.length + 1) / 64) * 64)
    padded.set(reply)
    padded[reply.length] = 0x80
    return Buffer.concat([RESOLVER_MAGIC, nonce, box(shared, nonce, padded, false) ?? Buffer.alloc(0)])
  }

  udp.on('message', (packet, peer) => {
    counts.packets++
    last = peer
    clients.add(`${peer.address}:${peer.port}`)
    counts.clients = clients.size
    from.add(`${peer.address}:${peer.port}`)
    const name = nameFromText(PROVIDER)
    if (packet.indexOf(name) === 12) {
      counts.certificates++
      lengths.certificates.push(packet.length)
      const texts = o.texts ?? certificates.map(({ text }) => text)
      const reply = certificateReply(packet, texts)
      if (o.marks) reply[2] = (reply[2] ?? 0) | 0x02
      const cut = o.cuts === true && reply.length > packet.length ? certificateReply(packet, []) : undefined
      if (cut !== undefined) cut[2] = (cut[2] ?? 0) | 0x02
      udp.send(cut ?? reply, peer.port, peer.address)
      return
    }
    if (dropping > 0) {
      dropping--
      return
    }
    const found = decrypted(packet)
    if (found === undefined) return
    counts.queries++
    lengths.queries.push(packet.length)
    Promise.resolve(o.answer(Uint8Array.from(found.query), { connection: found.connection, over: 'udp', octets: packet.length })).then(
      (reply) => {
        if (reply === undefined) return
        const whole = sealed(found, reply)
        const cut = Buffer.from(reply.subarray(0, 12 + found.query.indexOf(0, 12) - 12 + 5))
        if (cut.length > 2) cut[2] = (cut[2] ?? 0) | 0x02
        cut.fill(0, 6, 12)
        // A reply over UDP is never longer than its query.
        udp.send(whole.length <= packet.length ? whole : sealed(found, cut), peer.port, peer.address)
      },
    )
  })

  let closed: Promise<unknown> | undefined
  const sockets = new Set<TcpSocket>()
  tcp.on('connection', (socket: TcpSocket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    const frames = new FrameReader()
    socket.on('data', (octets) =>
      frames.push(octets, (frame) => {
        const found = decrypted(Uint8Array.from(frame))
        if (found === undefined || found.padding > MOST_TCP_PADDING) {
          socket.end()
          return
        }
        counts.tcp++
        Promise.resolve(o.answer(Uint8Array.from(found.query), { connection: found.connection, over: 'tcp', octets: frame.length })).then(
          (reply) => reply !== undefined && socket.write(framed(sealed(found, reply))),
        )
      }),
    )
  })
  return {
    ...{ port, counts, lengths, from },
    present: (...next) => {
      certificates = next
    },
    drop: (count) => {
      dropping = count
    },
    inject: (packet) => {
      if (last !== undefined) udp.send(packet, last.port, last.address)
    },
    close: async () => {
      if (closed === undefined) {
        closed = Promise.all([once(udp, 'close'), once(tcp, 'close')])
        udp.close()
        tcp.close()
        for (const socket of sockets) socket.destroy()
      }
      await closed
    },
  }
}

function certificateReply(query: Uint8Array, texts: readonly Uint8Array[]): Buffer {
  const end = 12 + nameFromText(PROVIDER).length + 4
  const head = Buffer.from(query.subarray(0, end))
  head.writeUInt16BE(0x8580, 2)
  head.writeUInt16BE(texts.length, 6)
  head.fill(0, 8, 12)
  const records = texts.map((text) => {
    const strings = Array.from({ length: Math.ceil(text.length / 255) }, (_, i) => text.subarray(i * 255, i * 255 + 255))
    const rdata = Buffer.concat(strings.flatMap((one) => [Buffer.from([one.length]), one]))
    const fixed = Buffer.from('c00c0010000100000e100000', 'hex')
    fixed.writeUInt16BE(rdata.length, 10)
    return Buffer.concat([fixed, rdata])
  })
  return Buffer.concat([head, ...records])
}

export interface DnscryptRelay {
  readonly port: number
  /** Packets passed on, and replies dropped because they were longer than their query. */
  readonly counts: { passed: number; dropped: number }
  /** All octets that it saw. */
  readonly seen: Buffer[]
  close(): Promise<void>
}

/** Passes on packets to servers on loopback, as anonymized DNSCrypt wants it. */
export async function startRelay(): Promise<DnscryptRelay> {
  const counts = { passed: 0, dropped: 0 }
  const seen: Buffer[] = []
  const out = new Set<Socket>()
  const udp = await bound(0)
  udp.on('message', (packet, peer) => {
    seen.push(packet)
    if (!RELAY_MAGIC.equals(packet.subarray(0, 10)) || packet.length < 28) return
    const address = packet.subarray(22, 26).join('.')
    const query = packet.subarray(28)
    const behind = createSocket('udp4')
    out.add(behind)
    const done = () => {
      if (out.delete(behind)) behind.close()
    }
    setTimeout(done, 5000).unref()
    behind.on('error', done)
    behind.on('message', (reply) => {
      const certificate = reply.subarray(12).includes(Buffer.from('DNSC'))
      if (reply.length > query.length || !(certificate || RESOLVER_MAGIC.equals(reply.subarray(0, 8)))) counts.dropped++
      else udp.send(reply, peer.port, peer.address)
    })
    counts.passed++
    behind.send(query, packet.readUInt16BE(26), address)
  })
  return {
    ...{ port: udp.address().port, counts, seen },
    close: async () => {
      for (const socket of out) socket.close()
      out.clear()
      const closed = once(udp, 'close')
      udp.close()
      await closed
    },
  }
}

/** "Padding for client queries over TCP" of the specification; dnsdist drops a query with more. */
const MOST_TCP_PADDING = 256

/** UDP and TCP at one port; what is free for one may be in use for the other. */
async function bothAt(wanted: number): Promise<{ readonly udp: Socket; readonly tcp: TcpServer; readonly port: number }> {
  for (let tries = 0; ; tries++) {
    const udp = await bound(wanted)
    const { port } = udp.address()
    const tcp = createTcp()
    const listening = once(tcp, 'listening')
    tcp.listen(port, '127.0.0.1')
    try {
      await listening
      return { udp, tcp, port }
    } catch (error) {
      udp.close()
      if (wanted !== 0 || tries > 20) throw error
    }
  }
}

async function bound(port: number): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.bind(port, '127.0.0.1')
  await once(socket, 'listening')
  return socket
}
