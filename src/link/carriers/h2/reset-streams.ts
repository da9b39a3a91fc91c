const MAX_REMEMBERED = 4096

/** Streams that we gave up and that the peer had not ended: what it still sends for them was on its way (RFC 9113 section 5.1, `closed`). */
export class ResetStreams {
  readonly #ids = new Set<number>()
  /** Of these and below nothing is known any more. */
  #forgottenId = 0

  add(streamId: number): void {
    this.#ids.add(streamId)
    for (const oldest of this.#ids) {
      if (this.#ids.size <= MAX_REMEMBERED) break
      this.#ids.delete(oldest)
      this.#forgottenId = Math.max(this.#forgottenId, oldest)
    }
  }

  /** Whether a frame may still come for this stream; `last`: it is the last that may. */
  has(streamId: number, last: boolean): boolean {
    const known = last ? this.#ids.delete(streamId) : this.#ids.has(streamId)
    return known || streamId <= this.#forgottenId
  }

  delete(streamId: number): void {
    this.#ids.delete(streamId)
  }
}
