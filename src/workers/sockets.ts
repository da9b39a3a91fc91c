import { networkInterfaces } from 'node:os'
import type { SocketAddress } from '../config/listen-address.ts'
import { EnigmError, systemCode } from '../errors.ts'
import { bindRefusal } from '../listen/bind.ts'
import type { Listener, ListenOptions } from '../listen/listener.ts'
import { openUdp } from '../listen/udp-batch.ts'
import { isWildcard, listenUdpEverywhere, type ReadInterfaces } from '../listen/wildcard.ts'
import type { WorkerEndpoint } from './protocol.ts'

/** The UDP sockets of one worker. */
export interface Sockets {
  /**
   * Opens the endpoints that are not open yet, all or none. Rejects with an EnigmError `listen`.
   */
  open(endpoints: readonly WorkerEndpoint[]): Promise<void>
  /** Closes all except `endpoints`, each after its drain. */
  keepOnly(endpoints: readonly SocketAddress[]): Promise<void>
}

/**
 * Shares every endpoint with the other workers. The main thread serves addresses with a zone alone:
 * their sockets come from dgram, which on Node 20 cannot share. It serves TCP alone too (net has
 * `reusePort` since Node 22.12).
 */
export function workerSockets(options: Omit<ListenOptions, 'address' | 'port'>): Sockets {
  let listeners: readonly Listener[] = []
  const isOpen = (endpoint: SocketAddress) => listeners.some((listener) => same(listener, endpoint))
  return {
    async open(endpoints) {
      const fresh: Listener[] = []
      try {
        for (const endpoint of endpoints) {
          if (isOpen(endpoint) || endpoint.address.includes('%')) continue
          fresh.push(await openShared({ ...options, ...endpoint, reusePort: endpoint.inheritedFd === undefined }))
        }
        listeners = [...listeners, ...fresh]
      } catch (error) {
        await Promise.all(fresh.map((listener) => listener.close()))
        throw error
      }
    },
    async keepOnly(endpoints) {
      const leaving = listeners.filter((listener) => !endpoints.some((endpoint) => same(listener, endpoint)))
      listeners = listeners.filter((listener) => !leaving.includes(listener))
      await Promise.all(leaving.map((listener) => listener.close()))
    },
  }
}

async function openShared(options: ListenOptions): Promise<Listener> {
  try {
    return await (isWildcard(options.address) ? listenUdpEverywhere(options, withoutLinkLocal) : openUdp(options))
  } catch (error) {
    const code = systemCode(error) ?? 'unknown'
    throw new EnigmError('listen', bindRefusal(code, options, 'udp', undefined), { cause: error })
  }
}

const withoutLinkLocal: ReadInterfaces = () =>
  Object.fromEntries(
    Object.entries(networkInterfaces()).map(([name, addresses]) => [name, addresses?.filter((one) => !one.address.startsWith('fe80:'))]),
  )

const same = (a: SocketAddress, b: SocketAddress) => a.address === b.address && a.port === b.port
