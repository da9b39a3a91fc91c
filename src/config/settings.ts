import * as v from 'valibot'
import { TRANSPORT_NAMES } from '../transports.ts'
import { useSchema } from './choosing.ts'
import { dns64Schema } from './dns64.ts'
import { closed, described, distinct, integer, text, word, yesNo } from './fields.ts'
import { cleartextZones, forwardRules, viewList } from './forwarding.ts'
import { sameEndpoint } from './listen-address.ts'
import { type ListConfig, listsSchema } from './lists.ts'
import { ownAnswersSchema } from './own-answers.ts'
import { policySchema, SHAPING_PROFILES } from './policy.ts'
import { proxies, via } from './proxies.ts'
import { absent, type Effect, type Group, type Setting, type Settings, schemasOf, setting } from './setting-kinds.ts'
import { cidrText, listenText, pagePlace, queryBlock, userText, zoneText } from './setting-values.ts'
import { policyFromSchema, SAYS, sourcesSchema } from './signed-sources.ts'
import { transportName } from './trusted-set.ts'

export type { Effect } from './setting-kinds.ts'

const inner = <const Inner extends Settings>(settings: Inner) => closed(schemasOf(settings), misplaced)

const padding = {
  queryBlock: setting(
    'reload',
    'Queries are padded to a multiple of this many octets (RFC 8467): 16 to 512. 0 means no padding and is for measurements only.',
    queryBlock,
    128,
  ),
}

const shaping = {
  profile: setting(
    'reload',
    'The shaping profile hides timing and volume from an observer of the link: docs/shaping.md.',
    word(...SHAPING_PROFILES),
    'jitter',
  ),
  jitterMs: setting(
    'reload',
    'The longest random wait before a query is sent, in milliseconds; for the profile `jitter`.',
    integer(0, 2000),
    20,
  ),
}

const cache = {
  // The cache addresses units of 16 octets with 31-bit numbers.
  maxBytes: setting(
    'start',
    'The memory limit of the answer cache in octets, including bookkeeping.',
    integer(65_536, 34_359_738_368),
    33_554_432,
  ),
  minTtlS: setting('reload', 'An answer is kept at least this many seconds.', integer(0, 604_800), 0),
  maxTtlS: setting('reload', 'An answer is kept at most this many seconds.', integer(0, 604_800), 86_400),
  staleMaxS: setting(
    'reload',
    'An expired answer may be given for this many seconds while no resolver has a newer one (RFC 8767). 0: never.',
    integer(0, 86_400),
    86_400,
  ),
  prefetch: setting('reload', 'Whether popular answers are renewed shortly before they expire.', yesNo, true),
  persist: setting(
    'reload',
    'Whether answers are saved, encrypted, for the next start: not at all, in the runtime directory, or on disk. A saved cache is a record of queried names: docs/retention.md.',
    word('off', 'runtime', 'disk'),
    'off',
  ),
}

const rebinding = {
  protect: setting(
    'reload',
    'Whether an answer from a resolver that contains a private address is replaced by an empty answer (DNS rebinding): docs/cache.md.',
    yesNo,
    false,
  ),
  allow: setting('reload', 'Names, and all names below them, that may have private addresses.', distinct(zoneText, 1000, 0), []),
  allowAddresses: setting(
    'reload',
    'Private addresses that are allowed in the answer for any name, as blocks of addresses.',
    distinct(cidrText, 1000, 0),
    [],
  ),
}

const system = {
  enabled: setting(
    'reload',
    '`true`: report a problem if the system uses another DNS server; the state is then at best `degraded`. The setting does not change the system; `enigm-dns system enable` does.',
    yesNo,
    false,
  ),
  vpnDns: setting(
    'reload',
    'What `enigm-dns system` does with name servers that a VPN sets on its own link: `leave` reports them, `override` removes them.',
    word('leave', 'override'),
    'leave',
  ),
}

const page = {
  listen: {
    effect: 'start' as const,
    schema: described(
      'Where the page and the metrics are served: a loopback ADDRESS:PORT or the absolute path of a Unix socket. Required if `page` exists.',
      pagePlace,
    ),
  },
}

const odoh = {
  configFetch: setting(
    'reload',
    'How the key of an ODoH resolver is fetched if the trusted set has no key, or the resolver refuses that key. `proxied`: only over the proxies of `via`; without proxies the trusted set must have the key. `direct`: also without a proxy; the resolver then sees the address of this host, but no name: docs/odoh.md.',
    word('proxied', 'direct'),
    'proxied',
  ),
}

