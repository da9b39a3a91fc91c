import * as v from 'valibot'
import { domainName } from '../config/fields.ts'
import type { Loaded } from '../config/load.ts'
import { configError, quoted } from '../config/problems.ts'
import { changeEntries, type KeyChanges } from '../config/set-edit.ts'
import { existingSet, openSet, saveSet } from '../config/set-file.ts'
import type { TrustedResolver } from '../config/trusted-set.ts'
import { EXIT } from '../exit-codes.ts'
import { advertisedResolvers } from '../system/advertised-resolvers.ts'
import { TRANSPORTS } from '../transports.ts'
import { transportsOf } from '../trusted-resolvers.ts'
import { type Discovery, discover } from './discover.ts'
import { inAscii } from './query.ts'
import { type Ranked, rankAll } from './rank.ts'
import { reach, vpnMissing } from './reach.ts'
import { unknownId } from './resolvers-import.ts'
import { table } from './resolvers-list.ts'
import { type ChosenSet, changeableSet, chosenSet, type SetOptions, type SetWorld } from './set-choice.ts'
import { resolvedEntry, withFiles } from './set-lookup.ts'
import { printable, printableJson } from './status-screen.ts'

export interface RankOptions extends SetOptions {
  readonly json?: true
  readonly all?: true
  readonly signed: string
  readonly broken: string
}

/** Limit of measured resolvers: more would be a scan of all public resolvers. */
const MAX_RANKED = 200

/** `resolvers rank`: returns the exit code. Rejects with an EnigmError `config`. */
export async function rankResolvers(ids: readonly string[], options: RankOptions, world: SetWorld): Promise<number> {
  const names = { signed: testName('--signed', options.signed), broken: testName('--broken', options.broken) }
  const chosen = await chosenSet(options, world)
  const loaded = loadedOf(chosen)
  const set = await existingSet(chosen.file)
  const { file, entries } = set
  const missing = ids.find((id) => !entries.some(({ kind, value }) => kind === 'resolvers' && value.id === id))
  if (missing !== undefined) throw unknownId(missing, file)
  const wanted = entries.filter(({ kind, value }) => {
    if (kind !== 'resolvers' || value.addresses.length === 0) return false
    return ids.length > 0 ? ids.includes(value.id) : options.all === true || value.enabled === true
  })
  const resolvers = await withFiles(set, wanted.slice(0, MAX_RANKED))
  if (await vpnMissing({ ...loaded, resolvers }, world)) {
    world.err.write('The policy requires a VPN, and there is none: no resolver was contacted.\n')
    return EXIT.cannotTell
  }
  const bar = progressBar(resolvers.length, world)
  const ranked = await rankAll({ ...loaded, resolvers }, names, world, bar)
  if (options.json === true) world.out.write(`${printableJson({ names, resolvers: ranked }, 2)}\n`)
  else for (const line of rankText(ranked, wanted.length)) world.out.write(`${printable(line)}\n`)
  return ranked.length > 0 && ranked.every(({ ok }) => ok) ? EXIT.good : EXIT.notAsWished
}

/** A name of the command line, in ASCII. Throws an EnigmError `config` if it is none. */
function testName(option: string, given: string): string {
  const found = v.safeParse(domainName, inAscii(given))
  if (found.success) return found.output
  throw configError([
    { file: 'command line', path: option, message: `must be a domain name, as in "example.com" (found ${quoted(given)})` },
  ])
}

function loadedOf({ loaded }: ChosenSet): Loaded {
  if (loaded !== undefined) return loaded
  throw configError([{ file: 'configuration', path: '', message: 'is not valid, so it is not known how to connect; run: enigm-dns check' }])
}

const WIDTH = 30

/** Returns a function that draws a progress bar on a terminal, and does nothing elsewhere. */
function progressBar(all: number, { err }: SetWorld): (count: number) => void {
  if (Reflect.get(err, 'isTTY') !== true) return () => {}
  return (count) => {
    const full = Math.round((WIDTH * count) / all)
    err.write(`\r[${'#'.repeat(full)}${'.'.repeat(WIDTH - full)}] ${count} of ${all}${count === all ? '\r\x1b[K' : ''}`)
  }
}

