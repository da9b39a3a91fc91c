import { addressOctets, parseCidr } from '../config/cidr.ts'
import { isPrivate4, isPrivate6 } from '../local-names/rebinding.ts'
import { blockKey, MOST_CLIENT_BLOCKS } from './client-blocks.ts'
import { DNSSEC, type Draft } from './draft.ts'
import { always, type Clause, clausesOf, type Line, lastOf, leftOut, onlyIf, type Rule, same } from './unbound-lines.ts'
import { localData, localPtr, localZone } from './unbound-local.ts'

const ttl =
  (key: 'minTtlS' | 'maxTtlS'): Rule =>
  (draft, { line, value }) => {
    const seconds = Math.min(604_800, Math.max(0, Number(value)))
    if (!Number.isInteger(seconds)) return draft.say('left out', line, 'it is not a whole number')
    draft.set('cache', key, seconds)
    draft.say('taken', line, `cache.${key}: ${seconds}`)
  }

/** Converts a size such as `64m` to octets. */
function octetsOf(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d+)\s*([kmg]?)b?$/i.exec(text) ?? []
  if (digits === undefined) return undefined
  return Number(digits) * { '': 1, k: 1024, m: 1_048_576, g: 1_073_741_824 }[unit.toLowerCase() as '' | 'k' | 'm' | 'g']
}

const cacheSize: Rule = (draft, { line, value }) => {
  const octets = octetsOf(value)
  if (octets === undefined) return draft.say('left out', line, 'it is not a number of octets')
  const cache = draft.settings.cache as { readonly maxBytes?: number } | undefined
  const maxBytes = Math.min(34_359_738_368, Math.max(65_536, (cache?.maxBytes ?? 0) + octets))
  draft.set('cache', 'maxBytes', maxBytes)
  draft.say('taken', line, `cache.maxBytes: ${maxBytes}`)
}

const accessControl: Rule = (draft, { line, value }, server) => {
  const [block = '', action = ''] = value.split(/\s+/)
  const lines = clientLines(server)
  if (lines === undefined)
    return draft.say('left out', line, `there are more than ${MOST_CLIENT_BLOCKS} lines about clients; write "allowFrom"`)
  if (line < (lines.get(blockKey(block) ?? '') ?? 0)) return draft.say('same', line, `${block}: a later line about this block counts`)
  if (/^allow(_setrd|_snoop|_cookie)?$/.test(action)) return draft.allow(block, line, 'it is not a block of addresses')
  if (/^(deny|refuse)_non_local$/.test(action))
    return draft.say('left out', line, `${block}: its clients get no answers, also not from local data`)
  if (!/^(deny|refuse)$/.test(action)) return draft.say('left out', line, `${block}: the action ${action} cannot be imported`)
  const around = draft.clients.allowedAround(block)
  if (around === undefined) draft.say('same', line, `${block}: only blocks of "allowFrom" get answers`)
  else draft.say('taken', line, `allowFrom: ${around} without ${block}`)
}

/** The last line about each block of clients. Undefined: there are too many lines. */
type ClientLines = ReadonlyMap<string, number> | undefined
const knownLines = new WeakMap<readonly Line[], { readonly lines: ClientLines }>()
function clientLines(server: readonly Line[]): ClientLines {
  const cached = knownLines.get(server)
  if (cached !== undefined) return cached.lines
  const all = server.filter(({ key }) => key === 'access-control')
  const keyed = () => new Map(all.map(({ line, value }) => [blockKey(value.split(/\s+/)[0] ?? '') ?? '', line]))
  const lines = all.length > MOST_CLIENT_BLOCKS ? undefined : keyed()
  knownLines.set(server, { lines })
  return lines
}

/**
 * Reads all lines of access-control, because a refused block may lie in an allowed block of a later
 * line. Without a line for them, the loopback addresses may ask. If there are too many lines, only
 * they may.
 */
function readClients(draft: Draft, server: readonly Line[]) {
  const lines = clientLines(server)
  for (const { key, value } of server) {
    const [block = '', action = ''] = value.split(/\s+/)
    if (key !== 'access-control' || lines === undefined) continue
    if (action.startsWith('allow')) draft.clients.allow(block)
    else draft.clients.refuse(block)
  }
  const isNeeded = server.some(({ key }) => /^(access-control|interface|interface-automatic|ip-address)$/.test(key))
  const loopback = ['127.0.0.0/8', '::1/128'].filter((block) => isNeeded && lines?.has(block) !== true)
  for (const block of loopback) draft.clients.allow(block)
}

