import { VERSION } from '../../../src/version.ts'
import { pathOf } from '../../children.ts'
import { ours } from '../../peers/enigm-dns.ts'
import type { Peer } from '../../peers/peer.ts'
import { stubby } from '../../peers/stubby.ts'
import { unbound } from '../../peers/unbound.ts'

/** Somebody whose link is watched. */
export interface Watched {
  readonly id: string
  readonly title: string
  readonly peer: Peer
  /** The row of the line-up that should predict it. */
  readonly predictedBy: string | undefined
  /** Never silent: what is looked at of each page, ms. */
  readonly windowMs?: number
}

const PROFILES = { off: 'padded', jitter: 'jitter-20', lite: 'lite', balanced: 'balanced', 'always-on': 'always-on' } as const

/** Ours in every profile, and the peers that are installed and pad. */
export function watched(): readonly Watched[] {
  const mine = Object.entries(PROFILES).map(([profile, predictedBy]) => ({
    id: profile,
    title: `enigm-dns, \`${profile}\``,
    peer: withProfile(profile),
    predictedBy,
    ...(profile === 'always-on' ? { windowMs: 30_000 } : {}),
  }))
  const theirs = [stubby, unbound]
    .filter(({ tool }) => pathOf(tool) !== undefined)
    .map((peer) => ({ id: peer.id, title: peer.id, peer, predictedBy: 'padded' }))
  return [...mine, ...theirs]
}

const ORDER = [...Object.keys(PROFILES), stubby.id, unbound.id]

/** Where a row stands in the table. */
export const placeOf = (id: string): number => ORDER.indexOf(id)

function withProfile(profile: string): Peer {
  const [plain] = ours(VERSION)
  if (plain === undefined) throw new Error('no peer of ours')
  return {
    ...plain,
    id: `enigm-dns (${profile})`,
    launch(wish) {
      const launched = plain.launch(wish)
      const config = JSON.parse(launched.files?.['config.json'] ?? '{}') as Record<string, unknown>
      return { ...launched, files: { ...launched.files, 'config.json': JSON.stringify({ ...config, shaping: { profile } }) } }
    },
  }
}
