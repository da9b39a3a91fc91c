import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseListen } from '../config/listen-address.ts'
import { checkConfig, type DefaultFiles, type Loaded, type UnfitLists } from '../config/load.ts'
import { DEFAULT_CONFIG_FILE, defaultStatusFile, thisAccount } from '../config/paths.ts'
import { configError, type Problem } from '../config/problems.ts'
import type { ListsUse } from '../config/signed-parts.ts'
import { likelyServices, networkNamespace, type RunningService, runningServices, runtimeDirectories } from '../system/service-register.ts'

export type { RunningService }

/** The facts about this host that are used to find a service; tests replace them. */
export interface Host {
  /** The registered services that are trusted and run. */
  readonly services: () => readonly RunningService[]
  /** Processes that look like a service; undefined: processes of others are not visible. */
  readonly likely: () => readonly number[] | undefined
  readonly namespace: () => string | undefined
  /** The effective user; undefined if the system has no numeric ones. */
  readonly uid: number | undefined
  /** Default places of the status file: the system's, then this user's. */
  readonly statusFiles: readonly string[]
}

/** The facts of the host that this process runs on. */
export function thisHost(): Host {
  const account = thisAccount()
  const statusFiles = [...new Set([defaultStatusFile({ ...account, uid: 0 }), defaultStatusFile(account)])]
  return {
    services: () => runningServices(runtimeDirectories(account)),
    likely: () => likelyServices(process),
    namespace: () => networkNamespace(),
    uid: process.geteuid?.(),
    statusFiles,
  }
}

/**
 * The service that a command uses if none is named; a list if several run and none has precedence.
 * Precedence: services of this network namespace; then, for orders, those that accept them from
 * this user; then the one at the default place.
 */
export function defaultService(host: Host, forOrders = false): RunningService | readonly RunningService[] | undefined {
  const here = host.namespace()
  let left = host.services()
  const prefer = (test: (service: RunningService) => boolean) => {
    const some = left.filter(test)
    if (some.length > 0) left = some
  }
  prefer(({ namespace }) => namespace === undefined || namespace === here)
  if (forOrders) prefer((service) => acceptsCommands(service, host))
  if (left.length > 1) for (const file of host.statusFiles) prefer(({ statusFile }) => statusFile === file)
  return left.length > 1 ? left : left[0]
}

/**
 * Like `defaultService`, for a command that only reads. If several services are left, the one that
 * started last is used.
 */
export function shownService(host: Host): RunningService | undefined {
  const found = defaultService(host)
  return isOne(found) ? found : found.toSorted((a, b) => startOf(b) - startOf(a))[0]
}

/** When a service started, in clock ticks since boot; 0 if unknown. */
function startOf({ processStart = '' }: RunningService): number {
  return Number(processStart.split(':').at(-1)) || 0
}

export function isOne(found: ReturnType<typeof defaultService>): found is RunningService | undefined {
  return !Array.isArray(found)
}

/** Whether this user may use the control socket of that service. */
export function acceptsCommands({ uid }: RunningService, host: Host): boolean {
  return host.uid === undefined || host.uid === 0 || uid === host.uid
}

/** The service that was started with this configuration file, for any spelling of the path. */
export function serviceOf(config: string, host: Host): RunningService | undefined {
  const real = realOf(config)
  return host.services().find((service) => service.config !== undefined && realOf(service.config) === real)
}

/** Whether this is the configuration of a service that was started without naming one. */
export function isDefaultConfig(config: string): boolean {
  return realOf(config) === realOf(DEFAULT_CONFIG_FILE)
}

function realOf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return resolve(path)
  }
}

/** A configuration, and the service to which it belongs. */
export interface FoundConfig {
  /** The configuration; absent if it has a problem or cannot be read by this user. */
  readonly loaded?: Loaded
  readonly problems: readonly Problem[]
  /** Signed lists without which some of the problems would not be there. */
  readonly unfit?: UnfitLists
  readonly service: RunningService | undefined
  /** Why the configuration of the service may not be read, as a sentence. */
  readonly unreadable?: string
  /** Which service's configuration is used if none was named, as a sentence. */
  readonly note?: string
}

/**
 * The configuration of `named`; otherwise of the running service; otherwise the default one. With a
 * service, its actual listen addresses and paths are used. `lists`: which signed lists count. Never
 * rejects.
 */
export async function findConfig(named: string | undefined, host: Host, places?: DefaultFiles, lists?: ListsUse): Promise<FoundConfig> {
  const service = named === undefined ? shownService(host) : serviceOf(named, host)
  const file = named ?? service?.config
  const listen = service?.listenOption === undefined ? {} : { listen: service.listenOption }
  const { loaded, problems, unfit } = await checkConfig(file, { ...listen, ...(lists === undefined ? {} : { lists }) }, places)
  const note = named === undefined && service !== undefined ? { note: `Using the running service: ${nameOf(service)}.` } : {}
  if (named === undefined && service !== undefined && problems.some(isDenied)) {
    const unreadable = `${nameOf(service)} runs; this user cannot read its configuration: run this as the user of the service, or as root.`
    return { problems: [], service, unreadable }
  }
  if (loaded === undefined) return { problems, service, ...note, ...(unfit === undefined ? {} : { unfit }) }
  return { problems, service, ...note, loaded: named === undefined && service !== undefined ? asItRuns(loaded, service) : loaded }
}

function asItRuns(loaded: Loaded, { statusFile, stateDir, listen }: RunningService): Loaded {
  const places = listen.flatMap((text) => parseListen(text) ?? [])
  return { ...loaded, config: { ...loaded.config, statusFile, stateDir, listen: [...listen] }, listen: places }
}

/** The configuration, for a command that requires it. Rejects with an EnigmError `config`. */
export function configOrThrow({ loaded, problems, unreadable }: FoundConfig): Loaded {
  if (loaded !== undefined) return loaded
  throw unreadable === undefined ? configError(problems) : configError([{ file: 'configuration', path: '', message: unreadable }])
}

function isDenied({ message }: Problem): boolean {
  return /permission to read it is denied \((EACCES|EPERM)\)/.test(message)
}

/** A description of a service for messages. */
export function nameOf({ pid, config }: RunningService): string {
  return `process ${pid} (${config === undefined ? 'default configuration' : `configuration ${config}`})`
}
