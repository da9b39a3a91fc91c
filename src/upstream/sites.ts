import { getDomain } from 'tldts'
import { labelsOf } from '../dns/name.ts'

/** Private suffixes count: the customers of a host of sites are different sites. */
const OPTIONS = { allowPrivateDomains: true, extractHostname: false, validateHostname: false, detectIp: false } as const
/** Above these, the list of suffixes has nothing to say. */
const PLAIN = /^[\x21-\x7e]+$/

/**
 * The site of a lower-cased name in wire form: its registrable domain. A name that has none (a
 * suffix, a name of one label, octets that no host name has) is a site by itself.
 */
export function siteOf(name: Uint8Array): string {
  const text = labelsOf(name).join('.')
  return (PLAIN.test(text) ? getDomain(text, OPTIONS) : null) ?? text
}
