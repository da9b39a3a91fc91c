import { isIP } from 'node:net'
import { counted } from '../config/problems.ts'
import { readStamp } from '../config/stamps.ts'
import { type Draft, verdictRule } from './draft.ts'
import { slug } from './places.ts'
import { readToml, type TomlEntry, type TomlValue } from './toml.ts'

/** Reads a file that the configuration names; undefined: it cannot be read. */
export type ReadBeside = (path: string) => string | undefined

type Rule = (draft: Draft, entry: TomlEntry, beside: ReadBeside) => void

const same: (says: string) => Rule = verdictRule('same')
const leftOut: (says: string) => Rule = verdictRule('left out')
/** Makes a rule for a switch that is always off in enigm-dns. */
const off =
  (says: string): Rule =>
  (draft, { value, from, to }) =>
    draft.say(value === false ? 'same' : 'left out', from, value === false ? `${says}; it is off` : says, to)
/** Makes a rule for a switch that is always on in enigm-dns. */
const on =
  (says: string): Rule =>
  (draft, { value, from, to }) =>
    draft.say(value === true ? 'same' : 'left out', from, says, to)
const number =
  (group: string, key: string, least: number, most: number): Rule =>
  (draft, { key: name, value, from, to }) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) return draft.say('left out', from, `${name} is not a whole number`, to)
    const kept = Math.min(most, Math.max(least, value))
    if (group === '') draft.settings[key] = kept
    else draft.set(group, key, kept)
    draft.say(
      'taken',
      from,
      `${group === '' ? key : `${group}.${key}`}: ${kept}${kept === value ? '' : `, the nearest to ${value} that is possible`}`,
      to,
    )
  }
const texts = (value: TomlValue) => (Array.isArray(value) ? value : [value]).filter((one) => typeof one === 'string')

const listen: Rule = (draft, { value, from, to }) => {
  const faults = texts(value).filter((place) => {
    const [, six, four, port = ''] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(place) ?? []
    return draft.listenOn(six ?? four ?? '', Number(port)) !== undefined
  })
  if (texts(value).length === 0) return draft.say('same', from, 'sockets of systemd are used if there are some', to)
  if (faults.length > 0) return draft.say('left out', from, `not an address and a port: ${faults.join(', ')}`, to)
  draft.say('taken', from, `listen: ${texts(value).join(', ')}`, to)
}

/**
 * Names in the public list of dnscrypt-proxy, with the ids of the same resolvers in the shipped
 * set.
 */
const SERVER_IDS: Readonly<Record<string, string>> = {
  cloudflare: '1.1.1.1',
  'cloudflare-ipv6': '1.1.1.1',
  google: '8.8.8.8',
  'google-ipv6': '8.8.8.8',
  'quad9-doh-ip4-port443-filter-pri': '9.9.9.9',
  'quad9-doh-ip4-port443-filter-alt': '9.9.9.9',
  'quad9-doh-ip6-port443-filter-pri': '9.9.9.9',
  'quad9-dnscrypt-ip4-filter-pri': '9.9.9.9',
  'quad9-dnscrypt-ip4-filter-alt': '9.9.9.9',
  'adguard-dns-unfiltered': '94.140.14.140',
  'adguard-dns-unfiltered-doh': '94.140.14.140',
  'dns.digitale-gesellschaft.ch': '185.95.218.42',
  'dnsforge.de': '',
}

/** Drafts whose file sends everything through a proxy or relays. */
const hasHops = new WeakSet<Draft>()

/**
 * A start is refused until a person writes the hops: otherwise resolvers that were asked through
 * hops would be asked directly, and learn the address of this host.
 */
function refuseUntilHops(draft: Draft, from: number, to: number, why: string) {
  draft.settings.policy = { separation: 'required' }
  draft.say('left out', from, `${why}; until then a start is refused (policy.separation)`, to)
}

/** How a proxy meets the rule: somebody must say who runs it, and Tor separates by itself. */
const NAMED = {
  socks5: 'with its "operator", or for Tor with "isolate": "operator"',
  'http-connect': 'with its "operator"',
} as const

