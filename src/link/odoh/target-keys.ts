import type { Clock } from '../../clock.ts'
import { type TargetPublicKey, targetKeyOf } from '../../config/odoh-config.ts'
import { asEnigmError, EnigmError, isOfHop, wasAsked } from '../../errors.ts'
import type { SealedQuery, SealingKeys } from '../dial/endpoint.ts'
import type { TargetKey } from './message.ts'

/**
 * The shortest time between two fetches of a target's key. Without it a target, or a relay that
 * answers in its place, could make this host connect as often as it likes.
 */
const REFETCH_MS = 60_000
/** The same if the target was not reached. It is short, because the network may come up soon. */
const UNREACHED_MS = 2000
/**
 * How many octets encryption adds to a query (RFC 9230 section 6): type, length and key id, length;
 * the encapsulated key, the two lengths of the plaintext, and the tag.
 */
export const SEAL_OCTETS = 1 + 2 + 32 + 2 + 32 + 2 + 2 + 16

/** Where the key of a target comes from. */
export interface TargetKeySource {
  readonly clock: Clock
  /** The key that the trusted set pins. */
  readonly pinned: TargetPublicKey | undefined
  /**
   * Fetches the ObliviousDoHConfigs that the target publishes. Rejects with an EnigmError, also
   * when the signal aborts. Undefined: the configuration allows no fetch.
   */
  readonly fetch: ((signal: AbortSignal) => Promise<Uint8Array>) | undefined
  /** Called before each fetch, because the network may just have changed. */
  readonly beforeDial?: (() => void) | undefined
}

/** One attempt to fetch the key. `done` never rejects. */
interface Fetch {
  readonly ended: AbortController
  readonly done: Promise<void>
}

/**
 * Keeps the key of one target. The encryption code is loaded when it is first needed. A key is
 * fetched only if none is pinned, or if the target refuses the known one.
 */
export class TargetKeys implements SealingKeys {
  readonly #source: TargetKeySource
  #codec: typeof import('./message.ts') | undefined
  #key: TargetKey | undefined
  #fetching: Fetch | undefined
  #closed = false
  #fetchAgainMs = Number.NEGATIVE_INFINITY
  #fault: EnigmError | undefined
  version = 0

  constructor(source: TargetKeySource) {
    this.#source = source
  }

  get known(): boolean {
    return this.#key !== undefined
  }

  seal(query: Uint8Array): SealedQuery {
    if (this.#key === undefined || this.#codec === undefined) throw this.#missing()
    return this.#codec.sealQuery(this.#key, query)
  }

  async ready(): Promise<void> {
    this.#codec ??= await import('./message.ts')
    if (this.#key === undefined && this.#source.pinned !== undefined) this.#adopt(this.#source.pinned)
    if (this.#key === undefined) await this.renew(this.version)
  }

  async renew(version: number): Promise<void> {
    while (this.version === version) {
      const fetching = this.#fetching ?? this.#beginFetch()
      await fetching.done
      if (this.version === version && !fetching.ended.signal.aborted) throw this.#missing()
    }
  }

  reset(): void {
    this.#fetching?.ended.abort(new EnigmError('connection-lost', 'the network changed'))
    this.#fetching = undefined
    this.#fetchAgainMs = Number.NEGATIVE_INFINITY
  }

  close(): void {
    this.#closed = true
    this.reset()
  }

  /** Begins a fetch. Throws an EnigmError if none is allowed now. */
  #beginFetch(): Fetch {
    const { clock, fetch, beforeDial } = this.#source
    if (this.#closed) throw new EnigmError('closed', 'the link is closed')
    if (fetch === undefined) throw this.#missing()
    beforeDial?.()
    // `beforeDial` may have called `reset`, and another query may have begun a fetch meanwhile.
    if (this.#fetching !== undefined) return this.#fetching
    if (clock.nowMs() < this.#fetchAgainMs) throw this.#missing()
    this.#fetchAgainMs = clock.nowMs() + REFETCH_MS
    const ended = new AbortController()
    const begun = { ended, done: this.#fetch(fetch, ended.signal) }
    this.#fetching = begun
    void begun.done.then(() => {
      if (this.#fetching === begun) this.#fetching = undefined
    })
    return begun
  }

  async #fetch(fetch: (signal: AbortSignal) => Promise<Uint8Array>, signal: AbortSignal): Promise<void> {
    try {
      const found = targetKeyOf(await fetch(signal))
      if (signal.aborted) return
      if (typeof found === 'string') throw new EnigmError('target-key', `what the target publishes ${found}`)
      this.#adopt(found)
    } catch (error) {
      if (signal.aborted) return
      const { code, message, hop } = asEnigmError(error)
      if (code !== 'target-key' && !wasAsked(code)) this.#fetchAgainMs = this.#source.clock.nowMs() + UNREACHED_MS
      const own = isOfHop(code) ? code : 'target-key'
      this.#fault = new EnigmError(own, `the key of the target could not be fetched: ${message}`, { cause: error, hop })
    }
  }

  #adopt(published: TargetPublicKey): void {
    const key = this.#codec?.targetKey(published)
    if (key === undefined) this.#fault = new EnigmError('target-key', 'the key of the target is not valid')
    if (key === undefined || (this.#key !== undefined && Buffer.compare(key.id, this.#key.id) === 0)) return
    this.#key = key
    this.#fault = undefined
    this.version++
  }

  #missing(): EnigmError {
    if (this.#fault !== undefined) return this.#fault
    const fix = this.#source.fetch === undefined ? 'put its new config into the trusted set' : 'the target publishes no other key'
    return new EnigmError('target-key', `the target does not accept the key; ${fix}`)
  }
}
