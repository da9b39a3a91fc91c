import * as v from 'valibot'
import { TRANSPORT_NAMES } from '../transports.ts'
import { closed, described, distinct, integer, text, yesNo } from './fields.ts'
import { operatorKeys } from './operators.ts'
import { counted } from './problems.ts'
import { type TrustedResolver, transportName } from './trusted-set.ts'

const ids = distinct(
  text(63),
  1000,
  1,
  undefined,
  'names no resolver, so no name could be resolved; name one, or delete the line to use every enabled one',
)

/** The criteria for a resolver: what it states about itself (claims), and what it offers. */
const query = closed({
  dnssec: v.exactOptional(described('What it must state about DNSSEC validation.', yesNo)),
  logging: v.exactOptional(described('What it must state about records that identify a client.', yesNo)),
  ecs: v.exactOptional(described("What it must state about forwarding a part of the client's address (RFC 7871).", yesNo)),
  filtering: v.exactOptional(described('What it must state about filtering, as in "none".', text(64))),
  transports: v.exactOptional(described('It must offer one of these.', distinct(transportName, TRANSPORT_NAMES.length))),
  jurisdictions: v.exactOptional(described('Its jurisdiction must be one of these.', distinct(text(64), 1000))),
  operators: v.exactOptional(
    described(
      'How many different operators are used: the first ones of the set that match. Entries without "operator" that share a name, an address or a key count as one. Absent: all that match.',
      integer(1, 1000),
    ),
  ),
  disabled: v.exactOptional(described('Whether entries that are not enabled may be chosen too.', yesNo)),
})

/** A choice of resolvers by their claims and offers. */
export type UseQuery = v.InferOutput<typeof query>

const either = v.union([ids, query])

/** The setting `use`: ids, or a query. Each form has its own messages. */
export const useSchema = {
  ...either,
  '~run': ((dataset, config) => {
    const isQuery = typeof dataset.value === 'object' && dataset.value !== null && !Array.isArray(dataset.value)
    return (isQuery ? query : ids)['~run'](dataset, config)
  }) as (typeof either)['~run'],
}

const UNNAMED = 'entries without "operator" that share a name, an address or a key count as one'

/** The test for each key of the query. */
const CRITERIA: Readonly<Record<string, (resolver: TrustedResolver, query: UseQuery) => boolean>> = {
  enabled: ({ enabled }, { disabled }) => enabled || disabled === true,
  dnssec: ({ claims }, { dnssec }) => dnssec === undefined || claims.dnssec === dnssec,
  logging: ({ claims }, { logging }) => logging === undefined || claims.logging === logging,
  ecs: ({ claims }, { ecs }) => ecs === undefined || claims.ecs === ecs,
  filtering: ({ claims }, { filtering }) => filtering === undefined || claims.filtering?.toLowerCase() === filtering.toLowerCase(),
  transports: (resolver, { transports }) => transports === undefined || transports.some((name) => resolver.transports[name] !== undefined),
  jurisdictions: ({ jurisdiction = '' }, { jurisdictions }) => jurisdictions === undefined || jurisdictions.includes(jurisdiction),
  address: ({ addresses, transports }) => addresses.length > 0 || 'odoh' in transports,
}

/**
 * The resolvers that a query chooses, in the order of the set. If there are too few, a clause that
 * says why.
 */
export function chosenBy(
  query: UseQuery,
  resolvers: readonly TrustedResolver[],
): { readonly chosen: readonly TrustedResolver[]; readonly problem?: string } {
  const failing = (resolver: TrustedResolver) => Object.keys(CRITERIA).filter((name) => CRITERIA[name]?.(resolver, query) !== true)
  const matching = resolvers.filter((resolver) => failing(resolver).length === 0)
  const keys = operatorKeys(resolvers)
  const operatorOf = ({ id }: TrustedResolver) => keys.get(id) ?? id
  const operators = [...new Set(matching.map(operatorOf))]
  const wanted = query.operators ?? 1
  if (operators.length >= wanted) {
    const taken = new Set(query.operators === undefined ? operators : operators.slice(0, wanted))
    return { chosen: matching.filter((resolver) => taken.has(operatorOf(resolver))) }
  }
  const lacks = Object.keys(CRITERIA).flatMap((name) => {
    const only = resolvers.filter((resolver) => failing(resolver).join() === name).length
    return only === 0 ? [] : [`${only} more would match without ${name === 'enabled' ? '"enabled": false in the set' : `"${name}"`}`]
  })
  const found = operators.length === 0 ? 'no resolver of the set matches' : `${operators.length} of ${counted(wanted, 'operator')} match`
  const unnamed = matching.filter(({ operator }) => operator === undefined).map(operatorOf)
  const one = new Set(unnamed).size < unnamed.length ? [UNNAMED] : []
  return { chosen: matching, problem: [found, ...lacks, ...one].join('; ') }
}
