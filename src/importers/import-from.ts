import type { TrustedResolver } from '../config/trusted-set.ts'
import { EnigmError } from '../errors.ts'
import { fromAdguardHome } from './adguardhome.ts'
import { fromDnscryptProxy, type ReadBeside } from './dnscrypt-proxy.ts'
import { Draft, type Imported } from './draft.ts'
import { fromPihole } from './pihole.ts'
import { fromUnbound } from './unbound.ts'

/** The programs whose configurations can be read. */
export const SOURCES = ['dnscrypt-proxy', 'adguardhome', 'pihole', 'unbound'] as const
export type ImportSource = (typeof SOURCES)[number]

const READERS: Readonly<Record<ImportSource, (draft: Draft, beside: ReadBeside) => void>> = {
  'dnscrypt-proxy': fromDnscryptProxy,
  adguardhome: fromAdguardHome,
  pihole: fromPihole,
  unbound: fromUnbound,
}

const NAMES: Readonly<Record<ImportSource, string>> = {
  'dnscrypt-proxy': 'dnscrypt-proxy',
  adguardhome: 'AdGuard Home',
  pihole: 'Pi-hole',
  unbound: 'Unbound',
}

/** The inputs of an import besides the text. */
export interface ImportMeans {
  readonly shipped: readonly TrustedResolver[]
  /** Whether files may be written beside the configuration. */
  readonly withFiles: boolean
  readonly beside: ReadBeside
}

const NO_SETTING = 'the file has no setting'

/**
 * Converts the configuration of another program, and gives the outcome of each line. Throws an
 * EnigmError `config` if the text has no setting, another format, or the settings of another
 * program.
 */
export function importFrom(source: ImportSource, text: string, { shipped, withFiles, beside }: ImportMeans): Imported {
  const draft = new Draft(text, shipped, withFiles)
  const comment = source === 'adguardhome' || source === 'unbound' || source === 'pihole' ? /^\s*(#.*|---\s*)?$/ : /^\s*(#.*)?$/
  const isSilent = (line: string) => comment.test(line)
  if (draft.lines.every(isSilent)) throw new EnigmError('config', NO_SETTING)
  READERS[source](draft, beside)
  const imported = draft.finish(isSilent)
  if (draft.report.kind === 'empty') throw new EnigmError('config', NO_SETTING)
  if (draft.report.kind === 'own') return imported
  const why = `this does not look like a configuration of ${NAMES[source]}: its settings are not known`
  throw new EnigmError('config', `${why}; name its program with --from`)
}
