import { networkInterfaces } from 'node:os'
import type { Clock, Random, Timer } from '../clock.ts'
import { canonical, isLoopback, unmapped } from '../config/cidr.ts'
import { nameFromText } from '../dns/name.ts'
import { EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import { Job, type SideAsker } from '../job.ts'
import { EVERYBODYS, type Query, type Side } from '../resolve.ts'
import type { KnownSide } from './sides.ts'

/** A zone is tested at most once in this time. */
const TEST_EVERY_MS = 30_000
/** How long a test name may take to come back. */
const TEST_MS = 2000
/** A zone that led back is tested again after this. */
const AGAIN_MS = 60_000
/** The label of a test name, with its length octet. */
const LABEL_OCTETS = 33
const MAX_NAME_OCTETS = 255

export interface LoopParts {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  /** Those who are asked on each side, by its number. */
  readonly askers: readonly SideAsker[]
  /** The addresses of the servers that are asked on a side now, in cleartext or encrypted. */
  readonly serversOf: (side: KnownSide) => readonly string[]
}

/** What is known about one zone. */
interface ZoneWatch {
  readonly side: KnownSide
  /** Questions in progress. */
  readonly open: Set<Job>
  testedMs: number
  /** The test name that is awaited, as a text of its octets. */
  awaited: string | undefined
  refused: boolean
  again: Timer | undefined
}

/**
 * Finds forward zones that lead back to this service: their server sends its queries here. The sign
 * is a question that comes from this host, from loopback or from the server of the zone while the
 * same question is asked of that server. Then a random name in the zone is asked: if that comes
 * back, the zone is refused, until a later test name does not come back any more.
 */
export class Loops {
  readonly #parts: LoopParts
  readonly #zones = new Map<string, ZoneWatch>()
  /** How often each question is in progress, by the zone in which it is. */
  readonly #asked = new Map<string, Map<ZoneWatch, number>>()
  #awaits = 0

  constructor(parts: LoopParts) {
    this.#parts = parts
  }

  /**
   * Called for each question on its way down. Returns the error with which it ends here; undefined:
   * it goes on, and `left` must be called for it.
   */
  entered(job: Job, side: KnownSide): EnigmError | undefined {
    if (this.#awaits > 0 && this.#cameBack(job)) return leadsBack()
    if (side.zone === undefined && this.#asked.size === 0) return undefined
    const key = keyOf(job)
    const led = [...(this.#asked.get(key)?.keys() ?? [])].filter((watch) => this.#isNear(job.query.client.address, watch.side))
    for (const watch of led) this.#test(watch)
    // The clients of another view may have no rule for the zone: its names must not go elsewhere.
    if (side.zone === undefined) return led.length > 0 ? leadsBack() : undefined
    const watch = this.#watchOf(side, side.zone)
    if (watch.refused) return leadsBack()
    watch.open.add(job)
    const counts = this.#asked.get(key) ?? new Map<ZoneWatch, number>()
    this.#asked.set(key, counts.set(watch, (counts.get(watch) ?? 0) + 1))
    return undefined
  }

  left(job: Job, { zone, number }: Side): void {
    const watch = this.#zones.get(`${number} ${zone}`)
    if (watch?.open.delete(job) !== true) return
    const key = keyOf(job)
    const counts = this.#asked.get(key)
    const count = (counts?.get(watch) ?? 1) - 1
    if (count > 0) counts?.set(watch, count)
    else if (counts?.delete(watch) === true && counts.size === 0) this.#asked.delete(key)
  }

  /**
   * Whether a client is where a server that forwards to us is: mostly on this host, or the server
   * itself, as a router that uses us.
   */
  #isNear(address: string, side: KnownSide): boolean {
    const plain = canonical(unmapped(address))
    return isLoopback(plain) || ownAddresses().has(plain) || this.#parts.serversOf(side).some((one) => canonical(unmapped(one)) === plain)
  }

  /** The network changed: its servers are others, and each zone gets another try. */
  forget(): void {
    for (const watch of this.#zones.values()) this.#settle(watch, false)
  }

  /** No test name is sent after this. */
  close(): void {
    for (const watch of this.#zones.values()) watch.again?.cancel()
  }

  #watchOf(side: KnownSide, zone: string): ZoneWatch {
    const key = `${side.number} ${zone}`
    const known = this.#zones.get(key)
    if (known !== undefined) return known
    const watch = { side, open: new Set<Job>(), testedMs: Number.NEGATIVE_INFINITY, awaited: undefined, refused: false, again: undefined }
    this.#zones.set(key, watch)
    return watch
  }

  #cameBack({ query, purpose }: Job): boolean {
    if (purpose !== 'client') return false
    const name = textOf(query.question.lower.subarray(0, -4))
    const watch = [...this.#zones.values()].find(({ awaited }) => awaited === name)
    if (watch !== undefined) this.#settle(watch, true)
    return watch !== undefined
  }

  /** Asks a name that nobody knows. */
  #test(watch: ZoneWatch): void {
    const { clock, random, askers } = this.#parts
    const nowMs = clock.nowMs()
    const zone = nameFromText(watch.side.zone ?? '.')
    if (watch.awaited !== undefined || nowMs < watch.testedMs + TEST_EVERY_MS || LABEL_OCTETS + zone.length > MAX_NAME_OCTETS) return
    const label = Buffer.from(random.bytes(16)).toString('hex')
    const name = Buffer.concat([Uint8Array.of(label.length), Buffer.from(label), zone])
    watch.testedMs = nowMs
    watch.awaited = textOf(name)
    this.#awaits++
    const job = new Job([], addressQuery(name), { purpose: 'probe', deadlineMs: nowMs + TEST_MS }, () => {})
    askers[watch.side.number]?.ask(job, () => {
      if (watch.awaited === textOf(name)) this.#settle(watch, false)
    })
  }

  /** A test is over, or is not needed any more. */
  #settle(watch: ZoneWatch, found: boolean): void {
    const { clock, emit } = this.#parts
    if (watch.awaited !== undefined) this.#awaits--
    watch.awaited = undefined
    watch.again?.cancel()
    watch.again = undefined
    const { zone = '' } = watch.side
    if (watch.refused !== found) emit({ type: 'forward.loop', zone, found })
    watch.refused = found
    if (!found) return
    for (const job of watch.open) job.reply(leadsBack())
    watch.again = clock.setTimer(AGAIN_MS, () => {
      watch.testedMs = Number.NEGATIVE_INFINITY
      this.#test(watch)
    })
  }
}

const leadsBack = () => new EnigmError('forward-loop', 'The server of the zone asks this service.')
const textOf = (octets: Uint8Array) => Buffer.from(octets).toString('latin1')
const keyOf = ({ query }: Job) => textOf(query.question.lower)

function ownAddresses(): ReadonlySet<string> {
  try {
    return new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => canonical(address))))
  } catch {
    return new Set()
  }
}

const A = 1

function addressQuery(name: Uint8Array): Query {
  return {
    id: 0,
    question: { lower: Buffer.concat([name, Uint8Array.of(0, A, 0, 1)]), type: A, class: 1 },
    authenticData: false,
    checkingDisabled: false,
    edns: undefined,
    client: { address: '', transport: 'udp', view: EVERYBODYS },
  }
}
