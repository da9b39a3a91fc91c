import type { Clock } from '../clock.ts'
import { readDenial } from '../dns/denial.ts'
import { rewriteTtls, synthesise } from '../dns/response.ts'
import { type Answer, type Ask, type Client, EVERYBODYS, type Query, type Question } from '../resolve.ts'
import { SYNTHESIZED, TYPE } from './local-answer.ts'
import { type Proof, probeName, RootGaps } from './root-gaps.ts'

/**
 * Longer than this a client is not kept waiting for a proof: it gets the answer without one, and
 * the next query may find it.
 */
const LONGEST_WAIT_MS = 2000
/** Nobody answered, or not with a signed denial: for so long nothing more is asked for proofs. */
const RETRY_MS = 5000
const UNSIGNED_RETRY_MS = 60_000
/**
 * Questions for one gap of the root. Two letters of the name are enough for most; each step beyond
 * goes one neighbour on.
 */
const MOST_STEPS = 20
/** Searches under way at once: beyond it a local answer goes without proof. */
const MOST_SEARCHES = 16

const NXDOMAIN = 3
/** What is asked for a proof is asked for everybody. */
const SHARED_CLIENT: Client = { address: '', transport: 'udp', view: EVERYBODYS }

/** Asks what stands below; rejects with an EnigmError. */
export type AskBelow = (query: Query, ask: Ask) => Promise<Answer>

/**
 * What must be denied: everything below a zone of the list, or one top-level name that is private.
 * Wire form, lower-case.
 */
export interface Subject {
  readonly kind: 'zone' | 'top'
  readonly name: Uint8Array
}

/**
 * `unsigned`: the public DNS delegates the zone without signing it, so that a validator takes any
 * answer. `exists`: a top-level domain that is in the root.
 */
type ProofOutcome = Proof | 'unsigned' | 'exists' | 'unproven'

/** Where what proofs are made of is remembered besides. */
export interface ProofMemory {
  /** Changes when everything must be forgotten: a reload, or a person who wants it so. */
  generation(): number
  /**
   * Keeps what was asked for a proof as any other answer: a validator asks for the same DS next.
   */
  keep(query: Query, answer: Answer, generation: number): void
}

/**
 * Gives local negative answers the proof that a validator asks for (it sets DO). It is the public
 * DNS's own denial: of a zone of the list by its DS; of a private top-level name by the gap of the
 * root that it lies in, which is found by asking for neighbours, never for the name. Nothing is
 * asked before such a query comes.
 */
