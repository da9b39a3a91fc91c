import { X509Certificate } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import * as v from 'valibot'
import { type FileReading, guardedFaults, readGuarded } from './file-safety.ts'
import { HostsFile, MAX_HOSTS_OCTETS } from './hosts-file.ts'
import { parseJsonc } from './jsonc.ts'
import { type ListConfig, MAX_LIST_OCTETS } from './lists.ts'
import { type Problem, problemsOf, quoted } from './problems.ts'
import { type AnyRelay, relayOf, relayProblem } from './relays.ts'
import { type ConfigFile, configSchema } from './settings.ts'
import { type TrustedResolver, trustedSetSchema } from './trusted-set.ts'

/**
 * Parses and checks each file of a configuration. The valid parts of a faulty file are still
 * returned, so that later checks find its other faults.
 */

/** Called with each problem of a file. */
export type CollectProblem = (problem: Problem) => void
/** One message per value: for -1.5, "not a whole number" and "too small" would both apply. */
const ONE_ISSUE_A_VALUE = { abortPipeEarly: true } as const

/**
 * Parses the JSON of a file. Problems are collected. Undefined: the file cannot be read or parsed.
 * `guarded: false`: the file belongs to the program itself. `fix`: see parseJsonc.
 */
export function documentOf(file: string, reading: FileReading, collect: CollectProblem, guarded = true, fix?: string): unknown {
  if (reading.failed !== undefined) collect({ file, path: '', message: `cannot be read: ${reading.failed}` })
  if (guarded) for (const message of reading.unsafe) collect({ file, path: '', message })
  if (reading.text === undefined) return undefined
  const parsed = parseJsonc(reading.text, fix)
  if (parsed.problems === undefined) return parsed.value
  for (const message of parsed.problems) collect({ file, path: '', message })
  return undefined
}

/**
 * Checks a configuration and adds the defaults. A fault of a top-level key is collected, and the
 * key gets its default.
 */
export function configOf(file: string, raw: unknown, collect: CollectProblem): ConfigFile {
  const found = v.safeParse(configSchema, raw, ONE_ISSUE_A_VALUE)
  if (found.success) return found.output
  for (const problem of problemsOf(file, found.issues)) collect(problem)
  const faulty = new Set(found.issues.map((issue) => issue.path?.[0]?.key))
  const sound = Object.entries(asRecord(raw) ?? {}).filter(([key]) => !faulty.has(key))
  return v.parse(configSchema, Object.fromEntries(sound))
}

/** The resolvers of a set without a fault, and every id in the file, including faulty ones. */
export interface SetReading {
  readonly sound: readonly TrustedResolver[]
  readonly ids: ReadonlySet<unknown>
  /** The index of each id in the list of the file. */
  readonly indexOf: ReadonlyMap<unknown, number>
  readonly whole: boolean
}

/** Checks a set. Faults are collected. */
export function setOf(file: string, raw: unknown, collect: CollectProblem): SetReading {
  const listed: unknown = asRecord(raw)?.resolvers
  const items: readonly unknown[] = Array.isArray(listed) ? listed : []
  const indexOf = new Map(items.map((item, index) => [asRecord(item)?.id, index]))
  const ids = new Set(indexOf.keys())
  const found = v.safeParse(trustedSetSchema, raw, ONE_ISSUE_A_VALUE)
  if (found.success) {
    const { resolvers, relays } = found.output
    const faults = relayFaults(file, resolvers, relays)
    for (const problem of faults) collect(problem)
    return { sound: resolvers.map((resolver) => withRelay(resolver, relays)), ids, indexOf, whole: faults.length === 0 }
  }
  for (const problem of problemsOf(file, found.issues)) collect(problem)
  const faulty = new Set(found.issues.filter(({ path }) => path?.[0]?.key === 'resolvers').map(({ path }) => path?.[1]?.key))
  const rest = v.safeParse(trustedSetSchema, { version: 1, resolvers: items.filter((_, index) => !faulty.has(index)) })
  return { sound: rest.success ? rest.output.resolvers : [], ids, indexOf, whole: false }
}

/** A relay that a resolver names but that cannot be used for it. */
export interface RelayFault extends Problem {
  readonly resolver: string
  /** Undefined: the resolver needs a relay and names none. */
  readonly relay: string | undefined
}

/** The problems of relays that resolvers name but that cannot be used for them. */
export function relayFaults(file: string, resolvers: readonly TrustedResolver[], relays: readonly AnyRelay[]): readonly RelayFault[] {
  return resolvers.flatMap((resolver, index) =>
    RELAYED.flatMap((type) => {
      const message = relayFault(resolver, relays, type)
      const place = { file, path: `resolvers[${index}].transports.${type}.relay` }
      return message === undefined ? [] : [{ ...place, message, resolver: resolver.id, relay: resolver.transports[type]?.relay }]
    }),
  )
}