/** Imports the address of a proxy as the hop on the way to all resolvers. */
const proxy =
  (type: 'socks5' | 'http-connect'): Rule =>
  (draft, { value, from, to }) => {
    if (value === '') return draft.say('same', from, 'no proxy', to)
    const other = draft.settings.via !== undefined
    if (other)
      return draft.say('left out', from, 'the other proxy is on the way to all resolvers; add this one to "via" if both are needed', to)
    const text = String(value)
    const url = URL.canParse(text) ? new URL(text) : undefined
    const host = url?.hostname.replace(/^localhost$/i, '127.0.0.1') ?? ''
    const isNumeric = isIP(host.replace(/^\[|\]$/g, '')) !== 0
    if (url === undefined || !isNumeric || url.port === '')
      return refuseUntilHops(draft, from, to, `the address of the proxy is not ADDRESS:PORT; write "proxies" (${NAMED[type]}) and "via"`)
    draft.settings.proxies = { proxy: { type, address: `${host}:${url.port}` } }
    draft.settings.via = ['proxy']
    draft.say('taken', from, `via: proxy, at ${host}:${url.port}${type === 'socks5' ? '; for Tor add "isolate": "operator"' : ''}`, to)
    if (url.username !== '')
      draft.say('left out', from, 'write its user name and its password ("username", "passwordFile"); it may refuse until then', to)
  }

/** Drafts whose file has `server_names`; other servers of the file are then not used. */
const namesServers = new WeakSet<Draft>()
const serverNames: Rule = (draft, { value, from, to }) => {
  if (texts(value).length > 0) namesServers.add(draft)
  for (const name of texts(value)) {
    const address = draft.stamps.get(name) ?? SERVER_IDS[name] ?? ''
    if (address === '')
      draft.say('left out', from, `${name}: it is not in the shipped trusted set; add its stamp with "enigm-dns resolvers add"`, to)
    else draft.useResolver(address, from, to)
  }
  if (texts(value).length === 0) draft.say('same', from, 'without names every enabled resolver is used', to)
}

const cloaking: Rule = (draft, { key, value, from, to }, beside) => {
  eachLine(draft, `${key}`, String(value), from, to, beside, (line) => {
    const [name = '', data = ''] = line.split(/\s+/)
    const exact = name.startsWith('=') ? name.slice(1) : name
    const type = isIP(data) === 4 ? 'A' : isIP(data) === 6 ? 'AAAA' : 'CNAME'
    if (/^\*\./.test(exact) || name.startsWith('=')) return draft.answer(exact, type, data) ?? undefined
    // Without "=" a name means itself and everything below it.
    return draft.answer(exact, type, data) ?? draft.answer(`*.${exact}`, type, data)
  })
}

const forwarding: Rule = (draft, { key, value, from, to }, beside) => {
  const text = named(draft, key, String(value), from, to, beside)
  for (const line of text ?? []) {
    const [zone = '', servers = ''] = line.split(/\s+/, 2)
    for (const server of servers.split(',')) {
      if (/^\$/.test(server))
        draft.say('left out', from, `${zone}: ${server} is a server of the network; write { "zone": "${zone}", "cleartext": "link" }`, to)
      else if (hasHops.has(draft) && !/^(tls|https|sdns):/i.test(server))
        draft.say('left out', from, `${zone}: ${server} would be asked without encryption and without the proxy`, to)
      else draft.forwardZone(zone, server, from, to)
    }
  }
}

