import { type Hop, operatorKey } from './route.ts'
import { TRANSPORTS, type Transport } from './transports.ts'

/**
 * Derives what each party on the route to a resolver can know about a query. The result never
 * treats the promise of a party as a fact: what only a promise hides is `claimed`.
 */

/**
 * Whether a party can know something. `no`: nothing that it receives reveals it. `claimed`: the
 * thing is hidden only if a party keeps its promise. `only together with X`: the party can know it
 * if X shares its data.
 */
export type Knows = 'yes' | 'no' | 'claimed' | `only together with ${string}`

/** One row of the table "who can know what". */
export interface Knowledge {
  /** `this network`, or the kind and the name of a hop or of the resolver. */
  readonly party: string
  /** The address of this host, or of its network. */
  readonly address: Knows
  /** The names in the queries. */
  readonly names: Knows
  /** The time of a query. */
  readonly timing: Knows
  /** The sizes of queries and replies. */
  readonly sizes: Knows
}

/** The protection of the question on the whole route to the resolver. */
export type Seal = 'tls' | 'hpke' | 'dnscrypt'

/**
 * One route to a resolver, and its protection. The transports of a resolver may use several routes.
 */
export interface QueryPath {
  readonly resolver: string
  /** Who runs the resolver, if somebody named it. */
  readonly operator?: string
  readonly jurisdiction?: string
  /** The hops, the nearest first. Without hops, the resolver is dialled directly. */
  readonly hops: readonly Hop[]
  /** The transports that use this route; at least one. */
  readonly over: readonly Transport[]
  readonly seal: Seal
  /**
   * What the resolver must prove before a question is sent. `key`: that it has the pinned DNSCrypt
   * or ODoH key. `no`: nothing, so anybody on the route can pose as the resolver (RFC 8310 section
   * 5).
   */
  readonly proof: 'ca' | 'ca+spki' | 'key' | 'no'
  /**
   * Whether the key of the resolver is fetched from it without a hop. The resolver then learns the
   * address of this host. It could also give each client a different key, and recognise the queries
   * by it.
   */
  readonly keyFetchedDirectly?: true
  /** The addresses that are dialled: of the first hop; without hops, of the resolver. */
  readonly dialled: readonly string[]
}

/**
 * What the active shaping hides: nothing, the single queries of a session, or also whether a
 * session exists. With `queries`, an observer still sees when a session begins, so `timing` stays
 * 'yes'.
 */
export type Hidden = 'nothing' | 'queries' | 'sessions'

export const THIS_NETWORK = 'this network'

/** The party name of a hop. */
export function hopParty({ kind, name }: Pick<Hop, 'kind' | 'name'>): string {
  return `${kind === 'odoh-relay' || kind === 'dnscrypt-relay' ? 'relay' : 'proxy'} ${name}`
}

/** The party name of a resolver. */
export function resolverParty(id: string): string {
  return `resolver ${id}`
}

/**
 * Derives what the network, each hop and the resolver can know about a query on `path`. Pure.
 *
 * With hops, a proven resolver and a key that is not fetched directly, only the first hop gets the
 * address, and only the resolver gets the names. So the table names only these two: if both share
 * their data, they can match a query by its time, whatever the hops between them do.
 */
export function whoCanKnow(path: QueryPath, hidden: Hidden): readonly Knowledge[] {
  const { hops, over } = path
  const [first] = hops
  const resolver = resolverParty(path.resolver)
  // A peer that proves nothing can be anybody on the route.
  const open = path.proof === 'no'
  const seen = {
    timing: hidden === 'sessions' ? 'no' : 'yes',
    // Under a schedule and over DoT all records have one size if the resolver pads its replies.
    // Otherwise sizes are visible.
    sizes: hidden !== 'nothing' && over.every((transport) => TRANSPORTS[transport].evenReplies) ? 'claimed' : 'yes',
  } as const
  const ofHop = (hop: Hop, index: number): Knowledge => ({
    party: hopParty(hop),
    address: index === 0 || first === undefined ? 'yes' : together(hopParty(first)),
    names: open ? 'yes' : together(resolver),
    ...seen,
  })
  return [
    { party: THIS_NETWORK, address: 'yes', names: open ? 'yes' : 'no', ...seen },
    ...hops.map(ofHop),
    { party: resolver, address: addressAtResolver(path), names: 'yes', timing: 'yes', sizes: 'yes' },
  ]
}

