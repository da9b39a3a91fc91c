import type { SocketAddress } from '../config/listen-address.ts'
import type { Listener } from './listener.ts'
import { isWildcard } from './wildcard.ts'

/** Opens every endpoint or none; rejects with why. */
export type Bind = (endpoints: readonly SocketAddress[]) => Promise<readonly Listener[]>

/** Listeners between two configurations. Exactly one of `keep` and `undo` is called, once. */
export interface Replacement {
  /** Opened for this. */
  readonly fresh: readonly Listener[]
  /** All that are open once the old ones are gone. */
  readonly after: readonly Listener[]
  /** Closes what the new configuration does not name. */
  keep(): Promise<void>
  /** Closes what was opened, and resolves to the listeners of before. */
  undo(): Promise<readonly Listener[]>
}

/**
 * Opens what `wanted` names and `current` (made from `before`) lacks. What both name is not
 * touched. An address and the wildcard that covers it cannot be open on one port at once: there the
 * old one goes first, and comes back if the new one cannot be opened. Rejects with that reason, and
 * `current` is as it was.
 */
export async function replaceListeners(
  current: readonly Listener[],
  before: readonly SocketAddress[],
  wanted: readonly SocketAddress[],
  bind: Bind,
): Promise<Replacement> {
  const missing = wanted.filter((endpoint) => !before.some((bound) => same(bound, endpoint)))
  const leaving = current.filter((listener) => !wanted.some((endpoint) => stays(listener, endpoint, before)))
  const staying = current.filter((listener) => !leaving.includes(listener))
  const inTheWay = leaving.filter((listener) => missing.some((endpoint) => overlap(listener, endpoint)))
  const back = endpointsOf(inTheWay)
  await Promise.all(inTheWay.map((listener) => listener.close()))
  let fresh: readonly Listener[]
  try {
    fresh = await bind(missing)
  } catch (error) {
    if (back.length > 0) await bind(back)
    throw error
  }
  return {
    fresh,
    after: [...staying, ...fresh],
    keep: async () => void (await Promise.all(leaving.map((listener) => listener.close()))),
    async undo() {
      await Promise.all(fresh.map((listener) => listener.close()))
      const restored = back.length > 0 ? await bind(back) : []
      return [...current.filter((listener) => !inTheWay.includes(listener)), ...restored]
    },
  }
}

/** UDP and TCP of one endpoint are one. */
function endpointsOf(listeners: readonly Listener[]): readonly SocketAddress[] {
  const endpoints: SocketAddress[] = []
  for (const { address, port } of listeners) {
    if (!endpoints.some((known) => same(known, { address, port }))) endpoints.push({ address, port })
  }
  return endpoints
}

function overlap(a: SocketAddress, b: SocketAddress): boolean {
  const family = (e: SocketAddress) => e.address.includes(':')
  return a.port === b.port && family(a) === family(b) && (isWildcard(a.address) || isWildcard(b.address))
}

function same(a: SocketAddress, b: SocketAddress): boolean {
  return a.address === b.address && a.port === b.port
}

/**
 * A listener stays if its endpoint does; one that was bound to port 0 has another port by now, and
 * stays with its address.
 */
function stays(listener: Listener, endpoint: SocketAddress, before: readonly SocketAddress[]): boolean {
  if (same(listener, endpoint)) return true
  return endpoint.port === 0 && endpoint.address === listener.address && before.some((bound) => same(bound, endpoint))
}
