import type { TrustedResolver } from '../config/trusted-set.ts'
import { ROOT_PROBE, upstreamQuery } from '../dns/message.ts'
import { nameFromText } from '../dns/name.ts'
import { typeFromText } from '../dns/registries.ts'
import type { Rcode } from '../errors.ts'

const REFUSED = 5

/** What `resolver` is asked to see whether it lives: what the trusted set names, else the root. */
export function probeOf({ probe }: Pick<TrustedResolver, 'probe'>): Uint8Array {
  if (probe === undefined) return ROOT_PROBE
  const type = typeFromText(probe.type) ?? 1
  const name = nameFromText(probe.name)
  const lower = new Uint8Array(name.length + 4)
  lower.set(name)
  lower.set([type >>> 8, type & 255, 0, 1], name.length)
  return upstreamQuery({ lower, type, class: 1 }, false)
}

/**
 * Whether the reply to `probe` refuses to tell of the root: so does a resolver for its own zones,
 * and it is well. It says that the path lives, and no more.
 */
export function refusesRoot(probe: Uint8Array, rcode: Rcode): boolean {
  return probe === ROOT_PROBE && rcode === REFUSED
}
