import { isIP } from 'node:net'
import { addressOctets } from '../config/cidr.ts'
import type { WritableType } from '../config/record-data.ts'
import { textFromName } from '../dns/name.ts'
import { reverseName } from '../rules/own-names.ts'
import type { Draft } from './draft.ts'

/** One `key: value` of a file. */
interface Line {
  readonly line: number
  readonly key: string
  readonly value: string
}

/** A clause (`server:`, `forward-zone:`) with its lines. */
interface Clause {
  readonly name: string
  readonly line: number
  readonly lines: readonly Line[]
}

type Rule = (draft: Draft, line: Line, clause: Clause) => void
const leftOut =
  (says: string): Rule =>
  (draft, { line }) =>
    draft.say('left out', line, says)
const same =
  (says: string): Rule =>
  (draft, { line }) =>
    draft.say('same', line, says)
/** Makes a rule for a switch that always has the value `wanted` in enigm-dns. */
const always =
  (wanted: 'yes' | 'no', says: string): Rule =>
  (draft, { line, value }) =>
    draft.say(value === wanted ? 'same' : 'left out', line, says)

const ttl =
  (key: 'minTtlS' | 'maxTtlS'): Rule =>
  (draft, { line, value }) => {
    const seconds = Math.min(604_800, Math.max(0, Number(value)))
    if (!Number.isInteger(seconds)) return draft.say('left out', line, 'it is not a whole number')
    draft.set('cache', key, seconds)
    draft.say('taken', line, `cache.${key}: ${seconds}`)
  }

/** Converts a size as `64m` to octets. */
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

const accessControl: Rule = (draft, { line, value }) => {
  const [block = '', action = ''] = value.split(/\s+/)
  if (!/^allow/.test(action)) return draft.say('same', line, `${block}: only blocks of "allowFrom" get answers`)
  const why = draft.allow(block)
  draft.say(why === undefined ? 'taken' : 'left out', line, why === undefined ? `allowFrom: ${block}` : `${block}: ${why}`)
}

/** Imports `local-data: "name [TTL] [IN] TYPE data"`. */
const localData: Rule = (draft, { line, value }, clause) => {
  const [, name = '', ttlText, type = '', data = ''] = /^(\S+)\s+(?:(\d+)\s+)?(?:IN\s+)?([A-Z]+)\s+(.*)$/i.exec(value) ?? []
  const upper = type.toUpperCase()
  if (!['A', 'AAAA', 'CNAME', 'TXT', 'PTR', 'HTTPS'].includes(upper))
    return draft.say('left out', line, `records of the type ${upper || '?'} cannot be answered here`)
  const bare = name.replace(/\.$/, '')
  const ttlS = ttlText === undefined ? undefined : Math.min(604_800, Number(ttlText))
  draft.answerLine(line, bare, upper as WritableType, data.trim(), ttlS)
  if (isRedirected(clause, bare)) draft.answerLine(line, `*.${bare}`, upper as WritableType, data.trim(), ttlS)
}

/** Whether a zone of the type "redirect" gives the records of a name to every name below it. */
function isRedirected(clause: Clause, name: string): boolean {
  const known = redirected.get(clause) ?? new Set(clause.lines.flatMap(({ key, value }) => (key === 'local-zone' ? redirectOf(value) : [])))
  redirected.set(clause, known)
  return known.has(name.toLowerCase())
}

/** Cache of the redirected zones of a clause, because files may have thousands of records. */
const redirected = new WeakMap<Clause, ReadonlySet<string>>()
const redirectOf = (value: string) => /^(\S+?)\.?\s+redirect$/i.exec(value)?.[1]?.toLowerCase() ?? []

/** Imports `local-data-ptr: "address [TTL] name"`. */
const localPtr: Rule = (draft, { line, value }) => {
  const [, address = '', ttlText, name = ''] = /^(\S+)\s+(?:(\d+)\s+)?(\S+)$/.exec(value) ?? []
  const reverse = reverseText(address)
  if (reverse === undefined) return draft.say('left out', line, `${address} is not an address`)
  draft.answerLine(line, reverse, 'PTR', name, ttlText === undefined ? undefined : Math.min(604_800, Number(ttlText)))
}

function reverseText(address: string): string | undefined {
  if (isIP(address) === 0) return undefined
  return textFromName(reverseName(addressOctets(address))).replace(/\.$/, '')
}

