import type { Ask, Carried, Link, Protection } from '../../src/resolve.ts'

/** Asks over a link, and gives a promise. */
export function exchange<P extends Protection>(link: Link<P>, request: Uint8Array, ask: Ask): Promise<Carried<P>> {
  return new Promise((resolve, failed) =>
    link.send(request, ask, { carried: (carried) => resolve({ ...carried, wire: Uint8Array.from(carried.wire) }), failed }),
  )
}
