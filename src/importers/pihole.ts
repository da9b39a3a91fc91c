import { isIP } from 'node:net'
import { EnigmError } from '../errors.ts'
import { DNSSEC, type Draft } from './draft.ts'
import { slug } from './places.ts'
import { readToml, type TomlEntry, type TomlValue } from './toml.ts'

/** The kinds of Pi-hole files. */
type Kind = 'pihole.toml' | 'setupVars.conf' | 'dnsmasq' | 'hosts' | 'adlists' | 'gravity'

/**
 * Reads a file of Pi-hole: pihole.toml (version 6), setupVars.conf (version 5), a file of dnsmasq
 * (05-pihole-custom-cname.conf), custom.list, or adlists.list. Throws an EnigmError `config`.
 */
export function fromPihole(draft: Draft): void {
  const kind = kindOf(draft.lines)
  if (kind === 'gravity')
    throw new EnigmError('config', 'it is a database or an archive; export the lists of Pi-hole as text, or import /etc/pihole/pihole.toml')
  if (kind === 'pihole.toml') {
    fromToml(draft)
    return
  }
  const vars = new Map(kind === 'setupVars.conf' ? draft.lines.map((text) => variableOf(text.trim())) : [])
  for (const [at, text] of draft.lines.entries()) {
    const line = text.trim()
    if (line === '' || line.startsWith('#')) continue
    if (kind === 'setupVars.conf') setupVar(draft, at + 1, line, vars)
    else if (kind === 'dnsmasq') dnsmasq(draft, at + 1, line)
    else if (kind === 'hosts') draft.hostsLine(at + 1, line)
    else adlist(draft, at + 1, line)
  }
}

