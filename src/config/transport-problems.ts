import { missingQuic } from '../quic.ts'
import { missingGroups } from '../tls-groups.ts'
import { TRANSPORTS } from '../transports.ts'
import { mayFetchCertificates } from './dnscrypt.ts'
import { type Problem, quoted } from './problems.ts'
import type { ConfigFile } from './settings.ts'
import type { TrustedResolver } from './trusted-set.ts'

/** The settings that these checks need. */
type Facts = Pick<ConfigFile, 'via' | 'transports' | 'usageProfile' | 'shaping' | 'allowDnscryptCertificates'>

/**
 * Finds transports that cannot be used as configured. DNSCrypt fetches certificates in cleartext,
 * some transports have no schedule or use no proxy, and QUIC needs a newer Node.
 */
export function transportProblems(
  { file, setFile }: { readonly file: string; readonly setFile: string },
  config: Facts,
  resolvers: readonly TrustedResolver[],
): readonly Problem[] {
  const found: Problem[] = []
  const { transports, shaping } = config
  const at = transports.indexOf('dnscrypt')
  const offers = resolvers.some((resolver) => resolver.transports.dnscrypt !== undefined)
  if (at >= 0 && offers && !mayFetchCertificates(config))
    found.push({
      file,
      path: `transports[${at}]`,
      message:
        '"dnscrypt" asks for the certificates of resolvers in cleartext, which usageProfile "strict" does not allow; set "allowDnscryptCertificates": true if you accept that, or remove it here',
    })
  const missing = transports.some((transport) => TRANSPORTS[transport].quic) ? missingQuic() : undefined
  for (const resolver of missing === undefined ? [] : resolvers) {
    const offered = transports.filter((transport) => resolver.transports[transport] !== undefined)
    const [only] = offered
    if (only === undefined || offered.some((transport) => !TRANSPORTS[transport].quic)) continue
    const message = `${offered.map(quoted).join(' and ')} is the only transport for ${quoted(resolver.id)} (${setFile}), and ${missing}; use a newer Node, or add "dot" or "doh" where the resolver offers it`
    found.push({ file, path: `transports[${transports.indexOf(only)}]`, message })
  }
  for (const { id, tls } of resolvers) {
    const lacks = tls?.groups === undefined ? undefined : missingGroups(tls.groups)
    if (lacks === undefined) continue
    const message = `the "tls.groups" of ${quoted(id)} has only ${tls?.groups?.join(', ')}, and ${lacks}, or add "X25519"`
    found.push({ file: setFile, path: 'resolvers', message })
  }
  for (const resolver of resolvers) {
    const offered = transports.filter((transport) => resolver.transports[transport] !== undefined)
    const hops = resolver.via ?? config.via
    if (hops.length === 0 || offered.length === 0 || offered.some((transport) => !TRANSPORTS[transport].datagrams)) continue
    const names = offered.map((transport) => TRANSPORTS[transport].label).join(' and ')
    const message = `leads to ${quoted(resolver.id)} (${setFile}), whose only transport here is ${names}: this program sends no datagrams through a proxy; add "dot" or "doh" where it offers it, or "via": [] to the resolver`
    found.push({ file, path: resolver.via === undefined ? 'via' : 'transports', message })
  }
  for (const resolver of keepsSchedule(shaping.profile) ? resolvers : []) {
    const offered = transports.filter((transport) => resolver.transports[transport] !== undefined)
    if (offered.length === 0 || offered.some((transport) => TRANSPORTS[transport].schedule)) continue
    const names = offered.map((transport) => TRANSPORTS[transport].label).join(' and ')
    found.push({
      file,
      path: 'shaping.profile',
      message: `"${shaping.profile}" keeps a schedule, which ${names} cannot; choose "jitter" or "off", or a transport other than ${offered.map(quoted).join(', ')} for ${quoted(resolver.id)} (${setFile})`,
    })
  }
  return found
}

const keepsSchedule = (profile: string) => profile !== 'off' && profile !== 'jitter'
