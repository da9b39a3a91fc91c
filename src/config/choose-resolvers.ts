import { isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { chosenBy } from './choosing.ts'
import { canonical, isLoopback, isUnspecified } from './cidr.ts'
import type { CollectProblem, SetReading } from './documents.ts'
import { type ForwardRule, serverOf } from './forwarding.ts'
import { listenText, parseListen, type SocketAddress } from './listen-address.ts'
import { quoted } from './problems.ts'
import type { ConfigFile } from './settings.ts'
import { offers, type TrustedResolver } from './trusted-set.ts'

/** The files that messages name. */
interface FileNames {
  readonly configFile: string
  readonly setFile: string
}

/** The resolvers that a configuration uses. */
export interface Chosen {
  /** For general names of clients without a view. */
  readonly general: readonly TrustedResolver[]
  /** All resolvers in use, each once: the general ones, those of views, those for zones. */
  readonly all: readonly TrustedResolver[]
}

/**
 * Chooses the resolvers to use: those that `use`, the views and the forward zones name. Each must
 * be in the set, offer a configured transport, and have an address unless it offers ODoH;
 * otherwise a problem is collected. Without `use`, general names go to every enabled resolver that
 * offers a configured transport and is not reserved for a zone. `setReadable`: whether the set
 * could be read and parsed. If not, nothing is chosen.
 */
export function choose(files: FileNames, config: ConfigFile, set: SetReading, setReadable: boolean, collect: CollectProblem): Chosen {
  if (!setReadable) return { general: [], all: [] }
  const named = (ids: readonly string[], path: string) => namedResolvers(ids, path, files, config, set, collect)
  const ofRules = (rules: readonly ForwardRule[], path: string) => rules.flatMap(({ to = [] }, i) => named(to, `${path}[${i}].to`))
  const zones = [
    ...ofRules(config.forward, 'forward'),
    ...config.views.flatMap(({ forward = [] }, i) => ofRules(forward, `views[${i}].forward`)),
  ]
  const views = config.views.flatMap(({ use = [] }, i) => named(use, `views[${i}].use`))
  const general = generalResolvers(files, config, set, zones, collect)
  return { general, all: [...new Set([...general, ...views, ...zones])] }
}

/** Whether the resolver offers one of the configured transports. */
function offersConfigured(resolver: TrustedResolver, { transports }: ConfigFile): boolean {
  return transports.some((transport) => offers(resolver, transport))
}

/**
 * The resolvers for general names: those that `use` names or describes. Without `use`, every
 * enabled one that no forward zone names.
 */
function generalResolvers(
  files: FileNames,
  config: ConfigFile,
  set: SetReading,
  zones: readonly TrustedResolver[],
  collect: CollectProblem,
): readonly TrustedResolver[] {
  if (config.use === undefined) return everyEnabled(files, config, set, zones, collect)
  if (Array.isArray(config.use)) return namedResolvers(config.use, 'use', files, config, set, collect)
  // A query in `use` never selects a resolver that is reserved for a zone.
  const offered = set.sound.filter((resolver) => offersConfigured(resolver, config) && !zones.includes(resolver))
  const { chosen, problem } = chosenBy(config.use, offered)
  if (problem !== undefined && set.whole)
    collect({ file: files.configFile, path: 'use', message: `${problem}; ask for less, or add resolvers to ${files.setFile}` })
  return chosen
}

function everyEnabled(
  { setFile }: FileNames,
  config: ConfigFile,
  set: SetReading,
  zones: readonly TrustedResolver[],
  collect: CollectProblem,
): readonly TrustedResolver[] {
  const enabled = set.sound.filter((resolver) => resolver.enabled && offersConfigured(resolver, config))
  const chosen = enabled.filter((resolver) => !zones.includes(resolver))
  if (chosen.length > 0 || !set.whole) return chosen
  const message =
    set.ids.size === 0
      ? 'contains no enabled resolver, because the list is empty; add one, or remove "resolvers" from the configuration to use the shipped set'
      : enabled.length > 0
        ? 'contains no enabled resolver for general names, because "forward" names each of them for its zones; name those for general names in "use"'
        : `no enabled resolver offers ${config.transports.join(' or ')}; enable one, name one in "use", or add a transport`
  collect({ file: setFile, path: 'resolvers', message })
  return chosen
}

function namedResolvers(
  ids: readonly string[],
  path: string,
  { configFile, setFile }: FileNames,
  config: ConfigFile,
  set: SetReading,
  collect: CollectProblem,
): readonly TrustedResolver[] {
  const byId = new Map(set.sound.map((resolver) => [resolver.id, resolver]))
  return ids.flatMap((id, index) => {
    const where = { file: configFile, path: `${path}[${index}]` }
    const resolver = byId.get(id)
    if (resolver === undefined) {
      const known = byId.size === 0 ? 'it has no valid resolver' : `name one of: ${[...byId.keys()].slice(0, 20).join(', ')}`
      if (!set.ids.has(id)) collect({ ...where, message: `${quoted(id)} is not in ${setFile}; ${known}` })
      return []
    }
    if (config.transports.includes('odoh') && 'odoh' in resolver.transports && !offersConfigured(resolver, config)) {
      collect({ ...where, message: `${quoted(id)} names no relay for ODoH; add one in its transports.odoh, as in "relay": "ID"` })
      return []
    }
    if (offersConfigured(resolver, config) && resolver.addresses.length === 0 && !('odoh' in resolver.transports)) {
      collect({ ...where, message: `${quoted(id)} has no address yet; run: enigm-dns resolvers pin ${id}` })
      return []
    }
    if (offersConfigured(resolver, config)) return [resolver]
    const offered = Object.keys(resolver.transports).join(', ')
    collect({ ...where, message: `${quoted(id)} offers only ${offered}; add one of these to "transports", or remove ${quoted(id)} here` })
    return []
  })
}

/**
 * Collects the problems of forward rules and views that depend on the rest of the configuration: a
 * zone without encryption that is not in `allowCleartext`, a server that is this service itself,
 * and a list that does not exist.
 */
export function checkForwarding(
  file: string,
  config: ConfigFile,
  resolvers: readonly TrustedResolver[],
  listen: readonly SocketAddress[],
  collect: CollectProblem,
): void {
  const check = (rules: readonly ForwardRule[], path: string) => {
    for (const [i, rule] of rules.entries()) {
      for (const [k, id] of (rule.to ?? []).entries()) {
        const own = askedAt(
          config,
          resolvers.find((one) => one.id === id),
        ).find((server) => listen.some((one) => receives(one, server)))
        if (own === undefined) continue
        const message = `${quoted(id)} is asked at ${listenText(own)}, which is this service itself; correct its address or port in the trusted set`
        collect({ file, path: `${path}[${i}].to[${k}]`, message })
      }
      if (rule.cleartext === undefined) continue
      const where = { file, path: `${path}[${i}].cleartext` }
      if (!config.allowCleartext.includes(rule.zone)) {
        const message = `sends names of ${quoted(rule.zone)} without encryption; if you want that, add ${quoted(rule.zone)} to "allowCleartext"`
        collect({ ...where, message })
      }
      const server = parseListen(serverOf(rule) ?? '')
      if (server !== undefined && listen.some((own) => receives(own, server))) {
        const message = `${quoted(rule.cleartext)} is this service itself, so queries would return to it; write the address of the server of the zone`
        collect({ ...where, message })
      }
    }
  }
  check(config.forward, 'forward')
  for (const [i, { forward = [], lists = [] }] of config.views.entries()) {
    check(forward, `views[${i}].forward`)
    for (const [k, id] of lists.entries()) {
      if (config.lists.some((list) => list.id === id)) continue
      collect({
        file,
        path: `views[${i}].lists[${k}]`,
        message: `${quoted(id)} is not the id of a list in "lists"; correct it or remove it`,
      })
    }
  }
}

/** The addresses and ports at which a resolver is asked over the configured transports. */
function askedAt({ transports }: ConfigFile, resolver: TrustedResolver | undefined): readonly SocketAddress[] {
  if (resolver === undefined) return []
  const ports = transports.flatMap((transport) => {
    const { port } = (resolver.transports[transport] ?? {}) as { readonly port?: number }
    return port === undefined ? [] : [port]
  })
  return resolver.addresses.flatMap((address) => ports.map((port) => ({ address, port })))
}

/** Whether a listener on `listener` receives packets that are sent to `server`. */
function receives(listener: SocketAddress, server: SocketAddress): boolean {
  if (listener.port !== server.port) return false
  const [own, address] = [canonical(listener.address), canonical(server.address)]
  if (own === address) return true
  // [::] listens on IPv6 only.
  if (isIPv6(own) !== isIPv6(address)) return false
  return isUnspecified(own) && (isLoopback(address) || ownAddresses().has(address))
}

function ownAddresses(): ReadonlySet<string> {
  try {
    return new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => canonical(address))))
  } catch {
    return new Set()
  }
}
