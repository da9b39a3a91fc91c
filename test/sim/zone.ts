import { questionEnd } from '../../src/dns/name.ts'

/** Names of the simulation: n0.sim.example and on. */
export const NAMES = 400

/**
 * What the world says of a name at a time: its address holds the name's number and the version, so
 * that an answer tells when it was true.
 */
export interface Fact {
  readonly name: number
  readonly version: number
}

export const ttlS = (name: number) => [5, 30, 60, 300, 3600][name % 5] ?? 60
/** Every name changes now and then, each at its own pace. */
const changesEveryMs = (name: number) => (40 + (name % 7) * 90) * 1000

export const versionAt = (name: number, nowMs: number) => Math.floor(nowMs / changesEveryMs(name)) & 0xffff

/** A query of a client: A, with an OPT, so that an extended error shows. */
export function questionFor(name: number, id: number): Uint8Array {
  const labels = [`n${name}`, 'sim', 'example']
  const wire = labels.flatMap((label) => [label.length, ...Buffer.from(label, 'latin1')])
  return Uint8Array.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, ...wire, 0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0])
}

/** The resolver's answer to `query` at `nowMs`: the root's NS question gets an empty one. */
export function answerOf(query: Uint8Array, nowMs: number): Uint8Array {
  const end = questionEnd(query)
  const head = Uint8Array.from(query.subarray(0, end))
  head.set([0x81, 0x80], 2)
  head.set([0, 0, 0, 0], 8)
  const label = Buffer.from(query.subarray(13, 13 + (query[12] ?? 0))).toString('latin1')
  if (!/^n\d+$/.test(label)) return withAnswers(head, 0)
  const name = Number(label.slice(1))
  const version = versionAt(name, nowMs)
  const ttl = ttlS(name)
  const record = [
    0xc0,
    12,
    0,
    1,
    0,
    1,
    ttl >>> 24,
    (ttl >> 16) & 255,
    (ttl >> 8) & 255,
    ttl & 255,
    0,
    4,
    name >> 8,
    name & 255,
    version >> 8,
    version & 255,
  ]
  return Uint8Array.from([...withAnswers(head, 1), ...record])
}

function withAnswers(head: Uint8Array, count: number): Uint8Array {
  head[6] = 0
  head[7] = count
  return head
}

/** What a reply says, or undefined if it holds no address; and for how long. */
export function factOf(reply: Uint8Array): (Fact & { readonly ttlS: number }) | undefined {
  if ((reply[7] ?? 0) === 0) return undefined
  const at = questionEnd(reply)
  const view = new DataView(reply.buffer, reply.byteOffset + at)
  return { ttlS: view.getUint32(6), name: view.getUint16(12), version: view.getUint16(14) }
}

/** Whether `fact` was true at some moment of [fromMs, toMs]. */
export function heldWithin(fact: Fact, fromMs: number, toMs: number): boolean {
  for (let ms = Math.max(0, fromMs); ms <= toMs; ms += Math.min(changesEveryMs(fact.name) / 2, Math.max(1, toMs - ms))) {
    if (versionAt(fact.name, ms) === fact.version) return true
    if (ms === toMs) break
  }
  return versionAt(fact.name, toMs) === fact.version
}
