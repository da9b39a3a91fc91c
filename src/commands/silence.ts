import { isIPv6 } from 'node:net'
import { allowList } from '../config/cidr.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import type { Loaded } from '../config/load.ts'
import { isSuspended } from '../system/process-identity.ts'
import { findConfig, type Host } from './running-service.ts'

/** Why a running service gives no reply, as a sentence, and what to do. */
export interface Silence {
  readonly why: string
  readonly mend: string
}

/**
 * Why the process `pid`, which runs the service, gives no reply at `place` to a client on this
 * host. `loaded`: its configuration. Undefined: the process or the reason is not known.
 */
export function silenceOf(place: SocketAddress, pid: number | undefined, loaded: Pick<Loaded, 'config'> | undefined): Silence | undefined {
  if (pid !== undefined && isSuspended(pid))
    return { why: `The service (process ${pid}) is suspended (SIGSTOP).`, mend: `Let it continue: kill -CONT ${pid}` }
  const client = ownAddress(place.address)
  if (loaded !== undefined && !allowList(loaded.config.allowFrom)(client))
    return {
      why: `The service answers only the clients in allowFrom, and ${client} is not one.`,
      mend: `Add ${client} to allowFrom in the configuration.`,
    }
  if (pid === undefined) return undefined
  return {
    why: `The service (process ${pid}) runs, but does not answer.`,
    mend: 'Restart it, and read its log (journalctl -u enigm-dns -e).',
  }
}

/** The same for the service of this host that listens at `place`. Never rejects. */
export async function silenceAt(place: SocketAddress, text: string, host: Host): Promise<Silence | undefined> {
  const service = host.services().find(({ listen }) => listen.includes(text))
  if (service === undefined) return undefined
  const { loaded } = await findConfig(service.config, host)
  return silenceOf(place, service.pid, loaded)
}

/** The source address of packets from this host to one of its own addresses. */
function ownAddress(address: string): string {
  if (address === '0.0.0.0' || address.startsWith('127.')) return '127.0.0.1'
  return address === '::' || (isIPv6(address) && address === '::1') ? '::1' : address
}
