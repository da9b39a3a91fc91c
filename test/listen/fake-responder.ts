import { systemClock } from '../../src/clock.ts'
import type { Event } from '../../src/events.ts'
import type { ListenOptions } from '../../src/listen/listener.ts'
import type { Client, Responder, View } from '../../src/resolve.ts'

/** A query for TXT of `name` with the given ID. */
export function query(id: number, name = 'example.test'): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)]))
  return Buffer.concat([Buffer.of(id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0), ...labels, Buffer.of(0, 0, 16, 0, 1)])
}

/** The first label of the question. */
export function labelOf(packet: Uint8Array): string {
  return Buffer.from(packet.subarray(13, 13 + (packet[12] ?? 0))).toString()
}

/**
 * A well-formed response to a plain query: one TXT record that makes the whole message `octets`
 * long (0: no record).
 */
export function response(packet: Uint8Array, octets = 0): Buffer {
  let questionEnd = 12
  while ((packet[questionEnd] ?? 0) > 0) questionEnd += (packet[questionEnd] ?? 0) + 1
  questionEnd += 5
  const head = Buffer.from(packet.subarray(0, questionEnd))
  head[2] = 0x81
  head[3] = 0x80
  head.fill(0, 6, 12)
  if (octets === 0) return head
  head[7] = 1
  const rdata = Buffer.alloc(octets - questionEnd - 12, 'x')
  for (let at = 0; at < rdata.length; at += 256) rdata[at] = Math.min(255, rdata.length - at - 1)
  return Buffer.concat([head, Buffer.of(0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, rdata.length >> 8, rdata.length & 255), rdata])
}

/**
 * A Responder that answers from memory where `hit` gives a reply, else by `miss`; it records what
 * it was asked.
 */
export class FakeResponder implements Responder {
  hit: (packet: Uint8Array) => Uint8Array | undefined = () => undefined
  miss: (packet: Uint8Array, client: Client) => Promise<Uint8Array | undefined> = async (packet) => response(packet)
  readonly seen: { limit: number; view: View }[] = []
  readonly asked: Client[] = []
  #last = Buffer.alloc(0)

  now(packet: Uint8Array, start: number, end: number, out: Uint8Array, at: number, limit: number, view: View): number {
    this.seen.push({ limit, view })
    this.#last = Buffer.from(packet.subarray(start, end))
    const reply = this.hit(packet.subarray(start, end))
    if (reply === undefined) return 0
    out.set(reply, at)
    return reply.length
  }

  later(client: Client, done: (octets: Uint8Array, length: number) => void): void {
    this.asked.push(client)
    const told = (reply?: Uint8Array) => done(reply ?? new Uint8Array(0), reply?.length ?? 0)
    void this.miss(this.#last, client).then(told)
  }
}

/** Promises that the test settles itself, in whatever order it likes. */
export class Held {
  readonly waiting = new Map<string, () => void>()

  readonly miss = (packet: Uint8Array): Promise<Uint8Array> =>
    new Promise((resolve) => this.waiting.set(labelOf(packet), () => resolve(response(packet))))

  release(label: string): void {
    this.waiting.get(label)?.()
    this.waiting.delete(label)
  }
}

export type TestOptions = ListenOptions & { readonly responder: FakeResponder; readonly events: Event[] }

/** Options of a listener on 127.0.0.1, port 0, with the real clock. */
export function options(overrides: Partial<ListenOptions> = {}): TestOptions {
  const events: Event[] = []
  return {
    address: '127.0.0.1',
    port: 0,
    responder: new FakeResponder(),
    allowed: () => true,
    view: () => 0,
    clock: systemClock(),
    emit: (event) => void events.push(event),
    drainMs: 1_000,
    ...overrides,
    events,
  } as TestOptions
}

/** Waits until `true`, at most 5 s of real time. */
export async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 1_000; i++) {
    if (what()) return
    await pause(5)
  }
  throw new Error(`never came true: ${what}`)
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
