import { setTimeout as sleep } from 'node:timers/promises'
import { readOpt } from '../../src/dns/edns.ts'
import { FAULT_ZONE, judge } from '../../test/support/faults/answers.ts'
import { query } from '../../test/support/messages.ts'
import { type DnsClient, isTruncated, tcpClient, udpClient } from '../../test/support/real/dns-client.ts'

/** How one question went. */
export interface Told {
  readonly name: string
  /** performance.now() when it was asked. */
  readonly atMs: number
  readonly tookMs: number
  /** -1: no reply at all within 6 s. */
  readonly rcode: number
  readonly right: boolean
  readonly wrong: boolean
  readonly ttlS: number | undefined
  readonly hit: boolean
}

/** What to ask, and how fast. */
export interface Traffic {
  readonly perS: number
  readonly forMs: number
  /** 0 to 1: names that were asked before. */
  readonly hits: number
  /** Which names are hot. */
  readonly hot?: number
}

let unique = 0

/** A name that nobody asked before. */
export function newName(before = 'q'): string {
  return `${before}${unique++}-${process.pid}.${FAULT_ZONE}`
}

/** A client of the daemon that judges every reply. */
export interface Asker {
  /** Replies that were wrong, and questions without one, so far. */
  readonly counts: { readonly wrong: number; readonly silent: number; readonly failed: Readonly<Record<string, number>> }
  ask(name: string, hit?: boolean): Promise<Told>
  /**
   * Keeps its pace whatever is answered (open loop); resolves when the last reply is in or late.
   */
  traffic(traffic: Traffic): Promise<readonly Told[]>
  /**
   * Asks a new name every `everyMs` until one is answered rightly; how long after the call that
   * was, ms. Rejects after `withinMs`.
   */
  firstAnswer(withinMs: number, everyMs?: number): Promise<number>
  /** Forgets the questions without a reply so far: the process was killed under them. */
  forgive(): void
  close(): void
}

/** An asker at 127.0.0.1:`port`. */
export async function askerAt(port: number, over: 'udp' | 'tcp' = 'udp', address = '127.0.0.1'): Promise<Asker> {
  const client: DnsClient = over === 'udp' ? await udpClient(port, address) : await tcpClient(port)
  const carry = async (name: string) => {
    const request = query({ name, opt: {} })
    const reply = await client.ask(request, 6000)
    return over === 'udp' && isTruncated(reply) ? whole(port, request) : reply
  }
  const failed: Record<string, number> = {}
  const counts = { wrong: 0, silent: 0, failed }
  const ask = async (name: string, hit = false): Promise<Told> => {
    const atMs = performance.now()
    try {
      const reply = await carry(name)
      const { rcode, right, wrong, ttlS } = judge(name, reply)
      if (wrong) counts.wrong++
      if (!right) {
        const how = readOpt(reply)?.ede?.text ?? `RCODE ${rcode}`
        failed[how] = (failed[how] ?? 0) + 1
      }
      return { name, atMs, tookMs: performance.now() - atMs, rcode, right, wrong, ttlS, hit }
    } catch {
      counts.silent++
      return { name, atMs, tookMs: performance.now() - atMs, rcode: -1, right: false, wrong: false, ttlS: undefined, hit }
    }
  }
  return {
    ask,
    counts,
    async traffic({ perS, forMs, hits, hot = 50 }) {
      if (hits > 0) await Promise.all(Array.from({ length: hot }, (_, i) => ask(hotName(i))))
      const asked: Promise<Told>[] = []
      const beganMs = performance.now()
      for (let sent = 0, nowMs = beganMs; nowMs < beganMs + forMs; nowMs = performance.now()) {
        for (; sent < ((nowMs - beganMs) / 1000) * perS; sent++) {
          const hit = (sent * 0.618_033_988_75) % 1 < hits
          asked.push(ask(hit ? hotName(sent % hot) : newName(), hit))
        }
        await sleep(Math.min(5, 1000 / perS))
      }
      return Promise.all(asked)
    },
    async firstAnswer(withinMs, everyMs = 20) {
      const beganMs = performance.now()
      let tookMs: number | undefined
      for (; tookMs === undefined && performance.now() < beganMs + withinMs; await sleep(everyMs))
        void ask(newName('first')).then(({ right }) => {
          if (right) tookMs ??= performance.now() - beganMs
        })
      if (tookMs === undefined) throw new Error(`no answer within ${withinMs} ms`)
      return tookMs
    },
    forgive() {
      counts.silent = 0
    },
    close: () => client.close(),
  }
}

/** What did not fit into a datagram, asked for over TCP as clients do (RFC 7766 section 5). */
async function whole(port: number, request: Uint8Array): Promise<Uint8Array> {
  const client = await tcpClient(port)
  try {
    return await client.ask(request, 6000)
  } finally {
    client.close()
  }
}

/** Names that are asked again and again. */
export const hotName = (i: number) => `hot${i}-${process.pid}.${FAULT_ZONE}`

/** The value below which `share` of `values` lie; NaN for none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}
