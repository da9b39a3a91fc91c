import { createAuthority } from '../../../src/demo/authority.ts'
import type { ProxyKind } from '../../../src/route.ts'
import { VERSION } from '../../../src/version.ts'
import { type ProxyProgram, startRealProxy } from '../../../test/support/real/real-proxies.ts'
import { pathOf } from '../../children.ts'
import { ours } from '../../peers/enigm-dns.ts'
import type { Peer } from '../../peers/peer.ts'
import { stubby } from '../../peers/stubby.ts'
import { unbound } from '../../peers/unbound.ts'
import type { Hop } from './lane.ts'

/** Somebody whose link is watched. */
export interface Watched {
  readonly id: string
  readonly title: string
  readonly peer: Peer
  /** The row of the line-up that should predict it. */
  readonly predictedBy: string | undefined
  /** Starts the proxy that its link goes through, if there is one: what is watched is that link. */
  readonly hop?: () => Promise<Hop & { stop(): Promise<void> }>
  /** Never silent: what is looked at of each page, ms. */
  readonly windowMs?: number
}

const PROFILES = { off: 'padded', jitter: 'jitter-20', lite: 'lite', balanced: 'balanced', 'always-on': 'always-on' } as const

/** The profiles that must show nothing more over a proxy, and the proxy of each row. */
const OVER_PROXIES = [
  { profile: 'lite', program: 'microsocks' },
  { profile: 'balanced', program: 'microsocks' },
  { profile: 'balanced', program: 'tinyproxy' },
  { profile: 'always-on', program: 'microsocks' },
] as const satisfies readonly { profile: keyof typeof PROFILES; program: ProxyProgram }[]

const WINDOW_MS = 30_000

/** Ours in every profile and over proxies, and the peers that are installed and pad. */
export function watched(): readonly Watched[] {
  const mine = Object.entries(PROFILES).map(([profile, predictedBy]) => ({
    id: profile,
    title: `enigm-dns, \`${profile}\``,
    peer: withProfile(profile, {}),
    predictedBy,
    ...(profile === 'always-on' ? { windowMs: WINDOW_MS } : {}),
  }))
  const proxied = OVER_PROXIES.filter(({ program }) => pathOf(program) !== undefined).map(({ profile, program }) => ({
    id: `${profile}-${program}`,
    title: `enigm-dns, \`${profile}\` over ${program}`,
    peer: withProfile(profile, {}),
    hop: () => overProxy(profile, program),
    predictedBy: PROFILES[profile],
    ...(profile === 'always-on' ? { windowMs: WINDOW_MS } : {}),
  }))
  const theirs = [stubby, unbound]
    .filter(({ tool }) => pathOf(tool) !== undefined)
    .map((peer) => ({ id: peer.id, title: peer.id, peer, predictedBy: 'padded' }))
  return [...mine, ...proxied, ...theirs]
}

async function overProxy(profile: string, program: ProxyProgram): Promise<Hop & { stop(): Promise<void> }> {
  const identity = await (await createAuthority()).issue({ name: 'proxy.bench.example', alsoNames: ['127.0.0.1'] })
  const { type, port, stop } = await startRealProxy(program, identity)
  return { port, through: (at) => withProfile(profile, through(type, at)), stop }
}

const through = (type: ProxyKind, port: number) => ({ proxies: { hop: { type, address: `127.0.0.1:${port}` } }, via: ['hop'] })

const ORDER = [...Object.keys(PROFILES), ...OVER_PROXIES.map(({ profile, program }) => `${profile}-${program}`), stubby.id, unbound.id]

/** Where a row stands in the table. */
export const placeOf = (id: string): number => ORDER.indexOf(id)

function withProfile(profile: string, route: Readonly<Record<string, unknown>>): Peer {
  const [plain] = ours(VERSION)
  if (plain === undefined) throw new Error('no peer of ours')
  return {
    ...plain,
    id: `enigm-dns (${profile})`,
    launch(wish) {
      const launched = plain.launch(wish)
      const config = JSON.parse(launched.files?.['config.json'] ?? '{}') as Record<string, unknown>
      return { ...launched, files: { ...launched.files, 'config.json': JSON.stringify({ ...config, ...route, shaping: { profile } }) } }
    },
  }
}
