import { withPaddedOpt } from '../../src/dns/edns.ts'
import { upstreamQuery } from '../../src/dns/message.ts'
import { nameFromText, questionEnd } from '../../src/dns/name.ts'
import { u16 } from '../../src/dns/octets.ts'
import { EnigmError } from '../../src/errors.ts'
import type { Event } from '../../src/events.ts'
import type { Ask, Authenticated, Carried, ScheduledLink } from '../../src/resolve.ts'
import { constantRate } from '../../src/shaping/constant-rate.ts'
import type { Pace } from '../../src/shaping/profiles.ts'
import { seededRandom } from '../support/fake-clock.ts'
import { exchange } from '../support/links.ts'
import { QuickClock } from './quick-clock.ts'

const PROTECTION: Authenticated = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: 'x', resumed: false }

/** A record as an observer sees it, and what only the test knows of it. */
export interface Seen {
  readonly atMs: number
  readonly octets: number
  readonly what: 'record' | 'more' | 'dial'
  readonly purpose?: Ask['purpose']
  /** Whether it asks for TXT records, as covers with large replies do. */
  readonly asksTxt?: boolean
}

/** A paced link that notes what leaves it. Replies come after `rttMs`. */
export class FakePacedLink implements ScheduledLink<Authenticated> {
  readonly id = 'test/dot'
  readonly transport = 'dot'
  readonly seen: Seen[] = []
  readonly clock: QuickClock
  rttMs = 20
  dialMs = 30
  up = false
  rcode = 0
  dialError: EnigmError | undefined
  lose = false
  /** A query of several records is not answered. */
  silentWhenLong = false
  /** A name that ends the connection under all that is in flight, 20 ms after it is asked. */
  poison: string | undefined
  readonly #inFlight = new Set<(error: EnigmError) => void>()
  closed = false
  doubtful = false
  #recordsLeft = 0
  #opening: Promise<void> | undefined

  constructor(clock: QuickClock) {
    this.clock = clock
  }
  get ready(): boolean {
    return this.up && this.#recordsLeft === 0
  }
  get unfinished(): boolean {
    return this.#recordsLeft > 0
  }
  octets(records: number): number | undefined {
    return this.up ? records * 130 - 2 : undefined
  }
  open(): Promise<void> {
    if (this.up) return Promise.resolve()
    if (this.#opening === undefined) {
      this.seen.push({ atMs: this.clock.nowMs(), octets: 0, what: 'dial' })
      this.#opening = new Promise((resolve, reject) => {
        this.clock.setTimer(this.dialMs, () => {
          this.#opening = undefined
          if (this.dialError !== undefined) return reject(this.dialError)
          this.up = true
          resolve()
        })
      })
    }
    return this.#opening
  }
  exchange(request: Uint8Array, ask: Ask): Promise<Carried<Authenticated>> {
    if (!this.ready) throw new Error('an exchange on a link that is not ready')
    if ((request.length + 2) % 130 !== 0) throw new Error(`${request.length} octets fill no records`)
    const asksTxt = u16(request, questionEnd(request) - 4) === 16
    this.#recordsLeft = (request.length + 2) / 130 - 1
    this.seen.push({
      atMs: this.clock.nowMs(),
      octets: 130,
      what: 'record',
      purpose: ask.purpose,
      asksTxt,
    })
    return new Promise((resolve, reject) => {
      this.#inFlight.add(reject)
      const poisonous = this.poison !== undefined && Buffer.from(request).includes(this.poison)
      const leftMs = ask.deadlineMs - this.clock.nowMs()
      const silent = this.silentWhenLong && request.length > 128
      const late = silent || leftMs <= this.rttMs
      this.clock.setTimer(silent ? leftMs : Math.min(leftMs, poisonous ? 20 : this.rttMs), () => {
        if (!this.#inFlight.delete(reject)) return
        if (poisonous) {
          this.up = false
          const all = [reject, ...this.#inFlight]
          this.#inFlight.clear()
          for (const lost of all) lost(new EnigmError('connection-lost', 'the connection died'))
          return
        }
        if (this.lose) return reject(new EnigmError('connection-lost', 'as the test asked'))
        if (late) return reject(new EnigmError('deadline', 'late'))
        // What asks for TXT has a reply of two blocks.
        const wire = new Uint8Array(asksTxt ? 2 * 468 : request.length)
        wire.set(request)
        wire[3] = this.rcode
        resolve({ wire, rttMs: this.rttMs, protection: PROTECTION })
      })
    })
  }
  more(): void {
    this.#recordsLeft--
    this.seen.push({ atMs: this.clock.nowMs(), octets: 130, what: 'more' })
  }
  async close(): Promise<void> {
    this.closed = true
  }
  get records(): readonly Seen[] {
    return this.seen.filter((s) => s.what !== 'dial')
  }
}

interface RigOptions {
  readonly seed?: number
  readonly coverWanted?: boolean
  readonly clock?: QuickClock
}

/** A shaped link over a fake one. */
export function rig(pace: Pace, o: RigOptions = {}) {
  const { clock = new QuickClock() } = o
  const link = new FakePacedLink(clock)
  const events: Event[] = []
  const shaped = constantRate<Authenticated>(link, {
    pace,
    clock,
    random: seededRandom(o.seed ?? 1),
    emit: (event) => void events.push(event),
    resolver: 'test',
    coverWanted: o.coverWanted ?? true,
    probe: requestFor('probe.example'),
  })
  const outcomes: string[] = []
  const ask = (name = 'a.example', more: { deadlineMs?: number; purpose?: Ask['purpose']; givesWay?: true } = {}) =>
    exchange(shaped, requestFor(name), {
      purpose: more.purpose ?? 'client',
      deadlineMs: clock.nowMs() + (more.deadlineMs ?? 4000),
      ...(more.givesWay && { givesWay: true }),
    })
      .then(
        () => 'answered',
        (error: unknown) => (error instanceof EnigmError ? error.code : String(error)),
      )
      .then((outcome) => {
        outcomes.push(outcome)
        return outcome
      })
  return { clock, link, shaped, events, outcomes, ask }
}

/** As an upstream hands it over. */
export function requestFor(name: string): Uint8Array {
  const wire = nameFromText(name)
  const lower = new Uint8Array(wire.length + 4)
  lower.set(wire)
  lower[wire.length + 1] = 1
  lower[wire.length + 3] = 1
  return withPaddedOpt(upstreamQuery({ lower, type: 1, class: 1 }, false), { dnssecOk: false, block: 128, keepalive: true })
}
