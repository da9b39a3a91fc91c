import { lstatSync, statSync } from 'node:fs'
import * as v from 'valibot'
import { capture } from '../../files/captured.ts'
import { readPrivateJson } from '../../files/json.ts'
import { textOf } from '../../files/reading.ts'
import { replaceFile } from '../../files/writing.ts'
import type { RunCommand } from '../run-command.ts'
import { hashOf } from './journal.ts'
import { isVpnLink, nameserversIn, type ResolvedView, readResolved } from './links.ts'
import { OBSERVED, PUBLIC_STATE } from './places.ts'

const publicState = v.object({
  backend: v.picklist(['resolved', 'networkmanager', 'resolvconf', 'file']),
  owner: v.string(),
  address: v.string(),
  vpnDns: v.picklist(['leave', 'override']),
  files: v.array(v.object({ path: v.string(), sha256: v.string() })),
})

/** What every user may know of a change that stays. */
export type PublicState = v.InferOutput<typeof publicState>

/** The change that stays; undefined: the system was not told to ask this service. Never throws. */
export function readPublicState(): PublicState | undefined {
  return readPrivateJson(PUBLIC_STATE, publicState)
}

const observedSchema = v.object({
  takenBy: v.optional(v.string()),
  gaveUp: v.optional(v.literal(true)),
  bypasses: v.array(v.object({ link: v.string(), names: v.string(), vpn: v.boolean() })),
})

/** Tells the daemon what root saw. Never throws: without it the daemon knows less. */
export function tellObserved(seen: Observed): void {
  try {
    replaceFile(OBSERVED, JSON.stringify(seen), 0o644, 'the process')
  } catch {
    // See above.
  }
}

/** When root last told what it saw: another text for each time. Costs a stat. */
export const observedAt = () => statText(OBSERVED, lstatSync)

/** Who took the system's DNS, and what goes past this service. */
export interface Observed {
  /**
   * systemd-resolved could not be asked: the user of this process has no entry in passwd, and
   * dbus-daemon turns such a user away. What root saw last is reported instead.
   */
  readonly blind?: true
  /** Root has put it right three times within a minute, and gave up. */
  readonly gaveUp?: true | undefined
  /** Who has the system ask somebody else; undefined: nobody. */
  readonly takenBy?: string | undefined
  /** Links that are asked for some names, or for all beside us. */
  readonly bypasses: readonly LinkBypass[]
}

export interface LinkBypass {
  readonly link: string
  /** For which names: `every name`, or `names below` and domains. */
  readonly names: string
  readonly vpn: boolean
}

const RESOLV_CONF = '/etc/resolv.conf'
/** What programs write into the resolv.conf that is theirs. */
const SIGNATURES: readonly (readonly [mark: RegExp, name: string])[] = [
  [/NetworkManager/, 'NetworkManager'],
  [/tailscale/i, 'Tailscale'],
  [/dhcpcd/i, 'dhcpcd'],
  [/resolvconf/i, 'resolvconf'],
  [/systemd-resolved/, 'systemd-resolved'],
  [/openvpn|vpn/i, 'a VPN'],
]

/** Who wrote a resolv.conf, by what it says of itself. */
export function writerOf(text: string): string {
  return SIGNATURES.find(([mark]) => mark.test(text))?.[1] ?? 'a program that wrote /etc/resolv.conf'
}

/**
 * Looks whether what was changed is in force. Reads files, and asks systemd-resolved. Never
 * rejects.
 */
export async function observe(run: RunCommand, state: PublicState): Promise<Observed> {
  const { backend, address, vpnDns, files } = state
  const changed = files.filter(({ path, sha256 }) => hashAt(path) !== sha256).map(({ path }) => path)
  if (backend !== 'resolved') {
    const named = nameserversIn(textOf(RESOLV_CONF))
    const ours = named.length > 0 && named.every((one) => one === address || (backend === 'networkmanager' && one === '127.0.1.1'))
    if (!ours) return { takenBy: writerOf(textOf(RESOLV_CONF) ?? ''), bypasses: [] }
    return { takenBy: whoChanged(changed), bypasses: [] }
  }
  const view = await readResolved({ run })
  if (view === undefined) return { takenBy: whoChanged(changed), bypasses: [], ...readPrivateJson(OBSERVED, observedSchema), blind: true }
  const bypasses = linkBypasses(view)
  const parallel = bypasses.find(({ names, vpn }) => names === EVERY && !(vpn && vpnDns === 'leave'))
  const others = view.servers.filter((one) => one !== address)
  if (!view.servers.includes(address) || !view.domains.includes('.'))
    return { takenBy: whoChanged(changed) ?? 'systemd-resolved', bypasses }
  if (others.length > 0) return { takenBy: 'a file in resolved.conf.d', bypasses }
  // A link that is asked for its own domain is listed: its manager would set it again.
  const takenBy = parallel === undefined ? undefined : setterOf(parallel)
  return { takenBy: takenBy ?? stub(address) ?? whoChanged(changed), bypasses }
}

const EVERY = 'every name'
const setterOf = ({ link, vpn }: LinkBypass) => (vpn ? `the VPN on ${link}` : `whoever set the name servers of ${link}`)

/**
 * Links that systemd-resolved asks for some names; one without a domain is not asked beside `~.`.
 */
function linkBypasses({ links }: ResolvedView): readonly LinkBypass[] {
  return links.flatMap(({ name, servers, domains }) => {
    if (servers.length === 0 || domains.length === 0) return []
    const names = domains.includes('.') ? EVERY : `names below ${domains.join(', ')}`
    return [{ link: name, names, vpn: isVpnLink(name) }]
  })
}

/** Programs that read resolv.conf must come to the stub, or to us. */
function stub(address: string): string | undefined {
  const text = textOf(RESOLV_CONF) ?? ''
  const named = nameserversIn(text)
  const ours = named.length > 0 && named.every((one) => [address, '127.0.0.53', '127.0.0.54'].includes(one))
  return ours ? undefined : writerOf(text)
}

const whoChanged = (paths: readonly string[]) => (paths[0] === undefined ? undefined : `whoever changed ${paths[0]}`)

function hashAt(path: string): string {
  try {
    return hashOf(capture(path))
  } catch {
    return ''
  }
}

/**
 * Files that change when an owner changes whom it asks. systemd-resolved and systemd-networkd keep
 * a file for each link in a directory that others may not read; its time tells of a change.
 */
const TELLING = [
  RESOLV_CONF,
  '/run/systemd/resolve/resolv.conf',
  '/run/systemd/resolve/netif',
  '/run/systemd/netif/links',
  '/run/NetworkManager/resolv.conf',
]

/** Changes when any of these files may be another one. Costs a stat each. Never throws. */
export function fingerprint({ files }: PublicState): string {
  return [...files.map(({ path }) => statText(path, lstatSync)), ...TELLING.map((path) => statText(path, statSync))].join(' ')
}

function statText(path: string, look: typeof lstatSync | typeof statSync): string {
  const found = look(path, { throwIfNoEntry: false, bigint: true })
  return found === undefined ? '-' : `${found.ino}:${found.mtimeNs}:${found.size}`
}