const localZone: Rule = (draft, { line, value }) => {
  const [zoneText = '', type = ''] = value.split(/\s+/)
  const zone = zoneText.replace(/\.$/, '').toLowerCase()
  if (/^(transparent|typetransparent|nodefault)$/.test(type))
    return draft.say('same', line, `${zone}: names that are not written are resolved as all others`)
  if (type === 'redirect') return draft.say('same', line, `${zone}: its records answer for all names below it too`)
  const blocked = BLOCKED[type]
  if (blocked === undefined) return draft.say('left out', line, `${zone}: the type ${type} is not known`)
  const { id, reply, says } = blocked
  const file = `${id}.txt`
  const format = reply === undefined ? 'rpz' : 'adblock'
  const rules = format === 'rpz' ? [`${zone} CNAME *.`, `*.${zone} CNAME *.`] : [`||${zone}^`]
  const why = rules.map((rule) => draft.lineInFile(file, rule)).find((one) => one !== undefined)
  if (why === undefined && !draft.lists.some((list) => list.file === file))
    draft.list({ id, file, format, ...(reply === undefined ? {} : { reply }) })
  draft.say(why === undefined ? 'taken' : 'left out', line, why ?? `lists: ${zone} is blocked by ${file}${says}`)
}

/** How a type of local zones is imported: as one list for each reply. */
interface BlockedType {
  readonly id: string
  /** The reply of the list; undefined: the rules have the reply. */
  readonly reply?: 'nxdomain' | 'refused' | 'null-address'
  /** The difference from Unbound, as a clause after a comma. */
  readonly says: string
}
const NO_SUCH_NAME: BlockedType = { id: 'unbound-zones', reply: 'nxdomain', says: '' }
const REFUSED: BlockedType = { id: 'unbound-refused', reply: 'refused', says: '' }
const DROPPED: BlockedType = { ...NO_SUCH_NAME, says: ', with NXDOMAIN instead of no reply, so that programs do not wait' }
const BLOCKED: Readonly<Record<string, BlockedType>> = {
  static: NO_SUCH_NAME,
  always_nxdomain: NO_SUCH_NAME,
  refuse: REFUSED,
  always_refuse: REFUSED,
  deny: DROPPED,
  always_deny: DROPPED,
  inform_deny: DROPPED,
  always_null: { id: 'unbound-null', reply: 'null-address', says: '' },
  always_nodata: { id: 'unbound-nodata', says: '' },
}

const PERFORMANCE = 'this program manages its threads and buffers itself; see "workers"'
const RECURSION = 'this program asks resolvers and does not resolve from the root'
const DNSSEC = 'the resolvers validate; their AD bit is passed on'
const REMOTE = 'commands reach the service over its own socket'
const LOG = 'queries are never logged; "log.level" sets which events are'

