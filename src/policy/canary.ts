import type { ZoneRule } from './rule.ts'
import { nothingBelowParent } from './zone-actions.ts'

/**
 * Mozilla's canary domain: a negative answer tells Firefox to leave its default DoH off. Resolution is encrypted here already, and a browser with a resolver
 * of its own would step around the trusted set, the cache and the evidence. A user who turned DoH on by hand is not affected.
 */
export const CANARY: readonly ZoneRule[] = [{ zone: 'use-application-dns.net.', action: nothingBelowParent('use-application-dns.net.') }]
