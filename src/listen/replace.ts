import type { SocketAddress } from '../config/listen-address.ts'
import type { Listener } from './listener.ts'
import { isWildcard } from './wildcard.ts'

/** Opens every endpoint or none; rejects with the reason. */
export type Bind = (endpoints: readonly SocketAddress[]) => Promise<readonly Listener[]>

/** Listeners during a change of configuration. Exactly one of `keep` and `undo` is called, once. */
export interface Replacement {
  /** Listeners opened for the new configuration. */
  readonly fresh: readonly Listener[]
  /** All listeners that are open after the old ones are closed. */
  readonly after: readonly Listener[]
  /** Closes the listeners that the new configuration does not name. */
  keep(): Promise<void>
  /** Closes the new listeners, and resolves to the previous ones. */
  undo(): Promise<readonly Listener[]>
}

/**
 * Opens the endpoints of `wanted` that `current` (made from `before`) lacks. Endpoints in both are
 * not touched. An address and the wildcard that covers it cannot be open on one port at once. In
 * that case the old one is closed first, and opened again if the new one cannot be opened. Rejects
 * with the reason of the failure, and `current` is as it was.
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

/** UDP and TCP of one endpoint count as one. */
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
 * A listener stays if its endpoint does. One that was bound to port 0 has an actual port by now,
 * and stays if its address does.
 */
function stays(listener: Listener, endpoint: SocketAddress, before: readonly SocketAddress[]): boolean {
  if (same(listener, endpoint)) return true
  return endpoint.port === 0 && endpoint.address === listener.address && before.some((bound) => same(bound, endpoint))
}
