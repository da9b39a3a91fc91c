import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { pathOf } from '../children.ts'
import { compile } from '../compiled.ts'
import { dnscryptProxy } from './dnscrypt-proxy.ts'
import { dnsdist } from './dnsdist.ts'
import { dnsmasq } from './dnsmasq.ts'
import { dnsproxy } from './dnsproxy.ts'
import { ours } from './enigm-dns.ts'
import { bareMiss, ECHO, echo } from './floors.ts'
import { kresd } from './kresd.ts'
import type { Peer } from './peer.ts'
import { smartdns } from './smartdns.ts'
import { stubby } from './stubby.ts'
import { unbound } from './unbound.ts'

const PEERS: readonly Peer[] = [unbound, dnsdist, smartdns, dnsmasq, kresd, stubby, dnscryptProxy, dnsproxy]

/** Where its package puts it, which is on no PATH. */
const RESOLVED = '/lib/systemd/systemd-resolved'
const RESOLVED_WHY = 'it keeps 4096 answers whatever it is told, and takes its settings from those of the system'

/** What is not measured, and why. */
export interface Absent {
  readonly what: string
  readonly why: string
}

/** What can be measured here, and what cannot. */
export interface Installed {
  readonly peers: readonly Peer[]
  readonly absent: readonly Absent[]
}

/**
 * Looks for every server; `smoke` keeps ours, unbound and the floor. `place`: where the echo is
 * compiled to.
 */
export function installed(version: string, place: string, smoke: boolean): Installed {
  const floor = compile(place, 'floor/echo.c')
  const wanted = smoke ? [unbound] : PEERS
  const present = wanted.filter((peer) => pathOf(peer.tool) !== undefined)
  const absent: Absent[] = wanted.filter((peer) => !present.includes(peer)).map(({ tool }) => ({ what: tool, why: 'not installed' }))
  if (floor === undefined) absent.unshift({ what: ECHO, why: 'no C compiler' })
  if (!smoke) absent.push({ what: 'systemd-resolved', why: existsSync(RESOLVED) ? RESOLVED_WHY : 'not installed' })
  return { peers: [...(floor === undefined ? [] : [echo(floor)]), bareMiss, ...ours(version), ...present], absent }
}

/** What a server says its version is, or 'unknown'. */
export function versionOf(peer: Peer): string {
  if (typeof peer.version === 'string') return peer.version
  const tool = isAbsolute(peer.tool) ? peer.tool : (pathOf(peer.tool) ?? peer.tool)
  const { stdout, stderr } = spawnSync(tool, peer.version.args, { encoding: 'utf8', timeout: 5000 })
  return peer.version.pattern.exec(`${stdout}${stderr}`)?.[1] ?? 'unknown'
}
