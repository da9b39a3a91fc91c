import { join } from 'node:path'
import type { Random } from '../clock.ts'
import type { Loaded } from '../config/load.ts'
import { KeptCopies } from '../fetcher/kept-copies.ts'
import { buildLists, EMPTY, type ListReport } from '../rules/list-build.ts'
import { SKIP_REASONS } from '../rules/list-kinds.ts'
import { specOf } from './list-sources.ts'

/** The result of reading all lists of a configuration. */
export interface ListsCheck {
  /** One sentence for each list that cannot be used. */
  readonly refused: readonly string[]
  /**
   * One sentence for each list that was never fetched or is empty, and one for each reason why
   * lines are not used.
   */
  readonly warned: readonly string[]
  readonly reports: readonly ListReport[]
}

/** Reads all lists as `run` does at its start. Fetches nothing. */
export function checkLists({ config }: Loaded, random: Random): ListsCheck {
  if (config.lists.length === 0) return { refused: [], warned: [], reports: [] }
  const copies = new KeptCopies(join(config.stateDir, 'lists'))
  const specs = config.lists.flatMap((list) => specOf(list, copies) ?? [])
  const missing = config.lists.filter(({ id }) => !specs.some((spec) => spec.id === id))
  const warned = missing.map(({ id }) => `the list "${id}" has not been fetched yet; a running service fetches it`)
  const built = buildLists(specs, random.bytes(8))
  if ('faults' in built) {
    const refused = built.faults.map(({ id, message }) => `the list "${id}" cannot be used: ${message}`)
    return { refused, warned, reports: [] }
  }
  return { refused: [], warned: [...warned, ...built.reports.flatMap(skippedText)], reports: built.reports }
}

/** One sentence for each reason why lines are not used, and one for an empty list. */
function skippedText({ id, rules, skipped }: ListReport): readonly string[] {
  if (rules === 0 && skipped.length === 0) return [`the list "${id}" has no effect: ${EMPTY}`]
  return skipped.map(({ reason, detail, count, line }) => {
    const modifier = detail === undefined ? '' : ` (${detail})`
    const what = count === 1 ? `line ${line} is not used: lines like it` : `${count} lines are not used, the first is line ${line}: they`
    return `the list "${id}": ${what} ${SKIP_REASONS[reason]}${modifier}`
  })
}
