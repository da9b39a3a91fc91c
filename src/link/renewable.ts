/** Reactions of a link to changes outside it. */
export interface Renewable {
  /**
   * The network changed or the machine slept: drops connections and TLS sessions (a ticket would
   * let an observer join the client of the old network to that of the new one). A link on demand
   * repeats its queries in flight on a new connection. A link that was in use is dialled again if
   * `online`.
   */
  renew(online: boolean): void
  /**
   * Ends the backoff: the wall clock was set, for example, and certificates may have become valid.
   */
  reconsider(): void
}
