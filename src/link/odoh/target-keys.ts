import type { Clock } from '../../clock.ts'
import { type TargetPublicKey, targetKeyOf } from '../../config/odoh-config.ts'
import { asEnigmError, EnigmError, isOfHop, wasAsked } from '../../errors.ts'
import type { SealedQuery, SealingKeys } from '../dial/endpoint.ts'
import type { TargetKey } from './message.ts'

/**
 * For this long after an attempt, the key of a target is not fetched again: a target, or a relay
 * that answers in its place, must not decide how often this host connects.
 */
const REFETCH_MS = 60_000
/** The same if the target was not reached: the network may be about to come up. */
const UNREACHED_MS = 2000
/**
 * How much longer a sealed query is than the query (RFC 9230 section 6): type, key id, length; the
 * encapsulated key, the two lengths of the plaintext, and the tag.
 */
export const SEAL_OCTETS = 1 + 2 + 32 + 2 + 32 + 2 + 2 + 16

/** Where the key of a target comes from. */
export interface TargetKeySource {
  readonly clock: Clock
  /** The key that the trusted set pins. */
  readonly pinned: TargetPublicKey | undefined
  /**
   * Fetches the ObliviousDoHConfigs that the target publishes; undefined: that is not allowed.
   * Rejects with an EnigmError, also when the signal aborts.
   */
  readonly fetch: ((signal: AbortSignal) => Promise<Uint8Array>) | undefined
  /** Called before each fetch: the network may have changed just now. */
  readonly beforeDial?: (() => void) | undefined
}

/** One attempt; `done` never rejects. */
interface Fetch {
  readonly ended: AbortController
  readonly done: Promise<void>
}

/**
 * The key of one target. The encryption is loaded when it is first needed, and a key is fetched
 * only when none is pinned or the target refuses it.
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
      const fetching = this.#fetching ?? this.#begun()
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

  /** The fetch that begins now. Throws if none may. */
  #begun(): Fetch {
    const { clock, fetch, beforeDial } = this.#source
    if (this.#closed) throw new EnigmError('closed', 'the link is closed')
    if (fetch === undefined) throw this.#missing()
    beforeDial?.()
    // It may have reset these keys, and others may have begun a fetch since.
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
    if (key === undefined) this.#fault = new EnigmError('target-key', 'nothing can be encrypted to the key of the target')
    if (key === undefined || (this.#key !== undefined && Buffer.compare(key.id, this.#key.id) === 0)) return
    this.#key = key
    this.#fault = undefined
    this.version++
  }

  #missing(): EnigmError {
    if (this.#fault !== undefined) return this.#fault
    const fix = this.#source.fetch === undefined ? 'put its new config into the trusted set' : 'it publishes no other one'
    return new EnigmError('target-key', `the target does not accept the key; ${fix}`)
  }
}