/** Reads the lines of a file that the configuration names, without comments. */
function named(draft: Draft, key: string, path: string, from: number, to: number, beside: ReadBeside): readonly string[] | undefined {
  const text = beside(path)
  if (text === undefined) {
    draft.say('left out', from, `${key}: the file ${path} cannot be read`, to)
    return undefined
  }
  return text.split(/\r?\n/).flatMap((line) => line.replace(/(^|\s)#.*$/, '').trim() || [])
}

function eachLine(
  draft: Draft,
  key: string,
  path: string,
  from: number,
  to: number,
  beside: ReadBeside,
  take: (line: string) => string | undefined,
) {
  let taken = 0
  for (const [at, line] of (named(draft, key, path, from, to, beside) ?? []).entries()) {
    const why = take(line)
    if (why === undefined) taken++
    else draft.say('left out', from, `${path}, rule ${at + 1} (${line}): ${why}`, to)
  }
  if (taken > 0) draft.say('taken', from, `${key}: ${counted(taken, 'rule')} of ${path}`, to)
}

/** Makes a rule for a file of names. A plain name also covers every name below it. */
const nameList =
  (action: 'block' | 'allow'): Rule =>
  (draft, { table, value, from, to }, beside) => {
    const path = String(value)
    const name = `${slug(table.join('-'))}.txt`
    let added = false
    eachLine(draft, path, path, from, to, beside, (line) => {
      const [pattern = '', when] = line.split(/\s+@/)
      if (when !== undefined) return `it applies only at certain times (${when}); write a separate list with "when"`
      const rule = adblockOf(pattern)
      if (rule === undefined) return 'a pattern cannot be written as a rule; only names and what is below them'
      const why = draft.lineInFile(name, rule)
      added ||= why === undefined
      return why
    })
    if (added) draft.list({ id: slug(table.join('-')), file: name, format: 'adblock', ...(action === 'allow' ? { action } : {}) })
  }

/**
 * Converts a pattern to an Adblock rule; undefined: not possible. In a list with the action
 * "allow", the same rule allows.
 */
function adblockOf(pattern: string): string | undefined {
  const exact = pattern.startsWith('=')
  const name = pattern.replace(/^=|^\*\./, '')
  if (!/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(name)) return undefined
  return exact ? `|${name}^` : `||${name}^`
}

const NO_LOG = 'queries are never written to a file'
const GLOBAL: Readonly<Record<string, Rule>> = {
  server_names: serverNames,
  listen_addresses: listen,
  timeout: number('', 'timeoutMs', 500, 10_000),
  cache: on('answers are always kept in memory'),
  cache_min_ttl: number('cache', 'minTtlS', 0, 604_800),
  cache_max_ttl: number('cache', 'maxTtlS', 0, 604_800),
  cache_size: leftOut('the size of the cache is in octets ("cache.maxBytes"), and 32 MiB hold about 150,000 answers'),
  cache_neg_min_ttl: leftOut('negative answers are kept as long as their zone says (RFC 2308)'),
  cache_neg_max_ttl: leftOut('negative answers are kept as long as their zone says (RFC 2308), at most 3 hours'),
  cache_neg_ttl: leftOut('negative answers are kept as long as their zone says (RFC 2308)'),
  cloaking_rules: cloaking,
  cloak_ttl: leftOut('each answer has its own ttlS'),
  cloak_ptr: off('reverse names are written as answers of the type PTR'),
  forwarding_rules: forwarding,
  user_name: (draft, { value, from, to }) => {
    if (value === '') return draft.say('same', from, 'the service keeps the user that starts it', to)
    draft.settings.user = value
    draft.say('taken', from, `user: ${String(value)}`, to)
  },
  max_clients: same('clients and connections are limited'),
  ipv4_servers: on('addresses of both families are used'),
  ipv6_servers: on('addresses of both families are used, as the network has them'),
  dnscrypt_servers: leftOut('the trusted set and "use" choose the resolvers'),
  doh_servers: leftOut('the setting "transports" chooses the transports'),
  odoh_servers: off('Oblivious DoH has its own settings'),
  require_dnssec: leftOut('properties of resolvers are claims of the trusted set; choose with "use"'),
  require_nolog: leftOut('properties of resolvers are claims of the trusted set; choose with "use"'),
  require_nofilter: leftOut('properties of resolvers are claims of the trusted set; choose with "use"'),
  disabled_server_names: leftOut('only resolvers of "use" are asked'),
  force_tcp: (draft, { value, from, to }) => {
    const hasDatagrams = value === true && [...draft.stamps.values()].some((one) => readStamp(one).stamp?.protocol === 'dnscrypt')
    if (hasDatagrams)
      return draft.say('left out', from, 'DNSCrypt is over UDP; take "dnscrypt" out of "transports" if it must not be used', to)
    draft.say(
      'same',
      from,
      'the default transports, DNS over TLS and HTTPS, are over TCP; others are used only if "transports" has them',
      to,
    )
  },
  http3: off('HTTP/3 is not a transport of this program'),
  http3_probe: off('HTTP/3 is not a transport of this program'),
  keepalive: same('connections are kept as long as they are useful'),
  proxy: proxy('socks5'),
  http_proxy: proxy('http-connect'),
  blocked_query_response: (draft, { value, from, to }) => {
    const reply =
      { refused: 'refused', hinfo: 'nxdomain', nxdomain: 'nxdomain' }[String(value)] ??
      (/^a:0\.0\.0\.0(,\s*aaaa:\[?::\]?)?$/.test(String(value)) ? 'null-address' : undefined)
    if (reply === undefined) return draft.say('left out', from, 'the setting "reply" of each list chooses the answer to blocked names', to)
    draft.settings.reply = reply
    draft.say('taken', from, `lists[].reply: ${reply}`, to)
  },
  block_ipv6: off('questions for IPv6 addresses are not blocked'),
  block_unqualified: on('single labels never leave this host'),
  block_undelegated: off('only special-use names (RFC 6761) never leave this host; other such names (.lan, .corp) are asked'),
  reject_ttl: leftOut('how long blocked answers are kept cannot be set'),
  lb_strategy: leftOut('the resolver that answers best is chosen by measurement'),
  lb_estimator: on('the resolver that answers best is chosen by measurement'),
  hot_reload: on('files are read again when they change'),
  log_level: leftOut('the level is "log.level", in words'),
  log_file: leftOut('events are written to standard error; systemd keeps them'),
  log_file_latest: leftOut('events are written to standard error; systemd keeps them'),
  use_syslog: leftOut('events are written to standard error; systemd keeps them'),
  log_files_max_size: same('no log files are written'),
  log_files_max_age: same('no log files are written'),
  log_files_max_backups: same('no log files are written'),
  cert_refresh_delay: same('certificates are checked at each connection'),
  bootstrap_resolvers: same('the trusted set has the addresses of resolvers; they are never looked up'),
  fallback_resolver: same('the trusted set has the addresses of resolvers; they are never looked up'),
  fallback_resolvers: same('the trusted set has the addresses of resolvers; they are never looked up'),
  ignore_system_dns: on('the DNS of the system is never asked'),
  netprobe_timeout: same('network changes are detected without sending anything'),
  netprobe_address: same('network changes are detected without sending anything'),
  offline_mode: off('names are resolved'),
  edns_client_subnet: leftOut('a part of the address of a client is never sent'),
  tls_disable_session_tickets: (draft, { value, from, to }) =>
    draft.say(value === false ? 'same' : 'left out', from, 'TLS sessions are resumed until the network changes', to),
  tls_cipher_suite: leftOut('TLS settings are safe by default; each resolver may have other ones'),
  tls_prefer_rsa: off('TLS has safe settings'),
  enable_hot_reload: on('files are read again when they change'),
  dnscrypt_ephemeral_keys: leftOut('it belongs to DNSCrypt'),
}

const TABLES: Readonly<Record<string, Readonly<Record<string, Rule>>>> = {
  blocked_names: { blocked_names_file: nameList('block'), log_file: leftOut(NO_LOG), log_format: leftOut(NO_LOG) },
  blacklist: { blacklist_file: nameList('block'), log_file: leftOut(NO_LOG), log_format: leftOut(NO_LOG) },
  allowed_names: { allowed_names_file: nameList('allow'), log_file: leftOut(NO_LOG), log_format: leftOut(NO_LOG) },
  whitelist: { whitelist_file: nameList('allow'), log_file: leftOut(NO_LOG), log_format: leftOut(NO_LOG) },
  captive_portals: { map_file: leftOut('a login page is reached with "enigm-dns portal"') },
}
/** Rules for all keys of a table. */
const TABLE_RULES: Readonly<Record<string, Rule>> = {
  query_log: leftOut(NO_LOG),
  nx_log: leftOut(NO_LOG),
  sources: leftOut('lists of resolvers are imported with "enigm-dns resolvers import"'),
  static: (draft, { table: [, name = ''], value, from, to }) => {
    if (!namesServers.has(draft)) draft.useResolver(String(value), from, to)
    else draft.say('same', from, `${name} is used if server_names has it`, to)
  },
  schedules: leftOut('a list has its own times with "when"'),
  anonymized_dns: (draft, { key, value, from, to }) => {
    if (key !== 'routes' || !Array.isArray(value) || value.length === 0)
      return draft.say('left out', from, 'relays have their own settings', to)
    const { proxies } = draft.settings as { readonly proxies?: Readonly<Record<string, { readonly type: keyof typeof NAMED }>> }
    const [proxied] = Object.values(proxies ?? {})
    const relays = 'write the relays of the resolvers in a trusted set'
    const why =
      proxied === undefined
        ? `${relays}, or a proxy ("proxies" ${NAMED.socks5}, and "via")`
        : `write the proxy of "proxies" ${NAMED[proxied.type]}; relays are written in a trusted set`
    refuseUntilHops(draft, from, to, why)
  },
  doh_client_x509_auth: leftOut('client certificates are settings of a resolver'),
  local_doh: leftOut('this program serves no DNS over HTTPS to clients'),
  dns64: leftOut('it is written below'),
  broken_implementations: leftOut('resolvers are tested, and faults are handled when they occur'),
  blocked_ips: leftOut('addresses in answers are blocked by lists of the format "rpz", or by "rebinding"'),
  ip_blacklist: leftOut('addresses in answers are blocked by lists of the format "rpz", or by "rebinding"'),
  allowed_ips: leftOut('addresses are allowed with "rebinding.allowAddresses"'),
  monitoring_ui: leftOut('the page is the setting "page"'),
  ip_encryption: leftOut(NO_LOG),
}

const dns64: Rule = (draft, { key, value, from, to }) => {
  const [prefix] = texts(value)
  if (key !== 'prefix' || prefix === undefined) return draft.say('left out', from, 'the DNS64 prefix is configured and never looked up', to)
  draft.settings.dns64 = { prefix }
  draft.say('taken', from, `dns64.prefix: ${prefix}`, to)
}

/** Reads dnscrypt-proxy.toml. Throws an EnigmError `config` if it is not TOML. */
export function fromDnscryptProxy(draft: Draft, beside: ReadBeside): void {
  const { entries, headers } = readToml(draft.lines.join('\n'))
  for (const { table, line } of headers) {
    const [name = ''] = table
    const known = name in TABLES || name in TABLE_RULES
    if (known) draft.report.header(line)
    else draft.report.unknown(line, `the table ${name}`)
  }
  for (const { table, key, value } of entries) if (table[0] === 'static' && key === 'stamp') draft.stamps.set(table[1] ?? '', String(value))
  const isHop = ({ table: [table = ''], key, value }: TomlEntry) =>
    (table === '' && /^(http_)?proxy$/.test(key) && value !== '') || (table === 'anonymized_dns' && key === 'routes')
  if (entries.some(isHop)) hasHops.add(draft)
  draft.proxied = entries.some((entry) => isHop(entry) && entry.table.length === 0)
  for (const entry of entries) {
    const [table = ''] = entry.table
    const rule = table === '' ? GLOBAL[entry.key] : table === 'dns64' ? dns64 : (TABLES[table]?.[entry.key] ?? TABLE_RULES[table])
    if (rule === undefined) draft.report.unknown(entry.from, entry.key, entry.to)
    else rule(draft, entry, beside)
  }
  const { reply, ...settings } = draft.settings
  if (typeof reply !== 'string') return
  for (const list of draft.lists) if (list.action !== 'allow') list.reply = reply
  for (const key of Object.keys(draft.settings)) delete draft.settings[key]
  Object.assign(draft.settings, settings)
}
