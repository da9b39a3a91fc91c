import { spawnSync } from 'node:child_process'
import { isAbsolute } from 'node:path'
import { pathOf } from '../children.ts'
import { compile } from '../compiled.ts'
import { dnscryptProxy } from './dnscrypt-proxy.ts'
import { dnsdist } from './dnsdist.ts'
import { dnsmasq } from './dnsmasq.ts'
import { dnsproxy } from './dnsproxy.ts'
import { echo } from './echo.ts'
import { ours } from './enigm-dns.ts'
import { kresd } from './kresd.ts'
import type { Peer } from './peer.ts'
import { smartdns } from './smartdns.ts'
import { stubby } from './stubby.ts'
import { unbound } from './unbound.ts'

/** systemd-resolved is left out: it cannot be run beside the one of the system without touching its settings. */
const PEERS: readonly Peer[] = [unbound, dnsdist, smartdns, dnsmasq, kresd, stubby, dnscryptProxy, dnsproxy]

/** What can be measured here, and what is not installed. */
export interface Installed {
  readonly peers: readonly Peer[]
  readonly absent: readonly string[]
}

/** Looks for every server; `smoke` keeps ours, unbound and the floor. `place`: where the echo is compiled to. */
export function installed(version: string, place: string, smoke: boolean): Installed {
  const floor = compile(place, 'floor/echo.c')
  const wanted = smoke ? [unbound] : PEERS
  const mine = smoke ? ours(version).slice(0, 1) : ours(version)
  return {
    peers: [...(floor === undefined ? [] : [echo(floor)]), ...mine, ...wanted.filter((peer) => pathOf(peer.tool) !== undefined)],
    absent: [...(floor === undefined ? ['cc'] : []), ...wanted.filter((peer) => pathOf(peer.tool) === undefined).map((peer) => peer.tool)],
  }
}

/** What a server says its version is, or 'unknown'. */
export function versionOf(peer: Peer): string {
  if (typeof peer.version === 'string') return peer.version
  const tool = isAbsolute(peer.tool) ? peer.tool : (pathOf(peer.tool) ?? peer.tool)
  const { stdout, stderr } = spawnSync(tool, peer.version.args, { encoding: 'utf8', timeout: 5000 })
  return peer.version.pattern.exec(`${stdout}${stderr}`)?.[1] ?? 'unknown'
}