function rankText(ranked: readonly Ranked[], wanted: number): readonly string[] {
  const ms = (value: number | undefined) => (value === undefined ? '-' : `${value.toFixed(1)} ms`)
  const yes = (value: boolean | undefined) => (value === undefined ? '-' : value ? 'yes' : 'no')
  const rows = ranked.map((one) => [
    one.resolver,
    one.transport ?? '-',
    one.ok ? 'ok' : `FAILS: ${one.fault ?? 'unknown'}`,
    ms(one.handshakeMs),
    ms(one.p50Ms),
    ms(one.p99Ms),
    yes(one.padded),
    one.dnssec ?? '-',
    yes(one.ede),
    Object.entries(one.resinfo ?? {})
      .map(([key, value]) => (value === '' ? key : `${key}=${value}`))
      .join(' ')
      .slice(0, 60) || '-',
  ])
  const names = ranked.filter(({ ok }) => ok).map(({ resolver }) => `"${resolver}"`)
  return [
    ...table([['RESOLVER', 'OVER', 'RESULT', 'HANDSHAKE', 'P50', 'P99', 'PADDED', 'DNSSEC', 'EDE', 'SAYS ABOUT ITSELF'], ...rows]),
    '',
    ...(wanted > ranked.length ? [`Only the first ${ranked.length} of ${wanted} were measured; name the others.`] : []),
    names.length === 0
      ? 'No resolver answered.'
      : `Nothing was changed. To use some of them, write into the configuration, for example: "use": [${names.slice(0, 3).join(', ')}]`,
  ]
}

export interface PinOptions extends SetOptions {
  readonly backup?: string
}

/** `resolvers pin`: returns the exit code. Rejects with an EnigmError `config`. */
export async function pinResolver(id: string, options: PinOptions, world: SetWorld): Promise<number> {
  const chosen = await changeableSet(options, world)
  const loaded = loadedOf(chosen)
  const set = await openSet(chosen.file)
  const entry = set.entries.find(({ value }) => value.id === id)
  if (entry === undefined) throw unknownId(id, chosen.file)
  if (entry.kind === 'relays') {
    // A relay is verified by its name, so only its addresses are looked up.
    const { addresses } = (await resolvedEntry(entry, chosen, set, world)).value
    if (addresses.join() === entry.value.addresses.join()) {
      world.out.write(`${printable(`${chosen.file}: ${id} has the addresses ${addresses.join(', ')} already`)}; nothing was changed.\n`)
      return EXIT.good
    }
    await saveSet(set, changeEntries(set.text, 'relays', new Map([[id, { addresses }]])))
    world.out.write(`${printable(`${chosen.file}: ${id} has the addresses ${addresses.join(', ')}`)}.\n`)
    return EXIT.good
  }
  if (options.backup !== undefined && !/^[A-Za-z0-9+/]{43}=$/.test(options.backup))
    throw configError([
      {
        file: 'command line',
        path: '--backup',
        message: `must be the base64 of 32 octets, as enigm-dns check shows it (found ${quoted(options.backup)})`,
      },
    ])
  const found = await resolvedEntry(entry, chosen, set, world)
  const [resolver] = await withFiles(set, [found])
  // Only TLS to the resolver itself shows its certificate.
  const transport = resolver === undefined ? undefined : transportsOf(resolver, loaded.config).find((one) => TRANSPORTS[one].seal === 'tls')
  if (resolver === undefined || transport === undefined) {
    world.err.write(`${printable(id)} offers no transport of the configuration over which it shows a certificate; nothing was changed\n`)
    return EXIT.cannotTell
  }
  const { certificate, fault, authenticatedBy } = await reach(resolver, transport, loaded, world)
  if (certificate === undefined || authenticatedBy === undefined) {
    world.err.write(
      `${printable(`${id} did not prove its identity over ${transport} (${fault ?? 'unknown error'})`)}; nothing was changed\n`,
    )
    return certificate === undefined ? EXIT.cannotTell : EXIT.proofFailed
  }
  const seen = [certificate.spkiPin, ...(options.backup === undefined ? [] : [options.backup])]
  const pins = new Set([...resolver.spkiPins, ...seen])
  const isThere = entry.value.addresses.length > 0 && pins.size === new Set(resolver.spkiPins).size
  if (!isThere) await saveSet(set, changeEntries(set.text, 'resolvers', new Map([[id, pinned(entry.value, resolver, seen)]])))
  const by = `(${certificate.name}, by ${certificate.issuer})`
  const outcome = isThere
    ? `has the pin ${seen.join(' and ')} already ${by}: nothing was changed`
    : pins.size === 1
      ? `is accepted only with the key ${certificate.spkiPin} from now on ${by}`
      : `is accepted only with one of the keys ${[...pins].join(', ')} from now on; it shows ${certificate.spkiPin} ${by}`
  world.out.write(`${printable(`${chosen.file}: ${id} ${outcome}.`)}\n`)
  if (pins.size < 2)
    world.out.write(
      'There is no second pin: if the operator changes the key, this resolver is refused. If the operator publishes the next one, add it with --backup PIN.\n',
    )
  return EXIT.good
}