const isInterface = ({ key }: Line) => key === 'interface' || key === 'ip-address'

const listenOn: Rule = (draft, { line, value }, server) => {
  const [, address = value, own] = /^(.*?)(?:@(\d+))?$/.exec(value) ?? []
  const port = Number(own ?? lastOf(server, 'port') ?? 53)
  const encrypted = [lastOf(server, 'tls-port') ?? '853', lastOf(server, 'https-port') ?? '443']
  if (encrypted.includes(String(port))) return draft.say('left out', line, `${value}: ${SERVES}`)
  if (address.includes(':') && lastOf(server, 'do-ip6') === 'no') return draft.say('left out', line, `${value}: do-ip6 is off`)
  if (!address.includes(':') && lastOf(server, 'do-ip4') === 'no') return draft.say('left out', line, `${value}: do-ip4 is off`)
  const why = draft.listenOn(address === '::0' ? '::' : address, port)
  if (why === undefined) draft.say('taken', line, `listen: ${address}, port ${port}`)
  else draft.say('left out', line, `${value}: ${why}; write the address of the interface`)
}

/** Without an interface, Unbound listens on the loopback addresses. */
const listenPort: Rule = (draft, { line, value }, server) => {
  if (!/^[1-9]\d*$/.test(value)) return draft.say('left out', line, `${value} is not a port`)
  const interfaces = server.filter(isInterface)
  const hasOther = interfaces.some((one) => !one.value.includes('@')) || lastOf(server, 'interface-automatic') === 'yes'
  if (hasOther) return draft.say('taken', line, `listen: port ${value}`)
  if (interfaces.length > 0) return draft.say('same', line, 'every interface has a port of its own')
  if (lastOf(server, 'do-ip4') !== 'no') draft.listenOn('127.0.0.1', Number(value))
  if (lastOf(server, 'do-ip6') !== 'no') draft.listenOn('::1', Number(value))
  draft.say('taken', line, `listen: the loopback addresses, port ${value}`)
}

const listenOnAll: Rule = (draft, { line, value }, server) => {
  if (value !== 'yes') return draft.say('same', line, 'only addresses of "listen" are opened')
  const port = Number(lastOf(server, 'port') ?? 53)
  for (const address of ['0.0.0.0', '::']) draft.listenOn(address, port)
  draft.say('taken', line, `listen: 0.0.0.0 and [::], port ${port}`)
}

/** Imports a block of private addresses that public names must not have. */
const privateAddress: Rule = (draft, { line, value }) => {
  if (!isCovered(value))
    return draft.say(
      'left out',
      line,
      `${value} is not covered by rebinding.protect; a list of the format "rpz" blocks addresses in answers`,
    )
  draft.set('rebinding', 'protect', true)
  draft.say('taken', line, `rebinding.protect: answers with private addresses become empty; ${value} is covered`)
}

/** Whether `rebinding.protect` covers a whole block: the last address of each of its 16 parts. */
function isCovered(text: string): boolean {
  const cidr = parseCidr(text)
  if (cidr === undefined) return false
  const first = addressOctets(cidr.address)
  return Array.from({ length: 16 }, (_, i) => spread(first, cidr.prefix, i)).every((octets) =>
    octets.length === 4 ? isPrivate4(octets, 0) : isPrivate6(octets, 0),
  )
}

/** The last address of one of the 16 parts of a block. `part`: 0 to 15. */
function spread(address: Uint8Array, prefix: number, part: number): Uint8Array {
  const octets = address.slice()
  for (let bit = prefix; bit < octets.length * 8; bit++) {
    const isSet = bit - prefix >= 4 || ((part >> (3 - (bit - prefix))) & 1) === 1
    const mask = 0x80 >> (bit % 8)
    octets[bit >> 3] = isSet ? (octets[bit >> 3] ?? 0) | mask : (octets[bit >> 3] ?? 0) & ~mask
  }
  return octets
}

