import type { Link, Protection } from '../resolve.ts'

/** A link on a schedule that may be in standby for others. */
export interface ShapedLink<P extends Protection = Protection> extends Link<P> {
  readonly state: NonNullable<Link['state']>
  /** Called when the link begins to fail and when it recovers. */
  onVitals: (() => void) | undefined
  /** Tells a link in standby whether it is needed now. Its session ends at a step. */
  need(needed: boolean): void
}

/**
 * Puts links in standby, under `always-on`. Each link of a group is in standby for all links before
 * it. Its session opens when all of them fail. So neither a query nor its failure ever opens a
 * link. A link in several groups is open if one of them needs it.
 */
export function standBy(groups: readonly (readonly ShapedLink[])[]): void {
  const links = new Set(groups.flat())
  const look = () => {
    const needed = new Set<ShapedLink>()
    for (const group of groups) {
      const first = group.findIndex(({ state }) => state !== 'failing')
      for (const link of first < 0 ? group : group.slice(0, first + 1)) needed.add(link)
    }
    for (const link of links) link.need(needed.has(link))
  }
  for (const link of links) link.onVitals = look
  look()
}