export class LocalProofs {
  readonly #clock: Clock
  readonly #memory: ProofMemory
  readonly #gaps = new RootGaps()
  readonly #zones = new Map<string, { readonly verdict: ProofOutcome; readonly untilMs: number }>()
  readonly #searches = new Map<string, Promise<ProofOutcome>>()
  #seenGeneration: number
  #silentUntilMs = Number.NEGATIVE_INFINITY
  #topsSilentUntilMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, memory: ProofMemory) {
    this.#clock = clock
    this.#memory = memory
    this.#seenGeneration = memory.generation()
  }

  /** Whether the root is known not to have the top-level `name`. Asks nobody. */
  denies(name: Uint8Array): boolean {
    this.#forgetOld()
    return this.#gaps.proofOf(name, this.#nowMs()) !== undefined
  }

  /**
   * `answer`, which says that something below `subject` is not there, with the proof. As it is
   * where the zone is delegated unsigned, and where no proof is to be had in time (then it is not
   * kept). Undefined where the top-level name exists: it is no private one. Never rejects.
   */
  async prove(answer: Answer, subject: Subject, query: Query, ask: Ask, next: AskBelow): Promise<Answer | undefined> {
    this.#forgetOld()
    const verdict = this.#known(subject) ?? (await this.#withinWait(this.#search(subject, ask, next), ask))
    if (verdict === 'exists') return undefined
    if (verdict === 'unsigned') return answer
    if (verdict === undefined || verdict === 'unproven') return { ...answer, storeS: 'no' }
    return provenAnswer(query.question, verdict, this.#clock.nowMs())
  }

  #forgetOld(): void {
    const generation = this.#memory.generation()
    if (generation === this.#seenGeneration) return
    this.#seenGeneration = generation
    this.#gaps.clear()
    this.#zones.clear()
    this.#searches.clear()
    this.#silentUntilMs = this.#topsSilentUntilMs = Number.NEGATIVE_INFINITY
  }

  /** A second ahead: a proof that ends within it would be given a TTL of 0. */
  #nowMs(): number {
    return this.#clock.nowMs() + 1000
  }

  #known({ kind, name }: Subject): ProofOutcome | undefined {
    const nowMs = this.#nowMs()
    if (kind === 'top') return this.#gaps.proofOf(name, nowMs) ?? (this.#gaps.has(name, nowMs) ? 'exists' : undefined)
    const byGap = isTop(name) ? this.#gaps.proofOf(name, nowMs) : undefined
    if (byGap !== undefined) return byGap
    const zone = this.#zones.get(keyOf(name))
    return zone !== undefined && zone.untilMs > nowMs ? zone.verdict : undefined
  }

  /** One search a subject, whoever waits for it. */
  #search(subject: Subject, ask: Ask, next: AskBelow): Promise<ProofOutcome> {
    const key = `${subject.kind} ${keyOf(subject.name)}`
    const running = this.#searches.get(key)
    if (running !== undefined) return running
    const silentUntilMs = subject.kind === 'top' ? Math.max(this.#silentUntilMs, this.#topsSilentUntilMs) : this.#silentUntilMs
    if (this.#clock.nowMs() < silentUntilMs || this.#searches.size >= MOST_SEARCHES) return Promise.resolve('unproven')
    const search = (subject.kind === 'top' ? this.#searchTop(subject, ask, next) : this.#searchZone(subject, ask, next)).catch(
      (): ProofOutcome => {
        this.#silentUntilMs = this.#clock.nowMs() + RETRY_MS
        return 'unproven'
      },
    )
    this.#searches.set(key, search)
    void search.then(() => {
      if (this.#searches.get(key) === search) this.#searches.delete(key)
    })
    return search
  }

  async #searchZone(subject: Subject, ask: Ask, next: AskBelow): Promise<ProofOutcome> {
    const answer = await this.#asked(subject.name, ask, next)
    if (answer === undefined) return 'unproven'
    const proof = this.#learn(answer)
    const nowMs = this.#clock.nowMs()
    const keptMs = answer.storeS === 'no' ? 0 : answer.storeS * 1000
    const verdict = proof ?? (answer.rcode === 0 ? 'unsigned' : 'unproven')
    const untilMs =
      typeof verdict === 'object' ? verdict.untilMs : nowMs + (verdict === 'unsigned' ? Math.max(keptMs, RETRY_MS) : UNSIGNED_RETRY_MS)
    this.#zones.set(keyOf(subject.name), { verdict, untilMs })
    return verdict
  }

  /**
   * From neighbour to neighbour until the gap of the name is known. Every step leaves its gap
   * behind, for the next search.
   */
  async #searchTop(subject: Subject, ask: Ask, next: AskBelow): Promise<ProofOutcome> {
    const asked = new Set<string>()
    for (let step = 0; step < MOST_STEPS; step++) {
      const name = probeName(subject.name, step, this.#gaps.nearestBefore(subject.name, this.#nowMs()))
      if (name === undefined || asked.has(keyOf(name))) continue
      asked.add(keyOf(name))
      const answer = await this.#asked(name, ask, next)
      if (answer === undefined) return 'unproven'
      this.#learn(answer)
      const verdict = this.#known(subject)
      if (verdict !== undefined) return verdict
      if (this.#gaps.empty) break
    }
    if (this.#gaps.empty) this.#topsSilentUntilMs = this.#clock.nowMs() + UNSIGNED_RETRY_MS
    return 'unproven'
  }

  /** The answer to the DS of `name`; undefined if everything was to be forgotten meanwhile. */
  async #asked(name: Uint8Array, ask: Ask, next: AskBelow): Promise<Answer | undefined> {
    const generation = this.#seenGeneration
    const query = dsQuery(name)
    const answer = await next(query, ask)
    this.#forgetOld()
    if (generation !== this.#seenGeneration) return undefined
    this.#memory.keep(query, answer, generation)
    return answer
  }

  /** What a denial proves of its own question; its gaps are kept. */
  #learn(answer: Answer): Proof | undefined {
    const denial = answer.storeS === 'no' ? undefined : readDenial(answer.wire)
    if (denial === undefined || answer.storeS === 'no') return undefined
    const nowMs = this.#clock.nowMs()
    const sets = [denial.soa, ...denial.proofs]
    const ttlS = Math.min(answer.storeS, ...sets.map((set) => set.ttlS))
    this.#gaps.learn(denial, nowMs, ttlS * 1000)
    return { sets, untilMs: nowMs + ttlS * 1000 }
  }

  /** Undefined if it takes longer than the client may wait; the search goes on. */
  #withinWait(search: Promise<ProofOutcome>, ask: Ask): Promise<ProofOutcome | undefined> {
    const waitMs = Math.min(LONGEST_WAIT_MS, (ask.deadlineMs - this.#clock.nowMs()) / 2)
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(Math.max(0, waitMs), () => resolve(undefined))
      void search.then((verdict) => {
        timer.cancel()
        resolve(verdict)
      })
    })
  }
}

/**
 * NXDOMAIN with the proof's own SOA, for as long as all of it is good. AD stays clear: nobody has
 * validated this for this name.
 */
function provenAnswer(question: Question, proof: Proof, nowMs: number): Answer {
  const ttlS = Math.max(0, Math.floor((proof.untilMs - nowMs) / 1000))
  const wire = synthesise(question, { rcode: NXDOMAIN, authority: proof.sets.flatMap(({ records }) => records) })
  rewriteTtls(wire, () => ttlS)
  return { wire, rcode: NXDOMAIN, storeS: ttlS, ede: SYNTHESIZED, from: 'policy' }
}

function dsQuery(name: Uint8Array): Query {
  const lower = Buffer.concat([name, Uint8Array.of(0, TYPE.ds, 0, 1)])
  return {
    id: 0,
    question: { lower, type: TYPE.ds, class: 1 },
    authenticData: false,
    checkingDisabled: false,
    edns: { udpSize: 1232, dnssecOk: true, wantsSource: false },
    client: SHARED_CLIENT,
  }
}

const isTop = (name: Uint8Array) => name.length > 1 && name[0] === name.length - 2
const keyOf = (name: Uint8Array) => Buffer.from(name).toString('latin1')
