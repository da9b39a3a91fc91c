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

/** The names that are answered here, in force. */
export interface OwnRules {
  readonly stage: Stage
  /** The names that are written for the clients of a view. */
  readonly namesOf: OwnNamesOf
  /** Whether `stage` may answer a question itself. */
  mayAnswer(question: Question, view: View): boolean
  /** Replaces the hosts files. */
  adoptHosts(hosts: readonly HostsFile[]): void
  /** Whether something is written now for the question of a message that a resolver answered. */
  contradicts(wire: Uint8Array, view: number): boolean
}

/** What a configuration writes. */
interface OwnSettings {
  readonly answers: readonly OwnAnswer[]
  /** The answers of a view come instead of those for all clients. */
  readonly views: readonly { readonly answers?: readonly OwnAnswer[] }[]
  readonly dns64?: Dns64Settings | undefined
}

/** Compiles the own names of a configuration. Hosts files are for the clients of every view. */
export function createOwnRules({ answers, views, dns64 }: OwnSettings, hosts: readonly HostsFile[]): OwnRules {
  /** By the number of the view; views without answers of their own share one table. */
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

/** Every view of a configuration has a table; a view of an earlier one has none here. */
function at(names: readonly OwnNames[], view: number): OwnNames {
  const found = names[viewNumber(view)]
  if (found === undefined) throw new EnigmError('internal', 'a view without own names')
  return found
}