const STALE = 'an expired answer is used only while no resolver has a newer one'
const staleTtl: Rule = (draft, { line, value }, server) => {
  if (lastOf(server, 'serve-expired') !== 'yes') return draft.say('same', line, 'it has no effect without "serve-expired: yes"')
  // 0 means no limit in Unbound, and no stale answers here.
  const seconds = Number(value) === 0 ? 86_400 : Math.min(86_400, Number(value))
  if (!Number.isInteger(seconds)) return draft.say('left out', line, 'it is not a whole number')
  draft.set('cache', 'staleMaxS', seconds)
  draft.say('taken', line, `cache.staleMaxS: ${seconds}`)
}

const modules: Rule = (draft, { line, value }, server) => {
  const names = value.split(/\s+/)
  if (names.includes('dns64')) {
    const prefix = lastOf(server, 'dns64-prefix') ?? '64:ff9b::/96'
    draft.settings.dns64 = { prefix }
    draft.say('taken', line, `dns64.prefix: ${prefix}`)
  }
  if (names.some((name) => !/^(dns64|iterator|validator)$/.test(name))) draft.say('left out', line, 'modules are not loaded')
  if (names.includes('validator')) draft.say('left out', line, DNSSEC)
}

const dns64Prefix: Rule = (draft, { line, value }, server) => {
  const isOn = /\bdns64\b/.test(lastOf(server, 'module-config') ?? '')
  draft.say(isOn ? 'taken' : 'same', line, isOn ? `dns64.prefix: ${value}` : 'DNS64 is off, because "module-config" does not have dns64')
}

const queryLimit: Rule = (draft, { line, value }) => {
  const limit = Math.min(1_000_000, Number(value))
  if (!Number.isInteger(limit) || limit < 0) return draft.say('left out', line, 'it is not a whole number')
  if (limit === 0) return draft.say('same', line, 'there is no limit for a client')
  draft.settings.clientQueriesPerS = limit
  draft.say('taken', line, `clientQueriesPerS: ${limit}`)
}

const PERFORMANCE = 'this program manages its threads and buffers itself; see "workers"'
const RECURSION = 'this program asks resolvers and does not resolve from the root'
const REMOTE = 'commands reach the service over its own socket'
const LOG = 'queries are never logged; "log.level" sets which events are logged'
const SERVES = 'this program serves DNS over UDP and TCP to this host and its network only'
const CHAOS = 'questions of the class CH are refused'
const TRUSTED = 'only servers of the trusted set are asked'
const FAMILIES = 'both families are used, as the network has them'
const ROOTS = 'the roots that come with Node are used'
const PACKET = 'messages over UDP have at most 1232 octets'
const ENCRYPTED = 'resolvers are asked over encrypted transports only'
/** Where systems keep the public roots. */
const SYSTEM_ROOTS = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]
SYSTEM_ROOTS.push('/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem', '/usr/local/share/certs/ca-root-nss.crt')
const certificates = onlyIf(['', ...SYSTEM_ROOTS], `${ROOTS}; a resolver whose certificate needs this file may have it as its "caFile"`)

