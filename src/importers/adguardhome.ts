import { isIP } from 'node:net'
import { isMap, isPair, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from 'yaml'
import { parseCidr } from '../config/cidr.ts'
import { EnigmError } from '../errors.ts'
import { MOST_CLIENT_BLOCKS } from './client-blocks.ts'
import { type Draft, verdictRule } from './draft.ts'
import { slug } from './places.ts'

/** A value of the document with its first and last line. */
interface Found {
  readonly value: unknown
  readonly node: Node | null
  readonly from: number
  readonly to: number
}

type Rule = (draft: Draft, found: Found, at: Reading) => void

/** Access to the document. */
interface Reading {
  /** The value at a path from the root. */
  get(...path: readonly string[]): unknown
  /** The lines of a node. */
  linesOf(node: Node): { readonly from: number; readonly to: number }
}

const leftOut: (says: string) => Rule = verdictRule('left out')
const same: (says: string) => Rule = verdictRule('same')
/** Makes a rule for a setting that is left out if it is on or set. */
const unlessOff =
  (says: string): Rule =>
  (draft, { value, from, to }) =>
    draft.say(isOff(value) ? 'same' : 'left out', from, isOff(value) ? `it is off here too` : says, to)
/** Makes a rule for a setting that is as in enigm-dns only with one of the values `wanted`. */
const onlyIf =
  (wanted: readonly unknown[], says: string): Rule =>
  (draft, { value, from, to }) =>
    draft.say(wanted.includes(value) ? 'same' : 'left out', from, says, to)
const onlyOn = (says: string): Rule => onlyIf([true], says)

function isOff(value: unknown): boolean {
  if (value === null || value === false || value === '' || value === 0 || value === 'none') return true
  if (Array.isArray(value)) return value.length === 0
  if (typeof value !== 'object') return false
  return 'enabled' in value ? value.enabled === false : Object.keys(value).length === 0
}

/** Calls `take` for each item of a list, with its lines. */
function items(
  draft: Draft,
  { node, value, from, to }: Found,
  at: Reading,
  take: (item: unknown, from: number, to: number, node: Node) => void,
) {
  if (!isSeq(node) || node.items.length === 0)
    return draft.say('same', from, value === null || isSeq(node) ? 'it is empty' : 'it is not a list', to)
  draft.say('same', from, 'its items follow')
  for (const item of node.items) {
    const lines = at.linesOf(item as Node)
    take((item as Node).toJSON(), lines.from, lines.to, item as Node)
  }
}

const upstreams: Rule = (draft, found, at) =>
  items(draft, found, at, (item, from, to) => {
    const text = String(item).trim()
    if (text === '' || text.startsWith('#')) return draft.say('same', from, 'a comment', to)
    const [, zones, servers = ''] = /^\[\/(.*)\/\](.*)$/.exec(text) ?? []
    if (zones === undefined) {
      for (const server of text.split(/\s+/)) draft.useResolver(server, from, to)
      return
    }
    for (const zone of zones.split('/')) forZone(draft, zone, servers.trim(), from, to)
  })

/** Here no resolver waits until all others have failed. */
const fallbacks: Rule = (draft, found, at) =>
  items(draft, found, at, (item, from, to) => {
    const text = String(item).trim()
    if (text === '' || text.startsWith('#')) return draft.say('same', from, 'a comment', to)
    draft.say('left out', from, `${text}: ${NO_FALLBACK}`, to)
  })

function forZone(draft: Draft, zone: string, servers: string, from: number, to: number) {
  if (zone === '') return draft.say('left out', from, 'single labels are never sent; write an answer or a hosts file for them', to)
  if (servers === '#') return draft.exceptZone(zone, from, to)
  for (const server of servers.split(/\s+/)) draft.forwardZone(zone, server, from, to)
}

const binds: Rule = (draft, found, at) => {
  const port = Number(at.get('dns', 'port') ?? 53)
  items(draft, found, at, (item, from, to) => {
    const why = draft.listenOn(String(item), port)
    draft.say(why === undefined ? 'taken' : 'left out', from, why ?? `listen: ${String(item)}, port ${port}`, to)
  })
}

const filters =
  (action: 'block' | 'allow'): Rule =>
  (draft, found, at) =>
    items(draft, found, at, (item, from, to) => {
      const { enabled, url = '', name = '' } = item as { enabled?: boolean; url?: string; name?: string }
      if (enabled === false) return draft.say('same', from, `${name || url}: it is off`, to)
      const place = /^https?:\/\//.test(url) ? { url } : { file: url }
      const why = draft.list({ id: slug(name || url), ...place, format: 'auto', ...(action === 'allow' ? { action } : {}) })
      draft.say(why === undefined ? 'taken' : 'left out', from, why === undefined ? `lists: ${name || url}` : `${name || url}: ${why}`, to)
    })

/** A line like that of a hosts file that blocks names. */
const BLOCKS = /^(0\.0\.0\.0|127\.0\.0\.1|::1?)\s/
const RULES_FILE = 'adguard-user-rules.txt'
const userRules: Rule = (draft, found, at) =>
  items(draft, found, at, (item, from, to) => {
    const text = String(item).trim()
    if (text === '' || /^[!#]/.test(text)) return draft.say('same', from, 'a comment', to)
    if (/\$(?:.*,)?(dnsrewrite|client|ctag|dnstype)\b/.test(text))
      return draft.say('left out', from, `${text}: rules with this modifier have no counterpart; write an answer, or a view`, to)
    if (/^(@@)?\/.*\/$/.test(text)) return draft.say('left out', from, `${text}: a regular expression is not a rule for names`, to)
    if (isIP(text.split(/\s+/, 1)[0] ?? '') !== 0 && !BLOCKS.test(text)) return draft.hostsLine(from, text, to)
    const why = draft.lineInFile(RULES_FILE, text)
    if (why === undefined && !draft.lists.some(({ file }) => file === RULES_FILE))
      draft.list({ id: 'user-rules', file: RULES_FILE, format: 'adblock' })
    if (why === undefined) draft.say('taken', from, `lists: ${text}, in ${RULES_FILE}`, to)
    else draft.say('left out', from, `${text}: ${why}`, to)
  })

const rewrites: Rule = (draft, found, at) =>
  items(draft, found, at, (item, from, to) => {
    const { domain = '', answer = '', enabled } = item as { domain?: string; answer?: string; enabled?: boolean }
    if (enabled === false) return draft.say('same', from, `${domain}: it is off`, to)
    if (answer === 'A' || answer === 'AAAA' || answer === domain)
      return draft.say('left out', from, `${domain}: an exception from a rewrite has no counterpart; write the names one by one`, to)
    const type = isIP(answer) === 4 ? 'A' : isIP(answer) === 6 ? 'AAAA' : 'CNAME'
    const why = draft.answer(domain, type, answer)
    draft.say(why === undefined ? 'taken' : 'left out', from, why ?? `answers: ${domain} ${type} ${answer}`, to)
  })

const clientsAllowed: Rule = (draft, found, at) =>
  items(draft, found, at, (item, from, to) => {
    draft.allow(String(item), from, 'a client is known by its address only', to)
  })

/** Refused clients have an effect only without allowed clients: then all others may ask. */
const clientsRefused: Rule = (draft, found, at) => {
  const allowed = at.get('dns', 'allowed_clients')
  if (isSeq(allowed) && allowed.items.length > 0) return same('it has no effect with "allowed_clients"')(draft, found, at)
  const count = isSeq(found.node) ? found.node.items.length : 0
  if (count > MOST_CLIENT_BLOCKS) {
    draft.clients.allow('127.0.0.0/8')
    return leftOut(`there are more than ${MOST_CLIENT_BLOCKS} refused clients; write "allowFrom"`)(draft, found, at)
  }
  if (count > 0) for (const all of ['0.0.0.0/0', '::/0']) draft.clients.allow(all)
  items(draft, found, at, (item, from, to) => {
    const block = String(item)
    if (!draft.clients.refuse(block)) draft.say('left out', from, `${block}: a client is known by its address only`, to)
    else if (draft.clients.touchesPrivate(block)) draft.say('taken', from, `allowFrom: without ${block}`, to)
    else draft.say('same', from, `${block}: only private networks get answers`, to)
  })
}

const REPLIES: Readonly<Record<string, string>> = {
  default: 'null-address',
  null_ip: 'null-address',
  nxdomain: 'nxdomain',
  refused: 'refused',
}
const blockingMode: Rule = (draft, { value, from, to }) => {
  const reply = REPLIES[String(value)]
  if (reply === undefined)
    return draft.say('left out', from, 'a custom address for blocked names is not supported; they get the null address', to)
  draft.settings.reply = reply
  draft.say('taken', from, `lists[].reply: ${reply}`, to)
}

interface NumberOptions {
  readonly times?: number
  readonly zero?: number | 'default'
}
/**
 * Makes a rule for a number. `zero`: the number that 0 stands for; `default`: 0 changes nothing.
 */
const number =
  (group: string, key: string, least: number, most: number, { times = 1, zero = 'default' }: NumberOptions = {}): Rule =>
  (draft, { value, from, to }) => {
    const parsed = typeof value === 'string' ? secondsOf(value) : value
    if (typeof parsed !== 'number' || !Number.isFinite(parsed)) return draft.say('left out', from, 'it is not a number', to)
    if (parsed === 0 && zero === 'default') return draft.say('same', from, '0 means the default', to)
    const kept = parsed === 0 ? zero : Math.min(most, Math.max(least, Math.round(parsed * times)))
    if (group === '') draft.settings[key] = kept
    else draft.set(group, key, kept)
    draft.say('taken', from, `${group === '' ? key : `${group}.${key}`}: ${kept}`, to)
  }

/** `10s`, `1h30m` in seconds. */
function secondsOf(text: string): number {
  const unit = { ms: 0.001, s: 1, m: 60, h: 3600 } as const
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)].reduce((sum, [, digits, of]) => sum + Number(digits) * unit[of as 's'], 0)
}

const dns64: Rule = (draft, found, at) =>
  items(draft, found, at, (item, from, to) => {
    if (at.get('dns', 'use_dns64') !== true) return draft.say('same', from, 'DNS64 is off', to)
    if (draft.settings.dns64 !== undefined) return draft.say('left out', from, `${String(item)}: one prefix is used`, to)
    draft.settings.dns64 = { prefix: String(item) }
    draft.say('taken', from, `dns64.prefix: ${String(item)}`, to)
  })

const NO_RECORD = 'queries are never recorded'
const NO_FALLBACK = 'no resolver waits until others fail; add it to "use" only if it may get names at any time, as each resolver there may'
const OWN_PAGE = 'this program has its own page: the setting "page"'
const PINNED = 'the trusted set has the addresses of resolvers; they are never looked up'
const CACHED = 'answers are always kept in memory'
const FASTEST = 'the resolver that answers best is chosen by measurement'

/** Imports a client with its own addresses and upstreams as a view. Reports what else it has. */
const persistent: Rule = (draft, found, at) =>
  items(draft, found, at, (item, from, to) => {
    const { name = 'a client', ids = [], upstreams: own = [], ...rest } = item as { name?: string; ids?: string[]; upstreams?: string[] }
    const clients = ids.filter((id) => parseCidr(id) !== undefined)
    const others = Object.entries(rest)
      .filter(([key, value]) => !isOff(value) && !/^use_global|^uid$|^ignore_/.test(key))
      .map(([key]) => key)
    const use = own.flatMap((server) => {
      const known = draft.resolver(server)
      return 'id' in known ? [known.id] : []
    })
    if (clients.length === 0 || use.length !== own.length || own.length === 0)
      return draft.say('left out', from, `${name}: write a view with its addresses`, to)
    draft.views.push({ id: slug(name), clients, use: [...new Set(use)] })
    draft.say('taken', from, `views: ${name}, for ${clients.join(', ')}`, to)
    if (others.length > 0) draft.say('left out', from, `${name}: ${others.join(', ')}; give the view its own lists`, to)
    const unknown = ids.filter((id) => !clients.includes(id))
    if (unknown.length > 0) draft.say('left out', from, `${name}: ${unknown.join(', ')}; a client is known by its address only`, to)
  })

/** Rules by path. If a table has no rule, its keys are handled one by one. */
const RULES: Readonly<Record<string, Rule>> = {
  http: leftOut(OWN_PAGE),
  bind_host: leftOut(OWN_PAGE),
  bind_port: leftOut(OWN_PAGE),
  beta_bind_port: leftOut(OWN_PAGE),
  web_session_ttl: leftOut(OWN_PAGE),
  users: leftOut('the page uses a token, not users'),
  auth_attempts: leftOut(OWN_PAGE),
  block_auth_min: leftOut(OWN_PAGE),
  http_proxy: unlessOff('write proxies with the settings "proxies" and "via"'),
  language: same('there is one language'),
  theme: same('the page follows the browser'),
  debug_pprof: unlessOff('it has no counterpart'),
  'dns.bind_hosts': binds,
  'dns.bind_host': binds,
  'dns.port': (draft, { value, from, to }) => draft.say('taken', from, `listen: port ${String(value)}`, to),
  'dns.upstream_dns': upstreams,
  'dns.fallback_dns': fallbacks,
  'dns.upstream_dns_file': unlessOff('a file of upstreams is not read; import its lines as upstream_dns'),
  'dns.bootstrap_dns': same(PINNED),
  'dns.bootstrap_prefer_ipv6': same(PINNED),
  'dns.upstream_mode': onlyIf(['load_balance', ''], FASTEST),
  'dns.all_servers': unlessOff(FASTEST),
  'dns.fastest_addr': unlessOff(FASTEST),
  'dns.fastest_timeout': same(FASTEST),
  'dns.upstream_timeout': number('', 'timeoutMs', 500, 10_000, { times: 1000 }),
  'dns.anonymize_client_ip': same(NO_RECORD),
  'dns.ratelimit': number('', 'clientQueriesPerS', 0, 1_000_000),
  'dns.ratelimit_subnet_len_ipv4': onlyIf([32], 'the limit is for one address'),
  'dns.ratelimit_subnet_len_ipv6': onlyIf([64], 'the limit is for one /64'),
  'dns.ratelimit_whitelist': unlessOff('the limit has no exceptions by address'),
  'dns.refuse_any': unlessOff('questions for ANY are asked like others'),
  'dns.allowed_clients': clientsAllowed,
  'dns.disallowed_clients': clientsRefused,
  'dns.blocked_hosts': leftOut('names in no list are not refused; write a list with them'),
  'dns.trusted_proxies': leftOut('this program is asked directly'),
  'dns.cache_enabled': onlyOn(CACHED),
  'dns.cache_size': (draft, found, at) =>
    found.value === 0 ? leftOut(CACHED)(draft, found, at) : number('cache', 'maxBytes', 65_536, 34_359_738_368)(draft, found, at),
  'dns.cache_ttl_min': number('cache', 'minTtlS', 0, 604_800),
  // 0 means no limit. RFC 8767 caps a TTL at 604800 s.
  'dns.cache_ttl_max': number('cache', 'maxTtlS', 0, 604_800, { zero: 604_800 }),
  'dns.cache_optimistic': (draft, { value, from, to }) => {
    if (value === true) return draft.say('same', from, 'an expired answer is used only while no resolver has a newer one', to)
    draft.set('cache', 'staleMaxS', 0)
    draft.say('taken', from, 'cache.staleMaxS: 0', to)
  },
  'dns.cache_optimistic_answer_ttl': (draft, found, at) =>
    onlyIf(['30s', 30, String(found.value)].slice(0, secondsOf(String(found.value)) === 30 ? 3 : 2), 'an expired answer has a TTL of 30 s')(
      draft,
      found,
      at,
    ),
  'dns.cache_optimistic_max_age': (draft, found, at) =>
    at.get('dns', 'cache_optimistic') === false
      ? same('it has no effect without "cache_optimistic"')(draft, found, at)
      : number('cache', 'staleMaxS', 0, 86_400, { zero: 86_400 })(draft, found, at),
  'dns.bogus_nxdomain': unlessOff('addresses in answers are blocked by lists of the format "rpz"'),
  'dns.aaaa_disabled': unlessOff('questions for IPv6 addresses are not blocked'),
  'dns.enable_dnssec': onlyOn('the resolvers validate; their AD bit is passed on'),
  'dns.edns_client_subnet': unlessOff('a part of the address of a client is never sent'),
  'dns.max_goroutines': (draft, { value, from, to }) =>
    draft.say(value === 0 ? 'left out' : 'same', from, 'queries in progress are always limited', to),
  'dns.handle_ddr': onlyOn('resolver.arpa is answered here'),
  'dns.ipset': unlessOff('it has no counterpart'),
  'dns.ipset_file': unlessOff('it has no counterpart'),
  'dns.use_http3_upstreams': unlessOff('HTTP/3 is not a transport of this program'),
  'dns.serve_http3': unlessOff('this program serves DNS over UDP and TCP only'),
  'dns.serve_plain_dns': onlyOn('clients are served over UDP and TCP'),
  'dns.use_private_ptr_resolvers': unlessOff('reverse names of private addresses are answered here; forward their zones to your router'),
  'dns.local_ptr_upstreams': unlessOff('reverse names of private addresses are answered here; forward their zones to your router'),
  'dns.private_networks': unlessOff('private networks are those of RFC 6303'),
  'dns.hostsfile_enabled': (draft, { value, from, to }) => {
    if (value === true) draft.hosts.add('/etc/hosts')
    draft.say(value === true ? 'taken' : 'same', from, value === true ? 'hosts: /etc/hosts' : 'no hosts file is read', to)
  },
  'dns.use_dns64': (draft, { value, from, to }, at) => {
    const prefixes = at.get('dns', 'dns64_prefixes')
    if (value !== true) return draft.say('same', from, 'DNS64 is off', to)
    if (isSeq(prefixes) && prefixes.items.length > 0) return draft.say('same', from, 'the prefix is in dns64_prefixes', to)
    draft.settings.dns64 = { prefix: '64:ff9b::/96' }
    draft.say('taken', from, 'dns64.prefix: 64:ff9b::/96', to)
  },
  'dns.dns64_prefixes': dns64,
  'dns.blocking_mode': blockingMode,
  'filtering.blocking_mode': blockingMode,
  'dns.rewrites': rewrites,
  'filtering.rewrites': rewrites,
  rewrites,
  filters: filters('block'),
  whitelist_filters: filters('allow'),
  user_rules: userRules,
  tls: unlessOff('this program serves DNS over UDP and TCP to this host and its network only'),
  dhcp: unlessOff('addresses are not given out by this program'),
  querylog: unlessOff(NO_RECORD),
  statistics: unlessOff(NO_RECORD),
  'clients.runtime_sources': same('clients are known by their addresses only'),
  'clients.persistent': persistent,
  log: leftOut('events are written to standard error; "log.level" sets which'),
  log_file: leftOut('events are written to standard error; "log.level" sets which'),
  verbose: leftOut('events are written to standard error; "log.level" sets which'),
  os: leftOut('write the setting "user"'),
  schema_version: same('the version of the file'),
}
/** Rules for all paths that match. */
const PREFIXES: readonly (readonly [RegExp, Rule])[] = [
  [
    /^(dns|filtering)\.(blocking_ipv4|blocking_ipv6|blocked_response_ttl|parental_block_host|safebrowsing_block_host)$/,
    unlessOff('blocked names get the null address, "no such name" or REFUSED, with a fixed TTL'),
  ],
  [
    /^(dns|filtering)\.(safe_search|safesearch)/,
    unlessOff('safe search has no switch; write answers of the type CNAME, as "www.google.com" to "forcesafesearch.google.com"'),
  ],
  [
    /^(dns|filtering)\.(parental|safebrowsing|safe_browsing)/,
    unlessOff('no other service is asked which names are dangerous; write a list'),
  ],
  [/^(dns|filtering)\.(blocked_services)/, unlessOff('services cannot be blocked by name; write a list with their domains')],
  [/^(dns|filtering)\.(protection_enabled|filtering_enabled|rewrites_enabled)$/, onlyOn('rules apply unless "enigm-dns pause" is on')],
  [/^(dns|filtering)\.protection_disabled_until$/, unlessOff('rules apply unless "enigm-dns pause" is on')],
  [/^(dns|filtering)\.filters_update_interval$/, onlyIf([24], 'lists are fetched about once a day')],
  [/^(dns|filtering)\.safe_fs_patterns$/, leftOut('a list may be any file that the service can read')],
  [/^(dns|filtering)\.(cache_time$|.*_cache_size$)/, same('it belongs to a cache that this program does not have')],
  [/^(dns|filtering)\.(querylog|statistics)/, unlessOff(NO_RECORD)],
]

/** Reads AdGuardHome.yaml. Throws an EnigmError `config` if it is not YAML. */
export function fromAdguardHome(draft: Draft): void {
  const counter = new LineCounter()
  const text = draft.lines.join('\n')
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false })
  const [fault] = document.errors
  if (fault !== undefined) throw new EnigmError('config', `line ${counter.linePos(fault.pos[0]).line} is not YAML`)
  if (!isMap(document.contents)) throw new EnigmError('config', 'it is not a configuration of AdGuard Home; it has no keys')
  const linesOf = (node: Node) => {
    const [from = 0, end = from] = node.range ?? []
    const last = text.slice(from, end).trimEnd().length
    return { from: counter.linePos(from).line, to: counter.linePos(from + Math.max(0, last - 1)).line }
  }
  const at: Reading = { get: (...path) => document.getIn(path), linesOf }
  for (const pair of document.contents.items) walk(draft, pair as Pair<Node, Node | null>, '', at)
  const { reply, ...settings } = draft.settings
  if (typeof reply !== 'string') return
  for (const list of draft.lists) if (list.action !== 'allow') list.reply ??= reply
  for (const key of Object.keys(draft.settings)) delete draft.settings[key]
  Object.assign(draft.settings, settings)
}

function walk(draft: Draft, pair: Pair<Node, Node | null>, above: string, at: Reading) {
  if (!isPair(pair) || !isScalar(pair.key)) return
  const path = `${above}${String(pair.key.value)}`
  const node = pair.value
  const from = at.linesOf(pair.key).from
  const to = node === null ? from : Math.max(from, at.linesOf(node).to)
  const rule = RULES[path] ?? PREFIXES.find(([pattern]) => pattern.test(path))?.[1]
  if (rule !== undefined) return rule(draft, { value: node === null ? null : node.toJSON(), node, from, to }, at)
  if (!isMap(node) || node.items.length === 0) return draft.report.unknown(from, path, to)
  draft.report.header(from)
  for (const inner of node.items) walk(draft, inner as Pair<Node, Node | null>, `${path}.`, at)
}
