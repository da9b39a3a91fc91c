import { isIP } from 'node:net'
import { addressOctets, firstBits, parseCidr, unmapped } from '../config/cidr.ts'
import { asView, EVERYBODYS, type View } from '../resolve.ts'

/** The blocks of addresses of each view, in the order of the configuration. */
export type ViewClients = readonly (readonly string[])[]

/** Limit of kept results: a flood from forged addresses must not grow memory. */
const MOST_KNOWN = 1024

/**
 * Returns a function that gives the view of a client: the one with the smallest block that contains
 * its address, or the view of everybody. The address is numeric; a zone is ignored, and a mapped
 * address counts as IPv4. With a cost of one lookup for a known client, and of nothing without
 * views.
 */
export function viewsByAddress(views: ViewClients): (address: string) => View {
  if (views.length === 0) return () => EVERYBODYS
  const blocks = blocksOf(views)
  const known = new Map<string, View>()
  return (address) => {
    let view = known.get(address)
    if (view === undefined) {
      view = viewIn(blocks, address)
      if (known.size >= MOST_KNOWN) known.clear()
      known.set(address, view)
    }
    return view
  }
}

/** All blocks of one family and prefix length, by their first bits. */
interface Blocks {
  readonly octets: 4 | 16
  readonly prefix: number
  readonly views: Map<string, View>
}

/** The longest prefixes first. */
function blocksOf(views: ViewClients): readonly Blocks[] {
  const found = new Map<string, Blocks>()
  for (const [index, clients] of views.entries()) {
    for (const text of clients) {
      const cidr = parseCidr(text)
      if (cidr === undefined) continue
      const { address, prefix, family } = cidr
      const key = `${family}/${prefix}`
      const blocks = found.get(key) ?? { octets: family === 'ipv4' ? 4 : 16, prefix, views: new Map<string, View>() }
      found.set(key, blocks)
      blocks.views.set(firstBits(addressOctets(address), prefix), asView(index + 1))
    }
  }
  return [...found.values()].toSorted((a, b) => b.prefix - a.prefix)
}

function viewIn(blocks: readonly Blocks[], address: string): View {
  const plain = unmapped(address.replace(/%.*$/, ''))
  if (isIP(plain) === 0) return EVERYBODYS
  const octets = addressOctets(plain)
  for (const { octets: width, prefix, views } of blocks) {
    const view = width === octets.length ? views.get(firstBits(octets, prefix)) : undefined
    if (view !== undefined) return view
  }
  return EVERYBODYS
}
