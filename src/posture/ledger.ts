import type { Emit, PlaintextCause } from '../events.ts'

/** The one door through which a cleartext DNS packet may leave the host. */
export interface Ledger {
  /**
   * Asks to send exactly one packet in cleartext, now. `true`: it has been counted and reported, send it. `false`: do not send.
   * Whoever sends without asking here has broken the promise of the program.
   */
  allowPlaintext(cause: PlaintextCause): boolean
  /** What was let out so far, by cause. */
  counts(): Readonly<Record<PlaintextCause, number>>
}

/**
 * A ledger. Under `strict` nothing is ever let out, whatever `permitted` says (RFC 8310 section 5). The event goes out before the packet does,
 * so the status file has turned to `exposed` by then.
 */
export function plaintextLedger(usageProfile: 'strict' | 'opportunistic', permitted: ReadonlySet<PlaintextCause>, emit: Emit): Ledger {
  const counts: Record<PlaintextCause, number> = { 'captive-portal': 0, 'user-exception': 0 }
  return {
    allowPlaintext(cause) {
      if (usageProfile === 'strict' || !permitted.has(cause)) return false
      counts[cause]++
      emit({ type: 'plaintext', cause })
      return true
    },
    counts: () => ({ ...counts }),
  }
}
