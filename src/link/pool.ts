import { EnigmError } from '../errors.ts'
import type { Protection } from '../resolve.ts'
import type { Carrier, Opened } from './carriers/carrier.ts'
import { Dialler, type KeeperTools, type Wiring } from './dial/dialler.ts'
import { isGone, type Judge, type Kept, type Owner, type Silence, type State } from './kept.ts'

/** The connections of one link, and all that dials for it: at most one takes new queries, at most one is dialled for that; lanes beside it as they are wanted. */
export class Pool<P extends Protection> {
  current: Kept<P> | undefined
  readonly lanes: Kept<P>[] = []
  /** The number of the newest connection. */
  newest = 0
  readonly #wiring: Wiring<P>
  readonly #tools: KeeperTools
  readonly #judge: Judge<P>
  readonly #owner: Owner
  readonly #dialler: Dialler<P>
  readonly #all = new Set<Kept<P>>()

  constructor(wiring: Wiring<P>, tools: KeeperTools, judge: Judge<P>, owner: Owner) {
    this.#wiring = wiring
    this.#tools = tools
    this.#judge = judge
    this.#owner = owner
    this.#dialler = new Dialler(wiring, tools, {
      up: (opened, aside) => this.#up(opened, aside),
      dialFailed: (error, aside) => owner.dialFailed(error, aside),
      mayDial: () => owner.lanesChanged(),
    })
  }

  /** A dial for `current` is under way. */
  get dialling(): boolean {
    return this.#dialler.underWay
  }
  /** Whether the resolver answers, as far as is known. */
  get answers(): boolean {
    return this.#dialler.backoff.answers
  }

  /** Sees to it that a dial is under way or will be; the last error instead while backing off. */
  dial(): EnigmError | undefined {
    return this.#dialler.dial()
  }

  /** Before anybody asks. */
  dialSoon(): void {
    this.#dialler.dialSoon()
  }

  /** Ends the dial for `current`. Whoever waits for it is not told. */
  endDial(error: EnigmError): void {
    this.#dialler.end(error)
  }

  /** Sees to it that there are so many lanes beside those that are late; while connections die without an answer, one. An error where none can be dialled. */
  wantLanes(wanted: number, most: number): EnigmError | undefined {
    const late = this.lanes.filter(({ silence }) => silence.doubt !== 'none').length
    const many = Math.min(most, late + (this.#dialler.backoff.barren ? Math.min(1, wanted) : wanted))
    while (this.lanes.length + this.#dialler.aside < many) {
      const before = this.#dialler.aside
      const refusal = this.#dialler.dialAside()
      if (refusal !== undefined) return refusal
      if (this.#dialler.aside === before) return undefined
    }
    return undefined
  }

  /** A lane that nobody needs any more takes the place of `current` if there is none. */
  release(lane: Kept<P>): void {
    if (this.current !== undefined || lane.silence.doubt !== 'none') {
      this.leave(lane)
      return
    }
    this.endDial(new EnigmError('closed', 'there is a connection'))
    this.#enter(lane, 'current')
    this.#owner.ready()
  }

  /** It was silent: it takes nothing until it speaks. */
  suspect(kept: Kept<P>): void {
    if (kept.state === 'current') this.#enter(kept, 'suspect')
  }

  /** It spoke after all: it is `current` again, unless another one is. */
  reinstate(kept: Kept<P>): void {
    if (kept.state !== 'suspect') return
    if (this.current !== undefined) this.leave(kept)
    else {
      this.#enter(kept, 'current')
      this.#owner.ready()
    }
  }

  /** Takes no more; closes when nothing is owed. */
  leave(kept: Kept<P>): void {
    if (isGone(kept)) return
    this.#enter(kept, 'draining')
    kept.proof?.cancel()
    if (kept.carrier.inFlight === 0) this.drop(kept, new EnigmError('closed', 'nothing is owed any more'))
  }

  drop(kept: Kept<P>, error: EnigmError): void {
    if (isGone(kept)) return
    this.#gone(kept, error)
    kept.carrier.destroy(error)
  }

  answered(kept: Kept<P>): void {
    kept.served++
    this.#dialler.backoff.answered()
  }

  /** It takes no more, and turned a query away unprocessed. Where it served nobody else either, it is as good as one that died. */
  turnedAway(kept: Kept<P>): void {
    if (kept.carrier.inFlight === 0) this.#barren(kept)
  }

  /** The resolver takes connections and answers nothing: as good as one that refuses them. */
  mute(kept: Kept<P>): void {
    if (kept.barren) return
    kept.barren = true
    this.#dialler.backoff.failed(new EnigmError('connect-failed', 'the resolver takes connections and answers nothing'))
  }

  /** Forgets what was learnt on the last path, and ends its dials; then `dropAll`. */
  anotherPath(error: EnigmError): void {
    this.#wiring.forgetSessions()
    this.#dialler.anotherPath()
    this.#dialler.end(error)
    this.#dialler.endAside(error)
  }

  /** Closes all. What is in flight is lost. */
  dropAll(error: EnigmError): void {
    for (const kept of [...this.#all]) {
      kept.barren = true // that it ends is our own doing
      this.drop(kept, error)
    }
  }

  /** What a dial failed for (a certificate's date) may be otherwise now. */
  reconsider(): void {
    this.#dialler.backoff.reset()
  }

  close(): void {
    const error = new EnigmError('closed', 'the link is closed')
    this.#dialler.end(error)
    this.#dialler.endAside(error)
    this.dropAll(error)
  }

  #up(opened: Opened<P>, aside: boolean): EnigmError | undefined {
    const { address, protection, handshakeMs } = opened
    const { resolver, transport } = this.#wiring
    const { clock, random, emit } = this.#tools
    const { paced } = this.#judge
    const watcher = {
      heard: () => this.#judge.heard(kept),
      draining: () => {
        this.turnedAway(kept)
        this.leave(kept)
      },
      idle: () => this.#judge.idle(kept),
      mismatch: () => emit({ type: 'link.mismatch', resolver, transport }),
      down: (error: EnigmError) => this.#died(kept, error),
    }
    const carrier = opened.carry(paced === true ? { clock, random, watcher, paced } : { clock, random, watcher })
    if (paced === true && carrier.cells === undefined) {
      const error = new EnigmError('alpn-missing', 'the resolver speaks no HTTP/2, and HTTP/1.1 has no records of one size')
      carrier.destroy(error)
      return error
    }
    emit({ type: 'link.up', resolver, transport, address, protection, handshakeMs })
    const kept = newlyKept(carrier, ++this.newest, this.#judge.newSilence())
    this.#all.add(kept)
    const before = this.current
    this.#enter(kept, aside ? 'lane' : 'current')
    this.#judge.up(kept)
    if (aside) this.#owner.lanesChanged()
    else {
      this.#judge.took(kept, before)
      this.#owner.ready()
    }
    return undefined
  }

  /** Moves a connection from what it was to what it is. */
  #enter(kept: Kept<P>, state: State): void {
    if (kept === this.current && state !== 'current') this.current = undefined
    if (kept.state === 'lane' && state !== 'lane') {
      const at = this.lanes.indexOf(kept)
      if (at >= 0) this.lanes.splice(at, 1)
    }
    kept.state = state
    if (state === 'current') this.current = kept
    if (state === 'lane') this.lanes.push(kept)
  }

  #died(kept: Kept<P>, error: EnigmError): void {
    if (isGone(kept)) return
    this.#judge.died(kept, error)
    this.#gone(kept, error)
  }

  #gone(kept: Kept<P>, error: EnigmError): void {
    const { resolver, transport } = this.#wiring
    const idleLane = kept.state === 'lane' && kept.carrier.inFlight === 0
    this.#enter(kept, 'gone')
    this.#all.delete(kept)
    this.#judge.gone(kept)
    if (kept.carrier.inFlight > 0 || idleLane) this.#barren(kept)
    if (idleLane) this.#owner.lanesChanged()
    this.#tools.emit({ type: 'link.down', resolver, transport, code: error.code })
  }

  #barren(kept: Kept<P>): void {
    if (kept.served > 0 || kept.barren) return
    kept.barren = true
    this.#dialler.backoff.died()
  }
}

function newlyKept<P extends Protection>(carrier: Carrier<P>, number: number, silence: Silence<P>): Kept<P> {
  return { carrier, number, state: 'draining', served: 0, refused: 0, barren: false, silence, owed: 0, proof: undefined, resting: false }
}
