/** What a link can be told of the world. */
export interface Renewable {
  /**
   * The network changed or the machine slept: drops connections and TLS sessions (a ticket would join the old network's client to the new one's). What is in flight
   * goes on over a new connection where the link keeps no schedule; one that was in use is dialled anew if `online`.
   */
  renew(online: boolean): void
  /** Forgets how long to wait before the next dial: the wall clock was set, say, and certificates may have become valid. */
  reconsider(): void
}
