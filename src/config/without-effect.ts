import { isLoopback, overlap } from './cidr.ts'
import { generalSides } from './forwarding.ts'
import { listenText, type SocketAddress } from './listen-address.ts'
import type { Loaded } from './load.ts'
import { operatorCount } from './operators.ts'
import { quoted } from './problems.ts'
import type { Config } from './settings.ts'
import { offers, type TrustedResolver } from './trusted-set.ts'

/**
 * Settings that a person wrote and that do nothing, because another setting is missing. None of
 * them is a fault: names resolve as before. `check` and the log name them, because a person who
 * writes such a setting relies on it.
 */

/** One kind of setting without effect. */
interface Hint {
  /** The setting. */
  readonly path: string
  /** The items of the setting without effect, each as a text; empty: it has its effect. */
  readonly idle: (setup: Facts) => readonly string[]
  /** What the person can do, as a sentence. `items`: what `idle` found, separated by commas. */
  readonly says: (items: string) => string
}

type Setup = Pick<Loaded, 'config' | 'resolvers' | 'listen'>
interface Facts extends Setup {
  /** Sockets besides `listen`. */
  readonly sockets: readonly SocketAddress[] | 'unknown'
}

/** Makes the result of `idle` for a setting that has one item. */
const itself = (isIdle: boolean): readonly string[] => (isIdle ? [''] : [])

