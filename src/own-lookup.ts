import type { Clock } from './clock.ts'
import { nameFromText } from './dns/name.ts'
import { ipv6Text } from './dns/rdata-text.ts'
import { RecordCursor, TYPE } from './dns/records.ts'
import { EnigmError } from './errors.ts'
import { Job, type Outcome, type Stage } from './job.ts'
import { type Query, VIEW_OF_ALL } from './resolve.ts'

/** The service's own lookups have no client. */
const NO_CLIENT = { address: '', transport: 'udp', view: VIEW_OF_ALL } as const

/**
 * A function that resolves the host of a source by this service itself: through its cache, its
 * rules and its trusted resolvers, and never by the system. It rejects with the EnigmError of the
 * lookup, or with `source` if the name has no address that leads anywhere.
 */
export function ownLookup(o: {
  readonly clock: Clock
  readonly current: () => { readonly stages: readonly Stage[]; readonly timeoutMs: number }
}): (host: string) => Promise<readonly string[]> {
  const ask = (name: Uint8Array, type: number) =>
    new Promise<Outcome>((resolve) => {
      const { stages, timeoutMs } = o.current()
      const ask = { purpose: 'refresh', deadlineMs: o.clock.nowMs() + timeoutMs } as const
      new Job(stages, queryOf(name, type), ask, resolve).start()
    })
  return async (host) => {
    const name = nameFromText(host.toLowerCase())
    const outcomes = await Promise.all([ask(name, TYPE.A), ask(name, TYPE.AAAA)])
    const addresses = outcomes.flatMap((outcome) => (outcome instanceof EnigmError ? [] : addressesIn(outcome.wire)))
    if (addresses.length > 0) return addresses
    const failed = outcomes.find((outcome) => outcome instanceof EnigmError)
    throw failed ?? new EnigmError('source', 'the name of its server has no address, or a list blocks it')
  }
}

function queryOf(name: Uint8Array, type: number): Query {
  const lower = Buffer.concat([name, Buffer.of(0, type, 0, 1)])
  return { id: 0, question: { lower, type, class: 1 }, authenticData: false, checkingDisabled: false, edns: undefined, client: NO_CLIENT }
}

/** The addresses of an answer; the null address of a blocked name is none. */
function addressesIn(wire: Uint8Array): readonly string[] {
  const found: string[] = []
  const cursor = new RecordCursor(wire)
  while (cursor.next() && cursor.section === 1) {
    const { type, rdataAt, rdLength } = cursor
    const octets = wire.subarray(rdataAt, rdataAt + rdLength)
    if (octets.every((octet) => octet === 0)) continue
    if (type === TYPE.A && rdLength === 4) found.push(octets.join('.'))
    if (type === TYPE.AAAA && rdLength === 16) found.push(ipv6Text(octets))
  }
  return found
}
