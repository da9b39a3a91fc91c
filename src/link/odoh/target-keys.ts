import type { Clock } from '../../clock.ts'
import { type TargetPublicKey, targetKeyOf } from '../../config/odoh-config.ts'
import { asEnigmError, EnigmError, wasAsked } from '../../errors.ts'
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
   * Rejects with an EnigmError.
   */
  readonly fetch: (() => Promise<Uint8Array>) | undefined
}

/**
 * The key of one target. The encryption is loaded when it is first needed, and a key is fetched
 * only when none is pinned or the target refuses it.
 */
export class TargetKeys implements SealingKeys {
  readonly #source: TargetKeySource
  #codec: typeof import('./message.ts') | undefined
  #key: TargetKey | undefined
  #fetching: Promise<void> | undefined
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
    if (this.version !== version) return
    const { clock, fetch } = this.#source
    if (fetch === undefined) throw this.#missing()
    if (this.#fetching === undefined) {
      if (clock.nowMs() < this.#fetchAgainMs) throw this.#missing()
      this.#fetchAgainMs = clock.nowMs() + REFETCH_MS
      this.#fetching = this.#fetch(fetch).finally(() => {
        this.#fetching = undefined
      })
    }
    await this.#fetching
    if (this.version === version) throw this.#missing()
  }

  async #fetch(fetch: () => Promise<Uint8Array>): Promise<void> {
    try {
      const found = targetKeyOf(await fetch())
      if (typeof found === 'string') throw new EnigmError('target-key', `what the target publishes ${found}`)
      this.#adopt(found)
    } catch (error) {
      const { code, message } = asEnigmError(error)
      if (code !== 'target-key' && !wasAsked(code)) this.#fetchAgainMs = this.#source.clock.nowMs() + UNREACHED_MS
      this.#fault = new EnigmError('target-key', `the key of the target could not be fetched: ${message}`, { cause: error })
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
