import { resolve } from 'node:path'
import { asRecord, type CollectProblem, type SetReading } from './documents.ts'
import { defaultStateDir } from './paths.ts'
import type { SignedPolicy } from './policy-from.ts'
import type { Config, ConfigFile } from './settings.ts'
import type { AppliedChange, NewList } from './source-lists.ts'

/**
 * The signed parts of a configuration. Each module is imported only if its part is configured.
 */

/** The settings of signed parts, with absolute paths. */
export type SignedParts = Pick<Config, 'stateDir' | 'updates' | 'sources' | 'policyFrom'>

/** The settings of signed parts, with paths that are relative to `base` made absolute. */
export function withAbsolutePaths({ stateDir, sources, policyFrom, updates }: ConfigFile, base: string): SignedParts {
  const at = (file: string) => resolve(base, file)
  return {
    stateDir: stateDir === undefined ? defaultStateDir() : at(stateDir),
    updates,
    ...(policyFrom === undefined ? {} : { policyFrom: { ...policyFrom, file: at(policyFrom.file) } }),
    ...(sources === undefined ? {} : { sources: sources.map((one) => (one.file === undefined ? one : { ...one, file: at(one.file) })) }),
  }
}

/**
 * The policy of `policyFrom`. Undefined: there is none, or it has problems, which are collected.
 */
export async function signedPolicyOf({ policyFrom, stateDir }: SignedParts, collect: CollectProblem): Promise<SignedPolicy | undefined> {
  if (policyFrom === undefined) return undefined
  const { signedPolicy } = await import('./policy-from.ts')
  return signedPolicy(policyFrom, stateDir, collect)
}

/** The files that hold rules: that of the configuration, and the signed policy, if there is one. */
export function policyFiles(file: string, { policyFrom }: SignedParts, signed: SignedPolicy | undefined) {
  return { file, signed: policyFrom === undefined || signed === undefined ? undefined : { file: policyFrom.file, policy: signed.policy } }
}

/**
 * The rules in force: the signed rules, with those of the configuration added. `raw`: the content
 * of the configuration file, which says what is written there and what is a default.
 */
export async function combinedPolicy(
  { policy }: ConfigFile,
  raw: unknown,
  signed: SignedPolicy | undefined,
  file: string,
  collect: CollectProblem,
): Promise<Pick<ConfigFile, 'policy'>> {
  if (signed === undefined) return policy === undefined ? {} : { policy }
  const { addedPolicy } = await import('./policy-from.ts')
  const isWritten = asRecord(asRecord(raw)?.policy)?.audit !== undefined
  const local = policy === undefined ? undefined : { ...policy, audit: isWritten ? policy.audit : undefined }
  return { policy: addedPolicy(signed.policy, local, (path, message) => collect({ file, path, message })) }
}

/**
 * Which lists count: none, or for one source a list that is not kept yet. Otherwise the kept ones.
 */
export type ListsUse = 'none' | NewList

/**
 * The set with the changes of signed lists applied, if `updates` is `apply`. `applied`: these
 * changes.
 */
export async function withAppliedLists(
  set: SetReading,
  { sources = [], updates, stateDir }: SignedParts,
  use?: ListsUse,
): Promise<{ readonly set: SetReading; readonly applied: readonly AppliedChange[] }> {
  if (sources.length === 0 || updates !== 'apply' || use === 'none') return { set, applied: [] }
  const { withLists } = await import('./source-lists.ts')
  const { resolvers, applied } = withLists(set.sound, sources, stateDir, use)
  return { set: { ...set, sound: resolvers }, applied }
}

/** The files of signed parts: a change of one is a change of the configuration. */
export async function filesOf({ policyFrom, sources = [], updates, stateDir }: SignedParts): Promise<readonly string[]> {
  const policy = policyFrom === undefined ? [] : [policyFrom.file, `${policyFrom.file}.minisig`]
  if (sources.length === 0 || updates !== 'apply') return policy
  const { keptFile } = await import('./kept-lists.ts')
  return [...policy, ...sources.map((source) => keptFile(stateDir, source))]
}
