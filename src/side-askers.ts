import { lifetimeOf } from './cache/lifetime.ts'
import type { Clock, Random } from './clock.ts'
import { LINK } from './config/forwarding.ts'
import { parseListen, type SocketAddress } from './config/listen-address.ts'
import type { Config } from './config/settings.ts'
import type { TrustedResolver } from './config/trusted-set.ts'
import type { AroundCode } from './errors.ts'
import type { Emit } from './events.ts'
import type { SideAsker } from './job.ts'
import type { Gate } from './policy/gate.ts'
import type { Protection } from './resolve.ts'
import { Loops } from './rules/loops.ts'
import { PlainSide } from './rules/plain-side.ts'
import { type KnownSide, type Sides, sidesOf } from './rules/sides.ts'
import { trustedAsker } from './upstream/ask.ts'
import type { Selection } from './upstream/selection.ts'

/** The dependencies of those who are asked. */
export interface SideAskerParts {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  readonly gate: Gate
  /** The trusted resolvers of the configuration. */
  readonly resolvers: readonly Pick<TrustedResolver, 'id' | 'addresses'>[]
  readonly around?: () => AroundCode | undefined
  /** Called before each question: the machine may have slept since the last one. */
  readonly notice?: (nowMs?: number) => void
  /** Finds out which servers this network announces for a zone. Never rejects. */
  readonly linkServers: (zone: string) => Promise<readonly SocketAddress[]>
}

/** The sides of a configuration, with those who are asked on each. */
export interface SideAskers {
  readonly sides: Sides
  /** By the number of the side. */
  readonly askers: readonly SideAsker[]
  readonly loops: Loops
  /** The network changed, or the machine slept. */
  disturbed(): void
  /** Resolves when all questions in progress have ended. */
  close(): Promise<void>
}

/** Makes those who are asked. Nothing is sent or looked up before the first question. */
export function sideAskers(config: Config, trusted: Pick<Selection<Protection>, 'among'>, parts: SideAskerParts): SideAskers {
  const sides = sidesOf(config)
  const clamp = config.cache
  const plain = new Map<number, PlainSide>()
  const plainAsker = ({ number, zone = '', cleartext }: KnownSide): SideAsker => {
    const { gate, linkServers } = parts
    const fixed = cleartext === undefined || cleartext === LINK ? undefined : parseListen(cleartext)
    const servers = fixed === undefined ? () => linkServers(zone) : [fixed]
    const refusal = () => (gate.closed ? gate.refusal() : undefined)
    const side = new PlainSide({ ...parts, refusal, clamp, lifetime: (accepted) => lifetimeOf(accepted, clamp), servers })
    plain.set(number, side)
    return side
  }
  const askers = sides.all.map((side) =>
    side.cleartext === undefined
      ? trustedAsker(trusted.among(side.to), clamp, (accepted) => lifetimeOf(accepted, clamp), parts.around)
      : plainAsker(side),
  )
  const trustedAt = (ids: readonly string[]) => parts.resolvers.filter(({ id }) => ids.includes(id)).flatMap(({ addresses }) => addresses)
  const serversOf = ({ number, to }: KnownSide) => plain.get(number)?.servers.map(({ address }) => address) ?? trustedAt(to)
  const loops = new Loops({ ...parts, askers, serversOf })
  return {
    sides,
    askers,
    loops,
    disturbed() {
      loops.forget()
      for (const side of plain.values()) side.disturbed()
    },
    async close() {
      loops.close()
      await Promise.all([...plain.values()].map((side) => side.close()))
    },
  }
}