function addressAtResolver({ hops: [first], keyFetchedDirectly }: QueryPath): Knows {
  if (first === undefined) return 'yes'
  return keyFetchedDirectly === true ? 'claimed' : together(hopParty(first))
}

const together = (party: string): Knows => `only together with ${party}`

/**
 * The party name of a server that is asked without encryption; for `link`: the servers that the
 * network announces.
 */
export function plainParty(server: string): string {
  return server === 'link' ? 'servers of this network' : `server ${server}`
}

/**
 * Derives what is known about a query in cleartext to `server`. A server on this host (`isLocal`)
 * may send it on in cleartext. So `claimed`: this network learns nothing as long as that server
 * does not send it on. Pure.
 */
export function whoCanKnowPlain(server: string, isLocal: boolean): readonly Knowledge[] {
  const seen: Knows = isLocal ? 'claimed' : 'yes'
  return [
    { party: THIS_NETWORK, address: 'yes', names: seen, timing: seen, sizes: seen },
    { party: plainParty(server), address: 'yes', names: 'yes', timing: 'yes', sizes: 'yes' },
  ]
}

/** A reason why one party or one operator can know both the address and the names. */
export interface Joined {
  /** The resolvers whose routes have this problem. */
  readonly resolvers: readonly string[]
  /** The reason, as a sentence without its final dot. */
  readonly why: string
}

/**
 * Finds all ways in which one operator can know both the address of this host and the names: at one
 * place, or at two places that it runs. Empty: no operator can, unless two operators cooperate, or
 * the first hop is one of `strangers`. A party without a configured operator counts as a separate
 * operator. Pure.
 */
export function joinedKnowledge(paths: readonly QueryPath[]): readonly Joined[] {
  const holders = new Map<string, { readonly name: string; readonly address: KnownAt[]; readonly names: KnownAt[] }>()
  for (const path of paths) {
    const operators = operatorsOn(path)
    for (const [i, { party, address, names }] of whoCanKnow(path, 'nothing').entries()) {
      const name = operators[i] ?? party
      const key = operatorKey(name)
      const holder = holders.get(key) ?? { name, address: [], names: [] }
      holders.set(key, holder)
      if (mayKnow(address)) holder.address.push({ path, party, knows: address })
      if (mayKnow(names)) holder.names.push({ path, party, knows: names })
    }
  }
  const all = [...holders.values()].map((holder) => ({ ...holder, both: holder.names.filter((one) => isIn(one, holder.address)) }))
  const pairs = all.flatMap(({ name, address: [addressAt], names: [namesAt], both }) =>
    addressAt === undefined || namesAt === undefined || both.length > 0
      ? []
      : [{ resolvers: idsOf([addressAt, namesAt]), why: `${name} runs ${addressAt.party} and ${namesAt.party}` }],
  )
  return [...alone(all.flatMap(({ both }) => both)), ...pairs]
}

/**
 * The first hops without a configured operator, and the resolvers behind a hop without one: the
 * same operator may run both. If the hop is a program on this host, it may connect to the resolver
 * directly instead of through its network; the resolver then gets the address. Routes over a hop
 * that isolates operators (Tor) are not counted.
 */
export function strangers(paths: readonly QueryPath[]): readonly string[] {
  const judged = paths.filter(({ hops: [first] }) => first !== undefined && first.credentials !== 'per-operator')
  const hops = judged.flatMap(({ hops: [first] }) => (first === undefined || first.operator !== undefined ? [] : [hopParty(first)]))
  const resolvers = judged.flatMap(({ resolver, operator }) => (operator === undefined ? [resolverParty(resolver)] : []))
  return [...new Set([...hops, ...resolvers])]
}

