import { type Captured, newFile, newLink } from '../../files/captured.ts'
import { targetOf, textOf } from '../../files/reading.ts'
import { nameserversIn } from '../system-resolver.ts'
import type { Backend, Bypass, TakeoverHost } from './backend.ts'
import type { Journal, PlannedChange } from './journal.ts'
import { dockerBypass, isVpnLink, type ResolvedLink, readResolved, usesNssResolve } from './links.ts'
import { dropInOf, givesDomains, isNetworkdDropIn, networkdDropIns, networkdLinks, networkFileOf, silence } from './networkd.ts'
import { isActive, unitOf } from './units.ts'

/**
 * The settings for systemd-resolved. The last file has precedence, and an empty value removes the
 * entries of earlier files and of DHCP hooks. `Domains=~.` sends every name to the global server.
 * Encryption and validation are off, because the server is on this host. The cache is off, because
 * only our cache is emptied when necessary. LLMNR is off, because it sends names to the neighbours.
 */
const dropIn = (address: string) =>
  `# enigm-dns system enable wrote this; enigm-dns system disable takes it away.
[Resolve]
DNS=
DNS=${address}
FallbackDNS=
Domains=
Domains=~.
DNSOverTLS=no
DNSSEC=no
LLMNR=no
Cache=no
DNSStubListener=yes
`
const DROP_IN = '/etc/systemd/resolved.conf.d/zz-enigm-dns.conf'

/**
 * The file that stops NetworkManager from giving links the domain from DHCP. Otherwise names below
 * that domain go to the server of the network. NetworkManager reads the file only at a restart
 * (seen with 1.42 and 1.52).
 */
const MANAGER_DROP_IN = '/etc/NetworkManager/conf.d/zz-enigm-dns.conf'
const MANAGER_CONF = `# enigm-dns system enable wrote this; enigm-dns system disable takes it away.
[main]
dns=none
systemd-resolved=false
`
const RESOLV_CONF = '/etc/resolv.conf'
const STUB = '/run/systemd/resolve/stub-resolv.conf'
const RESOLVED_ADDRESSES: ReadonlySet<string> = new Set(['127.0.0.53', '127.0.0.54'])

/** The back end for systemd-resolved, if it runs or if the C library starts it (nss-resolve). */
export const resolved: Backend = {
  name: 'resolved',
  async find(host) {
    const unit = await unitOf(host, 'systemd-resolved.service')
    const activatable = unit.loaded && !unit.masked && usesNssResolve()
    return unit.active || activatable ? 'systemd-resolved' : undefined
  },
  async plan(host, { address, vpnDns }) {
    const manager = await isActive(host, 'NetworkManager.service')
    const silenced = await linksToSilence(host, vpnDns)
    const changes: readonly PlannedChange[] = [
      { path: DROP_IN, ours: newFile(dropIn(address)) },
      ...(manager ? [{ path: MANAGER_DROP_IN, ours: newFile(MANAGER_CONF) }] : []),
      ...networkdDropIns(silenced),
      ...(namesStub() ? [] : [{ path: RESOLV_CONF, ours: stubLink() }]),
    ]
    const units = ['systemd-resolved', ...(manager ? ['NetworkManager'] : [])]
    const links = (await linksToRevert(host, vpnDns)).filter((link) => !silenced.includes(link))
    return {
      changes,
      commands: [
        `systemctl restart ${units.join(' ')}`,
        ...links.map((link) => `resolvectl revert ${link}`),
        ...silenced.flatMap((link) => [`resolvectl domain ${link} ''`, `resolvectl dns ${link} ''`]),
      ],
      notes: manager
        ? ['NetworkManager no longer gives links their name servers: names that only the server of a VPN connection of NetworkManager knows do not resolve.'] // biome-ignore format: one sentence
        : [],
    }
  },
  async apply(host, journal, changed) {
    const view = changed === undefined ? undefined : await readResolved(host)
    const inForce = view !== undefined && view.servers.join() === journal.address && view.domains.includes('.')
    if (!inForce || changed?.some((path) => path === DROP_IN || path === MANAGER_DROP_IN) === true) await restart(host, journal)
    await quietLinks(host, journal)
  },
  async verify(host, { address, vpnDns }) {
    const view = await readResolved(host)
    if (view === undefined) return ['systemd-resolved does not say whom it asks.']
    const faults: string[] = []
    const others = view.servers.filter((server) => server !== address)
    if (!view.servers.includes(address)) faults.push(`systemd-resolved does not take ${address} as its server.`)
    if (others.length > 0) faults.push(`systemd-resolved asks ${others.join(', ')} too: a file that is read after ${DROP_IN} names it.`)
    if (!view.domains.includes('.')) faults.push('systemd-resolved does not send every name to its global server.')
    if (view.dnsOverTls !== 'no') faults.push(`systemd-resolved wants TLS towards ${address} (DNSOverTLS=${view.dnsOverTls}).`)
    for (const { name, servers, domains, vpn } of view.links)
      if (domains.includes('.') && servers.length > 0 && !(vpn && vpnDns === 'leave'))
        faults.push(`systemd-resolved asks ${servers.join(', ')} of ${name} about every name, too.`)
    return faults
  },
  async revert(host, journal) {
    // It reads the files of all links again, so only where one of ours was among them.
    if (journal.changes.some(({ path }) => isNetworkdDropIn(path))) await host.run('networkctl', ['reload'], { limitMs: 5000 })
    for (const link of ownedByNetworkd(journal.vpnDns)) await host.run('resolvectl', ['revert', link])
    await restart(host, journal)
  },
  async bypasses(host) {
    return [...(await linksOf(host)).flatMap(asBypass), ...dockerBypass()]
  },
}

