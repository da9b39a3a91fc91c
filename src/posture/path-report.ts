import { isLoopback } from '../config/cidr.ts'
import { parseListen } from '../config/listen-address.ts'
import { HOP_KINDS, type Hop } from '../route.ts'
import { type Hidden, hopParty, largestShare, type QueryPath, resolverParty, whoCanKnow, whoCanKnowPlain } from '../who-knows.ts'
import type { StatusDocument } from './document.ts'
import type { State } from './state.ts'
import type { ShapingForce } from './verdict.ts'

type PathReport = NonNullable<StatusDocument['paths']>[number]

/**
 * The routes to the resolvers, and those to the servers that are asked without encryption, as the
 * document shows them. Pure.
 */
export function pathsReport({ setup }: Pick<State, 'setup'>, force: ShapingForce): PathReport[] {
  const hidden = hiddenBy(setup, force)
  const share = largestShare(
    setup.generalSides.map((ids) =>
      setup.resolvers.filter(({ id }) => ids.includes(id)).map(({ unnamed, operator }) => unnamed ?? operator),
    ),
    setup.split,
  )
  return [...setup.paths.map((path) => pathReport(path, hidden, share)), ...plainReports(setup.splitDns)]
}

/** The routes without encryption, one for each server, with its zones. */
function plainReports(splitDns: State['setup']['splitDns']): readonly PathReport[] {
  const zonesOf = new Map<string, string[]>()
  for (const { zone, server } of splitDns) zonesOf.set(server, [...(zonesOf.get(server) ?? []), zone])
  return [...zonesOf].map(([server, zones]) => ({
    resolver: server,
    zones,
    over: [],
    route: [],
    seal: { by: 'nothing', authenticated: 'no' },
    share: 1,
    knows: [...whoCanKnowPlain(server, isLoopback(parseListen(server)?.address ?? ''))],
  }))
}

/** What the shaping profile hides. A profile that is not in force hides nothing. */
function hiddenBy({ paced, shaping }: State['setup'], { inForce }: ShapingForce): Hidden {
  if (!paced || inForce !== 'yes') return 'nothing'
  return shaping.profile === 'always-on' ? 'sessions' : 'queries'
}

function pathReport(path: QueryPath, hidden: Hidden, share: number): PathReport {
  return {
    resolver: path.resolver,
    over: [...path.over],
    route: path.hops.map(hopReport),
    seal: { by: path.seal, authenticated: path.proof },
    share: Math.round(share * 100) / 100,
    knows: whoCanKnow(path, hidden).map((row) => ({ ...row })),
  }
}

function hopReport({ name, kind, operator, protection, credentials, host }: Hop): PathReport['route'][number] {
  return {
    name,
    type: kind,
    ...(operator === undefined ? {} : { operator }),
    protectedBy: protection.by,
    authenticated: protection.by === 'tls' ? protection.authenticated : 'no',
    ...(credentials === 'per-operator' ? { isolated: 'operator' as const } : {}),
    ...(isLoopback(host) ? { onThisHost: true } : {}),
  }
}

/** Routes whose tables are equal except for the name of the resolver. */
export interface PathGroup {
  /** The resolvers, each with its transports. */
  readonly resolvers: readonly { readonly id: string; readonly over: readonly string[] }[]
  /** The first route. Its table is valid for all of them. */
  readonly path: PathReport
}

/** Groups the paths of a document by equal tables, in their order. */
export function groupedPaths(paths: readonly PathReport[]): readonly PathGroup[] {
  const groups = new Map<string, { resolvers: { id: string; over: readonly string[] }[]; path: PathReport }>()
  for (const path of paths) {
    const { resolver, over, ...rest } = path
    const key = JSON.stringify(rest).replaceAll(JSON.stringify(resolverParty(resolver)).slice(1, -1), THE_RESOLVER)
    const group = groups.get(key) ?? { resolvers: [], path }
    groups.set(key, group)
    group.resolvers.push({ id: resolver, over })
  }
  return [...groups.values()]
}

const THE_RESOLVER = 'the resolver'

/** The text of a party or a cell, for a group of several resolvers. */
export function partyIn({ resolvers, path }: PathGroup, text: string): string {
  const own = resolverParty(path.resolver)
  return resolvers.length > 1 && text.endsWith(own) ? `${text.slice(0, -own.length)}${THE_RESOLVER}` : text
}

/** The zones that a group sends unencrypted, and to which server. Undefined: a trusted resolver. */
export function plainText({ path: { zones, resolver } }: PathGroup): string | undefined {
  if (zones === undefined) return undefined
  return `${zones.join(', ')} unencrypted to ${resolver === 'link' ? 'the servers of this network' : resolver}`
}

/** Sentences about what protects the connection to each hop, and what protects the question. */
export function protectionTexts({ route, seal }: PathReport): readonly string[] {
  const hops = route.map((hop, i) => {
    const facts = [
      hop.protectedBy === 'tls' ? `TLS, proved by ${PROOFS[hop.authenticated]}` : 'not encrypted by itself, and nobody is authenticated',
      ...(hop.operator === undefined ? [] : [`run by ${hop.operator}`]),
      ...(hop.isolated === undefined ? [] : ['other credentials for each operator']),
      ...(hop.onThisHost === true ? ['a program on this host: what lies behind it is not seen'] : []),
    ]
    return `hop ${i + 1}, ${hopParty({ kind: hop.type, name: hop.name })} (${HOP_KINDS[hop.type].label}): ${facts.join('; ')}`
  })
  return [...hops, `the question: ${SEALS[seal.by]}, proved by ${PROOFS[seal.authenticated]}`]
}

const SEALS = {
  tls: 'TLS to the resolver',
  hpke: 'encrypted for the resolver alone (HPKE)',
  dnscrypt: 'encrypted for the resolver alone (DNSCrypt)',
  nothing: 'not encrypted',
} as const
const PROOFS = { ca: 'its certificate', 'ca+spki': 'its certificate and a pin', key: 'its key', no: 'nothing' } as const
