import { getDomain } from 'tldts'
import { labelsOf } from '../dns/name.ts'

/** Private suffixes count, because the customers of a hosting service are different sites. */
const OPTIONS = { allowPrivateDomains: true, extractHostname: false, validateHostname: false, detectIp: false } as const
/** The names that the list of suffixes can contain. Other names are sites by themselves. */
const PLAIN = /^[\x21-\x7e]+$/

/**
 * The site of a lower-case name in wire form: its registrable domain. A name without one is a site
 * by itself: a suffix, a name of one label, or a name with octets that no host name has.
 */
export function siteOf(name: Uint8Array): string {
  const text = labelsOf(name).join('.')
  return (PLAIN.test(text) ? getDomain(text, OPTIONS) : null) ?? text
}
