// What Node itself takes for a miss over DoT: the batched listener and one TLS connection, and
// between them the least that a forwarder must do. It numbers queries, pads them, writes those of a
// turn together, and passes replies on without their padding. It has no cache, no rules, no deadline
// and no check of a reply. `node bare-miss.js PORT UPSTREAM_PORT CA_FILE NAME`; runs until it is
// killed.
import { readFileSync } from 'node:fs'
import { connect } from 'node:tls'
import { systemClock } from '../../src/clock.ts'
import { listenUdpBatch } from '../../src/listen/udp-batch.ts'
import { type Responder, VIEW_OF_ALL } from '../../src/resolve.ts'
import { datagramCalls } from '../../src/system/datagram-calls.ts'

const [port = '', upstream = '', caFile = '', servername = ''] = process.argv.slice(2)
const PADDED = 128
const FRAME = 2 + PADDED
const OPT = 11
const ANSWER = 16
const SLOTS = 65536

type Reply = (octets: Uint8Array, length: number) => void
const waiting: (Reply | undefined)[] = new Array(SLOTS).fill(undefined)
const ids = new Uint16Array(SLOTS)
const lengths = new Uint16Array(SLOTS)
let next = 0

let out = Buffer.alloc(512 * FRAME)
let used = 0
function writeTurn(): void {
  tls.write(out.subarray(0, used))
  out = Buffer.alloc(512 * FRAME)
  used = 0
}

function send(query: Uint8Array, reply: Reply): void {
  if (used + FRAME > out.length) writeTurn()
  const slot = next++ % SLOTS
  waiting[slot] = reply
  ids[slot] = ((query[0] ?? 0) << 8) | (query[1] ?? 0)
  lengths[slot] = query.length
  const at = used
  used += FRAME
  out.set(query, at + 2)
  out[at + 1] = PADDED
  out.writeUInt16BE(slot, at + 2)
  out[at + 2 + 11] = 1
  const opt = at + 2 + query.length
  const padding = PADDED - query.length - OPT - 4
  out[opt + 2] = 41
  out.writeUInt16BE(1232, opt + 3)
  out.writeUInt16BE(padding + 4, opt + 9)
  out[opt + 12] = 12
  out.writeUInt16BE(padding, opt + 13)
  if (at === 0) setImmediate(writeTurn)
}

const parts = Buffer.alloc(1 << 18)
let have = 0
function read(octets: number, from: Uint8Array): boolean {
  parts.set(from.subarray(0, octets), have)
  have += octets
  let at = 0
  for (; at + 2 <= have; ) {
    const length = parts.readUInt16BE(at)
    if (at + 2 + length > have) break
    const slot = parts.readUInt16BE(at + 2)
    parts.writeUInt16BE(ids[slot] ?? 0, at + 2)
    parts[at + 2 + 11] = 0
    waiting[slot]?.(parts.subarray(at + 2, at + 2 + length), (lengths[slot] ?? 0) + ANSWER)
    waiting[slot] = undefined
    at += 2 + length
  }
  parts.copyWithin(0, at, have)
  have -= at
  return true
}

const onread = { buffer: Buffer.alloc(65536), callback: read }
const options = { host: '127.0.0.1', port: Number(upstream), servername, ca: readFileSync(caFile), ALPNProtocols: ['dot'], onread }
const tls = connect(options)
tls.setNoDelay(true)

let query: Uint8Array = new Uint8Array()
const responder: Responder = {
  now(packet, start, end) {
    query = packet.subarray(start, end)
    return 0
  },
  later: (_, reply) => send(query, reply),
}
const calls = datagramCalls()
if (calls === undefined) throw new Error('no calls for many datagrams at once')
await listenUdpBatch(
  {
    ...{ address: '127.0.0.1', port: Number(port), responder, clock: systemClock(), drainMs: 0 },
    ...{ allowed: () => true, view: () => VIEW_OF_ALL, emit: () => {}, datagramCalls: calls },
  },
  calls,
)
