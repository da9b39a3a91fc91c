import { type Hop, operatorKey } from './route.ts'
import { TRANSPORTS, type Transport } from './transports.ts'

/**
 * What each party on the route to a resolver can know about a query. It is derived from the route
 * alone: from what each party is given, and never from what a party says about itself.
 */

/**
 * Whether a party can know something. `no`: it is given nothing that says it, whatever it does.
 * `claimed`: it depends on what a party says about itself. `only together with X`: it needs what X
 * is given as well.
 */
export type Cell = 'yes' | 'no' | 'claimed' | `only together with ${string}`

/** One row of the table "who can know what". */
export interface Knowledge {
  /** `this network`, or the kind and the name of a hop or of the resolver. */
  readonly party: string
  /** The address of this host, or that of the network that it is in. */
  readonly address: Cell
  /** The names that are asked for. */
  readonly names: Cell
  /** When something is asked. */
  readonly timing: Cell
  /** The sizes of queries and replies. */
  readonly sizes: Cell
}

/** How the question itself is protected on the whole route to the resolver. */
export type Seal = 'tls' | 'hpke' | 'dnscrypt'

/** One route to a resolver, and what protects it. The transports of a resolver may take several. */
export interface QueryPath {
  readonly resolver: string
  readonly operator: string
  readonly jurisdiction?: string
  /** The hops, the nearest first; none: it is dialled directly. */
  readonly hops: readonly Hop[]
  /** The transports that take this route; at least one. */
  readonly over: readonly Transport[]
  readonly seal: Seal
  /**
   * What the end of the seal must prove before a question is sent. `no`: nothing, so anybody on the
   * route can pose as the resolver (RFC 8310 section 5).
   */
  readonly proof: 'ca' | 'ca+spki' | 'key' | 'no'
  /**
   * The key of the resolver is fetched from it without a hop. It then learns the address, and could
   * give each client a key of its own, by which it recognizes the queries (RFC 9230 section 12.1).
   */
  readonly keyFetchedDirectly?: true
  /** The addresses that are dialled: those of the first hop, or of the resolver itself. */
  readonly dialled: readonly string[]
}

/** What the shaping in force hides: nothing, the queries of a session, or also that one exists. */
export type Hidden = 'nothing' | 'queries' | 'sessions'

export const THIS_NETWORK = 'this network'

/** The name of a hop as a party. */
export function hopParty({ kind, name }: Pick<Hop, 'kind' | 'name'>): string {
  return `${kind === 'odoh-relay' || kind === 'dnscrypt-relay' ? 'relay' : 'proxy'} ${name}`
}

/** The name of a resolver as a party. */
export function resolverParty(id: string): string {
  return `resolver ${id}`
}

/**
 * Who can know what of a query that takes `path`: this network, each hop, the resolver. Pure.
 *
 * The first hop gives away the address of this host, and the resolver the names: a party that wants
 * both needs one of them. Hops between them do not help against two that compare times, so none of
 * them is named as needed.
 */
export function whoCanKnow(path: QueryPath, hidden: Hidden): readonly Knowledge[] {
  const { hops, over } = path
  const [first] = hops
  const resolver = resolverParty(path.resolver)
  // A peer that proves nothing may be anybody on the route.
  const open = path.proof === 'no'
  const seen = {
    timing: hidden === 'sessions' ? 'no' : 'yes',
    // The sizes of queries are ours; those of replies are equal only if the resolver pads them.
    sizes: hidden !== 'nothing' && over.every((transport) => TRANSPORTS[transport].evenReplies) ? 'claimed' : 'yes',
  } as const
  const ofHop = (hop: Hop, place: number): Knowledge => ({
    party: hopParty(hop),
    address: place === 0 || first === undefined ? 'yes' : together(hopParty(first)),
    names: open ? 'yes' : together(resolver),
    ...seen,
  })
  return [
    { party: THIS_NETWORK, address: 'yes', names: open ? 'yes' : 'no', ...seen },
    ...hops.map(ofHop),
    { party: resolver, address: addressAtResolver(path), names: 'yes', timing: 'yes', sizes: 'yes' },
  ]
}

function addressAtResolver({ hops: [first], keyFetchedDirectly }: QueryPath): Cell {
  if (first === undefined) return 'yes'
  return keyFetchedDirectly === true ? 'claimed' : together(hopParty(first))
}

const together = (party: string): Cell => `only together with ${party}`

/** A reason why one party, or one operator, may know both the address and the names. */
export interface Joined {
  /** The resolvers on whose route this is so. */
  readonly resolvers: readonly string[]
  /** The reason, in a sentence without its final dot. */
  readonly why: string
}

/**
 * Every way in which a single operator may know the address of this host and the names: alone, or
 * by what it is given at two places. Empty: none can, unless two operators work together, or the
 * first hop is one of `strangers`. An operator that is not named counts as one of its own. Pure.
 */
