import type { Link, Protection } from '../resolve.ts'

/** A link on a schedule that may be in standby for others. */
export interface ShapedLink<P extends Protection = Protection> extends Link<P> {
  readonly state: NonNullable<Link['state']>
  /** Called when the link begins to fail and when it recovers. */
  onVitals: (() => void) | undefined
  /** For a link in standby: whether it is needed now. Its session ends at a step. */
  need(needed: boolean): void
}

/**
 * Under `always-on`: each link is in standby for all before it, and its session opens when the last
 * of them begins to fail. So no query, and no failure of one, ever opens a link.
 */
export function standBy(links: readonly ShapedLink[]): void {
  const look = () => {
    let needed = true
    for (const link of links) {
      link.need(needed)
      needed &&= link.state === 'failing'
    }
  }
  for (const link of links) link.onVitals = look
  look()
}
