import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { filesIn, newFile } from '../../files/captured.ts'
import { textOf } from '../../files/reading.ts'
import type { TakeoverHost } from './backend.ts'
import type { PlannedChange } from './journal.ts'

/** The state of each link by its index, as sd-network(3) reads it. Not there: it does not run. */
const LINK_STATES = '/run/systemd/netif/links'
/** systemd.network(5): the same directory below each of these, the last one wins. */
const ROOTS = ['/usr/lib', '/usr/local/lib', '/run', '/etc'] as const
const NAME = 'zz-enigm-dns.conf'
/**
 * An empty value removes the entries of the files before it. Without domains a link is asked about
 * nothing while our server takes every name; without servers none of them stands in the list of
 * uplinks, which some programs read.
 */
const DROP_IN = `# enigm-dns system enable wrote this; enigm-dns system disable takes it away.
[Network]
DNS=
Domains=
[DHCPv4]
UseDNS=no
UseDomains=no
[DHCPv6]
UseDNS=no
UseDomains=no
[IPv6AcceptRA]
UseDNS=no
UseDomains=no
`

/** The .network file by which systemd-networkd manages a link; undefined: it does not. */
export function networkFileOf(link: string): string | undefined {
  const index = textOf(`/sys/class/net/${link}/ifindex`)?.trim()
  const state = index === undefined ? undefined : textOf(join(LINK_STATES, index))
  return /^NETWORK_FILE=(\/\S+\.network)$/m.exec(state ?? '')?.[1]
}

/** The links of this host that systemd-networkd manages. */
export function networkdLinks(): readonly string[] {
  if (filesIn(LINK_STATES).length === 0) return []
  return namesOfLinks().filter((name) => networkFileOf(name) !== undefined)
}

function namesOfLinks(): readonly string[] {
  try {
    return readdirSync('/sys/class/net')
  } catch {
    return []
  }
}

/** Our drop-in for a .network file, wherever that lies: netplan writes its files below /run. */
export function dropInOf(file: string): string {
  return join('/etc/systemd/network', `${basename(file)}.d`, NAME)
}

/**
 * Whether a .network file with its drop-ins gives a link domains, its own or those of the network:
 * then a name below them, or every name, goes to the server of that link.
 */
export function givesDomains(file: string, read: (path: string) => string | undefined = textOf, list = filesIn): boolean {
  const dropIns = ROOTS.map((root) => join(root, 'systemd/network', `${basename(file)}.d`)).flatMap((folder) =>
    list(folder).flatMap((name) => (name.endsWith('.conf') && name !== NAME ? [join(folder, name)] : [])),
  )
  const setting = /^[ \t]*(?:Domains[ \t]*=[ \t]*[^\s]|UseDomains[ \t]*=[ \t]*(?:y|yes|t|true|on|1|route)[ \t]*$)/im
  return [file, ...dropIns].some((path) => setting.test(read(path) ?? ''))
}

/** The drop-ins for these links of systemd-networkd; links with the same file share one. */
export function networkdDropIns(links: readonly string[]): readonly PlannedChange[] {
  const files = links.flatMap((name) => networkFileOf(name) ?? [])
  return [...new Set(files.map(dropInOf))].map((path) => ({ path, ours: newFile(DROP_IN) }))
}

/** Whether a path is such a drop-in. */
export const isNetworkdDropIn = (path: string) => path.startsWith('/etc/systemd/network/') && basename(path) === NAME

/**
 * Takes servers and domains from a link now, without a new lease: systemd-networkd reads the
 * drop-in only when it configures the link again.
 */
export async function silence(host: Pick<TakeoverHost, 'run'>, link: string): Promise<void> {
  for (const kind of ['domain', 'dns']) await host.run('resolvectl', [kind, link, ''], { limitMs: 3000 })
}
