import { EnigmError, systemCode } from '../errors.ts'
import { bindRefusal } from './bind-refusal.ts'
import type { Listener, ListenOptions, SocketAddress } from './listener.ts'
import { openUdp } from './open-udp.ts'
import { listenTcp } from './tcp.ts'
import { isWildcard, listenUdpEverywhere } from './wildcard.ts'

/** Port 0: the port that UDP got may be taken for TCP. */
const PORT_ATTEMPTS = 8

/** Names the process that holds a port, as "name (pid N)", if that can be known. Never rejects. */
export type HolderOf = (address: string, port: number, transport: 'udp' | 'tcp') => Promise<string | undefined>

/** What `bindAll` needs beyond the endpoints. */
export type BindOptions = Omit<ListenOptions, 'address' | 'port'> & { readonly holder: HolderOf }

/**
 * Opens UDP and TCP, on the same port, on every endpoint: all or nothing. Rejects with an EnigmError `listen` whose one sentence names who is in the way
 * or what mends it.
 */
export async function bindAll(endpoints: readonly SocketAddress[], options: BindOptions): Promise<readonly Listener[]> {
  const listeners: Listener[] = []
  try {
    for (const endpoint of endpoints) listeners.push(...(await bindPair({ ...options, ...endpoint }, options.holder)))
    return listeners
  } catch (error) {
    await Promise.all(listeners.map((listener) => listener.close()))
    throw error
  }
}

async function bindPair(options: ListenOptions, holder: HolderOf): Promise<readonly Listener[]> {
  // SO_REUSEPORT lets any process of the same user take a share of the UDP socket: the TCP one, which nobody can share, must be ours before it.
  const [first, second] = options.reusePort === true ? (['tcp', 'udp'] as const) : (['udp', 'tcp'] as const)
  for (let attempt = 1; ; attempt++) {
    const one = await opened(first, options, holder)
    try {
      const other = await opened(second, { ...options, port: one.port }, holder)
      return first === 'udp' ? [one, other] : [other, one]
    } catch (error) {
      await one.close()
      const collision = options.port === 0 && error instanceof EnigmError && systemCode(error.cause) === 'EADDRINUSE'
      if (!collision || attempt === PORT_ATTEMPTS) throw error
    }
  }
}

async function opened(transport: 'udp' | 'tcp', options: ListenOptions, holder: HolderOf): Promise<Listener> {
  try {
    if (transport === 'tcp') return await listenTcp(options)
    return await (isWildcard(options.address) ? listenUdpEverywhere(options) : openUdp(options))
  } catch (error) {
    const code = systemCode(error) ?? 'unknown'
    const taken = code === 'EADDRINUSE' ? await holder(options.address, options.port, transport) : undefined
    throw new EnigmError('listen', bindRefusal(code, options, transport, taken), { cause: error })
  }
}
