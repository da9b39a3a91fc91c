import type { Config } from '../config/settings.ts'
import { EnigmError } from '../errors.ts'

/** Why this many workers cannot run here, or undefined. They share endpoints by SO_REUSEPORT, which on Node 20 only the batched sockets can set. */
export function workersRefusal(workers: number, udp: Config['udp'], batched: boolean): EnigmError | undefined {
  if (workers === 1) return undefined
  if (udp === 'dgram') {
    return new EnigmError('listen', `workers is set to ${workers}, which needs batched UDP: set udp to "auto", or set workers to 1.`)
  }
  if (batched) return undefined
  return new EnigmError(
    'listen',
    `workers is set to ${workers}, which needs 64-bit Linux and the optional package koffi: install it, or set workers to 1.`,
  )
}
