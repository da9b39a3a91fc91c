import type { Dns64Settings } from '../config/dns64.ts'
import type { HostsFile } from '../config/hosts-file.ts'
import type { OwnAnswer } from '../config/own-answers.ts'
import type { Stage } from '../job.ts'
import { Dns64 } from './dns64.ts'
import { ownAnswers } from './own-answers.ts'
import { OwnNames } from './own-names.ts'

/** The names that are answered here, in force. */
export interface OwnRules {
  readonly stage: Stage
  readonly names: OwnNames
  /** Replaces the hosts files. Returns whether what is written for a name differs from before. */
  adoptHosts(hosts: readonly HostsFile[]): (name: Uint8Array) => boolean
}

/** Compiles the own names of a configuration. */
export function createOwnRules(
  { answers, dns64 }: { readonly answers: readonly OwnAnswer[]; readonly dns64?: Dns64Settings | undefined },
  hosts: readonly HostsFile[],
): OwnRules {
  let names = new OwnNames(answers, hosts)
  return {
    stage: ownAnswers(() => names, dns64 === undefined ? undefined : new Dns64(dns64)),
    get names() {
      return names
    },
    adoptHosts(next) {
      const before = names
      names = new OwnNames(answers, next)
      return (name) => !before.saysTheSame(names, name)
    },
  }
}
