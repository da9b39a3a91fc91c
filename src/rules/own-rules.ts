import type { Dns64Settings } from '../config/dns64.ts'
import type { HostsFile } from '../config/hosts-file.ts'
import type { OwnAnswer } from '../config/own-answers.ts'
import { TYPE } from '../dns/records.ts'
import { EnigmError } from '../errors.ts'
import type { Stage } from '../job.ts'
import { type Question, type View, viewNumber } from '../resolve.ts'
import { Dns64 } from './dns64.ts'
import { contradictsOwn, type OwnNamesOf, ownAnswers, ownVerdict } from './own-answers.ts'
import { OwnNames } from './own-names.ts'

/** The configured names in force, and the stage that answers them. */
export interface OwnRules {
  readonly stage: Stage
  /** The table of configured names for the clients of a view. */
  readonly namesOf: OwnNamesOf
  /** Whether `stage` may answer a question itself. */
  mayAnswer(question: Question, view: View): boolean
  /** Replaces the hosts files. */
  adoptHosts(hosts: readonly HostsFile[]): void
  /** Whether the configured names now contradict a cached answer of a resolver. */
  contradicts(wire: Uint8Array, view: number): boolean
}

/** The settings that configure names. */
interface OwnSettings {
  readonly answers: readonly OwnAnswer[]
  /** A view with `answers` does not use the answers for all clients. */
  readonly views: readonly { readonly answers?: readonly OwnAnswer[] }[]
  readonly dns64?: Dns64Settings | undefined
}

/** Compiles the configured names of all views. Hosts files apply to the clients of every view. */
export function createOwnRules({ answers, views, dns64 }: OwnSettings, hosts: readonly HostsFile[]): OwnRules {
  /** Makes the tables, by the number of the view. Views without `answers` share one table. */
  const tables = (files: readonly HostsFile[]): readonly OwnNames[] => {
    const everybodys = new OwnNames(answers, files)
    return [everybodys, ...views.map((view) => (view.answers === undefined ? everybodys : new OwnNames(view.answers, files)))]
  }
  let names = tables(hosts)
  const namesOf: OwnNamesOf = (view) => at(names, view)
  return {
    stage: ownAnswers(namesOf, dns64 === undefined ? undefined : new Dns64(dns64)),
    namesOf,
    mayAnswer: (question, view) =>
      ownVerdict(namesOf(view), question) !== undefined ||
      (dns64 !== undefined && (question.type === TYPE.PTR || question.type === TYPE.AAAA)),
    adoptHosts(next) {
      names = tables(next)
    },
    contradicts(wire, view) {
      const table = names[viewNumber(view)]
      return table === undefined || contradictsOwn(table, wire)
    },
  }
}

/**
 * The table of a view. Throws an EnigmError `internal` if there is none, as for a view of an
 * earlier configuration.
 */
function at(names: readonly OwnNames[], view: number): OwnNames {
  const found = names[viewNumber(view)]
  if (found === undefined) throw new EnigmError('internal', 'a view without own names')
  return found
}
