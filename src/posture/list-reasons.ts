import { type Reason, reason } from './reasons.ts'
import type { VerdictInput } from './verdict.ts'

/** The reasons about signed lists of resolvers: changes, and lists that were refused. */
export function sourceReasons(seen: VerdictInput['sources']): readonly Reason[] {
  return (seen?.sources ?? [])
    .slice(0, 4)
    .flatMap(({ id, why, changes }) => [
      ...(changes.length === 0 ? [] : [reason('list-changes', { list: id, ...byEffect(changes) })]),
      ...(why === undefined ? [] : [reason('list-refused', { list: id, why })]),
    ])
}

type SeenChanges = NonNullable<VerdictInput['sources']>['sources'][number]['changes']

/** The ids of resolvers whose changes wait for a person (`ids`), and of those in force. */
function byEffect(changes: SeenChanges): { readonly ids: readonly string[]; readonly applied: readonly string[] } {
  const ids = (inForce: boolean) => [...new Set(changes.filter(({ applied = false }) => applied === inForce).map(({ id }) => id))]
  return { ids: ids(false), applied: ids(true) }
}

/** The reasons about lists of names: those that are missing, and those that are old. */
export function listReasons(faults: VerdictInput['listFaults']): readonly Reason[] {
  const of = (missing: boolean) => faults.filter((fault) => fault.missing === missing)
  return [
    ...(of(true).length === 0 ? [] : [reason('list-missing', of(true))]),
    ...(of(false).length === 0 ? [] : [reason('list-outdated', of(false))]),
  ]
}
