import type { Protocol } from './fault.ts'
import { FAULT_SERVER_NAME } from './server.ts'

/** The trusted-set entry of a fault server. */
export function faultEntry(id: string, protocol: Protocol, port: number, host = '127.0.0.1'): object {
  return {
    id,
    operator: id,
    authenticationDomainName: FAULT_SERVER_NAME,
    addresses: [host],
    transports: protocol === 'dot' ? { dot: { port } } : { doh: { port, path: '/dns-query' } },
    caFile: 'ca.pem',
  }
}