const unproven = (ids: readonly string[]) =>
  ids.length === 1
    ? `the resolver ${ids[0]} does not have to prove its identity`
    : `the resolvers ${ids.join(', ')} do not have to prove their identity`

/** A party that can know something, on one route. */
interface KnownAt {
  readonly path: QueryPath
  readonly party: string
  readonly knows: Knows
}

const mayKnow = (knows: Knows) => knows === 'yes' || knows === 'claimed'
const idsOf = (known: readonly KnownAt[]) => [...new Set(known.map(({ path }) => path.resolver))]

/** The operators of the parties, in the order of the table; undefined: not configured. */
function operatorsOn(path: QueryPath): readonly (string | undefined)[] {
  return [undefined, ...path.hops.map(({ operator }) => operator), path.operator]
}

/** The parties that can know both by themselves, with the cause. */
function alone(known: readonly KnownAt[]): readonly Joined[] {
  const open = known.filter(({ path }) => path.proof === 'no')
  const proven = known.filter(({ path }) => path.proof !== 'no')
  const direct = proven.filter(({ path }) => path.hops.length === 0)
  const claimed = proven.filter(({ path }) => path.hops.length > 0)
  const over = ({ path }: KnownAt) => `${path.resolver} over ${path.over.map((one) => TRANSPORTS[one].label).join(', ')}`
  const joined = (known: readonly KnownAt[], why: string) => (known.length === 0 ? [] : [{ resolvers: idsOf(known), why }])
  return [
    ...joined(open, `${unproven(idsOf(open))} (usageProfile is opportunistic)`),
    ...joined(direct, `no hop on the route to ${direct.map(over).join('; ')}`),
    ...joined(claimed, `the key of ${idsOf(claimed).join(', ')} is fetched from it without a hop`),
  ]
}

const isIn = (one: KnownAt, all: readonly KnownAt[]) => all.some(({ path, party }) => path === one.path && party === one.party)

/**
 * Finds two parties of a path with the same `what`; otherwise the parties for which it is not
 * configured. `why` is a sentence without its final dot. Undefined: all differ, or
 * there is no hop.
 */
export function sameOnPath(
  path: QueryPath,
  what: 'operator' | 'jurisdiction',
): { readonly is: 'same' | 'unknown'; readonly why: string } | undefined {
  const parties = [
    ...path.hops.map((hop) => ({ party: hopParty(hop), value: hop[what] })),
    { party: resolverParty(path.resolver), value: path[what] },
  ]
  if (parties.length === 1) return undefined
  for (const [i, { party, value }] of parties.entries()) {
    const other = parties.slice(i + 1).find((one) => value !== undefined && equal(one.value, value))
    if (other !== undefined) return { is: 'same', why: `${party} and ${other.party} have the same ${what} (${value})` }
  }
  const silent = parties.filter(({ value }) => value === undefined).map(({ party }) => party)
  return silent.length === 0 ? undefined : { is: 'unknown', why: `the ${what} of ${silent.join(', ')} is not configured` }
}

/** Jurisdictions are normalised like operators. */
const equal = (a: string | undefined, b: string) => a !== undefined && operatorKey(a) === operatorKey(b)

/** How names are divided among resolvers: the setting `split`. */
export type Split = 'none' | 'by-site' | 'rotate'

/**
 * The largest share of sites whose names one operator learns, from 0 to 1; 0: there is no operator.
 * `operatorSets`: one list of operators for clients without a view, and one for each view with its
 * own `use`. Only `by-site` limits the share, to about 1/N of N operators. With `none`, one
 * operator may get every name. With `rotate`, every operator gets every site in time.
 */
export function largestShare(operatorSets: readonly (readonly string[])[], split: Split): number {
  const counts = operatorSets.map((operators) => new Set(operators.map(operatorKey)).size).filter((count) => count > 0)
  if (counts.length === 0) return 0
  return split === 'by-site' ? 1 / Math.min(...counts) : 1
}