function kindOf(lines: readonly string[]): Kind {
  const content = lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'))
  const [first = ''] = content
  if (first.includes('\0') || first.startsWith('SQLite') || first.startsWith('PK')) return 'gravity'
  if (content.some((line) => /^\[[\w.]+\]$/.test(line))) return 'pihole.toml'
  if (
    content.some((line) =>
      /^(PIHOLE_|DNSMASQ_LISTENING|BLOCKING_ENABLED|QUERY_LOGGING|WEBPASSWORD|IPV4_ADDRESS|DNS_FQDN_REQUIRED)/.test(line),
    )
  )
    return 'setupVars.conf'
  if (content.every((line) => /^https?:\/\/|^file:\/\//.test(line))) return 'adlists'
  if (content.every((line) => isIP(line.split(/\s+/)[0] ?? '') !== 0)) return 'hosts'
  return 'dnsmasq'
}

function cnameRecord(draft: Draft, at: number, text: string, to = at) {
  const fields = text.split(',').map((field) => field.trim())
  const ttlS = /^\d+$/.test(fields.at(-1) ?? '') ? Number(fields.pop()) : undefined
  const target = fields.pop() ?? ''
  for (const name of fields) {
    const why = draft.answer(name, 'CNAME', target, ttlS)
    draft.say(why === undefined ? 'taken' : 'left out', at, why ?? `answers: ${name} CNAME ${target}`, to)
  }
  if (fields.length === 0) draft.say('left out', at, 'it has no target', to)
}

function adlist(draft: Draft, at: number, line: string) {
  const url = URL.canParse(line) ? new URL(line) : undefined
  if (url === undefined) return draft.say('left out', at, 'it is not a URL')
  const place = url.protocol === 'file:' ? { file: url.pathname } : { url: line }
  const why = draft.list({ id: slug(`${url.hostname} ${url.pathname.split('/').slice(-2).join(' ')}`), ...place, format: 'auto' })
  draft.say(why === undefined ? 'taken' : 'left out', at, why ?? `lists: ${line}`)
}

/** Imports one option of dnsmasq. */
function dnsmasq(draft: Draft, at: number, line: string, to = at) {
  const [, option = line, value = ''] = /^([a-z-]+)\s*(?:=\s*(.*))?$/.exec(line) ?? []
  if (option === 'cname') return cnameRecord(draft, at, value, to)
  if (option === 'host-record') {
    const fields = value.split(',').map((field) => field.trim())
    const addresses = fields.filter((field) => isIP(field) !== 0)
    const names = fields.filter((field) => isIP(field) === 0 && !/^\d+$/.test(field))
    for (const address of addresses) draft.hostsLine(at, `${address} ${names.join(' ')}`, to)
    return
  }
  if (option === 'address') return addressOption(draft, at, value, to)
  if (option === 'server' || option === 'rev-server') return serverOption(draft, at, option, value, to)
  if (option === 'local') return draft.say('left out', at, `${value}: ${ONLY_HERE}`, to)
  if (option === 'addn-hosts' && value !== '') {
    draft.hosts.add(value)
    return draft.say('taken', at, `hosts: ${value}`, to)
  }
  if (option === 'listen-address') return listenAddress(draft, at, value, to)
  if (option === 'port' && draft.lines.some((one) => /^\s*listen-address\s*=/.test(one)))
    return draft.say('taken', at, `listen: port ${value}`, to)
  if (option === 'port') return draft.say('left out', at, `write "listen" with the port ${value}`, to)
  if (option === 'txt-record') {
    const [name = '', ...texts] = value.split(',')
    return draft.answerLine(at, name, 'TXT', texts.join(',').replace(/^"?(.*?)"?$/, '$1'))
  }
  if (/^(dhcp|ra-|enable-ra|enable-tftp|tftp|pxe)/.test(option))
    return draft.say('left out', at, 'addresses are not given out by this program', to)
  if (option === 'stop-dns-rebind') {
    draft.set('rebinding', 'protect', true)
    return draft.say('taken', at, 'rebinding.protect: answers with private addresses become empty', to)
  }
  if (option === 'rebind-domain-ok') {
    const zones = value.split('/').filter((zone) => zone !== '')
    for (const zone of zones) draft.append('rebinding', 'allow', zone)
    return draft.say('taken', at, `rebinding.allow: ${zones.join(', ')}`, to)
  }
  if (option === 'max-cache-ttl' || option === 'min-cache-ttl')
    return ttlOption(draft, at, option === 'max-cache-ttl' ? 'maxTtlS' : 'minTtlS', value, to)
  if (option === 'user' && value !== '') {
    draft.settings.user = value
    return draft.say('taken', at, `user: ${value}`, to)
  }
  const known = DNSMASQ[option]
  if (known === undefined) return draft.report.unknown(at, option, to)
  const [verdict, says] = known
  draft.say(verdict, at, says, to)
}

/** Imports addresses to listen on, with the `port` of any line. */
function listenAddress(draft: Draft, at: number, value: string, to: number) {
  const [, port = '53'] = draft.lines.map((line) => /^\s*port\s*=\s*(\d+)\s*$/.exec(line)).findLast((found) => found !== null) ?? []
  for (const address of value.split(',').map((one) => one.trim())) {
    const why = draft.listenOn(address, Number(port))
    draft.say(
      why === undefined ? 'taken' : 'left out',
      at,
      why === undefined ? `listen: ${address}, port ${port}` : `${address}: ${why}`,
      to,
    )
  }
}

const ONLY_HERE = 'only this host has the names of this zone; write them as answers'

const DNSMASQ: Readonly<Record<string, readonly ['same' | 'left out', string]>> = {
  'domain-needed': ['same', 'single labels never leave this host'],
  'bogus-priv': ['same', 'reverse names of private addresses never leave this host'],
  'no-resolv': ['same', 'the DNS of the system is never asked'],
  'no-poll': ['same', 'the DNS of the system is never asked'],
  'localise-queries': ['left out', 'clients of all networks get the same answers; a view may have other ones'],
  'all-servers': ['left out', 'the resolver that answers best is chosen by measurement'],
  'strict-order': [
    'left out',
    'no resolver waits until others fail: each one in "use" may get names at any time; remove those that should wait',
  ],
  'no-hosts': ['same', 'no hosts file is read unless "hosts" has it'],
  'bind-interfaces': ['same', 'only addresses of "listen" are opened'],
  'bind-dynamic': ['same', 'only addresses of "listen" are opened'],
  'cache-size': ['left out', 'the size of the cache is in octets ("cache.maxBytes")'],
  dnssec: ['left out', DNSSEC],
}

function ttlOption(draft: Draft, at: number, key: 'minTtlS' | 'maxTtlS', value: string, to: number) {
  if (!/^\d+$/.test(value)) return draft.say('left out', at, 'it is not a whole number', to)
  const seconds = Math.min(604_800, Number(value))
  draft.set('cache', key, seconds)
  draft.say('taken', at, `cache.${key}: ${seconds}`, to)
}

/** Imports `/zone/address`: an address for a name and everything below it. */
function addressOption(draft: Draft, at: number, value: string, to: number) {
  const parts = value.split('/')
  const address = parts.at(-1) ?? ''
  for (const zone of parts.slice(1, -1)) {
    if (isIP(address) === 0) {
      draft.say('left out', at, `${zone}: without an address it blocks the names; write a list`, to)
      continue
    }
    const type = isIP(address) === 6 ? 'AAAA' : 'A'
    const why = draft.answer(zone, type, address) ?? draft.answer(`*.${zone}`, type, address)
    draft.say(why === undefined ? 'taken' : 'left out', at, why ?? `answers: ${zone} and *.${zone} ${address}`, to)
  }
}

/** Imports `/zone/server#port`, or `network,server` for the reverse zone of the network. */
function serverOption(draft: Draft, at: number, option: string, value: string, to: number) {
  if (option === 'rev-server') {
    const [network = '', server = ''] = value.split(',')
    const zone = reverseZone(network)
    if (zone === undefined) return draft.say('left out', at, `${network}: ${WHOLE_LABELS}`, to)
    return draft.forwardZone(zone, server, at, to)
  }
  const parts = value.split('/')
  if (parts.length === 1) return draft.useResolver(value, at, to)
  const server = parts.at(-1) ?? ''
  for (const zone of parts.slice(1, -1)) {
    if (zone === '') draft.say('left out', at, 'single labels are never sent; write an answer or a hosts file for them', to)
    else if (server === '') draft.say('left out', at, `${zone}: ${ONLY_HERE}`, to)
    else if (server === '#') draft.exceptZone(zone, at, to)
    else draft.forwardZone(zone, server, at, to)
  }
}

/**
 * The reverse zone of a network. Undefined: its prefix length is no multiple of 8 (IPv4) or 4
 * (IPv6).
 */
function reverseZone(network: string): string | undefined {
  const [address = '', bitsText = ''] = network.split('/')
  const bits = Number(bitsText)
  if (isIP(address) !== 4 || bits % 8 !== 0 || bits === 0) return undefined
  return `${address
    .split('.')
    .slice(0, bits / 8)
    .reverse()
    .join('.')}.in-addr.arpa`
}

const WHOLE_LABELS = 'only IPv4 networks with the prefix length 8, 16, 24 or 32 have one reverse zone here'
const NO_RECORD = 'queries are never recorded'
const WEB = 'this program has its own page: the setting "page"'
const DHCP = 'addresses are not given out by this program'

function setupVar(draft: Draft, at: number, line: string, vars: ReadonlyMap<string, string>) {
  const [key, value] = variableOf(line)
  if (/^PIHOLE_DNS_\d+$/.test(key)) return draft.useResolver(value, at)
  if (/^REV_SERVER/.test(key)) return reverseServer(draft, at, key, vars)
  if (/^(WEB|API_|TEMPERATURE|ADMIN|BLOCKINGMODE)/.test(key))
    return draft.say('left out', at, key === 'BLOCKINGMODE' ? 'the setting "reply" of each list chooses the answer to blocked names' : WEB)
  if (/^DHCP/.test(key)) return draft.say(value === 'false' || value === '' ? 'same' : 'left out', at, DHCP)
  const known = SETUP_VARS[key]
  if (known === undefined) return draft.report.unknown(at, key || line)
  const [sameIf, says] = known
  draft.say(value === sameIf ? 'same' : 'left out', at, says)
}

function variableOf(line: string): readonly [key: string, value: string] {
  const [, key = '', raw = ''] = /^([A-Z0-9_]+)=(.*)$/i.exec(line) ?? []
  return [key, raw.replace(/^"(.*)"$/, '$1')]
}

/** The value with which a variable is as in enigm-dns (undefined: none), and the reason. */
const SETUP_VARS: Readonly<Record<string, readonly [sameIf: string | undefined, says: string]>> = {
  PIHOLE_INTERFACE: [undefined, 'write "listen" with an address of the interface'],
  IPV4_ADDRESS: [undefined, 'write "listen" with the address'],
  IPV6_ADDRESS: ['', 'write "listen" with the address'],
  DNSMASQ_LISTENING: [undefined, 'write "listen" and "allowFrom"'],
  QUERY_LOGGING: ['false', NO_RECORD],
  PRIVACYLEVEL: ['3', NO_RECORD],
  INSTALL_WEB_SERVER: ['false', WEB],
  INSTALL_WEB_INTERFACE: ['false', WEB],
  LIGHTTPD_ENABLED: ['false', WEB],
  CACHE_SIZE: [undefined, 'the size of the cache is in octets ("cache.maxBytes")'],
  DNS_FQDN_REQUIRED: ['true', 'single labels never leave this host'],
  DNS_BOGUS_PRIV: ['true', 'reverse names of private addresses never leave this host'],
  DNSSEC: ['false', DNSSEC],
  BLOCKING_ENABLED: ['true', 'lists apply unless "enigm-dns pause" is on'],
}

/** Imports the conditional forwarding of version 5: four keys in any order. */
function reverseServer(draft: Draft, at: number, key: string, vars: ReadonlyMap<string, string>) {
  const [target = '', cidr = '', domain = ''] = ['TARGET', 'CIDR', 'DOMAIN'].map((part) => vars.get(`REV_SERVER_${part}`))
  if (vars.get('REV_SERVER') !== 'true') return draft.say('same', at, 'the forwarding of the home network is off')
  if (key === 'REV_SERVER_DOMAIN' && domain !== '' && target !== '') return draft.forwardZone(domain, target, at)
  if (key === 'REV_SERVER_CIDR' && cidr !== '' && target !== '') {
    const zone = reverseZone(cidr)
    return zone === undefined ? draft.say('left out', at, `${cidr}: ${WHOLE_LABELS}`) : draft.forwardZone(zone, target, at)
  }
  draft.say('same', at, 'it belongs to the forwarding of the home network')
}

type Rule = (draft: Draft, entry: TomlEntry) => void
const texts = (value: TomlValue) => (Array.isArray(value) ? value : [value]).filter((one) => typeof one === 'string' && one !== '')
const each =
  (take: (draft: Draft, text: string, from: number, to: number) => void): Rule =>
  (draft, { value, from, to }) => {
    const all = texts(value)
    if (all.length === 0) draft.say('same', from, 'it is empty', to)
    for (const text of all) take(draft, String(text), from, to)
  }
const flag =
  (wanted: boolean, says: string): Rule =>
  (draft, { value, from, to }) =>
    draft.say(value === wanted ? 'same' : 'left out', from, says, to)

const TOML: Readonly<Record<string, Rule>> = {
  'dns.upstreams': each((draft, text, from, to) => draft.useResolver(text, from, to)),
  'dns.hosts': each((draft, text, from, to) => draft.hostsLine(from, text, to)),
  'dns.cnameRecords': each((draft, text, from, to) => cnameRecord(draft, from, text, to)),
  'dns.revServers': each((draft, text, from, to) => {
    const [active = '', network = '', server = '', zone = ''] = text.split(',').map((field) => field.trim())
    if (active !== 'true') return draft.say('same', from, `${network}: it is off`, to)
    const reverse = reverseZone(network)
    if (reverse === undefined) draft.say('left out', from, `${network}: ${WHOLE_LABELS}`, to)
    else draft.forwardZone(reverse, server, from, to)
    if (zone !== '') draft.forwardZone(zone, server, from, to)
  }),
  'dns.port': (draft, { value, from, to }) => draft.say('left out', from, `write "listen" with the port ${String(value)}`, to),
  'dns.interface': (draft, { value, from, to }) =>
    draft.say(value === '' ? 'same' : 'left out', from, 'write "listen" with an address of the interface', to),
  'dns.listeningMode': (draft, { from, to }) => draft.say('left out', from, 'write "listen" and "allowFrom"', to),
  'dns.domainNeeded': flag(true, 'single labels never leave this host'),
  'dns.bogusPriv': flag(true, 'reverse names of private addresses never leave this host'),
  'dns.dnssec': (draft, { value, from, to }) => draft.say(value === false ? 'same' : 'left out', from, DNSSEC, to),
  'dns.queryLogging': flag(false, NO_RECORD),
  'dns.blocking.active': flag(true, 'lists apply unless "enigm-dns pause" is on'),
  'dns.blocking.mode': (draft, { value, from, to }) => {
    const reply = { NULL: 'null-address', NX: 'nxdomain', NXDOMAIN: 'nxdomain', IP: 'null-address', IP_NODATA_AAAA: 'null-address' }[
      String(value)
    ]
    draft.say(
      'left out',
      from,
      reply === undefined
        ? 'the setting "reply" of each list chooses the answer to blocked names'
        : `write "reply": "${reply}" in each list; the lists are in a database`,
      to,
    )
  },
  'dns.cache.optimizer': (draft, { value, from, to }) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) return draft.say('left out', from, 'it is not a whole number', to)
    // In Pi-hole, 0 means no limit, and a negative number switches expired answers off.
    const seconds = value === 0 ? 86_400 : Math.min(86_400, Math.max(0, value))
    draft.set('cache', 'staleMaxS', seconds)
    draft.say('taken', from, `cache.staleMaxS: ${seconds}`, to)
  },
  'dns.specialDomains.mozillaCanary': flag(true, 'the canary domain of Firefox gets "no such name" here'),
  'dns.specialDomains.designatedResolver': flag(true, 'resolver.arpa has no data here'),
  'dns.specialDomains.iCloudPrivateRelay': flag(false, 'write a list with mask.icloud.com and mask-h2.icloud.com'),
  'misc.dnsmasq_lines': each((draft, text, from, to) => dnsmasq(draft, from, text, to)),
}
const TABLES: readonly (readonly [RegExp, 'same' | 'left out', string])[] = [
  [/^dns\.cache\.size$/, 'left out', 'the size of the cache is in octets ("cache.maxBytes")'],
  [/^dns\.rateLimit/, 'left out', 'write "clientQueriesPerS", the queries a second of one client'],
  [
    /^dns\.(cache|specialDomains|CNAMEdeepInspect|blockESNI|blockTTL|EDNS0ECS|ignoreLocalhost|showDNSSEC|analyzeOnlyAandAAAA|piholePTR|replyWhenBusy|reply|expandHosts|domain|hostRecord|localise|blocking)/,
    'left out',
    'it has no counterpart',
  ],
  [/^(dhcp|ntp)\b/, 'left out', DHCP],
  [/^(webserver|files|resolver|database)\b/, 'left out', `${WEB}; ${NO_RECORD}`],
  [/^(misc|debug)\b/, 'left out', 'it has no counterpart'],
]

function fromToml(draft: Draft) {
  const { entries, headers } = readToml(draft.lines.join('\n'))
  for (const { line } of headers) draft.report.header(line)
  for (const entry of entries) {
    const path = [...entry.table, entry.key].join('.')
    const rule = TOML[path]
    const [, verdict, says] = TABLES.find(([pattern]) => pattern.test(path)) ?? []
    if (rule !== undefined) rule(draft, entry)
    else if (verdict === undefined || says === undefined) draft.report.unknown(entry.from, path, entry.to)
    else draft.say(verdict, entry.from, says, entry.to)
  }
}