function pinned(before: { readonly addresses: readonly string[] }, { addresses, spkiPins }: TrustedResolver, pins: readonly string[]) {
  return { ...(before.addresses.length === 0 ? { addresses } : {}), spkiPins: [...new Set([...spkiPins, ...pins])] }
}

export interface DiscoverOptions extends SetOptions {
  readonly json?: true
  readonly add?: true
}

/** `resolvers discover`: returns the exit code. Rejects with an EnigmError `config`. */
export async function discoverTransports(ids: readonly string[], options: DiscoverOptions, world: SetWorld): Promise<number> {
  const chosen = await (options.add === true ? changeableSet(options, world) : chosenSet(options, world))
  const loaded = loadedOf(chosen)
  const set = await openSet(chosen.file)
  const wanted = set.entries.filter(
    ({ kind, value }) =>
      kind === 'resolvers' && value.addresses.length > 0 && (ids.length > 0 ? ids.includes(value.id) : value.enabled === true),
  )
  const missing = ids.find((id) => !wanted.some(({ value }) => value.id === id))
  if (missing !== undefined) throw unknownId(missing, chosen.file)
  const resolvers = await withFiles(set, wanted.slice(0, MAX_RANKED))
  if (await vpnMissing({ ...loaded, resolvers }, world)) {
    world.err.write('The policy requires a VPN, and there is none: no resolver was contacted.\n')
    return EXIT.cannotTell
  }
  const found: Discovery[] = []
  for (const resolver of resolvers) found.push(await discover(resolver, loaded, world))
  const network = advertisedResolvers()
  if (options.json === true) world.out.write(`${printableJson({ resolvers: found, network }, 2)}\n`)
  else for (const line of discoveryText(found, network)) world.out.write(`${printable(line)}\n`)
  if (options.add === true) {
    const changes = new Map(resolvers.flatMap((resolver, i) => provenTransports(resolver, found[i])))
    await saveSet(set, changeEntries(set.text, 'resolvers', changes))
    world.out.write(
      `${printable(`${chosen.file}: transports added to ${changes.size === 0 ? 'no entry' : [...changes.keys()].join(', ')}.`)}\n`,
    )
  }
  return found.length > 0 && found.every(({ fault }) => fault === undefined) ? EXIT.good : EXIT.notAsWished
}

/** The transports that were verified for the authentication name of the entry. */
function provenTransports(resolver: TrustedResolver, found: Discovery | undefined): readonly (readonly [string, KeyChanges])[] {
  const proven = (found?.designated ?? []).filter(
    ({ verdict, authenticationDomainName, transport }) =>
      verdict === 'proven' && authenticationDomainName === resolver.authenticationDomainName && !(transport in resolver.transports),
  )
  if (proven.length === 0) return []
  const added = Object.fromEntries(
    proven.map(({ transport, port, path }) => [transport, { port, ...(path === undefined ? {} : { path }) }]),
  )
  return [[resolver.id, { transports: { ...resolver.transports, ...added } }]]
}

function discoveryText(found: readonly Discovery[], network: ReturnType<typeof advertisedResolvers>): readonly string[] {
  const lines = found.flatMap(({ resolver, designated, ignored, resinfo, fault }) => [
    `${resolver}${fault === undefined ? '' : `: could not be asked (${fault})`}`,
    ...designated.map(
      ({ transport, port, path = '', verdict, why, authenticationDomainName }) =>
        `  ${transport} on port ${port}${path}: ${verdict}${why === undefined ? '' : ` (${why})`}; its certificate must contain ${authenticationDomainName}`,
    ),
    ...(fault === undefined && designated.every(({ verdict }) => verdict === 'known') ? ['  announces no other transport'] : []),
    ...ignored.map((why) => `  ignored: ${why}`),
    ...(resinfo === null
      ? []
      : [
          `  says about itself: ${Object.entries(resinfo)
            .map(([key, value]) => (value === '' ? key : `${key}=${value}`))
            .join(' ')}`,
        ]),
  ])
  const advertised = network.map(
    ({ name, addresses, by }) => `The network advertises ${name} (${addresses.join(', ') || 'no address'}, ${by}). It is not used.`,
  )
  return [...lines, ...advertised]
}
