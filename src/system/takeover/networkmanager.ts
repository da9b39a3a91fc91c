import { newFile } from '../../files/captured.ts'
import { isRecord } from '../../files/json.ts'
import { textOf } from '../../files/reading.ts'
import { nameserversIn } from '../system-resolver.ts'
import type { Backend, TakeoverHost } from './backend.ts'
import type { Journal } from './journal.ts'
import { dockerBypass } from './links.ts'
import { isActive } from './units.ts'

const DROP_IN = '/etc/NetworkManager/conf.d/zz-enigm-dns.conf'
/**
 * The settings for NetworkManager. It accepts only port 53: with another port it silently uses the
 * servers of the network.
 */
const conf = (address: string) =>
  `# enigm-dns system enable wrote this; enigm-dns system disable takes it away.
[global-dns-domain-*]
servers=${address}
`
const DNS_MANAGER = [
  'org.freedesktop.NetworkManager',
  '/org/freedesktop/NetworkManager/DnsManager',
  'org.freedesktop.NetworkManager.DnsManager',
] as const

/** The back end for NetworkManager, which writes resolv.conf itself or uses its dnsmasq. */
export const networkManager: Backend = {
  name: 'networkmanager',
  async find(host) {
    if (!(await isActive(host, 'NetworkManager.service'))) return undefined
    const said = await host.run('busctl', ['--json=short', 'get-property', ...DNS_MANAGER, 'Mode', 'RcManager'], { limitMs: 3000 })
    const [mode, manager] = said.stdout.trim().split('\n').map(textIn)
    return mode === 'none' || manager === 'unmanaged' ? undefined : 'NetworkManager'
  },
  async plan(_host, { address }) {
    return {
      changes: [{ path: DROP_IN, ours: newFile(conf(address)) }],
      commands: ['nmcli general reload'],
      notes: ['Name servers and search domains of connections are not used, those of VPN connections of NetworkManager included.'],
    }
  },
  apply: reload,
  async verify(_host, { address }) {
    const named = nameserversIn(textOf('/etc/resolv.conf'))
    // 127.0.1.1: the dnsmasq of NetworkManager is between the programs and us.
    if (named.length > 0 && named.every((one) => one === address || one === '127.0.1.1')) return []
    return [`/etc/resolv.conf names ${named.join(', ') || 'nobody'} instead of ${address}.`]
  },
  revert: reload,
  // The servers of connections are not used while our server is global.
  bypasses: async () => dockerBypass(),
}

/** Makes NetworkManager read its files and write resolv.conf. Connections stay as they are. */
async function reload(host: TakeoverHost, _journal: Journal): Promise<void> {
  await host.run('nmcli', ['general', 'reload'], { limitMs: 5000 })
}

function textIn(line: string): string | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isRecord(value) && typeof value.data === 'string' ? value.data : undefined
  } catch {
    return undefined
  }
}
