import type { Clock, Random, Timer } from '../clock.ts'
import { type ListConfig, MAX_LIST_OCTETS } from '../config/lists.ts'
import { fileNameOf } from '../config/source-url.ts'
import { asEnigmError, EnigmError } from '../errors.ts'
import { type FetchWorld, fetchBuffer, fetchSource } from '../fetcher/fetch-source.ts'
import type { KeptAbout, KeptCopies } from '../fetcher/kept-copies.ts'
import { MAX_SIGNATURE_OCTETS } from '../files/minisign.ts'
import { anyOwner, readSmall } from '../files/reading.ts'
import type { ListSpec } from '../rules/list-build.ts'

/** A list with a URL is fetched again after this time plus a random part. */
const FETCH_EVERY_MS = 24 * 3_600_000
const FETCH_SPREAD_MS = 2 * 3_600_000
/** The first delay after a failed fetch. It doubles with each failure up to the longest delay. */
const RETRY_MS = 60_000
const LONGEST_RETRY_MS = 3_600_000

/**
 * The specification for building or searching a list (`buildLists`, `listMatches`). Undefined: the
 * list was never fetched.
 */
export function specOf(list: ListConfig, copies: KeptCopies): ListSpec | undefined {
  const { id, format, action, sha256, file, url, minisignKey } = list
  const rest = { id, format, action, sha256 }
  if (file !== undefined) {
    const signed = minisignKey === undefined ? undefined : { key: minisignKey, signature: signatureBeside(file), fileName: nameIn(file) }
    return { ...rest, path: file, signed }
  }
  const known = url === undefined ? undefined : copies.about(id, url)
  if (known === undefined) return undefined
  return { ...rest, path: copies.path(id, known), signed: signedBy(list, known.signature) }
}

/** The signature to check for a list with a URL. */
function signedBy({ minisignKey, url = '' }: ListConfig, signature: string | undefined): ListSpec['signed'] {
  return minisignKey === undefined ? undefined : { key: minisignKey, signature: signature ?? '', fileName: fileNameOf(url) }
}

const nameIn = (path: string) => path.slice(path.lastIndexOf('/') + 1)

/** The text of FILE.minisig. Empty if it cannot be read; the signature check then fails. */
function signatureBeside(file: string): string {
  try {
    const octets = readSmall(`${file}.minisig`, MAX_SIGNATURE_OCTETS, anyOwner)
    return typeof octets === 'string' ? '' : octets.toString('utf8')
  } catch {
    return ''
  }
}

/** A list that was fetched and is not in force yet. */
export interface FetchedList {
  readonly list: ListConfig
  readonly spec: ListSpec
  /** Saves it as the kept copy. */
  readonly keep: () => Promise<unknown>
}

/** What fetching lists needs. */
export interface ListFetchParts {
  readonly clock: Clock
  readonly random: Random
  readonly copies: KeptCopies
  readonly world: FetchWorld
  /** The error with which the policy refuses to send now; undefined: sending is allowed. */
  readonly refusal: () => EnigmError | undefined
  /**
   * Whether the kept copy of a list is in force. Then the request is conditional: the server sends
   * the list only if it has changed.
   */
  readonly isUsed: (id: string) => boolean
  /**
   * Builds all lists with the fetched one, puts them in force, and saves the copy. Resolves to
   * undefined, or to the reason for a failure; then the old lists stay.
   */
  readonly tryOut: (fetched: FetchedList) => Promise<string | undefined>
  /** Called when a fetch has ended. `fault`: why the list was not updated; undefined: success. */
  readonly ended: (id: string, fault: string | undefined) => void
}

/**
 * Keeps the lists with a URL current. Fetches a list at the start if it has no copy, and then every
 * 24 to 26 hours. Only one fetch runs at a time. If a fetch fails or its content is refused, the
 * old copy stays.
 */