/** Rules for the keys of `server:`. */
const SERVER: Readonly<Record<string, Rule>> = {
  port: (draft, { line, value }) => draft.say('taken', line, `listen: port ${value}`),
  interface: (draft, { line, value }, clause) => {
    const [, address = value, own] = /^(.*?)(?:@(\d+))?$/.exec(value) ?? []
    const port = Number(own ?? clause.lines.find(({ key }) => key === 'port')?.value ?? 53)
    const why = draft.listenOn(address === '::0' ? '::' : address, port)
    draft.say(
      why === undefined ? 'taken' : 'left out',
      line,
      why === undefined ? `listen: ${address}, port ${port}` : `${value}: ${why}; write the address of the interface`,
    )
  },
  'access-control': accessControl,
  'local-data': localData,
  'local-data-ptr': localPtr,
  'local-zone': localZone,
  'private-address': (draft, { line, value }) => {
    draft.set('rebinding', 'protect', true)
    draft.say('taken', line, `rebinding.protect: answers with private addresses are refused (${value} among them)`)
  },
  'private-domain': (draft, { line, value }) => {
    draft.append('rebinding', 'allow', value.replace(/\.$/, ''))
    draft.say('taken', line, `rebinding.allow: ${value}`)
  },
  'cache-min-ttl': ttl('minTtlS'),
  'cache-max-ttl': ttl('maxTtlS'),
  'msg-cache-size': cacheSize,
  'rrset-cache-size': cacheSize,
  'serve-expired': (draft, { line, value }) => {
    if (value === 'no') draft.set('cache', 'staleMaxS', 0)
    draft.say(
      value === 'no' ? 'taken' : 'same',
      line,
      value === 'no' ? 'cache.staleMaxS: 0' : 'an expired answer is used while no resolver has a newer one',
    )
  },
  'serve-expired-ttl': (draft, { line, value }) => {
    const seconds = Math.min(86_400, Number(value))
    if (!Number.isInteger(seconds)) return draft.say('left out', line, 'it is not a whole number')
    draft.set('cache', 'staleMaxS', seconds)
    draft.say('taken', line, `cache.staleMaxS: ${seconds}`)
  },
  prefetch: (draft, { line, value }) => {
    draft.set('cache', 'prefetch', value === 'yes')
    draft.say('taken', line, `cache.prefetch: ${value === 'yes'}`)
  },
  username: (draft, { line, value }) => {
    if (value !== '') draft.settings.user = value
    draft.say('taken', line, value === '' ? 'no other user' : `user: ${value}`)
  },
  verbosity: leftOut(LOG),
  'log-queries': always('no', LOG),
  'log-replies': always('no', LOG),
  'use-syslog': leftOut(LOG),
  logfile: leftOut(LOG),
  'tls-cert-bundle': same('the roots that come with Node are used; a resolver may have its own "caFile"'),
  'tls-upstream': always('yes', 'resolvers are asked over encrypted transports only'),
  'ssl-upstream': always('yes', 'resolvers are asked over encrypted transports only'),
  'do-not-query-localhost': leftOut('which servers are asked is the trusted set'),
  'hide-identity': always('yes', 'questions of the class CH are refused'),
  'hide-version': always('yes', 'questions of the class CH are refused'),
  'do-ip4': same('both families are used, as the network has them'),
  'do-ip6': same('both families are used, as the network has them'),
  'do-udp': same('clients are served over UDP and TCP'),
  'do-tcp': same('clients are served over UDP and TCP'),
  'prefer-ip6': same('both families are tried; the faster one wins'),
  'module-config': leftOut(DNSSEC),
  'dns64-prefix': (draft, { line, value }) => {
    draft.settings.dns64 = { prefix: value }
    draft.say('taken', line, `dns64.prefix: ${value}`)
  },
  'domain-insecure': same('nothing is validated here, so nothing needs an exception'),
  directory: same('files are relative to the configuration'),
  chroot: leftOut('the service is confined by its systemd unit'),
  pidfile: same('the process is found without a file'),
  ede: always('yes', 'extended errors are always given'),
  'ede-serve-expired': always('yes', 'extended errors are always given'),
  'minimal-responses': leftOut('answers of the resolver are passed on as they are'),
  'unwanted-reply-threshold': same('a reply that matches no question is ignored and counted'),
  'max-udp-size': same('replies over UDP have at most 1232 octets'),
  'edns-buffer-size': same('replies over UDP have at most 1232 octets'),
  'do-not-query-address': leftOut('which servers are asked is the trusted set'),
}

const GROUPS: readonly (readonly [RegExp, string])[] = [
  [
    /^(num-|so-|outgoing-|incoming-|msg-buffer|msg-cache-slabs|rrset-cache-slabs|infra-|key-cache|neg-cache|jostle|stream-wait|tcp-|udp-|ip-|max-reuse|delay-close|edns-tcp|sock-queue|serve-expired|http-|ratelimit|wait-limit|discard-timeout)/,
    PERFORMANCE,
  ],
  [
    /^(root-|qname-|harden-|target-|use-caps|low-rtt|fast-server|aggressive|prefetch-key|do-daemonize|disable-dnssec-lame|iter-|cache-max-negative|deny-any|rrset-roundrobin|unblock|insecure-lan|unknown-server|max-|send-client|client-subnet|val-nsec3|hide-)/,
    RECURSION,
  ],
  [/^(val-|trust|auto-trust|trusted-keys|dlv|root-key|sign|permit-small|fake|root-key-sentinel)/, DNSSEC],
  [/^(log-|statistics|extended-statistics|shm)/, LOG],
  [/^(tls-|ssl-|https-|quic-)/, 'this program serves DNS over UDP and TCP to this host and its network only'],
  [
    /^(define-tag|local-zone-|access-control-|interface-|response-ip|local-data-|outbound|dnscrypt|ipset|cachedb|dns64|nat64|python|dynlib|control-)/,
    'it has no counterpart; views give some clients their own lists and answers',
  ],
]

