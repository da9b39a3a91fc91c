import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Captured, capture, filesIn, newFile, textIn } from '../../files/captured.ts'
import { textOf } from '../../files/reading.ts'
import { remove } from '../../files/writing.ts'
import { nameserversIn } from '../system-resolver.ts'
import type { Backend } from './backend.ts'
import type { JournalChange, PlannedChange } from './journal.ts'
import { dockerBypass } from './links.ts'
import { RUNTIME_DIRECTORY } from './places.ts'

const RESOLV_CONF = '/etc/resolv.conf'
const DHCLIENT_HOOK = '/etc/dhcp/dhclient-enter-hooks.d/zz-enigm-dns'
const DHCPCD_HOOK = '/etc/dhcpcd.enter-hook'
const MARK = '# enigm-dns'
/** The directory with the last servers from DHCP, one file for each interface. */
const LEASES = RUNTIME_DIRECTORY
const LEASE = 'lease.'

/**
 * The hook for dhclient. dhclient-script(8) reads it before it writes resolv.conf. The hook saves
 * the servers from DHCP in the form of resolv.conf. So a later disable restores the servers of the
 * current network and not of an old one.
 */
const dhclientHook = `${MARK} system enable wrote this; enigm-dns system disable takes it away.
make_resolv_conf() {
    [ -n "$new_domain_name_servers$new_dhcp6_name_servers" ] || return 0
    mkdir -p ${LEASES} && {
        [ -z "$new_domain_name" ] || echo "domain $new_domain_name"
        if [ -n "$new_domain_search" ]; then echo "search $new_domain_search"
        elif [ -n "$new_domain_name" ]; then echo "search $new_domain_name"; fi
        for server in $new_domain_name_servers $new_dhcp6_name_servers; do echo "nameserver $server"; done
    } > "${LEASES}/${LEASE}$interface"
    return 0
}
`
/** The hook for dhcpcd. It skips dhcpcd's own hook for resolv.conf. */
const dhcpcdHook = `skip_hooks="$skip_hooks resolv.conf"  ${MARK}
[ -z "$new_domain_name_servers" ] || { mkdir -p ${LEASES}; for server in $new_domain_name_servers; do echo "nameserver $server"; done > "${LEASES}/${LEASE}$interface"; }  ${MARK}
`

/**
 * The back end for a system without another owner, where a person or a DHCP client writes
 * resolv.conf.
 */
export const file: Backend = {
  name: 'file',
  find: async () => clientOf() ?? '/etc/resolv.conf',
  async plan(_host, { address }) {
    const hooks = hooksHere()
    // Search domains belong to the network, because they decide which names a program asks.
    const kept = hooks.length > 0 ? [] : settingsIn(textOf(RESOLV_CONF) ?? '')
    const text = [`${MARK} system enable wrote this; enigm-dns system disable puts back what was here.`, `nameserver ${address}`, ...kept]
    const changes: readonly PlannedChange[] = [...hooks, { path: RESOLV_CONF, ours: newFile(`${text.join('\n')}\n`), shared: true }]
    return { changes, commands: [], notes: [] }
  },
  async apply() {},
  async verify(_host, { address }) {
    const named = nameserversIn(textOf(RESOLV_CONF))
    if (named.length > 0 && named.every((one) => one === address)) return []
    return [`${RESOLV_CONF} names ${named.join(', ') || 'nobody'} instead of ${address}.`]
  },
  async revert() {
    for (const path of leaseFiles()) remove(path)
  },
  bypasses: async () => dockerBypass(),
}

/**
 * The content of resolv.conf after an undo: the last servers from DHCP, if there were any since the
 * change; otherwise the former content.
 */
export function latestFile({ before }: Pick<JournalChange, 'before'>): Captured {
  const leases = leasesHere()
  const named = leases.flatMap((text) => nameserversIn(text))
  if (named.length === 0) return before
  const old = nameserversIn(textIn(before))
  if (named.length === old.length && named.every((one) => old.includes(one))) return before
  return newFile(leases.join(''))
}

const leaseFiles = () => filesIn(LEASES).flatMap((name) => (name.startsWith(LEASE) ? [join(LEASES, name)] : []))
const leasesHere = () => leaseFiles().flatMap((path) => textOf(path) ?? [])

/** Whether a path is one of our hooks for DHCP clients. */
export const isHook = (path: string) => path === DHCLIENT_HOOK || path === DHCPCD_HOOK

/** The hooks for the installed DHCP clients. */
function hooksHere(): readonly PlannedChange[] {
  const dhclient: readonly PlannedChange[] = existsSync('/etc/dhcp/dhclient-enter-hooks.d')
    ? [{ path: DHCLIENT_HOOK, ours: newFile(dhclientHook) }]
    : []
  if (!isInstalled('dhcpcd')) return dhclient
  const before = capture(DHCPCD_HOOK)
  const own = before.kind === 'file' ? before : newFile('')
  const content = Buffer.concat([Buffer.from(own.content, 'base64'), Buffer.from(dhcpcdHook)])
  return [...dhclient, { path: DHCPCD_HOOK, ours: { ...own, content: content.toString('base64') } }]
}

const isInstalled = (program: string) => ['/usr/sbin', '/sbin', '/usr/bin'].some((directory) => existsSync(join(directory, program)))

function clientOf(): string | undefined {
  if (isInstalled('dhcpcd')) return 'dhcpcd'
  return isInstalled('dhclient') ? 'dhclient' : undefined
}

/** The lines of a manually written resolv.conf, except its servers. */
function settingsIn(text: string): readonly string[] {
  return text.split('\n').filter((line) => /^\s*(search|domain|options|sortlist)\s/.test(line))
}
