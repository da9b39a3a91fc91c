import { once } from 'node:events'
import { createServer, type TLSSocket } from 'node:tls'
import { systemClock, systemRandom } from '../../../../src/clock.ts'
import { createAuthority } from '../../../../src/demo/authority.ts'
import { EnigmError, type ErrorCode } from '../../../../src/errors.ts'
import type { Carrier, CellCarrier, Loss, Sent } from '../../../../src/link/carriers/carrier.ts'
import { FLAG, FRAME, FRAME_HEADER_OCTETS } from '../../../../src/link/carriers/h2/codes.ts'
import { type LeanH2Options, leanH2Carrier, type leanH2CellCarrier } from '../../../../src/link/carriers/h2/connection.ts'
import { H2FrameReader } from '../../../../src/link/carriers/h2/frames.ts'
import { putFrameHeader } from '../../../../src/link/carriers/h2/outbox.ts'
import { connect } from '../../../../src/link/dial/connect.ts'
import type { StrictEndpoint } from '../../../../src/link/dial/endpoint.ts'
import { tlsSessions } from '../../../../src/link/dial/sessions.ts'
import type { Carried } from '../../../../src/resolve.ts'
import { endpointAt, NAME } from '../../../support/link-rig.ts'
import { query } from '../../../support/messages.ts'
import { replyTo } from '../../../support/replies.ts'
import { freePace } from '../../../support/rules.ts'

export const authority = await createAuthority()
export const identity = await authority.issue({ name: NAME })

export type Outcome = Carried | { readonly code: ErrorCode; readonly loss: Loss }

interface Options extends LeanH2Options {
  /** Default: the one for links that are asked on demand. */
  readonly client?: typeof leanH2Carrier | typeof leanH2CellCarrier
}

/**
 * A lean carrier on a connection to `port`, what it told its watcher, and its requests as promises.
 */
export async function carry(port: number, options: Options = {}, more: Partial<StrictEndpoint> = {}) {
  const clock = systemClock()
  const endpoint = endpointAt(port, { ...more, ca: authority.certificate })
  const connection = await connect(endpoint, 'doh', { clock, sessions: tlsSessions(clock), pace: freePace(clock) })
  const told: string[] = []
  const downs: EnigmError[] = []
  const watcher = {
    heard: () => {
      if (told.includes('down')) told.push('heard after its end')
    },
    draining: () => void told.push('draining'),
    idle: () => void told.push('idle'),
    mismatch: () => void told.push('mismatch'),
    down: (error: EnigmError) => {
      told.push('down')
      downs.push(error)
    },
  }
  const { client = leanH2Carrier } = options
  const carrier: Carrier & Partial<CellCarrier> = client(connection, endpoint, { clock, random: systemRandom, watcher }, options)
  const asked = (request: Uint8Array, givesWay = false) => {
    let sent: Sent | undefined
    const outcome = new Promise<Outcome>((resolve) => {
      sent = carrier.send(request, { givesWay, answered: resolve, failed: ({ code }, loss) => resolve({ code, loss }) })
    })
    return { outcome, cancel: () => sent?.cancel() }
  }
  return {
    ...{ carrier, told, downs, asked },
    ask: (request: Uint8Array, givesWay = false) => asked(request, givesWay).outcome,
    end: () => carrier.destroy(new EnigmError('closed', 'the test is over')),
  }
}

/** A frame that a client sent. */
export interface Seen {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

/** The server's end of one connection, in frames. */
export interface Peer {
  readonly socket: TLSSocket
  readonly seen: readonly Seen[]
  /** Resolves with the first frame, from the beginning, that passes. */
  until(test: (frame: Seen) => boolean): Promise<Seen>
}

const PREFACE_OCTETS = 24

/** A server that says what `script` says, octet by octet. */
export async function scripted(script: (peer: Peer) => Promise<void> | void) {
  const server = createServer({ key: identity.key, cert: identity.cert, ALPNProtocols: ['h2'], minVersion: 'TLSv1.3' })
  const sockets = new Set<TLSSocket>()
  server.on('secureConnection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    void Promise.resolve(script(peerOf(socket))).catch(() => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const end = async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
  return { port: typeof address === 'object' ? (address?.port ?? 0) : 0, end }
}

function peerOf(socket: TLSSocket): Peer {
  socket.setMaxListeners(0) // every `until` listens for the end
  const seen: Seen[] = []
  const waiting = new Set<() => void>()
  const reader = new H2FrameReader((type, flags, streamId, octets, start, end) => {
    seen.push({ type, flags, streamId, payload: Buffer.from(octets.subarray(start, end)) })
    return 0
  })
  let skip = PREFACE_OCTETS
  socket.on('data', (chunk) => {
    reader.push(chunk.subarray(Math.min(skip, chunk.length)))
    skip -= Math.min(skip, chunk.length)
    for (const check of waiting) check()
  })
  const until = (test: (frame: Seen) => boolean) =>
    new Promise<Seen>((resolve, reject) => {
      const check = () => {
        const found = seen.find(test)
        if (found === undefined) return
        waiting.delete(check)
        resolve(found)
      }
      waiting.add(check)
      socket.on('close', () => reject(new Error('the client closed first')))
      check()
    })
  return { socket, seen, until }
}

/** A frame as it goes over the wire. */
export function frame(type: number, flags: number, streamId: number, ...payload: readonly (Uint8Array | readonly number[])[]): Buffer {
  const body = Buffer.concat(payload.map((part) => Buffer.from(part)))
  const header = Buffer.alloc(FRAME_HEADER_OCTETS)
  putFrameHeader(header, 0, body.length, type, flags, streamId)
  return Buffer.concat([header, body])
}

/** A SETTINGS frame. */
export function settings(...values: readonly (readonly [id: number, value: number])[]): Buffer {
  return frame(
    FRAME.settings,
    0,
    0,
    values.flatMap(([id, value]) => [id >>> 8, id & 255, ...u32(value)]),
  )
}

export function u32(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]
}

/** A literal field, not indexed, neither part Huffman-coded; both shorter than 127 octets. */
export function field(name: string, value: string): number[] {
  return [0, name.length, ...Buffer.from(name, 'latin1'), value.length, ...Buffer.from(value, 'latin1')]
}

/** The head of a good answer. */
export const GOOD = [0x88, ...field('content-type', 'application/dns-message')]

/** A query of its own, under that ID. */
export const numbered = (n: number) => query({ name: `n${n}.example.com`, id: n })
/** The end of a request. */
export const isBody = (seen: Seen) => seen.type === FRAME.data && (seen.flags & FLAG.endStream) !== 0
/** A good answer. */
export const reply = (streamId: number, to: Buffer) =>
  Buffer.concat([frame(FRAME.headers, FLAG.endHeaders, streamId, GOOD), frame(FRAME.data, FLAG.endStream, streamId, replyTo(to))])
/** The end of the request on one stream. */
export const isLast = (id: number) => (seen: Seen) => isBody(seen) && seen.streamId === id

/** A carrier against a server that does as `script` does. */
export async function withScript(script: (peer: Peer) => Promise<void> | void, options?: Options) {
  const server = await scripted(script)
  const rig = await carry(server.port, options)
  const end = async () => {
    rig.end()
    await server.end()
  }
  return { ...rig, end }
}