export class ListFetches {
  readonly #parts: ListFetchParts
  readonly #timers = new Map<string, Timer>()
  readonly #failures = new Map<string, number>()
  #busy: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(parts: ListFetchParts) {
    this.#parts = parts
  }

  /** Replaces the set of lists to fetch. */
  adopt(lists: readonly ListConfig[]): void {
    for (const timer of this.#timers.values()) timer.cancel()
    this.#timers.clear()
    for (const list of lists) if (list.url !== undefined) this.#schedule(list, this.#dueInMs(list))
  }

  stop(): void {
    this.#stopped = true
    this.adopt([])
  }

  #dueInMs({ id, url = '' }: ListConfig): number {
    const { copies, clock, isUsed } = this.#parts
    const known = copies.about(id, url)
    if (known === undefined || !isUsed(id)) return 0
    const ageMs = clock.wallMs() - known.checkedAtMs
    return ageMs < 0 ? FETCH_EVERY_MS : Math.max(0, FETCH_EVERY_MS - ageMs)
  }

  /**
   * Schedules the next fetch. A random part is added, so that fetch times do not reveal when this
   * host started.
   */
  #schedule(list: ListConfig, inMs: number): void {
    const { clock, random } = this.#parts
    if (this.#stopped) return
    const waitMs = inMs === 0 ? 0 : inMs + random.below(FETCH_SPREAD_MS)
    this.#timers.set(
      list.id,
      clock.setTimer(waitMs, () => {
        const done = this.#busy.then(() => this.#update(list))
        this.#busy = done
      }),
    )
  }

  /** Fetches one list and schedules the next fetch. Never rejects. */
  async #update(list: ListConfig): Promise<void> {
    const timer = this.#timers.get(list.id)
    const fault = this.#stopped || timer === undefined ? undefined : await this.#fetch(list)
    // While this fetch waited, a reload may have replaced or removed the list.
    if (this.#stopped || timer === undefined || this.#timers.get(list.id) !== timer) return
    this.#parts.ended(list.id, fault)
    const failures = fault === undefined ? 0 : (this.#failures.get(list.id) ?? 0) + 1
    this.#failures.set(list.id, failures)
    if (failures === 0) this.#schedule(list, FETCH_EVERY_MS)
    else this.#retry(list, Math.min(LONGEST_RETRY_MS, RETRY_MS * 2 ** (failures - 1)))
  }

  #retry(list: ListConfig, waitMs: number): void {
    const timer = this.#parts.clock.setTimer(waitMs, () => {
      this.#busy = this.#busy.then(() => this.#update(list))
    })
    this.#timers.set(list.id, timer)
  }

  /** Fetches one list. Resolves to the reason why it was not updated; undefined: it is current. */
  async #fetch(list: ListConfig): Promise<string | undefined> {
    const { copies, refusal, clock, isUsed } = this.#parts
    const { id, url = '' } = list
    try {
      const refused = refusal()
      if (refused !== undefined) return refused.message
      const known = isUsed(id) ? copies.about(id, url) : undefined
      const incoming = await copies.begin(id)
      try {
        const validators = known === undefined ? {} : { etag: known.etag, lastModified: known.lastModified }
        const take = (part: Uint8Array) => incoming.write(part)
        const fetched = await fetchSource({ url, maxOctets: MAX_LIST_OCTETS, ...validators, take }, this.#parts.world)
        if (!fetched.changed) return this.#unchanged(id, known)
        const sha256 = await incoming.end()
        const signature = list.minisignKey === undefined ? undefined : await this.#signature(url)
        if (known !== undefined && known.sha256 === sha256 && known.signature === signature) return this.#unchanged(id, known)
        const { format, action } = list
        const spec = { id, path: incoming.path, format, action, sha256: list.sha256, signed: signedBy(list, signature) }
        const { etag, lastModified } = fetched
        const keep = () => incoming.keep({ url, etag, lastModified, signature, checkedAtMs: clock.wallMs() })
        return await this.#parts.tryOut({ list, spec, keep })
      } finally {
        await incoming.drop()
      }
    } catch (error) {
      return asEnigmError(error).message
    }
  }

  #unchanged(id: string, known: KeptAbout | undefined): undefined {
    if (known !== undefined) this.#parts.copies.unchanged(id, known, this.#parts.clock.wallMs())
    return undefined
  }

  async #signature(url: string): Promise<string> {
    const beside = new URL(url)
    beside.pathname += '.minisig'
    const { body } = await fetchBuffer({ url: beside.href, maxOctets: MAX_SIGNATURE_OCTETS }, this.#parts.world)
    if (body === undefined) throw new EnigmError('source', 'its signature cannot be fetched')
    return body.toString('utf8')
  }
}
