import type { Clock, Random, Timer } from '../clock.ts'
import { type ListConfig, MAX_LIST_OCTETS } from '../config/lists.ts'
import { fileNameOf } from '../config/source-url.ts'
import { asEnigmError, EnigmError } from '../errors.ts'
import { type FetchWorld, fetchBuffer, fetchSource } from '../fetcher/fetch-source.ts'
import type { KeptAbout, KeptCopies } from '../fetcher/kept-copies.ts'
import { MAX_SIGNATURE_OCTETS } from '../files/minisign.ts'
import { anyOwner, readSmall } from '../files/reading.ts'
import type { ListSpec } from '../rules/list-build.ts'

/** A list that comes from an address is fetched again after this time, and a random part more. */
const FETCH_EVERY_MS = 24 * 3_600_000
const FETCH_SPREAD_MS = 2 * 3_600_000
/** After a failure: the first pause, doubled each time up to the longest. */
const RETRY_MS = 60_000
const LONGEST_RETRY_MS = 3_600_000

/**
 * A list that may be built now, or searched (`listMatches`); undefined: no copy of it was fetched
 * yet.
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

/** What must have signed a list from an address. */
function signedBy({ minisignKey, url = '' }: ListConfig, signature: string | undefined): ListSpec['signed'] {
  return minisignKey === undefined ? undefined : { key: minisignKey, signature: signature ?? '', fileName: fileNameOf(url) }
}

const nameIn = (path: string) => path.slice(path.lastIndexOf('/') + 1)

/** The text of FILE.minisig; empty if it cannot be read, which no key has signed. */
function signatureBeside(file: string): string {
  try {
    const octets = readSmall(`${file}.minisig`, MAX_SIGNATURE_OCTETS, anyOwner)
    return typeof octets === 'string' ? '' : octets.toString('utf8')
  } catch {
    return ''
  }
}

/** A list that was fetched and is not used yet. */
export interface FetchedList {
  readonly list: ListConfig
  readonly spec: ListSpec
  /** Makes it the kept copy. */
  readonly keep: () => Promise<unknown>
}

/** What fetching lists needs. */
export interface ListFetchParts {
  readonly clock: Clock
  readonly random: Random
  readonly copies: KeptCopies
  readonly world: FetchWorld
  /** Why nothing may be sent now; undefined: it may. */
  readonly refusal: () => EnigmError | undefined
  /** Whether the kept copy of a list is in force: then it is fetched only if it has changed. */
  readonly isUsed: (id: string) => boolean
  /**
   * Builds all lists with this one as fetched, puts them in force, and keeps the copy. Resolves to
   * why that was not possible; then the earlier lists stay.
   */
  readonly tryOut: (fetched: FetchedList) => Promise<string | undefined>
  /** A fetch has ended; `fault`: why its list was not renewed. */
  readonly ended: (id: string, fault: string | undefined) => void
}

/**
 * Keeps the lists of addresses current: fetches each at the start if there is no copy, and then
 * once a day. One fetch at a time; a damaged or refused one changes nothing.
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

  /** Fetches exactly these lists from now on. */
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

  /** A random part is added, so that the time of a fetch does not tell when this host started. */
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

  /** Never rejects. */
  async #update(list: ListConfig): Promise<void> {
    const timer = this.#timers.get(list.id)
    const fault = this.#stopped || timer === undefined ? undefined : await this.#fetch(list)
    // A reload may have replaced or removed the list meanwhile.
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

  /** Resolves to why the list was not renewed; undefined: it is current. */
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
