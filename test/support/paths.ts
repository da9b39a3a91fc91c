import type { Hop, HopKind } from '../../src/route.ts'
import type { QueryPath } from '../../src/who-knows.ts'

/** A hop for tests, on a documentation address. */
export function hop(kind: HopKind, name: string, over: Partial<Hop> = {}): Hop {
  return { kind, name, host: '192.0.2.1', port: 1080, protection: { by: 'none' }, credentials: 'none', ...over }
}

/** TLS to a proxy, proved by its certificate. */
export const OVER_TLS = { by: 'tls', authenticated: 'ca', authenticationDomainName: 'proxy.example' } as const

/** A route for tests, to the resolver `a` over DoT. */
export function path(hops: readonly Hop[] = [], over: Partial<QueryPath> = {}): QueryPath {
  const dialled = [hops[0]?.host ?? '192.0.2.53']
  return { resolver: 'a', operator: 'Operator A', hops, over: ['dot'], seal: 'tls', proof: 'ca', dialled, ...over }
}
