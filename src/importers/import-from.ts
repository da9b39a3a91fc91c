import type { TrustedResolver } from '../config/trusted-set.ts'
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

/** The inputs of an import besides the text. */
export interface ImportMeans {
  readonly shipped: readonly TrustedResolver[]
  /** Whether files may be written beside the configuration. */
  readonly withFiles: boolean
  readonly beside: ReadBeside
}

/**
 * Converts the configuration of another program, and gives the outcome of each line. Throws an
 * EnigmError `config` if the text has another format.
 */
export function importFrom(source: ImportSource, text: string, { shipped, withFiles, beside }: ImportMeans): Imported {
  const draft = new Draft(text, shipped, withFiles)
  READERS[source](draft, beside)
  const comment = source === 'adguardhome' || source === 'unbound' || source === 'pihole' ? /^\s*(#.*|---\s*)?$/ : /^\s*(#.*)?$/
  return draft.finish((line) => comment.test(line))
}
