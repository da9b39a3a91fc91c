import type { Clock } from '../clock.ts'
import { readDenial } from '../dns/denial.ts'
import { SYNTHESIZED } from '../dns/local-answer.ts'
import { rewriteTtls, synthesise } from '../dns/response.ts'
import type { Answer, Ask, Client, Query, Question, View } from '../resolve.ts'
import { type Proof, probeName, RootGaps } from './root-gaps.ts'
import { TYPE } from './zone-actions.ts'

/**
 * The longest time that a client waits for a proof. Then it gets the answer without one, and the
 * next query may find it.
 */
const LONGEST_WAIT_MS = 2000
/**
 * How long no more queries for proofs are sent after no reply came, or one without a signed denial.
 */
const RETRY_MS = 5000
const UNSIGNED_RETRY_MS = 60_000
/**
 * Limit of queries to find one gap of the root. Two letters of the name are usually enough; each
 * further step moves on by one neighbour.
 */
const MOST_STEPS = 20
/** Limit of searches in progress: above it a local answer is sent without a proof. */
const MOST_SEARCHES = 16

const NXDOMAIN = 3
/** Asks the stages below; rejects with an EnigmError. */
export type AskBelow = (query: Query, ask: Ask) => Promise<Answer>

/**
 * What must be denied: everything below a zone of the list, or one private top-level name.
 * Wire form, lower-case.
 */
export interface Subject {
  readonly kind: 'zone' | 'top'
  readonly name: Uint8Array
}

/**
 * `unsigned`: the public DNS delegates the zone without a signature, so a validator accepts any
 * answer. `exists`: a top-level domain that is in the root.
 */
type ProofOutcome = Proof | 'unsigned' | 'exists' | 'unproven'

/** The proofs for the clients of each view: a view may have resolvers of its own. */
export type ProofsByView = (view: View) => Pick<LocalProofs, 'denies' | 'prove'>

/** The cache for the answers from which proofs are made. */
export interface ProofMemory {
  /** Changes when everything must be forgotten: at a reload, or at a command of the user. */
  generation(): number
  /**
   * Stores the answer to a query for a proof like any other answer: a validator asks for the same
   * DS next.
   */
  keep(query: Query, answer: Answer, generation: number): void
}

/**
 * Adds the proof that a validator asks for (with DO) to local negative answers. The proof is the
 * public DNS's own denial. For a zone of the list it is the answer to its DS query. For a private
 * top-level name it is the gap of the root around the name, which is found by queries for
 * neighbours, never for the name itself. No query is sent before a client query with DO comes.
 */
export class LocalProofs {
  readonly #client: Client
  readonly #clock: Clock
  readonly #memory: ProofMemory
  readonly #gaps = new RootGaps()
  readonly #zones = new Map<string, { readonly verdict: ProofOutcome; readonly untilMs: number }>()
  readonly #searches = new Map<string, Promise<ProofOutcome>>()
  #seenGeneration: number
  #silentUntilMs = Number.NEGATIVE_INFINITY
  #topsSilentUntilMs = Number.NEGATIVE_INFINITY

  /** `view`: whose resolvers are asked. A query for a proof is made for all its clients. */
  constructor(clock: Clock, memory: ProofMemory, view: View) {
    this.#client = { address: '', transport: 'udp', view }
    this.#clock = clock
    this.#memory = memory
    this.#seenGeneration = memory.generation()
  }

  /** Whether the root is known not to contain the top-level `name`. Sends no query. */
  denies(name: Uint8Array): boolean {
    this.#forgetOld()
    return this.#gaps.proofOf(name, this.#nowMs()) !== undefined
  }

  /**
   * Adds the proof to `answer`, which denies a name below `subject`. The answer is returned
   * unchanged if the zone is delegated unsigned, or if there is no proof in time (then it is not
   * cached). Undefined if the top-level name exists and so is not private. Never rejects.
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

  /** One second ahead: a proof that ends within it would get a TTL of 0. */
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

  /** One search per subject, for all clients that wait for it. */
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
   * Goes from neighbour to neighbour until the gap of the name is known. The gap of every step is
   * kept for the next search.
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

  /**
   * The answer to the DS query for `name`; undefined if everything had to be forgotten meanwhile.
   */
  async #asked(name: Uint8Array, ask: Ask, next: AskBelow): Promise<Answer | undefined> {
    const generation = this.#seenGeneration
    const query = dsQuery(name, this.#client)
    const answer = await next(query, ask)
    this.#forgetOld()
    if (generation !== this.#seenGeneration) return undefined
    this.#memory.keep(query, answer, generation)
    return answer
  }

  /** Returns the proof that a denial holds for its own question, and keeps its gaps. */
  #learn(answer: Answer): Proof | undefined {
    const denial = answer.storeS === 'no' ? undefined : readDenial(answer.wire)
    if (denial === undefined || answer.storeS === 'no') return undefined
    const nowMs = this.#clock.nowMs()
    const sets = [denial.soa, ...denial.proofs]
    const ttlS = Math.min(answer.storeS, ...sets.map((set) => set.ttlS))
    this.#gaps.learn(denial, nowMs, ttlS * 1000)
    return { sets, untilMs: nowMs + ttlS * 1000 }
  }

  /** Undefined if it takes longer than the client may wait; the search continues. */
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
 * NXDOMAIN with the proof's own SOA; its TTL ends when the first part of the proof expires. AD
 * stays clear: nobody has validated the proof for this name.
 */
function provenAnswer(question: Question, proof: Proof, nowMs: number): Answer {
  const ttlS = Math.max(0, Math.floor((proof.untilMs - nowMs) / 1000))
  const wire = synthesise(question, { rcode: NXDOMAIN, authority: proof.sets.flatMap(({ records }) => records) })
  rewriteTtls(wire, () => ttlS)
  return { wire, rcode: NXDOMAIN, storeS: ttlS, ede: SYNTHESIZED, from: 'policy' }
}

function dsQuery(name: Uint8Array, client: Client): Query {
  const lower = Buffer.concat([name, Uint8Array.of(0, TYPE.ds, 0, 1)])
  return {
    id: 0,
    question: { lower, type: TYPE.ds, class: 1 },
    authenticData: false,
    checkingDisabled: false,
    edns: { udpSize: 1232, dnssecOk: true, wantsSource: false },
    client,
  }
}

const isTop = (name: Uint8Array) => name.length > 1 && name[0] === name.length - 2
const keyOf = (name: Uint8Array) => Buffer.from(name).toString('latin1')