const HINTS: readonly Hint[] = [
  {
    path: 'proxies',
    idle: ({ config, resolvers }) => {
      const used = new Set([config.via, ...resolvers.map(({ via = [] }) => via)].flat())
      return Object.keys(config.proxies)
        .filter((name) => !used.has(name))
        .map(quoted)
    },
    says: (names) => `nothing goes through ${names}: write the name into "via", or remove the proxy.`,
  },
  {
    path: 'via',
    idle: ({ config, resolvers }) => itself(config.via.length > 0 && resolvers.every(({ via }) => via !== undefined)),
    says: () => 'every resolver in use has its own "via" in the trusted set, which replaces this one: remove one of them.',
  },
  {
    path: 'rebinding.allow',
    idle: ({ config: { rebinding } }) => itself(!rebinding.protect && rebinding.allow.length > 0),
    says: () => 'private addresses are allowed for all names: set "protect" to true, or remove this.',
  },
  {
    path: 'rebinding.allowAddresses',
    idle: ({ config: { rebinding } }) => itself(!rebinding.protect && rebinding.allowAddresses.length > 0),
    says: () => 'private addresses are allowed for all names: set "protect" to true, or remove this.',
  },
  {
    path: 'allowCleartext',
    idle: ({ config }) => config.allowCleartext.filter((zone) => !cleartextZones(config).has(zone)).map(quoted),
    says: (zones) => `no rule of "forward" has "cleartext" for ${zones}: add the rule, or remove the zone here.`,
  },
  {
    path: 'split',
    idle: ({ config, resolvers }) =>
      itself(config.split !== 'none' && generalSides(config).every((ids) => operatorsOf(ids, resolvers) < 2)),
    says: () =>
      'one operator gets all names, so nothing is divided: add resolvers of other operators to "use", name the "operator" of each in the trusted set, or set "none".',
  },
  {
    path: 'transports',
    idle: ({ config, resolvers }) =>
      (['odoh', 'doq', 'dnscrypt'] as const)
        .filter((name) => config.transports.includes(name) && resolvers.every(({ transports }) => transports[name] === undefined))
        .map(quoted),
    says: (names) => `no resolver in use offers ${names}: use one that does, or remove the transport.`,
  },
  {
    path: 'transports',
    idle: ({ config, resolvers }) =>
      (['odoh', 'dnscrypt'] as const).flatMap((relayed) =>
        resolvers
          .filter((one) => one.transports[relayed]?.relay !== undefined && preferred(one, config) !== relayed)
          .map(({ id }) => quoted(id)),
      ),
    says: (ids) =>
      `the trusted set has a relay for ${ids}, which is asked without it: write the transport of the relay first ("odoh", "dnscrypt"), or remove the relay.`,
  },
  {
    path: 'resolvers',
    idle: ({ config, resolvers }) =>
      resolvers
        .filter(({ spkiPins, certHashes = [] }) => spkiPins.length + certHashes.length > 0)
        .filter((one) => config.transports.every((name) => name === 'dnscrypt' || !offers(one, name)))
        .map(({ id }) => quoted(id)),
    says: (ids) =>
      `the spkiPins and certHashes of ${ids} in the trusted set are never compared, because DNSCrypt alone is used and proves the key of the provider: remove them, or add another transport.`,
  },
  {
    path: 'odoh.configFetch',
    idle: ({ config }) => itself(config.odoh.configFetch !== 'proxied' && !config.transports.includes('odoh')),
    says: () => 'no resolver is asked over Oblivious DoH: add "odoh" to "transports", or remove this.',
  },
  {
    path: 'allowDnscryptCertificates',
    idle: ({ config }) => itself(config.allowDnscryptCertificates && !config.transports.includes('dnscrypt')),
    says: () => 'no resolver is asked over DNSCrypt: add "dnscrypt" to "transports", or remove this.',
  },
  {
    path: 'shaping.jitterMs',
    idle: ({ config: { shaping } }) => itself(shaping.profile !== 'jitter' && shaping.jitterMs !== DEFAULT_JITTER_MS),
    says: () => 'only the profile "jitter" uses it: choose that profile, or remove this.',
  },
  {
    path: 'shaping.jitterMs',
    idle: ({ config: { shaping, timeoutMs } }) => {
      const longestMs = timeoutMs - ANSWER_MS
      return shaping.profile === 'jitter' && shaping.jitterMs > longestMs ? [String(longestMs)] : []
    },
    says: (longestMs) =>
      `500 ms of "timeoutMs" remain for the answer, so no delay is longer than ${longestMs} ms: raise "timeoutMs", or lower this.`,
  },
  {
    path: 'shaping.profile',
    idle: ({ config: { shaping } }) => itself(shaping.profile === 'jitter' && shaping.jitterMs === 0),
    says: () => '"jitter" with a "jitterMs" of 0 delays nothing and hides nothing: raise "jitterMs", or set "off".',
  },
  {
    path: 'cache.persist',
    idle: ({ config: { cache } }) => itself(cache.persist !== 'off' && cache.maxTtlS === 0),
    says: () => 'no answer is kept, because "maxTtlS" is 0: raise that, or set "off".',
  },
  {
    path: 'sources',
    idle: ({ config, resolvers }) =>
      (config.sources ?? []).filter(({ id }) => resolvers.every(({ list }) => list !== id)).map(({ id }) => quoted(id)),
    says: (ids) =>
      `no resolver in use comes from the list ${ids}: add entries of it to the trusted set and enable them, or remove the source.`,
  },
  {
    path: 'updates',
    idle: ({ config }) => itself(config.updates !== 'ask' && config.sources === undefined),
    says: () => 'there are no "sources" whose changes could be applied: add some, or remove this.',
  },
  {
    path: 'lists',
    idle: ({ config: { lists } }) => itself(lists.length > 0 && lists.every(({ action }) => action === 'allow')),
    says: () => 'every list allows names, and none blocks any: add a list that blocks, or remove them.',
  },
  {
    path: 'lists',
    idle: ({ config: { lists } }) =>
      lists.filter(({ action, reply }) => action === 'allow' && reply !== undefined).map(({ id }) => quoted(id)),
    says: (ids) => `the list ${ids} allows names, so its "reply" is never sent: remove "reply".`,
  },
  {
    path: 'listen',
    idle: ({ config, listen }) => {
      const [four, six] = LOOPBACK.map((own) => config.allowFrom.some((block) => overlap(block, own)))
      const isAdmitted = (address: string) => (address.includes(':') ? six : four) === true
      return listen.filter(({ address }) => isLoopback(address) && !isAdmitted(address)).map(listenText)
    },
    says: (places) =>
      `only this host can ask at ${places}, and "allowFrom" does not have its address: add "127.0.0.0/8" and "::1/128" to "allowFrom", or listen elsewhere.`,
  },
  {
    path: 'allowFrom',
    idle: ({ config: { allowFrom }, listen, sockets }) => {
      const beyond = positions(allowFrom, (block) => !LOOPBACK.some((own) => overlap(block, own)))
      const isClosed = sockets !== 'unknown' && [...listen, ...sockets].every(({ address }) => isLoopback(address))
      return isClosed && beyond.length < allowFrom.length ? beyond : []
    },
    says: (items) =>
      `only this host can reach the addresses of "listen", so item ${items} has no effect: add an address to "listen", or remove it.`,
  },
  {
    path: 'system.enabled',
    idle: ({ config: { system }, listen, sockets }) =>
      itself(system.enabled && sockets !== 'unknown' && [...listen, ...sockets].every(({ port }) => port !== DNS_PORT)),
    says: () => 'the system sends its queries to port 53, and no address of "listen" has that port: add one, or remove this.',
  },
  {
    path: 'views',
    idle: ({ config: { views } }) =>
      views
        .filter(({ use, forward, answers, lists }) => [use, forward, answers, lists].every((own) => own === undefined))
        .map(({ id }) => quoted(id)),
    says: (ids) =>
      `the view ${ids} has no "use", "forward", "answers" or "lists", so its clients get what all others get: add one, or remove it.`,
  },
  {
    path: 'views',
    idle: ({ config: { views, allowFrom } }) => {
      if (allowFrom.length * views.reduce((sum, { clients }) => sum + clients.length, 0) > MOST_COMPARED) return []
      return views
        .filter(({ clients }) => clients.every((block) => !allowFrom.some((own) => overlap(block, own))))
        .map(({ id }) => quoted(id))
    },
    says: (ids) => `"allowFrom" has no client of the view ${ids}, so they get no answers: add them there, or remove the view.`,
  },
]