/** Rules for the keys of `server:`. */
const SERVER: Readonly<Record<string, Rule>> = {
  port: listenPort,
  interface: listenOn,
  'ip-address': listenOn,
  'interface-automatic': listenOnAll,
  'access-control': accessControl,
  'local-data': localData,
  'local-data-ptr': localPtr,
  'local-zone': localZone,
  'private-address': privateAddress,
  'private-domain': (draft, { line, value }) => {
    draft.append('rebinding', 'allow', value.replace(/\.$/, ''))
    draft.say('taken', line, `rebinding.allow: ${value}`)
  },
  'cache-min-ttl': ttl('minTtlS'),
  'cache-max-ttl': ttl('maxTtlS'),
  'cache-min-negative-ttl': leftOut('negative answers are kept as long as their zone says (RFC 2308)'),
  'cache-max-negative-ttl': leftOut('negative answers are kept as long as their zone says (RFC 2308), at most 3 hours'),
  'msg-cache-size': cacheSize,
  'rrset-cache-size': cacheSize,
  'serve-expired': (draft, { line }, server) => {
    if (lastOf(server, 'serve-expired') === 'yes') return draft.say('same', line, STALE)
    draft.set('cache', 'staleMaxS', 0)
    draft.say('taken', line, 'cache.staleMaxS: 0')
  },
  'serve-expired-ttl': staleTtl,
  'serve-expired-reply-ttl': onlyIf(['30'], 'an expired answer has a TTL of 30 s'),
  'serve-expired-client-timeout': onlyIf(['1800'], 'an expired answer is used after 1.8 s without a newer one'),
  prefetch: (draft, { line, value }) => {
    draft.set('cache', 'prefetch', value === 'yes')
    draft.say('taken', line, `cache.prefetch: ${value === 'yes'}`)
  },
  'ip-ratelimit': queryLimit,
  username: (draft, { line, value }) => {
    if (value === '') return draft.say('same', line, 'the service keeps the user that starts it')
    draft.settings.user = value
    draft.say('taken', line, `user: ${value}`)
  },
  verbosity: leftOut(LOG),
  'use-syslog': leftOut(LOG),
  logfile: leftOut(LOG),
  'tls-cert-bundle': certificates,
  'ssl-cert-bundle': certificates,
  'tls-system-cert': always('no', ROOTS),
  'tls-win-cert': always('no', ROOTS),
  'tls-upstream': always('yes', ENCRYPTED),
  'ssl-upstream': always('yes', ENCRYPTED),
  'do-not-query-localhost': leftOut(TRUSTED),
  'do-not-query-address': leftOut(TRUSTED),
  'hide-identity': always('yes', CHAOS),
  'hide-version': always('yes', CHAOS),
  'hide-trustanchor': always('yes', CHAOS),
  identity: onlyIf([''], CHAOS),
  version: onlyIf([''], CHAOS),
  'do-ip4': always('yes', FAMILIES),
  'do-ip6': always('yes', FAMILIES),
  'prefer-ip4': always('no', 'both families are tried; the faster one wins'),
  'prefer-ip6': always('no', 'both families are tried; the faster one wins'),
  'do-udp': always('yes', 'clients are served over UDP and TCP'),
  'do-tcp': always('yes', 'clients are served over UDP and TCP'),
  'do-daemonize': always('no', 'the process stays in the foreground'),
  'module-config': modules,
  'dns64-prefix': dns64Prefix,
  'domain-insecure': same('nothing is validated here, so nothing needs an exception'),
  directory: same('files are relative to the configuration'),
  chroot: onlyIf([''], 'the service is confined by its systemd unit'),
  pidfile: onlyIf([''], 'no file with the process id is written'),
  ede: always('yes', 'extended errors are always given'),
  'ede-serve-expired': always('yes', 'extended errors are always given'),
  'minimal-responses': always('no', 'answers of the resolver are passed on as they are'),
  'deny-any': always('no', 'questions for ANY are asked like others'),
  'rrset-roundrobin': always('no', 'the order of the records is that of the resolver'),
  'unblock-lan-zones': always('no', 'reverse names of private addresses are answered here; write rules of "forward" for their zones'),
  'unwanted-reply-threshold': onlyIf(['0'], 'replies that match no question are ignored and counted; the cache is not cleared'),
  'max-udp-size': onlyIf(['1232'], PACKET),
  'edns-buffer-size': onlyIf(['1232'], PACKET),
}

/** The reasons for all other keys, which are left out; undefined: the key has no counterpart. */
const GROUPS: readonly (readonly [RegExp, string | undefined])[] = [
  [/^log-/, LOG],
  [/^(ratelimit|ip-ratelimit|wait-limit|discard-timeout|serve-|ip-|nsid|deny-|rrset-roundrobin|do-)/, undefined],
  [/^outgoing-(interface|port)/, 'the system chooses the addresses and ports that queries come from'],
  [
    /^(num-|so-|outgoing-|incoming-|msg-buffer|msg-cache-slabs|rrset-cache-slabs|infra-|key-cache|neg-cache|jostle|stream-wait|tcp-|udp-|max-reuse|delay-close|edns-tcp|sock-queue|max-query)/,
    PERFORMANCE,
  ],
  [/^(send-client|client-subnet|max-client-subnet|min-client-subnet)/, 'a part of the address of a client is never sent'],
  [
    /^(root-hints|qname-|harden-|target-|use-caps|low-rtt|fast-server|aggressive|prefetch-key|disable-dnssec-lame|iter-|unknown-server|max-sent|caps-exempt|caps-whitelist)/,
    RECURSION,
  ],
  [/^(val-|trust|auto-trust|trusted-keys|dlv|root-key|sign|permit-small|fake|insecure-lan|ignore-cd)/, DNSSEC],
  [/^(statistics|extended-statistics|shm)/, 'the page and the metrics have counters; write the setting "page"'],
  [/^(tls-|ssl-|https-|http-|quic-)/, SERVES],
  [
    /^(define-tag|local-zone-|access-control-|interface-|local-data-)/,
    'it has no counterpart; views give some clients their own lists and answers',
  ],
  [/^response-ip/, 'lists of the format "rpz" block addresses in answers'],
  [/^(outbound|dnscrypt|ipset|cachedb|dns64|nat64|python|dynlib|control-|hide-)/, undefined],
]

