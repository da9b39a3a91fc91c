import { isIP } from 'node:net'
import * as v from 'valibot'
import { isLoopback } from '../config/cidr.ts'
import { entryOf } from '../config/listed-entries.ts'
import { parseListen } from '../config/listen-address.ts'
import { MAX_ANSWERS, type OwnAnswer, ownAnswersSchema } from '../config/own-answers.ts'
import { readStamp } from '../config/stamps.ts'
import { type TrustedResolver, trustedSetSchema } from '../config/trusted-set.ts'
import { ClientBlocks, MOST_CLIENT_BLOCKS } from './client-blocks.ts'
import { LineReport, type Outcome, type Verdict } from './line-report.ts'
import { type Place, parsePlace, type ResolverPlace, resolverOf, slug } from './places.ts'

/** The reason for settings about validation, as a clause. */
export const DNSSEC = 'this program does not validate; the AD bit of the resolver is passed on'

/**
 * Returns a function that makes rules from a text: the setting has this verdict, whatever its
 * value.
 */
export const verdictRule =
  (verdict: Verdict) =>
  (says: string) =>
  (draft: Draft, { from, to }: { readonly from: number; readonly to: number }): void =>
    draft.say(verdict, from, says, to)

const USUAL_TRANSPORTS = ['dot', 'doh']
/** What to say of the only transport of a stamp if it is not a usual one. */
const ONLY_TRANSPORT: Readonly<Record<string, string>> = {
  dnscrypt: ', over DNSCrypt; its certificate is asked for in cleartext (allowDnscryptCertificates)',
  doq: ', over DNS over QUIC, which needs Node 24',
}

/** A list of names to block or allow. */
interface DraftList {
  readonly id: string
  readonly file?: string
  readonly url?: string
  readonly format?: string
  readonly action?: 'block' | 'allow'
  reply?: string
}

type Forward = { readonly zone: string; except?: string[]; readonly to?: string[]; readonly cleartext?: string }

/** The result of `importFrom`. */
export interface Imported {
  readonly config: Readonly<Record<string, unknown>>
  /** Entries for a new trusted set; empty: the shipped set has all used resolvers. */
  readonly resolvers: readonly ResolverPlace[]
  /** Files to write beside the configuration, by name. */
  readonly files: ReadonlyMap<string, string>
  readonly outcomes: readonly Outcome[]
  /** Number of comments and empty lines. */
  readonly silent: number
  /** Whether a resolver of the source gets general names. If not, those of the shipped set do. */
  readonly hasUpstream: boolean
}

/**
 * A configuration that is being made from another program's file, with the outcome of each line.
 */
export class Draft {
  readonly #lines: readonly string[]
  readonly #shipped: readonly TrustedResolver[]
  /** Whether files may be written beside the configuration. */
  readonly #withFiles: boolean
  readonly report = new LineReport()
  readonly settings: Record<string, unknown> = {}
  readonly use = new Set<string>()
  readonly #resolvers = new Map<string, ResolverPlace>()
  readonly #forward = new Map<string, Forward>()
  readonly #cleartext = new Set<string>()
  readonly #exceptions: { readonly zone: string; readonly line: number; readonly to: number }[] = []
  readonly hosts = new Set<string>()
  #answers: OwnAnswer[] = []
  /** The answers by their names. */
  readonly #answersOf = new Map<string, OwnAnswer[]>()
  /** The index of the outcome of each answer's line. */
  readonly #saidOf = new Map<OwnAnswer, number>()
  readonly lists: DraftList[] = []
  /** Clients that use other resolvers. */
  readonly views: { readonly id: string; readonly clients: readonly string[]; readonly use: readonly string[] }[] = []
  readonly listen = new Set<string>()
  readonly clients = new ClientBlocks()
  readonly #files = new Map<string, string[]>()
  /** Stamps by their name in the other program. */
  readonly stamps = new Map<string, string>()
  /** Whether everything goes through a proxy, which carries no datagrams here. */
  proxied = false
  /** Transports of used resolvers that have no other one. */
  readonly #transports = new Set<string>()

  constructor(text: string, shipped: readonly TrustedResolver[], withFiles: boolean) {
    this.#lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
    this.#shipped = shipped
    this.#withFiles = withFiles
  }

  get lines(): readonly string[] {
    return this.#lines
  }