export function joinedKnowledge(paths: readonly QueryPath[]): readonly Joined[] {
  const holders = new Map<string, { readonly name: string; readonly address: Place[]; readonly names: Place[] }>()
  for (const path of paths) {
    const operators = operatorsOn(path)
    for (const [i, { party, address, names }] of whoCanKnow(path, 'nothing').entries()) {
      const name = operators[i] ?? party
      const key = operatorKey(name)
      const holder = holders.get(key) ?? { name, address: [], names: [] }
      holders.set(key, holder)
      if (mayKnow(address)) holder.address.push({ path, party, cell: address })
      if (mayKnow(names)) holder.names.push({ path, party, cell: names })
    }
  }
  const all = [...holders.values()].map((holder) => ({ ...holder, both: holder.names.filter((place) => isIn(place, holder.address)) }))
  const pairs = all.flatMap(({ name, address: [at], names: [read], both }) =>
    at === undefined || read === undefined || both.length > 0
      ? []
      : [{ resolvers: idsOf([at, read]), why: `${name} runs ${at.party} and ${read.party}` }],
  )
  return [...alone(all.flatMap(({ both }) => both)), ...pairs]
}

/**
 * The first hops of which nobody says who runs them: that may be the operator of the resolver, and
 * a program on this host may connect directly. One that keeps operators apart (Tor) is meant to be
 * of another operator.
 */
export function strangers(paths: readonly QueryPath[]): readonly string[] {
  const first = paths.flatMap(({ hops }) => hops.slice(0, 1))
  const unknown = first.filter(({ operator, credentials }) => operator === undefined && credentials !== 'per-operator')
  return [...new Set(unknown.map(hopParty))]
}

interface Place {
  readonly path: QueryPath
  readonly party: string
  readonly cell: Cell
}

const mayKnow = (cell: Cell) => cell === 'yes' || cell === 'claimed'
const idsOf = (places: readonly Place[]) => [...new Set(places.map(({ path }) => path.resolver))]

/** The operators of the parties in the order of the table; undefined: not named. */
function operatorsOn(path: QueryPath): readonly (string | undefined)[] {
  return [undefined, ...path.hops.map(({ operator }) => operator), path.operator]
}

/** The parties that may know both by themselves, by the cause. */
function alone(places: readonly Place[]): readonly Joined[] {
  const open = places.filter(({ path }) => path.proof === 'no')
  const proven = places.filter(({ path }) => path.proof !== 'no')
  const direct = proven.filter(({ path }) => path.hops.length === 0)
  const claimed = proven.filter(({ path }) => path.hops.length > 0)
  const over = ({ path }: Place) => `${path.resolver} over ${path.over.map((one) => TRANSPORTS[one].label).join(', ')}`
  const joined = (of: readonly Place[], why: string) => (of.length === 0 ? [] : [{ resolvers: idsOf(of), why }])
  return [
    ...joined(open, `nobody on the route to ${idsOf(open).join(', ')} need prove its identity (usageProfile is opportunistic)`),
    ...joined(direct, `no hop on the route to ${direct.map(over).join('; ')}`),
    ...joined(claimed, `the key of ${idsOf(claimed).join(', ')} is fetched from it without a hop`),
  ]
}

const isIn = (place: Place, places: readonly Place[]) => places.some(({ path, party }) => path === place.path && party === place.party)

/**
 * The hops and the resolver of one path that have the same operator (or `jurisdiction`), as a
 * sentence without its final dot, or those that do not say theirs. Undefined: all differ.
 */
export function sameOnPath(
  path: QueryPath,
  what: 'operator' | 'jurisdiction',
): { readonly is: 'same' | 'unknown'; readonly why: string } | undefined {
  const parties = [
    ...path.hops.map((hop) => ({ party: hopParty(hop), of: hop[what] })),
    { party: resolverParty(path.resolver), of: path[what] },
  ]
  if (parties.length === 1) return undefined
  for (const [i, { party, of }] of parties.entries()) {
    const other = parties.slice(i + 1).find((one) => of !== undefined && equal(one.of, of))
    if (other !== undefined) return { is: 'same', why: `${party} and ${other.party} have the same ${what} (${of})` }
  }
  const silent = parties.filter(({ of }) => of === undefined).map(({ party }) => party)
  return silent.length === 0 ? undefined : { is: 'unknown', why: `the ${what} of ${silent.join(', ')} is not configured` }
}

/** Jurisdictions are compared like operators. */
const equal = (a: string | undefined, b: string) => a !== undefined && operatorKey(a) === operatorKey(b)

/** How names are divided among resolvers: the setting `split`. */
export type Split = 'none' | 'by-site' | 'rotate'

/**
 * The largest share of sites whose names one operator learns, from 0 to 1. `sides`: the operators
 * that get general names, those of everybody and of each view that has its own. Only `by-site`
 * limits the share: without a division any operator may get every name, and one that changes by the
 * day shows every operator every site in time. 0: there is no operator.
 */
export function largestShare(sides: readonly (readonly string[])[], split: Split): number {
  const counts = sides.map((operators) => new Set(operators.map(operatorKey)).size).filter((count) => count > 0)
  if (counts.length === 0) return 0
  return split === 'by-site' ? 1 / Math.min(...counts) : 1
}