function serverRule(key: string): Rule | undefined {
  const found = SERVER[key]
  if (found !== undefined) return found
  const group = GROUPS.find(([pattern]) => pattern.test(key))
  if (group === undefined) return undefined
  const [, says = `${key} has no counterpart`] = group
  return key.startsWith('log-') ? always('no', says) : leftOut(says)
}

const isTlsKey = (key: string) => /^forward-(tls|ssl)-upstream$/.test(key)

function forwardZone(draft: Draft, { lines, line: first }: Clause, isTlsEverywhere: boolean) {
  const zone = lastOf(lines, 'name')?.replace(/\.$/, '')
  const isTls = isTlsEverywhere || lines.some(({ key, value }) => isTlsKey(key) && value === 'yes')
  if (zone === undefined) draft.say('left out', first, 'the zone has no name')
  for (const { key, value, line } of lines) {
    if (key === 'name') draft.say('same', line, 'its servers follow')
    else if (isTlsKey(key)) {
      const isWished = isTls || zone !== ''
      draft.say(isWished ? 'same' : 'left out', line, isTls || zone === '' ? ENCRYPTED : 'its servers are asked in cleartext')
    } else if (key === 'forward-addr') {
      const server = serverText(value, isTls)
      if (zone === undefined) draft.say('left out', line, 'the zone has no name')
      else if (zone === '') draft.useResolver(server, line)
      else draft.forwardZone(zone, server, line)
    } else if (key === 'forward-host') draft.say('left out', line, `${value}: write the address of the server; its name is never looked up`)
    else if (key === 'forward-first') draft.say(value === 'no' ? 'same' : 'left out', line, 'a forwarded zone never goes to other servers')
    else if (key === 'forward-no-cache') draft.say(value === 'no' ? 'same' : 'left out', line, 'answers are always kept in memory')
    else draft.say('left out', line, `${key} has no counterpart`)
  }
}

/**
 * Converts `ADDRESS@PORT#NAME`. Without TLS, the name has no meaning. With TLS, it may be absent.
 */
function serverText(value: string, isTls: boolean): string {
  const [place = '', name] = value.split('#')
  const [address = '', port] = place.split('@')
  if (!isTls) return place
  return name === undefined ? `tls://${address.includes(':') ? `[${address}]` : address}${port === undefined ? '' : `:${port}`}` : value
}

/** Imports unbound.conf. */
export function fromUnbound(draft: Draft): void {
  const clauses = clausesOf(draft)
  const server = clauses.flatMap(({ name, lines }) => (name === 'server' ? lines : []))
  const isTls = server.some(({ key, value }) => /^(tls|ssl)-upstream$/.test(key) && value === 'yes')
  readClients(draft, server)
  for (const clause of clauses) {
    draft.report.header(clause.line)
    if (clause.name === 'forward-zone') forwardZone(draft, clause, isTls)
    else
      for (const line of clause.lines) {
        const rule = clause.name === 'server' ? serverRule(line.key) : undefined
        if (rule !== undefined) rule(draft, line, server)
        else if (clause.name in CLAUSES) draft.say('left out', line.line, CLAUSES[clause.name] ?? '')
        else draft.report.unknown(line.line, line.key)
      }
  }
}

const CLAUSES: Readonly<Record<string, string>> = {
  'remote-control': REMOTE,
  'stub-zone': 'name servers of a stub zone cannot be asked; write a rule of "forward" to a resolver that knows the zone',
  'auth-zone': 'zones are not served; a list of the format "rpz" blocks names, and "answers" defines records',
  rpz: 'write a list of the format "rpz" with its file or url',
  view: 'write a view with the addresses of its clients',
  python: 'modules are not loaded',
  dnscrypt: 'DNSCrypt is not served to clients',
  cachedb: 'the cache may be saved with "cache.persist"',
  dnstap: LOG,
  dynlib: 'modules are not loaded',
  ipset: 'it has no counterpart',
}