/**
 * The bypass of a link with domains. A link without domains gets no queries while our server has
 * `~.`.
 */
function asBypass({ name, servers, domains, vpn }: ResolvedLink): readonly Bypass[] {
  if (servers.length === 0 || domains.length === 0) return []
  const asked = domains.includes('.') ? 'every name' : `names below ${domains.join(', ')}`
  return [{ via: name, what: `${asked}: ${servers.join(', ')}${vpn ? ' (VPN)' : ''}` }]
}

/**
 * Restarts the services. After five restarts within ten seconds systemd would refuse, so the count
 * is reset first. NetworkManager must stop giving links their servers before systemd-resolved is
 * checked.
 */
async function restart(host: TakeoverHost, { changes }: Journal): Promise<void> {
  const manager = changes.some(({ path }) => path === MANAGER_DROP_IN) && (await isActive(host, 'NetworkManager.service'))
  const units = ['systemd-resolved.service', ...(manager ? ['NetworkManager.service'] : [])]
  await host.run('systemctl', ['reset-failed', ...units])
  await host.run('systemctl', ['restart', ...units], { limitMs: 8000 })
}

/**
 * The links to revert, because they have their own servers or domains. Those of a VPN are included
 * only if `vpnDns` is `override`.
 */
async function linksToRevert(host: TakeoverHost, vpnDns: Journal['vpnDns']): Promise<readonly string[]> {
  return (await linksOf(host)).filter(({ vpn }) => !vpn || vpnDns === 'override').map(({ name }) => name)
}

/** The links of systemd-networkd that are not left to a VPN. */
function ownedByNetworkd(vpnDns: Journal['vpnDns']): readonly string[] {
  return networkdLinks().filter((name) => vpnDns === 'override' || !isVpnLink(name))
}

/** Those of them that have domains now, or get some by their files. */
async function linksToSilence(host: TakeoverHost, vpnDns: Journal['vpnDns']): Promise<readonly string[]> {
  const owned = ownedByNetworkd(vpnDns)
  if (owned.length === 0) return []
  const asked = new Set((await linksOf(host)).flatMap(({ name, domains }) => (domains.length > 0 ? [name] : [])))
  return owned.filter((name) => asked.has(name) || givesDomains(networkFileOf(name) ?? ''))
}

/**
 * Takes from the links what sends names past us. A revert brings back what the file of a link says,
 * so those with a drop-in of ours are not reverted; one that still has domains after it is new.
 */
async function quietLinks(host: TakeoverHost, { changes, vpnDns }: Journal): Promise<void> {
  const ours = new Set(changes.map(({ path }) => path))
  const isSilenced = (name: string) => ours.has(dropInOf(networkFileOf(name) ?? ''))
  const links = await linksToRevert(host, vpnDns)
  for (const link of links) if (!isSilenced(link)) await host.run('resolvectl', ['revert', link])
  const asked = new Set((await linksOf(host)).flatMap(({ name, domains }) => (domains.length > 0 ? [name] : [])))
  for (const link of ownedByNetworkd(vpnDns)) if (isSilenced(link) || asked.has(link)) await silence(host, link)
}

async function linksOf(host: TakeoverHost): Promise<readonly ResolvedLink[]> {
  const view = await readResolved(host)
  return view === undefined ? [] : view.links
}

/** Whether resolv.conf names only the stub of systemd-resolved. */
function namesStub(): boolean {
  if (targetOf(RESOLV_CONF)?.endsWith('systemd/resolve/stub-resolv.conf') === true) return true
  const named = nameserversIn(textOf(RESOLV_CONF))
  return named.length > 0 && named.every((address) => RESOLVED_ADDRESSES.has(address))
}

function stubLink(): Captured {
  return newLink(`..${STUB}`)
}
