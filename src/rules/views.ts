import { addressOctets, parseCidr } from '../config/cidr.ts'
import { asView, EVERYBODYS, type View } from '../resolve.ts'
import { AddressBlocks, knownByAddress } from './address-blocks.ts'

/** The blocks of addresses of each view, in the order of the configuration. */
export type ViewClients = readonly (readonly string[])[]

/**
 * Returns a function that gives the view of a client: the one with the smallest block that contains
 * its address, or the view of everybody. The address is numeric; a zone is ignored, and a mapped
 * address counts as IPv4. With a cost of one lookup for a known client, and of nothing without
 * views.
 */
export function viewsByAddress(views: ViewClients): (address: string) => View {
  if (views.length === 0) return () => EVERYBODYS
  const blocks = new AddressBlocks<View>()
  for (const [index, clients] of views.entries()) {
    for (const text of clients) {
      const cidr = parseCidr(text)
      if (cidr !== undefined) blocks.set(addressOctets(cidr.address), cidr.prefix, asView(index + 1))
    }
  }
  return knownByAddress((address) => blocks.first(address, (view) => view) ?? EVERYBODYS)
}
