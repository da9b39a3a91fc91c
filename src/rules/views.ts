import { addressOctets, cachedByAddress, parseCidr } from '../config/cidr.ts'
import { asView, VIEW_OF_ALL, type View } from '../resolve.ts'
import { AddressBlocks } from './address-blocks.ts'

/** The address blocks of each view, in the order of the configuration. */
export type ViewClients = readonly (readonly string[])[]

/**
 * Returns a function that gives the view of a client. It is the view with the smallest block that
 * contains the address; if there is none, it is `VIEW_OF_ALL`. The address is numeric; an IPv6 zone
 * is ignored, and an IPv4-mapped address counts as IPv4. For a known client this costs one map
 * lookup.
 */
export function viewsByAddress(views: ViewClients): (address: string) => View {
  if (views.length === 0) return () => VIEW_OF_ALL
  const blocks = new AddressBlocks<View>()
  for (const [index, clients] of views.entries()) {
    for (const text of clients) {
      const cidr = parseCidr(text)
      if (cidr !== undefined) blocks.set(addressOctets(cidr.address), cidr.prefix, asView(index + 1))
    }
  }
  return cachedByAddress((address) => blocks.first(address, (view) => view) ?? VIEW_OF_ALL)
}