/** The transports with relays of their own type. ODoH needs one. */
const RELAYED = ['odoh', 'dnscrypt'] as const

function relayFault(resolver: TrustedResolver, relays: readonly AnyRelay[], type: (typeof RELAYED)[number]): string | undefined {
  const place = resolver.transports[type]
  // An imported target has no relay until a person adds one.
  if (place === undefined || (place.relay === undefined && (type !== 'odoh' || !resolver.enabled))) return undefined
  const fitting = relays.filter((one) => one.type === type).map(({ id }) => id)
  const known = fitting.length === 0 ? `add it to "relays" with the type "${type}"` : `name one of: ${fitting.slice(0, 20).join(', ')}`
  if (place.relay === undefined) return `is required; ${known}`
  const relay = relayOf(relays, type, place.relay)
  if (relay !== undefined) return relayProblem(resolver, relay)
  return `${quoted(place.relay)} is not in "relays"${fitting.length < relays.length ? ` with the type "${type}"` : ''}; ${known}`
}

/** The resolver with the relays that it names, if `relays` holds them. */
export function withRelay(resolver: TrustedResolver, relays: readonly AnyRelay[]): TrustedResolver {
  const { odoh, dnscrypt } = resolver.transports
  const relay = relayOf(relays, 'odoh', odoh?.relay)
  const dnscryptRelay = relayOf(relays, 'dnscrypt', dnscrypt?.relay)
  return { ...resolver, ...(relay === undefined ? {} : { relay }), ...(dnscryptRelay === undefined ? {} : { dnscryptRelay }) }
}

/** The resolver and its relay with the texts of their caFiles; see `withOwnCa`. */
export async function withCa(set: string, resolver: TrustedResolver, collect: CollectProblem): Promise<TrustedResolver> {
  const { relay } = resolver
  const own = await withOwnCa(set, resolver, collect)
  return relay === undefined ? own : { ...own, relay: await withOwnCa(set, relay, collect) }
}

/**
 * An entry with the text of its caFile, which is relative to the set's file, and the path of that
 * file.
 */
async function withOwnCa<Entry extends { readonly id: string; readonly caFile?: string }>(
  set: string,
  entry: Entry,
  collect: CollectProblem,
): Promise<Entry & { readonly ca?: string }> {
  if (entry.caFile === undefined) return entry
  const caFile = resolve(dirname(set), entry.caFile)
  const ca = await caOf(caFile, `(caFile of "${entry.id}" in ${set})`, collect)
  return ca === undefined ? entry : { ...entry, caFile, ca }
}

/** Reads a file of PEM certificates. Undefined: it cannot be used. `whose`: which key names it. */
export async function caOf(caFile: string, whose: string, collect: CollectProblem): Promise<string | undefined> {
  const { text, failed, unsafe } = await readGuarded(caFile)
  if (failed !== undefined) collect({ file: caFile, path: '', message: `cannot be read: ${failed} ${whose}` })
  for (const message of unsafe) collect({ file: caFile, path: '', message })
  if (text !== undefined && !holdsCertificates(text))
    collect({ file: caFile, path: '', message: 'contains no certificate, or a damaged one; put PEM certificates in it' })
  return text
}

/** Reads a hosts file. Undefined: it cannot be read, or others can write it. */
export async function hostsFile(file: string, collect: CollectProblem): Promise<HostsFile | undefined> {
  const { text, failed, unsafe } = await readGuarded(file, MAX_HOSTS_OCTETS)
  const fix = failed?.startsWith('it is larger') === true ? '; put a blocklist in "lists" instead' : ''
  if (failed !== undefined) collect({ file, path: '', message: `cannot be read: ${failed}${fix} (named in "hosts")` })
  for (const message of unsafe) collect({ file, path: '', message })
  return text === undefined ? undefined : new HostsFile(file, text)
}

/** Collects why the file of a list cannot be used. The content is not read. */
export async function listFileFaults({ id, file }: ListConfig, collect: CollectProblem): Promise<void> {
  if (file === undefined) return
  const { failed, unsafe } = await guardedFaults(file, MAX_LIST_OCTETS)
  if (failed !== undefined) collect({ file, path: '', message: `cannot be read: ${failed} (the list "${id}")` })
  for (const message of unsafe) collect({ file, path: '', message })
}

/**
 * Whether a text holds only valid PEM certificates. Node ignores invalid parts of its `ca` option,
 * and would then trust fewer roots than intended.
 */
function holdsCertificates(pem: string): boolean {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
  const begun = pem.split('-----BEGIN CERTIFICATE-----').length - 1
  if (blocks.length === 0 || blocks.length !== begun) return false
  try {
    for (const block of blocks) new X509Certificate(block)
    return true
  } catch {
    return false
  }
}

/** The value if it is an object and not a list. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
}