  /** Records the outcome of the lines `from` to `to` (inclusive, from 1). */
  say(verdict: Verdict, from: number, says: string, to = from): void {
    this.report.say(verdict, from, says, to)
  }

  /**
   * Ends the import. Lines without an outcome are recorded as not understood, unless `isSilent`.
   */
  finish(isSilent: (line: string) => boolean): Imported {
    this.#applyExceptions()
    const silent = this.report.sayRest(this.#lines, isSilent)
    this.#dropCircles()
    const outcomes = this.report.sorted
    const files = new Map([...this.#files].map(([name, lines]) => [name, `${lines.join('\n')}\n`]))
    return { config: this.#config(), resolvers: [...this.#resolvers.values()], files, outcomes, silent, hasUpstream: this.use.size > 0 }
  }

  #config(): Record<string, unknown> {
    const listen = [...this.listen]
    const isOpen = listen.some((place) => !isLoopback(parseListen(place)?.address ?? ''))
    const own = [...this.#transports]
    const filled: readonly (readonly [string, unknown])[] = [
      ['listen', listen],
      ['allowFrom', this.clients.allowFrom(isOpen)],
      ['use', this.#used()],
      ['transports', own.length === 0 ? [] : [...USUAL_TRANSPORTS, ...own]],
      ['hosts', [...this.hosts]],
      ['answers', this.#answers],
      ['forward', [...this.#forward.values()]],
      ['allowCleartext', [...this.#cleartext]],
      ['lists', this.lists],
      ['views', this.views],
    ]
    const certificates = own.includes('dnscrypt') ? { allowDnscryptCertificates: true } : {}
    return {
      ...Object.fromEntries(filled.filter(([, value]) => (value as readonly unknown[]).length > 0)),
      ...certificates,
      ...this.settings,
    }
  }

  /**
   * The resolvers for general names; empty: those of the shipped set. New entries for a zone or a
   * view are in the same trusted set, and get no other names.
   */
  #used(): readonly string[] {
    if (this.use.size > 0 || this.#resolvers.size === 0) return [...this.use]
    const reserved = new Set([...this.#forward.values()].flatMap(({ to = [] }) => to))
    return this.#shipped.filter(({ id, enabled }) => enabled && !reserved.has(id)).map(({ id }) => id)
  }

  /** Sets a key of a group, as `cache.minTtlS`. */
  set(group: string, key: string, value: unknown): void {
    this.settings[group] = { ...(this.settings[group] as object | undefined), [key]: value }
  }

  /** Adds to a list of a group, as `rebinding.allow`. */
  append(group: string, key: string, value: string) {
    const before = Object.entries(this.settings[group] ?? {}).find(([one]) => one === key)?.[1] as readonly string[] | undefined
    this.set(group, key, [...new Set([...(before ?? []), value])])
  }

  /** Adds an address to listen on. Returns undefined, or the reason for a failure as a clause. */
  listenOn(address: string, port: number): string | undefined {
    const place = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
    if (parseListen(place) === undefined) return 'it is not an address and a port'
    this.listen.add(place)
    return undefined
  }

  /**
   * Allows the clients of an address block, and records the outcome of the line. `otherwise` is the
   * reason, as a clause, if it is not a block.
   */
  allow(block: string, line: number, otherwise: string, to = line) {
    if (this.clients.isFull) return this.say('left out', line, `${block}: there are already ${MOST_CLIENT_BLOCKS} blocks of clients`, to)
    const allowed = this.clients.allow(block)
    if (allowed === undefined) return this.say('left out', line, `${block}: ${otherwise}`, to)
    if (!allowed.tooLarge) return this.say('taken', line, `allowFrom: ${block}`, to)
    this.say('left out', line, `${block}: attackers use services that answer everybody; "allowFrom" has only private networks`, to)
  }

  /**
   * Finds the trusted resolver for a place or stamp, or makes an entry. Returns its id and a clause
   * about it, or the reason (`why`) as a clause.
   */
  resolver(text: string): { readonly id: string; readonly says: string } | { readonly why: string } {
    if (/^sdns:/i.test(text.trim())) return this.#resolverOfStamp(text.trim())
    const place = parsePlace(text)
    return 'why' in place ? place : this.#resolverAt(place)
  }

  #resolverOfStamp(text: string): { readonly id: string; readonly says: string } | { readonly why: string } {
    const { stamp, fault } = readStamp(text)
    if (stamp === undefined) return { why: `the stamp ${fault}` }
    const { protocol, hostname = '', address, port, path = '' } = stamp
    if (protocol === 'dot' || protocol === 'doh') {
      const known = resolverOf({ kind: protocol, host: hostname, address, port, path }, this.#shipped, [])
      if ('id' in known) return known
    }
    const { kind, value } = entryOf(stamp, slug(hostname === '' ? (stamp.providerName ?? 'resolver') : hostname))
    const checked = v.safeParse(trustedSetSchema, { version: 1, resolvers: [value] })
    if (kind !== 'resolvers') return { why: 'it is the stamp of a relay, and not of a resolver' }
    if (!checked.success) return { why: `the stamp makes no entry of a trusted set: ${checked.issues[0].message}` }
    const only = ONLY_TRANSPORT[protocol]
    if (protocol === 'odoh-target')
      return { why: 'a stamp of Oblivious DoH names no relay; add it with "enigm-dns resolvers add", and a relay' }
    if (value.addresses.length === 0)
      return { why: 'the stamp has no address, and none is looked up; use "enigm-dns resolvers add" and "enigm-dns resolvers pin"' }
    if (only !== undefined && this.proxied) return { why: 'this program sends no datagrams through a proxy' }
    if (!this.#withFiles) return { why: 'it is not in the shipped trusted set; use --out to write a trusted set with it' }
    this.#resolvers.set(value.id, value)
    if (only !== undefined) this.#transports.add(protocol)
    return { id: value.id, says: `a new entry "${value.id}" of the trusted set${only ?? ''}` }
  }

  #resolverAt(place: Place): { readonly id: string; readonly says: string } | { readonly why: string } {
    const found = resolverOf(place, this.#shipped, [...this.#resolvers.values()])
    if ('why' in found) return found
    if ('entry' in found) {
      if (!this.#withFiles) return { why: 'it is not in the shipped trusted set; use --out to write a trusted set with it' }
      this.#resolvers.set(found.entry.id, found.entry)
      return { id: found.entry.id, says: `a new entry "${found.entry.id}" of the trusted set` }
    }
    return found
  }

  /** Adds a resolver for all names, and records the outcome of the line. */
  useResolver(text: string, line: number, to = line) {
    const found = this.resolver(text)
    if ('why' in found) return this.say('left out', line, `${text}: ${found.why}`, to)
    this.use.add(found.id)
    this.say('taken', line, `use: ${found.id}, ${found.says}`, to)
  }

  /**
   * Forwards a zone to a server: to an encrypted resolver if it is one, else in cleartext. Records
   * the outcome of the line.
   */
  forwardZone(zoneText: string, server: string, line: number, to = line) {
    const zone = zoneText.toLowerCase().replace(/^\*\.|^\.|\.$/g, '')
    if (!/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(zone)) return this.say('left out', line, `the zone "${zone}" cannot be forwarded`, to)
    const before = this.#forward.get(zone)
    const isStamp = /^sdns:/i.test(server)
    const place = isStamp ? undefined : parsePlace(server)
    if (place !== undefined && 'why' in place) return this.say('left out', line, `${server}: ${place.why}`, to)
    const found = isStamp ? this.resolver(server) : place === undefined || place.kind === 'plain' ? undefined : this.#resolverAt(place)
    if (found !== undefined && 'why' in found) return this.say('left out', line, `${server}: ${found.why}`, to)
    if (found !== undefined) {
      if (before?.cleartext !== undefined)
        return this.say('left out', line, `${server}: the zone ${zone} is already forwarded to ${before.cleartext}`, to)
      this.#forward.set(zone, { ...before, zone, to: [...new Set([...(before?.to ?? []), found.id])] })
      return this.say('taken', line, `forward: ${zone} to ${found.id}`, to)
    }
    if (place?.kind !== 'plain') return
    const cleartext = place.address.includes(':') ? `[${place.address}]:${place.port}` : `${place.address}:${place.port}`
    if (before?.to !== undefined || (before?.cleartext !== undefined && before.cleartext !== cleartext))
      return this.say('left out', line, `${server}: the zone ${zone} already has its one cleartext server`, to)
    this.#forward.set(zone, { ...before, zone, cleartext })
    this.#cleartext.add(zone)
    this.say('taken', line, `forward: ${zone} to ${cleartext}, in cleartext (allowCleartext)`, to)
  }

  /**
   * Excludes a zone from the forwarded zone above it, which may be on a later line. `finish`
   * records the outcome of the line.
   */
  exceptZone(zone: string, line: number, to = line): void {
    this.#exceptions.push({ zone: zone.toLowerCase().replace(/^\*\.|^\.|\.$/g, ''), line, to })
  }

  #applyExceptions(): void {
    for (const { zone, line, to } of this.#exceptions) {
      const around = [...this.#forward.values()].filter((one) => zone.endsWith(`.${one.zone}`))
      const above = around.toSorted((a, b) => b.zone.length - a.zone.length)[0]
      if (above === undefined) this.say('same', line, `${zone} is resolved as all other names`, to)
      else {
        above.except = [...(above.except ?? []), zone]
        this.say('taken', line, `forward: ${above.zone} except ${zone}`, to)
      }
    }
  }

  /**
   * Adds an item of `answers`. Returns undefined, or the reason for a failure as a clause. `finish`
   * finds circles of aliases.
   */
  answer(name: string, type: OwnAnswer['type'], data: string, ttlS?: number): string | undefined {
    const answer = { name, type, data, ...(ttlS === undefined ? {} : { ttlS }) }
    const key = name.toLowerCase().replace(/\.$/, '')
    const same = this.#answersOf.get(key) ?? []
    if (same.some((one) => one.name === name && one.type === type && one.data === data)) return undefined
    if (this.#answers.length >= MAX_ANSWERS)
      return `there are already ${MAX_ANSWERS} answers, which is the limit; a hosts file may hold more`
    const checked = v.safeParse(ownAnswersSchema, [...same, answer])
    if (!checked.success) return `the answer ${checked.issues[0].message}`
    this.#answersOf.set(key, same)
    same.push(answer)
    this.#answers.push(answer)
    this.#saidOf.set(answer, this.report.count)
    return undefined
  }

  /**
   * Removes aliases that form a circle or too long a chain, and corrects the outcomes of their
   * lines.
   */
  #dropCircles(): void {
    for (;;) {
      const checked = v.safeParse(ownAnswersSchema, this.#answers)
      const dropped = new Map((checked.issues ?? []).map(({ path, message }) => [path?.[0]?.key, message] as const))
      const kept = this.#answers.filter((answer, at) => {
        const why = dropped.get(at)
        if (why !== undefined) this.report.retract(this.#saidOf.get(answer) ?? -1, answer.name, `the answer ${why}`)
        return why === undefined
      })
      if (kept.length === this.#answers.length) return
      this.#answers = kept
    }
  }

  /** Adds an item of `answers`, and records the outcome of its line. */
  answerLine(line: number, name: string, type: OwnAnswer['type'], data: string, ttlS?: number): void {
    const why = this.answer(name, type, data, ttlS)
    this.say(why === undefined ? 'taken' : 'left out', line, why ?? `answers: ${name} ${type} ${data}`)
  }

  /** Adds the names of a line of a hosts file as answers, and records the outcome of the line. */
  hostsLine(at: number, line: string, to = at): void {
    const [address = '', ...names] = line.replace(/#.*$/, '').trim().split(/\s+/)
    for (const name of names) {
      const why = this.answer(name, isIP(address) === 6 ? 'AAAA' : 'A', address)
      this.say(why === undefined ? 'taken' : 'left out', at, why ?? `answers: ${name} ${address}`, to)
    }
    if (names.length === 0) this.say('left out', at, 'it has no name', to)
  }

  /**
   * Adds a list from a file or over https. Returns undefined, or the reason for a failure as a
   * clause.
   */
  list(list: DraftList): string | undefined {
    if (list.url !== undefined && !list.url.startsWith('https://')) return 'lists are fetched over https only'
    let { id } = list
    for (let n = 2; this.lists.some((one) => one.id === id); n++) id = `${list.id}-${n}`
    this.lists.push({ ...list, id })
    return undefined
  }

  /**
   * Adds a line to a file beside the configuration. Returns undefined, or the reason for a failure
   * as a clause.
   */
  lineInFile(name: string, line: string): string | undefined {
    if (!this.#withFiles) return 'it needs a file beside the configuration; use --out to write it'
    const lines = this.#files.get(name) ?? []
    this.#files.set(name, lines)
    lines.push(line)
    return undefined
  }
}