function serverRule(key: string): Rule | undefined {
  const found = SERVER[key]
  if (found !== undefined) return found
  const says = GROUPS.find(([pattern]) => pattern.test(key))?.[1]
  return says === undefined ? undefined : leftOut(says)
}

function forwardZone(draft: Draft, clause: Clause) {
  const zone = clause.lines.find(({ key }) => key === 'name')?.value.replace(/\.$/, '') ?? ''
  const isTls = clause.lines.some(({ key, value }) => /^forward-(tls|ssl)-upstream$/.test(key) && value === 'yes')
  for (const { key, value, line } of clause.lines) {
    if (key === 'name') draft.say('same', line, 'its servers follow')
    else if (/^forward-(tls|ssl)-upstream$/.test(key)) draft.say('same', line, 'resolvers are asked over encrypted transports only')
    else if (key === 'forward-addr') {
      const server = isTls && !/[@#]/.test(value) ? `${value}@853` : value
      if (zone === '') draft.useResolver(server, line)
      else draft.forwardZone(zone, server, line)
    } else if (key === 'forward-host') draft.say('left out', line, `${value}: write the address of the server; its name is never looked up`)
    else if (key === 'forward-first') draft.say(value === 'no' ? 'same' : 'left out', line, 'a forwarded zone never goes to other servers')
    else draft.say('left out', line, `${key} has no counterpart`)
  }
}

/** Imports unbound.conf. */
export function fromUnbound(draft: Draft): void {
  for (const clause of clausesOf(draft)) {
    draft.say('same', clause.line, 'a section header; its lines follow')
    if (clause.name === 'forward-zone') forwardZone(draft, clause)
    else
      for (const line of clause.lines) {
        const rule = clause.name === 'server' ? serverRule(line.key) : undefined
        if (rule !== undefined) rule(draft, line, clause)
        else draft.say('left out', line.line, CLAUSES[clause.name] ?? `${line.key} is not known`)
      }
  }
}

const CLAUSES: Readonly<Record<string, string>> = {
  'remote-control': REMOTE,
  'stub-zone': 'a zone with its own name servers is forwarded to a resolver, which this program asks recursively',
  'auth-zone': 'zones are not served; a list of the format "rpz" blocks names, and answers give records',
  rpz: 'write a list of the format "rpz" with its file or url',
  view: 'write a view with the addresses of its clients',
  python: 'modules are not loaded',
  dnscrypt: 'DNSCrypt is not served to clients',
  cachedb: 'the cache may be saved with "cache.persist"',
  dnstap: LOG,
  dynlib: 'modules are not loaded',
  ipset: 'it has no counterpart',
}

function clausesOf(draft: Draft): readonly Clause[] {
  const clauses: { name: string; line: number; lines: Line[] }[] = []
  for (const [at, text] of draft.lines.entries()) {
    const line = at + 1
    const [, key = '', rest = ''] = /^\s*([a-z0-9-]+):\s*(.*)$/i.exec(text) ?? []
    const value = unquoted(rest)
    if (key === '') continue
    if (/^include(-toplevel)?$/.test(key)) draft.say('left out', line, `${value}: a separate file; import it too`)
    else if (value === '' && !(clauses.at(-1)?.name === 'server' && key === 'username') && !/^(username|chroot|logfile)$/.test(key))
      clauses.push({ name: key, line, lines: [] })
    else clauses.at(-1)?.lines.push({ line, key, value })
  }
  return clauses
}

/**
 * Removes quotes and a comment from a value. A part of the value may be quoted, as in `"lan."
 * static`.
 */
function unquoted(text: string): string {
  const [, double, single, rest = ''] = /^(?:"((?:\\.|[^"\\])*)"|'([^']*)')(.*)$/.exec(text) ?? []
  const first = double?.replace(/\\(.)/g, '$1') ?? single
  if (first === undefined) return text.replace(/(^|\s+)#.*$/, '').trim()
  return `${first} ${rest.replace(/(^|\s+)#.*$/, '').trim()}`.trim()
}
