import { kept } from '../dns/reading.ts'
import type { Ask, Carried, Protection, Receiver, Transport } from '../resolve.ts'

/** Whatever can be asked and says over what it was reached. */
interface Askable<P extends Protection> {
  ask(message: Uint8Array, dnssecOk: boolean, ask: Ask, to: Receiver<P, [transport: Transport]>): void
}

/** Asks `upstream` where a promise is as good, for a probe. Rejects with an EnigmError. */
export function reached<P extends Protection>(
  upstream: Askable<P>,
  message: Uint8Array,
  dnssecOk: boolean,
  ask: Ask,
): Promise<{ readonly carried: Carried<P>; readonly transport: Transport }> {
  return new Promise((resolve, reject) => {
    upstream.ask(message, dnssecOk, ask, {
      carried: (carried, transport) => resolve({ carried: kept(carried), transport }),
      failed: reject,
    })
  })
}
