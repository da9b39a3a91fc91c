import { networkInterfaces } from 'node:os'
import type { Clock, Random, Timer } from '../clock.ts'
import { canonical, isLoopback, unmapped } from '../config/cidr.ts'
import { nameFromText } from '../dns/name.ts'
import { EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import { Job, type SideAsker } from '../job.ts'
import { type Query, type Side, VIEW_OF_ALL } from '../resolve.ts'
import type { KnownSide } from './sides.ts'

/** The shortest time between two tests of a zone. */
const TEST_EVERY_MS = 30_000
/** How long a test name may take to come back. */
const TEST_MS = 2000
/** A refused zone is tested again after this time. */
const RETEST_MS = 60_000
/** Octets of the random label of a test name: 32 characters and the length octet. */
const LABEL_OCTETS = 33
const MAX_NAME_OCTETS = 255

export interface LoopParts {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  /** What asks the servers of each side, by the number of the side. */
  readonly askers: readonly SideAsker[]
  /** The addresses of the servers that are asked on a side now, in cleartext or encrypted. */
  readonly serversOf: (side: KnownSide) => readonly string[]
}

/** The state of one forward zone. */
interface ZoneWatch {
  readonly side: KnownSide
  /** Questions in progress. */
  readonly open: Set<Job>
  testedMs: number
  /**
   * The test name whose return is awaited: its wire form as a latin1 string. Undefined: no test is
   * in progress.
   */
  awaited: string | undefined
  refused: boolean
  again: Timer | undefined
}

/**
 * Detects forwarding loops: forward zones whose server sends its queries to this service. A
 * question is suspicious if it comes from this host, from loopback or from the server of the zone,
 * while that server is being asked the same question. Then a random test name in the zone is asked.
 * If a client query for that name arrives, the zone is refused. It is refused until a later test
 * name does not return, or the network changes.
 */
export class Loops {
  readonly #parts: LoopParts
  readonly #zones = new Map<string, ZoneWatch>()
  /** Number of open questions with the same name, type and class, for each zone. */
  readonly #asked = new Map<string, Map<ZoneWatch, number>>()
  #testsOpen = 0
  #isClosed = false

  constructor(parts: LoopParts) {
    this.#parts = parts
  }

  /**
   * Registers a question before its server is asked. Returns the error `forward-loop` with which
   * the question must end. Undefined: it may go on, and the caller calls `end` when it ends.
   */
  begin(job: Job, side: KnownSide): EnigmError | undefined {
    if (this.#testsOpen > 0 && this.#cameBack(job)) return loopError()
    if (side.zone === undefined && this.#asked.size === 0) return undefined
    const key = keyOf(job)
    const suspects = [...(this.#asked.get(key)?.keys() ?? [])].filter((watch) => this.#maybeServerOf(job.query.client.address, watch.side))
    for (const watch of suspects) this.#test(watch)
    // In this view the name may belong to no zone, but the question probably came from the server
    // of a zone: it must not leak to the general resolvers.
    if (side.zone === undefined) return suspects.length > 0 ? loopError() : undefined
    const watch = this.#watchOf(side, side.zone)
    if (watch.refused) return loopError()
    watch.open.add(job)
    const counts = this.#asked.get(key) ?? new Map<ZoneWatch, number>()
    this.#asked.set(key, counts.set(watch, (counts.get(watch) ?? 0) + 1))
    return undefined
  }

  /** Unregisters a question that `begin` let pass. */
  end(job: Job, { zone, number }: Side): void {
    const watch = this.#zones.get(`${number} ${zone}`)
    if (watch?.open.delete(job) !== true) return
    const key = keyOf(job)
    const counts = this.#asked.get(key)
    const count = (counts?.get(watch) ?? 1) - 1
    if (count > 0) counts?.set(watch, count)
    else if (counts?.delete(watch) === true && counts.size === 0) this.#asked.delete(key)
  }

  /**
   * Whether a client can be the server of the zone. That is often a program on this host, or a
   * router that uses this service as its resolver.
   */
  #maybeServerOf(address: string, side: KnownSide): boolean {
    const plain = canonical(unmapped(address))
    return isLoopback(plain) || ownAddresses().has(plain) || this.#parts.serversOf(side).some((one) => canonical(unmapped(one)) === plain)
  }

  /** Clears the results of all zones: after a network change their servers may be other hosts. */
  forget(): void {
    for (const watch of this.#zones.values()) this.#settle(watch, false)
  }

  /** No test name is sent after this. A test in progress still ends. */
  close(): void {
    this.#isClosed = true
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

  /** Starts a test: asks for a random name in the zone. */
  #test(watch: ZoneWatch): void {
    if (this.#isClosed) return
    const { clock, random, askers } = this.#parts
    const nowMs = clock.nowMs()
    const zone = nameFromText(watch.side.zone ?? '.')
    if (watch.awaited !== undefined || nowMs < watch.testedMs + TEST_EVERY_MS || LABEL_OCTETS + zone.length > MAX_NAME_OCTETS) return
    const label = Buffer.from(random.bytes(16)).toString('hex')
    const name = Buffer.concat([Uint8Array.of(label.length), Buffer.from(label), zone])
    watch.testedMs = nowMs
    watch.awaited = textOf(name)
    this.#testsOpen++
    const job = new Job([], addressQuery(name), { purpose: 'probe', deadlineMs: nowMs + TEST_MS }, () => {})
    askers[watch.side.number]?.ask(job, () => {
      if (watch.awaited === textOf(name)) this.#settle(watch, false)
    })
  }

  /** Ends a test. `found`: the test name has returned, so the zone is refused. */
  #settle(watch: ZoneWatch, found: boolean): void {
    const { clock, emit } = this.#parts
    if (watch.awaited !== undefined) this.#testsOpen--
    watch.awaited = undefined
    watch.again?.cancel()
    watch.again = undefined
    const { zone = '' } = watch.side
    if (watch.refused !== found) emit({ type: 'forward.loop', zone, found })
    watch.refused = found
    if (!found) return
    for (const job of watch.open) job.reply(loopError())
    if (this.#isClosed) return
    watch.again = clock.setTimer(RETEST_MS, () => {
      watch.testedMs = Number.NEGATIVE_INFINITY
      this.#test(watch)
    })
  }
}

const loopError = () => new EnigmError('forward-loop', 'The server of the zone sends its queries to this service.')
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
    client: { address: '', transport: 'udp', view: VIEW_OF_ALL },
  }
}
