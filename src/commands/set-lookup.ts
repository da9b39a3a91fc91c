import { type CollectProblem, withCa, withRelay } from '../config/documents.ts'
import type { SetEntry } from '../config/listed-entries.ts'
import { parseListen, type SocketAddress } from '../config/listen-address.ts'
import type { Loaded } from '../config/load.ts'
import { configError, type Problem, quoted } from '../config/problems.ts'
import { type AnyRelay, relayProblem } from '../config/relays.ts'
import type { OpenSet } from '../config/set-file.ts'
import type { TrustedResolver } from '../config/trusted-set.ts'
import { upstreamQuery } from '../dns/message.ts'
import { nameFromText } from '../dns/name.ts'
import { encodeQuestion, presentMessage } from '../dns/presentation.ts'
import { typeFromText } from '../dns/registries.ts'
import { asEnigmError, EnigmError } from '../errors.ts'
import { tlsSessions } from '../link/dial/sessions.ts'
import { transportsOf } from '../trusted-resolvers.ts'
import { askServer } from './ask-server.ts'
import { askOver, dialOf, vpnMissing } from './reach.ts'
import type { ChosenSet, SetWorld } from './set-choice.ts'

/** Limit of addresses in an entry. */
const MAX_ADDRESSES = 32
const TIMEOUT_MS = 4000

/**
 * Returns the entry with addresses. If it has none, its name is looked up once, through the set in
 * use and never through the system. An ODoH target needs no address, because its relay looks it up.
 * Rejects with an EnigmError `config` if nothing was found.
 */
export async function resolvedEntry(entry: SetEntry, chosen: ChosenSet, set: OpenSet, world: SetWorld): Promise<SetEntry> {
  const { value } = entry
  if (value.addresses.length > 0 || 'odoh' in Object(value.transports)) return entry
  const host = String(value.authenticationDomainName)
  const addresses = await addressesOf(host, chosen, set, world)
  return { ...entry, value: { ...value, addresses } }
}

/** Makes a function that looks up a host through the set in use, like `resolvedEntry`. */
export async function hostLookup(chosen: ChosenSet, set: OpenSet, world: SetWorld): Promise<(host: string) => Promise<readonly string[]>> {
  const ask = await asker(chosen, set, world)
  return async (host) => (await asked(ask, host)).found
}

/** Makes a function that looks up a host through a service on this host. */
export function serviceLookup(
  server: SocketAddress,
  world: Pick<SetWorld, 'clock' | 'random'>,
): (host: string) => Promise<readonly string[]> {
  const ask = byService(server, world)
  return async (host) => (await asked(ask, host)).found
}

/** Looks up the addresses of a host through the set in use. Rejects with an EnigmError `config`. */
async function addressesOf(host: string, chosen: ChosenSet, set: OpenSet, world: SetWorld): Promise<readonly string[]> {
  const { found, why } = await asked(await asker(chosen, set, world), host)
  if (found.length > 0) return found
  const message = `has the name ${quoted(host)} but no address, and the set in use found none: ${why}`
  throw configError([{ file: 'command line', path: 'STAMP', message }])
}

async function asked(ask: Ask, host: string): Promise<{ readonly found: readonly string[]; readonly why: string }> {
  const found: string[] = []
  let why = 'it has no address'
  for (const type of ['A', 'AAAA']) {
    try {
      const message = presentMessage(await ask(host, type))
      found.push(...(message?.answers ?? []).filter((record) => record.type === type).map(({ data }) => data))
      if (message !== undefined && message.status !== 'NOERROR') why = `the answer is ${message.status}`
    } catch (error) {
      why = asEnigmError(error).message
    }
  }
  return { found: [...new Set(found)].slice(0, MAX_ADDRESSES), why }
}

type Ask = (host: string, type: string) => Promise<Uint8Array>

/**
 * Makes a function that asks the resolvers of the named set; else the running service; else the
 * resolvers of the configuration.
 */
async function asker({ file, loaded, service }: ChosenSet, set: OpenSet, world: SetWorld): Promise<Ask> {
  const own = loaded?.config.resolvers === file ? [] : await enabledIn(set)
  const place = own.length > 0 ? undefined : service?.listen[0]?.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:')
  const listener = place === undefined ? undefined : parseListen(place)
  if (listener !== undefined) return byService(listener, world)
  if (loaded === undefined)
    throw configError([
      { file: 'command line', path: 'STAMP', message: 'has no address, and no valid configuration names a resolver to look it up' },
    ])
  return byLinks(own.length > 0 ? { ...loaded, resolvers: own } : loaded, world)
}

function enabledIn(set: OpenSet): Promise<readonly TrustedResolver[]> {
  return withFiles(
    set,
    set.entries.filter(({ kind, value }) => kind === 'resolvers' && value.enabled === true),
  )
}

/**
 * Converts entries of a set to resolvers, with their CA files and relays. An entry whose relay is
 * missing cannot be dialled (see `endpointOf`). Rejects with an EnigmError `config`.
 */
export async function withFiles({ file, entries: all }: OpenSet, entries: readonly SetEntry[]): Promise<readonly TrustedResolver[]> {
  const problems: Problem[] = []
  const collect: CollectProblem = (problem) => void problems.push(problem)
  const relays = all.flatMap(({ kind, value }) => (kind === 'relays' ? [value as unknown as AnyRelay] : []))
  const asResolver = ({ value }: SetEntry) => {
    const resolver = value as unknown as TrustedResolver
    const fitting = relays.filter((relay) => relayProblem(resolver, relay) === undefined)
    return withCa(file, withRelay(resolver, fitting), collect)
  }
  const resolvers = await Promise.all(entries.map(asResolver))
  if (problems.length > 0) throw configError(problems)
  return resolvers
}

function byService(server: SocketAddress, { clock, random }: Pick<SetWorld, 'clock' | 'random'>): Ask {
  return async (host, type) =>
    (await askServer(server, encodeQuestion(host, type, random.below(65_536)), { clock, timeoutMs: TIMEOUT_MS, tcpOnly: false })).wire
}

function byLinks(loaded: Loaded, tools: SetWorld): Ask {
  const { resolvers, config } = loaded
  const sessions = tlsSessions(tools.clock)
  return async (host, type) => {
    if (await vpnMissing(loaded, tools)) throw new EnigmError('vpn-required', 'the policy requires a VPN, and there is none')
    let last = new EnigmError('no-upstream', 'no resolver of the set in use offers a configured transport')
    for (const resolver of resolvers)
      for (const transport of transportsOf(resolver, config)) {
        try {
          const dial = dialOf(resolver, transport, loaded, sessions, tools)
          return (await askOver(questionFor(host, type), dial, loaded, tools)).wire
        } catch (error) {
          last = asEnigmError(error)
        }
      }
    throw last
  }
}

/** Makes a query of class IN for an upstream, without an OPT. */
export function questionFor(host: string, type: string): Uint8Array {
  const number = typeFromText(type) ?? 1
  const lower = Uint8Array.from([...nameFromText(host), number >> 8, number & 0xff, 0, 1])
  return upstreamQuery({ lower, type: number, class: 1 }, false)
}
