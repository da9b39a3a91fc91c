import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Random } from '../clock.ts'
import type { DefaultFiles, Loaded } from '../config/load.ts'
import { defaultStateDir, shippedResolversFile } from '../config/paths.ts'
import { configError } from '../config/problems.ts'
import { keyOf } from '../config/set-pairs.ts'
import { asEntries, relayEntries } from '../config/source-lists.ts'
import type { CommandWorld } from './command-world.ts'
import type { ListWorld } from './list-updates.ts'
import { configOrThrow, findConfig, type Host, type RunningService, thisHost } from './running-service.ts'

/** The system access of commands on trusted sets; tests replace all of it. */
export interface SetWorld extends CommandWorld {
  readonly random: Random
  /** The paths to use if no file is named; undefined: the system's. */
  readonly places: DefaultFiles | undefined
  readonly host?: Host
  /** The lookup and the CA for fetching lists; absent: the set in use and the CAs of Node. */
  readonly source?: Pick<ListWorld, 'lookup' | 'ca'>
}

/** The options that choose the set of a command. */
export interface SetOptions {
  readonly set?: string
  readonly config?: string
}

/** A set, and the configuration that uses it. */
export interface ChosenSet {
  readonly file: string
  /** The configuration; undefined: only the set was named, and there is no valid configuration. */
  readonly loaded: Loaded | undefined
  readonly service: RunningService | undefined
  /**
   * The keys (`keyOf`) of the resolvers in use and their relays, with those of zones and views.
   * Undefined: it is not the set of that configuration.
   */
  readonly inUse: ReadonlySet<string> | undefined
  /** The directory that keeps the times of accepted lists. */
  readonly stateDir: string
}

/**
 * Finds the named set, or the set of the configuration. Rejects with an EnigmError `config` if
 * there is neither.
 */
export async function chosenSet({ set, config }: SetOptions, { host = thisHost(), places }: SetWorld): Promise<ChosenSet> {
  const named = set === undefined ? undefined : resolve(set)
  const found = await findConfig(config, host, places)
  // A command on the set must work if signed lists make a start impossible, because it mends that.
  const judged = found.unfit === undefined ? found : await findConfig(config, host, places, 'none')
  const loaded = named === undefined || config !== undefined ? configOrThrow(judged) : judged.loaded
  const used = loaded?.config.resolvers
  const file = named === undefined || isSameFile(named, used) ? (used ?? '') : named
  const inUse = loaded !== undefined && used === file ? keysInUse(loaded) : undefined
  return { file, loaded, service: judged.service, inUse, stateDir: loaded?.config.stateDir ?? defaultStateDir() }
}

/** Whether two paths lead to one file, perhaps over links. */
function isSameFile(path: string, other: string | undefined): boolean {
  if (other === undefined || path === other) return path === other
  try {
    const [a, b] = [statSync(path), statSync(other)]
    return a.dev === b.dev && a.ino === b.ino
  } catch {
    return false
  }
}

function keysInUse({ resolvers }: Loaded): ReadonlySet<string> {
  return new Set([...asEntries(resolvers), ...relayEntries(resolvers)].map(({ kind, value }) => keyOf(kind, value.id)))
}

/**
 * Like `chosenSet`, for a command that changes the set. Rejects for the shipped set, which must not
 * be changed.
 */
export async function changeableSet(options: SetOptions, world: SetWorld): Promise<ChosenSet> {
  const chosen = await chosenSet(options, world)
  if (!isSameFile(chosen.file, shippedResolversFile())) return chosen
  const message =
    'is the set that comes with the program, and the next version replaces it; name a file of yours with --set, as in --set /etc/enigm-dns/resolvers.json (it is made if it is not there), and name it as "resolvers" in the configuration'
  throw configError([{ file: chosen.file, path: '', message }])
}