const DEFAULT_JITTER_MS = 20
/** A delay of the profile `jitter` leaves this time for the answer (src/shaping/jitter.ts). */
const ANSWER_MS = 500
/** Pairs of blocks that are compared at a start: 2,000 take about 20 ms. */
const MOST_COMPARED = 2000
const DNS_PORT = 53
const LOOPBACK = ['127.0.0.0/8', '::1/128'] as const

/**
 * The settings of a configuration that do nothing, one sentence for each kind. `sockets`: those
 * that the service has besides `listen`, as from systemd.
 */
export function settingsWithoutEffect(setup: Setup, sockets: Facts['sockets'] = []): readonly string[] {
  return HINTS.flatMap(({ path, idle, says }) => {
    const items = idle({ ...setup, sockets })
    return items.length === 0 ? [] : [`${path}: ${says(listed(items))}`]
  })
}

/** At most this many items are named in a sentence. */
const MOST_NAMED = 8

/** The items of a sentence, separated by commas. */
export function listed(items: readonly string[]): string {
  const more = items.length - MOST_NAMED
  return `${items.slice(0, MOST_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

/** The transport over which a resolver is asked as long as it works. */
const preferred = ({ transports }: TrustedResolver, config: Config) => config.transports.find((one) => transports[one] !== undefined)

function cleartextZones({ forward, views }: Config): ReadonlySet<string> {
  const rules = [...forward, ...views.flatMap((view) => view.forward ?? [])]
  return new Set(rules.filter(({ cleartext }) => cleartext !== undefined).map(({ zone }) => zone))
}

function operatorsOf(ids: readonly string[], resolvers: readonly TrustedResolver[]): number {
  return operatorCount(resolvers.filter(({ id }) => ids.includes(id)))
}

/** The positions of the items for which `isIdle` holds, from 0. */
function positions<Item>(items: readonly Item[], isIdle: (item: Item) => boolean): readonly string[] {
  return items.flatMap((item, at) => (isIdle(item) ? [String(at)] : []))
}
