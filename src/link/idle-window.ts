/** What every resolver and nearly every NAT keeps; resolvers were seen to keep 30 s (Quad9) to over 240 s (Cloudflare). */
const FIRST_MS = 30_000
const LONGEST_MS = 240_000
const SHORTEST_MS = 5000
/** The resolver's own clock started earlier than ours: a query must not cross its FIN. */
const BEFORE_CLOSE = 0.9

/**
 * How long a connection to one resolver may be idle before it is closed here, learnt: doubled when one answers after more than half of it, halved below what one
 * did not survive, kept below what the resolver itself closes after.
 */
export class IdleWindow {
  #ms = FIRST_MS
  #pathMs = LONGEST_MS
  #peerMs = LONGEST_MS

  get ms(): number {
    return Math.min(this.#ms, this.#pathMs, this.#peerMs)
  }

  /** It answered after it had been idle for so long. */
  survived(idleMs: number): void {
    if (idleMs > this.#ms / 2) this.#ms = Math.min(LONGEST_MS, this.#ms * 2)
  }

  /** It had been idle for so long, and was dead without a word: something between forgot it. */
  diedAfter(idleMs: number): void {
    if (idleMs >= SHORTEST_MS) this.#pathMs = Math.min(this.#pathMs, Math.max(SHORTEST_MS, idleMs / 2))
  }

  /** The resolver closed it after it had been idle for so long. */
  closedAfter(idleMs: number): void {
    if (idleMs >= SHORTEST_MS) this.#peerMs = Math.min(this.#peerMs, idleMs * BEFORE_CLOSE)
  }

  /** Another network: what lies between is another thing. The resolver is the same. */
  anotherPath(): void {
    this.#ms = FIRST_MS
    this.#pathMs = LONGEST_MS
  }
}
