import { lstatSync, statSync } from 'node:fs'
import * as v from 'valibot'
import { capture } from '../../files/captured.ts'
import { readPrivateJson } from '../../files/json.ts'
import { textOf } from '../../files/reading.ts'
import { replaceFile } from '../../files/writing.ts'
import type { RunCommand } from '../run-command.ts'
import { nameserversIn } from '../system-resolver.ts'
import { hashOf } from './journal.ts'
import { isVpnLink, type ResolvedView, readResolved } from './links.ts'
import { OBSERVED, PUBLIC_STATE } from './places.ts'

const publicState = v.object({
  backend: v.picklist(['resolved', 'networkmanager', 'resolvconf', 'file']),
  owner: v.string(),
  address: v.string(),
  vpnDns: v.picklist(['leave', 'override']),
  files: v.array(v.object({ path: v.string(), sha256: v.string() })),
})

/** The facts about an enabled change that every user may know. */
export type PublicState = v.InferOutput<typeof publicState>

/** Reads these facts. Undefined: `system enable` is not in force. Never throws. */
export function readPublicState(): PublicState | undefined {
  return readPrivateJson(PUBLIC_STATE, publicState)
}

const observedSchema = v.object({
  takenBy: v.optional(v.string()),
  gaveUp: v.optional(v.literal(true)),
  bypasses: v.array(v.object({ link: v.string(), names: v.string(), vpn: v.boolean() })),
})

/**
 * Writes root's observation for the daemon. Never throws: without it the daemon only knows less.
 */
export function tellObserved(seen: Observed): void {
  try {
    replaceFile(OBSERVED, JSON.stringify(seen), 0o644, 'the process')
  } catch {
    // See above.
  }
}

/** A text that changes with each observation that root writes. Costs a stat. */
export const observedAt = () => statText(OBSERVED, lstatSync)

/** Which program took over the system's DNS, and which queries bypass this service. */
export interface Observed {
  /**
   * Set if systemd-resolved could not be asked: dbus-daemon refuses a user without an entry in
   * passwd. Then the last observation of root is reported.
   */
  readonly blind?: true
  /** Set if root has repaired it three times within a minute and has stopped. */
  readonly gaveUp?: true | undefined
  /** The program that makes the system use another server. Undefined: none. */
  readonly takenBy?: string | undefined
  /** The links whose servers get some queries, or all queries in addition to us. */
  readonly bypasses: readonly LinkBypass[]
}

export interface LinkBypass {
  readonly link: string
  /** The names that they get: `every name`, or `names below` and domains. */
  readonly names: string
  readonly vpn: boolean
}

const RESOLV_CONF = '/etc/resolv.conf'
/** Texts that programs write into their resolv.conf, with the name of the program. */
const SIGNATURES: readonly (readonly [mark: RegExp, name: string])[] = [
  [/NetworkManager/, 'NetworkManager'],
  [/tailscale/i, 'Tailscale'],
  [/dhcpcd/i, 'dhcpcd'],
  [/resolvconf/i, 'resolvconf'],
  [/systemd-resolved/, 'systemd-resolved'],
  [/openvpn|vpn/i, 'a VPN'],
]

/** The program that wrote a resolv.conf, according to its text. */
export function writerOf(text: string): string {
  return SIGNATURES.find(([mark]) => mark.test(text))?.[1] ?? 'a program that wrote /etc/resolv.conf'
}

/**
 * Checks whether the change is still in force. Reads files, and asks systemd-resolved. Never
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
  // A link with its own domain is only reported, because its manager would set it again.
  const takenBy = parallel === undefined ? undefined : setterOf(parallel)
  return { takenBy: takenBy ?? stub(address) ?? whoChanged(changed), bypasses }
}

const EVERY = 'every name'
const setterOf = ({ link, vpn }: LinkBypass) => (vpn ? `the VPN on ${link}` : `the program that set the name servers of ${link}`)

/**
 * The links whose servers systemd-resolved asks for some names. While our server has `~.`, a link
 * without a domain is not asked.
 */
function linkBypasses({ links }: ResolvedView): readonly LinkBypass[] {
  return links.flatMap(({ name, servers, domains }) => {
    if (servers.length === 0 || domains.length === 0) return []
    const names = domains.includes('.') ? EVERY : `names below ${domains.join(', ')}`
    return [{ link: name, names, vpn: isVpnLink(name) }]
  })
}

/** The writer of resolv.conf, unless the file leads to the stub of systemd-resolved or to us. */
function stub(address: string): string | undefined {
  const text = textOf(RESOLV_CONF) ?? ''
  const named = nameserversIn(text)
  const ours = named.length > 0 && named.every((one) => [address, '127.0.0.53', '127.0.0.54'].includes(one))
  return ours ? undefined : writerOf(text)
}

const whoChanged = (paths: readonly string[]) => (paths[0] === undefined ? undefined : `the program that changed ${paths[0]}`)

function hashAt(path: string): string {
  try {
    return hashOf(capture(path))
  } catch {
    return ''
  }
}

/**
 * Files that change when an owner changes its DNS servers. systemd-resolved and systemd-networkd
 * keep a file for each link in a directory that others may not read. The time of the directory
 * shows a change.
 */
const TELLING = [
  RESOLV_CONF,
  '/run/systemd/resolve/resolv.conf',
  '/run/systemd/resolve/netif',
  '/run/systemd/netif/links',
  '/run/NetworkManager/resolv.conf',
]

/**
 * A text that changes when one of these files may have changed. Costs a stat each. Never throws.
 */
export function fingerprint({ files }: PublicState): string {
  return [...files.map(({ path }) => statText(path, lstatSync)), ...TELLING.map((path) => statText(path, statSync))].join(' ')
}

function statText(path: string, look: typeof lstatSync | typeof statSync): string {
  const found = look(path, { throwIfNoEntry: false, bigint: true })
  return found === undefined ? '-' : `${found.ino}:${found.mtimeNs}:${found.size}`
}
