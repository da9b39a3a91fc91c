import type { Link, Protection } from '../resolve.ts'

/** A link on a schedule that may stand by for others. */
export interface ShapedLink<P extends Protection = Protection> extends Link<P> {
  readonly state: NonNullable<Link['state']>
  /** Called when the link begins to fail and when it recovers. */
  onVitals: (() => void) | undefined
  /** For a link that stands by: it is needed, or is not any more. Its session ends at a step. */
  need(needed: boolean): void
}

/**
 * Under `always-on`: each link stands by for all that are before it, and its session opens when the
 * last of them begins to fail. So what opens a link is never a query, nor what became of one.
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