const log = {
  level: setting(
    'reload',
    'The lowest severity of events that are written to standard error.',
    word('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    'info',
  ),
}

/**
 * All keys of the configuration. They are declared only here. The schema, the defaults, the JSON
 * Schema, docs/configuration.md, the excerpt in README.md, and the warning about settings that need
 * a restart are derived from this table.
 */
export const SETTINGS = {
  listen: setting(
    'reload',
    'The addresses for clients: ADDRESS:PORT or [IPV6]:PORT. 0.0.0.0 or [::] means all addresses of all interfaces, but only 127.0.0.1 of the block 127.0.0.0/8.',
    distinct(listenText, 64, 1, (place) => sameEndpoint(String(place))),
    ['127.0.0.53:53'],
  ),
  resolvers: absent(
    'reload',
    'The file with the trusted set, relative to this file. Absent: the set that comes with the program. docs/resolvers.md',
    text(4096),
  ),
  use: absent(
    'reload',
    'The resolvers to use, from the trusted set: their ids, or an object with criteria (docs/resolvers.md). Absent: every resolver that is enabled there and not in `to` of a `forward` rule.',
    useSchema,
  ),
  forward: setting('reload', 'Zones that have their own resolvers (split DNS): docs/rules.md.', forwardRules, []),
  allowCleartext: setting('reload', 'Zones of `forward` that may be asked without encryption: docs/rules.md.', cleartextZones, []),
  views: setting('reload', 'Clients that get their own rules and answers: docs/rules.md.', viewList, []),
  transports: setting(
    'reload',
    'The transports to resolvers, in order of preference: DNS over TLS, DNS over HTTPS, Oblivious DNS over HTTPS, DNS over QUIC, DNSCrypt (docs/transports.md).',
    distinct(transportName, TRANSPORT_NAMES.length),
    ['dot', 'doh'],
  ),
  split: setting(
    'reload',
    'How names are divided among the operators. `none`: the fastest resolver gets all names. `by-site`: each site stays with one operator. `rotate`: sites are divided again each day. docs/split.md',
    word('none', 'by-site', 'rotate'),
    'none',
  ),
  proxies: setting('reload', 'The proxies on the way to resolvers, by name. They are used only if `via` names them.', proxies, {}),
  via: setting(
    'reload',
    'The proxies on the way to every resolver, the nearest first; at most three. A resolver of the trusted set may have its own `via`. While a proxy is down, queries over it fail; it is never bypassed.',
    via,
    [],
  ),
  usageProfile: setting(
    'reload',
    '`strict`: only authenticated resolvers are used (RFC 8310). `opportunistic`: queries are encrypted, but the resolver may be an impostor.',
    word('strict', 'opportunistic'),
    'strict',
  ),
  allowDnscryptCertificates: setting(
    'reload',
    'Whether the certificates of DNSCrypt resolvers may be fetched in cleartext under `strict`. An observer then sees which resolver is used, but no name. docs/transports.md',
    yesNo,
    false,
  ),
  padding: {
    settings: padding,
    schema: v.optional(described('How lengths are hidden.', inner(padding)), {}),
  },
  shaping: {
    settings: shaping,
    schema: v.optional(described('The shaping profile; `jitter` hides little: docs/shaping.md.', inner(shaping)), {}),
  },
  cache: {
    settings: cache,
    schema: v.optional(
      v.pipe(
        described('The answer cache: docs/cache.md.', inner(cache)),
        v.forward(
          v.partialCheck(
            [['minTtlS'], ['maxTtlS']],
            (limits) => limits.minTtlS <= limits.maxTtlS,
            'must not be more than cache.maxTtlS; lower it or raise maxTtlS',
          ),
          ['minTtlS'],
        ),
      ),
      {},
    ),
  },
  rebinding: {
    settings: rebinding,
    schema: v.optional(described('Protection against DNS rebinding.', inner(rebinding)), {}),
  },
  hosts: setting(
    'reload',
    'Hosts files, relative to this file, whose names are answered here. They are read again when they change: docs/rules.md.',
    distinct(text(4096), 16, 0),
    [],
  ),
  answers: setting(
    'reload',
    'Records that are answered here, for one name or for all names below one: docs/rules.md.',
    ownAnswersSchema,
    [],
  ),
  dns64: absent(
    'reload',
    'DNS64 (RFC 6147), for a network with a NAT64: names without an IPv6 address get one that is made from their IPv4 address. Absent: off.',
    dns64Schema,
  ),
  lists: setting('reload', 'Lists of names that are blocked or allowed, from files or https addresses: docs/rules.md.', listsSchema, []),
  policy: {
    ...absent('reload', 'Rules that must be met. The status shows a verdict for each: docs/policy.md.', policySchema),
    parts: { audit: 'stop-at-start' as const },
  },
  policyFrom: absent('reload', SAYS.policyFrom, policyFromSchema),
  sources: absent('reload', SAYS.sources, sourcesSchema),
  updates: setting('reload', SAYS.updates, word('ask', 'apply'), 'ask'),
  timeoutMs: setting(
    'reload',
    'A query without an answer fails after this many milliseconds. Clients give up after 5000.',
    integer(500, 10_000),
    4000,
  ),
  allowFrom: setting(
    'reload',
    'Address blocks of the clients that get answers. Required if `listen` has an address that is not loopback.',
    distinct(cidrText, 1000),
    ['127.0.0.0/8', '::1/128'],
  ),
  clientQueriesPerS: setting(
    'reload',
    'Queries per second of one client (an IPv4 address, or an IPv6 /64) above which it is refused. 0: no limit.',
    integer(0, 1_000_000),
    0,
  ),
  workers: setting(
    'start',
    'The number of threads that answer from memory over UDP. More than one needs Linux and the package koffi.',
    integer(1, 64),
    1,
  ),
  udp: setting(
    'start',
    'How UDP is read: one datagram per call (`dgram`) or many (`batch`, needs Linux and the package koffi).',
    word('auto', 'dgram', 'batch'),
    'auto',
  ),
  heartbeatS: setting('start', 'The status file is written at least once every this many seconds.', integer(1, 3600), 10),
  statusFile: absent('start', 'The status file, relative to this file; each instance needs its own. Default: docs/files.md.', text(4096)),
  stateDir: absent(
    'start',
    'The directory for keys, the audit log and the saved cache, relative to this file; each instance needs its own. Default: docs/files.md.',
    text(4096),
  ),
  user: absent('start', 'A service that root starts changes to this user once its ports are open: docs/files.md.', userText),
  system: {
    settings: system,
    schema: v.optional(described('How the system uses this service: docs/system.md.', inner(system)), {}),
  },
  odoh: {
    settings: odoh,
    schema: v.optional(described('Oblivious DNS over HTTPS: docs/odoh.md.', inner(odoh)), {}),
  },
  page: {
    settings: page,
    schema: v.exactOptional(described('A status page and Prometheus metrics for this host. Absent: neither. docs/page.md', inner(page))),
  },
  log: {
    settings: log,
    schema: v.optional(described('JSON lines on standard error.', inner(log)), {}),
  },
} as const satisfies Readonly<Record<string, Setting | Group>>

/** The keys of earlier versions, with the message for a file that still has one. */
const GONE: Readonly<Record<string, string>> = {
  dohClient: 'was removed: there is only one HTTP/2 client for DoH; delete the line',
}

/**
 * The schema of the configuration in a file. Every key is optional, and the schema adds defaults.
 */
export const configSchema = closed(
  { $schema: v.exactOptional(described('The JSON Schema of this file, for editors.', text(2048))), ...schemasOf(SETTINGS) },
  (key) => (Object.hasOwn(GONE, key) ? GONE[key] : misplaced(key)),
)

type Table = typeof SETTINGS
/** A setting, by its path in the configuration. `policy` means all of it except the audit log. */
export type SettingPath = {
  [Key in keyof Table & string]: Table[Key] extends { readonly settings: infer Inner }
    ? `${Key}.${keyof Inner & string}`
    : Table[Key] extends { readonly parts: infer Parts }
      ? Key | `${Key}.${keyof Parts & string}`
      : Key
}[keyof Table & string]

const TABLE: Readonly<Record<string, Setting | Group>> = SETTINGS

/** When a change of each setting takes effect, in the order of the table. */
export const EFFECTS = Object.fromEntries(
  Object.entries(TABLE).flatMap(([key, entry]) => {
    const below = (effects: Readonly<Record<string, Effect>>) => Object.entries(effects).map(([name, effect]) => [`${key}.${name}`, effect])
    if ('settings' in entry) return below(Object.fromEntries(Object.entries(entry.settings).map(([name, { effect }]) => [name, effect])))
    return [[key, entry.effect], ...below(entry.parts ?? {})]
  }),
) as Readonly<Record<SettingPath, Effect>>

/**
 * The message for a key that belongs in another object of the configuration. Undefined: no object
 * has this key.
 */
function misplaced(key: string): string | undefined {
  if (Object.hasOwn(TABLE, key)) return 'does not belong in this object; move it to the top level of the file'
  const group = Object.entries(TABLE).find(([, entry]) => 'settings' in entry && Object.hasOwn(entry.settings, key))?.[0]
  return group === undefined ? undefined : `does not belong here; move it into "${group}", as in "${group}": { "${key}": ... }`
}

/** The configuration from a file, with defaults. Paths are as written. */
export type ConfigFile = v.InferOutput<typeof configSchema>

/**
 * The configuration in force. Paths are absolute, and `use` holds the ids of the resolvers in use,
 * in order.
 */
export type Config = Readonly<
  Omit<ConfigFile, '$schema' | 'resolvers' | 'use' | 'statusFile' | 'stateDir' | 'lists'> & {
    lists: readonly ListConfig[]
    resolvers: string
    use: readonly string[]
    statusFile: string
    stateDir: string
  }
>
