import * as v from 'valibot'
import { isLoopback, parseCidr } from '../config/cidr.ts'
import { entryOf } from '../config/listed-entries.ts'
import { parseListen } from '../config/listen-address.ts'
import { MAX_ANSWERS, type OwnAnswer, ownAnswersSchema } from '../config/own-answers.ts'
import { readStamp } from '../config/stamps.ts'
import { type TrustedResolver, trustedSetSchema } from '../config/trusted-set.ts'
import { type Place, parsePlace, type ResolverPlace, resolverOf, slug } from './places.ts'

/**
 * What became of a line. `taken`: a setting says it. `same`: this program does so anyway. `left
 * out`: it is not in the new configuration, and the reason is named.
 */
export type Verdict = 'taken' | 'same' | 'left out'

export interface Outcome {
  /** Counted from 1. */
  readonly line: number
  readonly verdict: Verdict
  /** A clause. */
  readonly says: string
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

/** Private networks: who may ask if the old configuration let everybody ask. */
const PRIVATE = ['127.0.0.0/8', '::1/128', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', 'fe80::/10']

/** What was read, as `importFrom` gives it. */
export interface Imported {
  readonly config: Readonly<Record<string, unknown>>
  /** Entries for a trusted set of one's own; empty: the shipped set has all that are used. */
  readonly resolvers: readonly ResolverPlace[]
  /** Files beside the configuration, by name. */
  readonly files: ReadonlyMap<string, string>
  readonly outcomes: readonly Outcome[]
  /** How many lines are comments or empty. */
  readonly silent: number
}

/** A configuration while it is made of another program's file, and what became of each line. */
export class Draft {
  readonly #lines: readonly string[]
  readonly #shipped: readonly TrustedResolver[]
  /** Whether files may be written beside the configuration. */
  readonly #withFiles: boolean
  readonly #outcomes: Outcome[] = []
  readonly #covered = new Set<number>()
  readonly settings: Record<string, unknown> = {}
  readonly use = new Set<string>()
  readonly #resolvers = new Map<string, ResolverPlace>()
  readonly #forward = new Map<string, Forward>()
  readonly #cleartext = new Set<string>()
  readonly hosts = new Set<string>()
  #answers: OwnAnswer[] = []
  /** The same by their names. */
  readonly #answersOf = new Map<string, OwnAnswer[]>()
  /** The index of what is said of the line of each: it follows the answer. */
  readonly #saidOf = new Map<OwnAnswer, number>()
  readonly lists: DraftList[] = []
  /** Clients with resolvers of their own. */
  readonly views: { readonly id: string; readonly clients: readonly string[]; readonly use: readonly string[] }[] = []
  readonly listen = new Set<string>()
  readonly allowFrom = new Set<string>()
  readonly #files = new Map<string, string[]>()
  /** Stamps by the name that the other program gives them. */
  readonly stamps = new Map<string, string>()

  constructor(text: string, shipped: readonly TrustedResolver[], withFiles: boolean) {
    this.#lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
    this.#shipped = shipped
    this.#withFiles = withFiles
  }

  get lines(): readonly string[] {
    return this.#lines
  }

  /** Says what became of the lines `from` to `to` (included, counted from 1). */
  say(verdict: Verdict, from: number, says: string, to = from): void {
    this.#outcomes.push({ line: from, verdict, says })
    for (let line = from; line <= to; line++) this.#covered.add(line)
  }

  /** Every line that is not silent and that nothing was said of is named. */
  finish(isSilent: (line: string) => boolean): Imported {
    let silent = 0
    for (const [at, text] of this.#lines.entries()) {
      if (isSilent(text)) silent += this.#covered.has(at + 1) ? 0 : 1
      else if (!this.#covered.has(at + 1)) this.say('left out', at + 1, 'it is not understood')
    }
    this.#dropCircles()
    const outcomes = this.#outcomes.toSorted((a, b) => a.line - b.line)
    const files = new Map([...this.#files].map(([name, lines]) => [name, `${lines.join('\n')}\n`]))
    return { config: this.#config(), resolvers: [...this.#resolvers.values()], files, outcomes, silent }
  }

  #config(): Record<string, unknown> {
    const listen = [...this.listen]
    const open = listen.some((place) => !isLoopback(parseListen(place)?.address ?? ''))
    const allowFrom = this.allowFrom.size > 0 ? [...this.allowFrom] : open ? PRIVATE : []
    const filled: readonly (readonly [string, unknown])[] = [
      ['listen', listen],
      ['allowFrom', allowFrom],
      ['use', [...this.use]],
      ['hosts', [...this.hosts]],
      ['answers', this.#answers],
      ['forward', [...this.#forward.values()]],
      ['allowCleartext', [...this.#cleartext]],
      ['lists', this.lists],
      ['views', this.views],
    ]
    return { ...Object.fromEntries(filled.filter(([, value]) => (value as readonly unknown[]).length > 0)), ...this.settings }
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

  /** Listens there too. Returns why not, as a clause. */
  listenOn(address: string, port: number): string | undefined {
    const place = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
    if (parseListen(place) === undefined) return 'it is not an address and a port'
    this.listen.add(place)
    return undefined
  }

  /** Lets clients of a block ask. */
  allow(block: string): string | undefined {
    if (parseCidr(block) === undefined) return 'it is not a block of addresses'
    this.allowFrom.add(block)
    return undefined
  }

  /**
   * The id of the trusted resolver at a place, made if need be, and a clause about it; or why there
   * is none, as a clause.
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
    if (!this.#withFiles) return { why: 'it is not in the shipped trusted set; with --out a set with it is written' }
    this.#resolvers.set(value.id, value)
    return { id: value.id, says: `a new entry "${value.id}" of the trusted set` }
  }

  #resolverAt(place: Place): { readonly id: string; readonly says: string } | { readonly why: string } {
    const found = resolverOf(place, this.#shipped, [...this.#resolvers.values()])
    if ('why' in found) return found
    if ('entry' in found) {
      if (!this.#withFiles) return { why: 'it is not in the shipped trusted set; with --out a set with it is written' }
      this.#resolvers.set(found.entry.id, found.entry)
      return { id: found.entry.id, says: `a new entry "${found.entry.id}" of the trusted set` }
    }
    return found
  }

  /** Uses a resolver for all names, and says so of the line. */
  useResolver(text: string, line: number, to = line) {
    const found = this.resolver(text)
    if ('why' in found) return this.say('left out', line, `${text}: ${found.why}`, to)
    this.use.add(found.id)
    this.say('taken', line, `use: ${found.id}, ${found.says}`, to)
  }

  /** Forwards a zone to a server: to a resolver over an encrypted transport, else in cleartext. */
  forwardZone(zoneText: string, server: string, line: number, to = line) {
    const zone = zoneText.toLowerCase().replace(/^\*\.|^\.|\.$/g, '')
    if (!/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(zone)) return this.say('left out', line, `the zone "${zone}" cannot be forwarded`, to)
    const before = this.#forward.get(zone)
    const place = parsePlace(server)
    if ('why' in place) return this.say('left out', line, `${server}: ${place.why}`, to)
    const found = place.kind === 'plain' ? undefined : this.#resolverAt(place)
    if (found !== undefined && 'why' in found) return this.say('left out', line, `${server}: ${found.why}`, to)
    if (found !== undefined) {
      if (before?.cleartext !== undefined)
        return this.say('left out', line, `${server}: the zone ${zone} is forwarded to ${before.cleartext}`, to)
      this.#forward.set(zone, { ...before, zone, to: [...new Set([...(before?.to ?? []), found.id])] })
      return this.say('taken', line, `forward: ${zone} to ${found.id}`, to)
    }
    if (place.kind !== 'plain') return
    const cleartext = place.address.includes(':') ? `[${place.address}]:${place.port}` : `${place.address}:${place.port}`
    if (before?.to !== undefined || (before?.cleartext !== undefined && before.cleartext !== cleartext))
      return this.say('left out', line, `${server}: a zone has one server in cleartext, and ${zone} has one`, to)
    this.#forward.set(zone, { ...before, zone, cleartext })
    this.#cleartext.add(zone)
    this.say('taken', line, `forward: ${zone} to ${cleartext}, in cleartext (allowCleartext)`, to)
  }

  /** Names below a forwarded zone that are resolved as all others. Returns whether there is one. */
  exceptFrom(zoneText: string): string | undefined {
    const zone = zoneText.toLowerCase()
    const above = [...this.#forward.values()]
      .filter((one) => zone.endsWith(`.${one.zone}`))
      .sort((a, b) => b.zone.length - a.zone.length)[0]
    if (above === undefined) return undefined
    above.except = [...(above.except ?? []), zone]
    return above.zone
  }

  /**
   * Answers a name here. Returns why not, as a clause. Circles of aliases are found by `finish`.
   */
  answer(name: string, type: OwnAnswer['type'], data: string, ttlS?: number): string | undefined {
    const answer = { name, type, data, ...(ttlS === undefined ? {} : { ttlS }) }
    const key = name.toLowerCase().replace(/\.$/, '')
    const same = this.#answersOf.get(key) ?? []
    if (same.some((one) => one.name === name && one.type === type && one.data === data)) return undefined
    if (this.#answers.length >= MAX_ANSWERS)
      return `there are ${MAX_ANSWERS} answers before it, and no more are possible; a hosts file holds more`
    const checked = v.safeParse(ownAnswersSchema, [...same, answer])
    if (!checked.success) return `the answer ${checked.issues[0].message}`
    this.#answersOf.set(key, same)
    same.push(answer)
    this.#answers.push(answer)
    this.#saidOf.set(answer, this.#outcomes.length)
    return undefined
  }

  /** Leaves out aliases that lead back to themselves or too far, and says so of their lines. */
  #dropCircles(): void {
    for (;;) {
      const checked = v.safeParse(ownAnswersSchema, this.#answers)
      const dropped = new Map((checked.issues ?? []).map(({ path, message }) => [path?.[0]?.key, message] as const))
      const kept = this.#answers.filter((answer, at) => {
        const why = dropped.get(at)
        if (why !== undefined) this.#retract(answer, `the answer ${why}`)
        return why === undefined
      })
      if (kept.length === this.#answers.length) return
      this.#answers = kept
    }
  }

  /** What was said of the line of an answer is no longer so. */
  #retract(answer: OwnAnswer, why: string): void {
    const at = this.#saidOf.get(answer) ?? 0
    const before = this.#outcomes[at]
    if (before === undefined) return
    const isAlone = before.verdict === 'taken' && before.says.startsWith('answers: ')
    if (isAlone) this.#outcomes[at] = { ...before, verdict: 'left out', says: why }
    else this.#outcomes.push({ line: before.line, verdict: 'left out', says: `${answer.name}: ${why}` })
  }

  /** Says of a line that it is an answer, or why not. */
  answerLine(line: number, name: string, type: OwnAnswer['type'], data: string, ttlS?: number): void {
    const why = this.answer(name, type, data, ttlS)
    this.say(why === undefined ? 'taken' : 'left out', line, why ?? `answers: ${name} ${type} ${data}`)
  }

  /** A list from a file or over https. Returns why not, as a clause. */
  list(list: DraftList): string | undefined {
    if (list.url !== undefined && !list.url.startsWith('https://')) return 'lists come over https only'
    let { id } = list
    for (let n = 2; this.lists.some((one) => one.id === id); n++) id = `${list.id}-${n}`
    this.lists.push({ ...list, id })
    return undefined
  }

  /** Adds a line to a file beside the configuration. Returns why not, as a clause. */
  lineInFile(name: string, line: string): string | undefined {
    if (!this.#withFiles) return 'it needs a file beside the configuration; with --out it is written'
    const lines = this.#files.get(name) ?? []
    this.#files.set(name, lines)
    lines.push(line)
    return undefined
  }
}
