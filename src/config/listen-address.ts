import { isIP } from 'node:net'

/** Where a listener binds, UDP and TCP alike. Port 0 asks the system for a free one. */
export interface ListenAddress {
  readonly address: string
  readonly port: number
}

/** Reads "127.0.0.53:53", "[::1]:53" or "[fe80::1%eth0]:53"; undefined if it is none of these. A name is never resolved. */
export function parseListen(text: string): ListenAddress | undefined {
  const found = /^(?:\[([^\]]+)\]|([^:[\]]+)):(0|[1-9]\d{0,4})$/.exec(text)
  if (found === null) return undefined
  const [, six, four, portText] = found
  const address = six ?? four ?? ''
  const port = Number(portText)
  return port <= 65535 && isIP(address) === (six === undefined ? 4 : 6) ? { address, port } : undefined
}
