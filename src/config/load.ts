import { dirname, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { checkForwarding, choose } from './choose-resolvers.ts'
import { isLoopback } from './cidr.ts'
import {
  asRecord,
  type CollectProblem,
  configOf,
  documentOf,
  hostsFile,
  listFileFaults,
  type SetReading,
  setOf,
  withCa,
} from './documents.ts'
import { readGuarded } from './file-safety.ts'
import { type HostsFile, lostNames } from './hosts-file.ts'
import { coveredProblem, listenProblem, listenText, parseListen, type SocketAddress, sameEndpoint, takes } from './listen-address.ts'
import type { ListConfig } from './lists.ts'
import { DEFAULT_CONFIG_FILE, defaultStateDir, defaultStatusFile, shippedResolversFile } from './paths.ts'
import type { Policy } from './policy.ts'
import { contradictions, placedContradictions } from './policy-contradictions.ts'
import { configError, counted, type Problem, quoted } from './problems.ts'
import { checkRoutes, type ProxyFiles, readProxyFiles } from './proxy-files.ts'
import type { Config, ConfigFile } from './settings.ts'
import { combinedPolicy, filesOf, type ListsUse, policyFiles, signedPolicyOf, withAbsolutePaths, withAppliedLists } from './signed-parts.ts'
import type { AppliedChange } from './source-lists.ts'
import { transportProblems } from './transport-problems.ts'
import { offers, type TrustedResolver } from './trusted-set.ts'

/** A checked configuration with everything that a start needs. */
export interface Loaded {
  readonly config: Config
  /**
   * The resolvers in use: first those for general names in the order of `config.use` (without `use`
   * in the file: every enabled one), then those that serve only zones and views. Each offers at
   * least one of the configured `transports`.
   */
  readonly resolvers: readonly TrustedResolver[]
  readonly listen: readonly SocketAddress[]
  readonly hosts: readonly HostsFile[]
  /** The files of each proxy, by its name. Absent: there are no proxies. */
  readonly proxyFiles?: Readonly<Record<string, ProxyFiles>>
  /**
   * Absolute paths of all files that were read: configuration (if there is one), trusted set, CA
   * files, hosts files, password files, signed policy and its signature, kept lists of `sources`.
   */
  readonly files: readonly string[]
  /**
   * When the policy of `policyFrom` was signed, in seconds since 1970, if its signature says so.
   */
  readonly policySignedS?: number | undefined
  /** What signed lists change in the set, with `"updates": "apply"`. Absent: nothing. */
  readonly applied?: readonly AppliedChange[]
}

/**
 * What a start adds to the file. `listen` is of the command line, and replaces that of the file.
 */
export interface Overrides {
  readonly listen?: readonly string[]
  /**
   * Sockets that the service manager opened. The service listens on them in addition to those in
   * the file, and instead of the default.
   */
  readonly inherited?: readonly SocketAddress[]
  /** Which signed lists of resolvers count. Absent: the kept ones. */
  readonly lists?: ListsUse
}

/** The paths that are used if no file is named. */
export interface DefaultFiles {
  readonly configFile: string
  readonly resolversFile: string | undefined
}

const DEFAULT_FILES: DefaultFiles = { configFile: DEFAULT_CONFIG_FILE, resolversFile: shippedResolversFile() }

const NO_FILE = 'command line'
const NO_NAME: Problem = {
  file: NO_FILE,
  path: '--config',
  message: 'needs the name of a file; name one, or leave the option out for the default',
}
const EMPTY_SET =
  'write a trusted set, as in {"version": 1, "resolvers": [...]}, or leave "resolvers" out of the configuration for the shipped one'

/**
 * Loads the configuration from `file`. Without `file` it loads /etc/enigm-dns/config.json; if that
 * does not exist, it uses the defaults. Rejects with an EnigmError('config') whose message has one
 * line per problem.
 */
export async function loadConfig(file?: string, overrides: Overrides = {}, defaults?: DefaultFiles): Promise<Loaded> {
  const { loaded, problems } = await checkConfig(file, overrides, defaults)
  if (loaded === undefined) throw configError(problems)
  return loaded
}

/**
 * Loads the configuration of a running service again. If it came from the default file, that file
 * must still exist. A missing file (renamed, deleted, or an editor is writing it) is an error. It
 * does not mean the defaults: otherwise names would go to resolvers that nobody chose.
 * A hosts file that has lost all its names is an error too.
 */
export async function reloadConfig(
  running: Loaded,
  file?: string,
  overrides: Overrides = {},
  defaults: DefaultFiles = DEFAULT_FILES,
): Promise<Loaded> {
  const readBefore = running.files.find((path) => path === resolve(defaults.configFile))
  const next = await loadConfig(file ?? readBefore, overrides, defaults)
  const lost = lostNames(running.hosts, next.hosts)
  if (lost.length > 0) throw configError(lost)
  return next
}

/** A configuration, or its problems. */
export interface Checked {
  /** Set only if there is no problem. */
  readonly loaded?: Loaded
  readonly problems: readonly Problem[]
  /** Signed lists without which some of the problems would not be there. */
  readonly unfit?: UnfitLists
}

/** Signed lists that make a start impossible. `why`: a clause with the first problem. */
export interface UnfitLists {
  readonly ids: readonly string[]
  readonly why: string
}

/** The same as loadConfig, for callers that show each problem. Never rejects. */
export async function checkConfig(file?: string, overrides: Overrides = {}, defaults: DefaultFiles = DEFAULT_FILES): Promise<Checked> {
  const { applied = [], ...found } = await checkOnce(file, overrides, defaults)
  const changedBy = [...new Set(applied.map(({ list }) => list))]
  if (found.problems.length === 0 || changedBy.length === 0) return found
  // The file that a problem names may be in order, and the change of a list the cause.
  const { problems } = await checkOnce(file, { ...overrides, lists: 'none' }, defaults)
  const [first, ...others] = found.problems.filter((one) => !problems.some((other) => isDeepStrictEqual(one, other)))
  if (first === undefined) return found
  const more = others.length === 0 ? '' : `, and ${counted(others.length, 'more problem')}`
  const lists = changedBy.length === 1 ? `the list ${changedBy.join()} changes` : `the lists ${changedBy.join(', ')} change`
  const why = `no start is possible (${first.path}: ${first.message}${more})`
  const message = `${lists} resolvers so that ${why}; run enigm-dns resolvers update when it is corrected, or set "updates": "ask"`
  return {
    problems: [...problems, { file: resolve(file ?? defaults.configFile), path: 'sources', message }],
    unfit: { ids: changedBy, why },
  }
}

/** Checks a configuration. `applied`: what signed lists change in its set, if it has problems. */
async function checkOnce(
  file: string | undefined,
  overrides: Overrides,
  defaults: DefaultFiles,
): Promise<Checked & { readonly applied?: readonly AppliedChange[] }> {
  const problems: Problem[] = []
  const collect: CollectProblem = (problem) => void problems.push(problem)
  // Resolved, an empty name would be the working directory.
  if (file === '') return { problems: [NO_NAME] }

  const { configFile, raw } = await readConfig(file, defaults.configFile, collect)
  const written = raw === undefined ? configOf(NO_FILE, {}, collect) : configOf(configFile ?? NO_FILE, raw, collect)
  const base = configFile === undefined ? process.cwd() : dirname(configFile)
  const signedParts = withAbsolutePaths(written, base)
  const signed = await signedPolicyOf(signedParts, collect)
  const found = { ...written, ...(await combinedPolicy(written, raw, signed, configFile ?? NO_FILE, collect)) }
  const explicit = { allowFrom: asRecord(raw)?.allowFrom !== undefined, listen: asRecord(raw)?.listen !== undefined }
  const named = listeners(configFile ?? NO_FILE, found, overrides, explicit, collect)
  const listen = withInherited(named, overrides.inherited ?? [], explicit.allowFrom, collect)
  const page = parseListen(found.page?.listen ?? '')
  if (page !== undefined && listen.some((one) => takes(one, page)))
    collect({
      file: configFile ?? NO_FILE,
      path: 'page.listen',
      message: `${quoted(found.page?.listen ?? '')} is in use for queries ("listen"), so the page could not be opened; name another port`,
    })

  const setFile = found.resolvers === undefined ? defaults.resolversFile : resolve(base, found.resolvers)
  if (setFile === undefined) {
    collect({
      file: NO_FILE,
      path: 'resolvers',
      message: 'the shipped resolvers.json is missing; reinstall the program or name a set in "resolvers"',
    })
    return { problems }
  }
  const setRaw = documentOf(setFile, await readGuarded(setFile), collect, found.resolvers !== undefined, EMPTY_SET)
  const listed = setRaw === undefined ? { sound: [], ids: new Set(), indexOf: new Map(), whole: false } : setOf(setFile, setRaw, collect)
  const { set, applied } = await withAppliedLists(listed, signedParts, overrides.lists)
  // A faulty setting has its default here, so that nobody chose what is missing.
  const isFaulty = problems.some(({ path }) => /^(use|transports)\b/.test(path))
  const unchosen = (problem: Problem) => (isFaulty && problem.path === 'resolvers' ? undefined : collect(problem))
  const chosen = choose({ configFile: configFile ?? NO_FILE, setFile }, found, set, setRaw !== undefined, unchosen)
  const resolvers = await Promise.all(chosen.all.map((resolver) => withCa(setFile, resolver, collect)))
  const use = chosen.general.map(({ id }) => id)
  checkForwarding(configFile ?? NO_FILE, found, resolvers, listen, collect)
  for (const problem of keylessTargets(found, resolvers, set, setFile)) collect(problem)
  const proxies = await readProxyFiles(configFile ?? NO_FILE, base, found.proxies, collect)
  const routed = resolvers.map((resolver) => ({ resolver, path: `resolvers[${set.indexOf.get(resolver.id) ?? 0}]` }))
  // A faulty setting has its default here. With faulty `proxies` or `via` the check would report
  // faults that are none.
  if (!problems.some(({ path }) => /^(proxies|via)\b/.test(path)))
    checkRoutes({ configFile: configFile ?? NO_FILE, setFile }, found, routed, collect)
  for (const problem of transportProblems({ file: configFile ?? NO_FILE, setFile }, found, resolvers)) collect(problem)
  if (found.policy !== undefined && set.whole) {
    const find = (policy: Policy) => contradictions(found, policy, resolvers, use)
    for (const problem of placedContradictions(policyFiles(configFile ?? NO_FILE, signedParts, signed), found.policy, find))
      collect(problem)
  }
  const hosts = await hostsOf(found, base, collect)
  const lists = await listsOf(found, base, collect)
  if (problems.length > 0) return { problems, applied }

  const caFiles = resolvers.flatMap(({ caFile, relay }) => [caFile, relay?.caFile].filter((file) => file !== undefined))
  const read = [...caFiles, ...hosts.map(({ file }) => file), ...proxies.files, ...(await filesOf(signedParts))]
  const files = [...new Set([...(configFile === undefined ? [] : [configFile]), setFile, ...read])]
  const config = { ...finalConfig(found, base, setFile, use, listen, hosts, lists), ...signedParts }
  const proxyFiles = Object.keys(found.proxies).length === 0 ? {} : { proxyFiles: proxies.contents }
  const policySigned = signed === undefined ? {} : { policySignedS: signed.signedS }
  const changes = applied.length === 0 ? {} : { applied }
  return { loaded: { config, resolvers, listen, hosts, ...proxyFiles, files, ...policySigned, ...changes }, problems }
}

/** Reads the hosts files. Files that cannot be read are collected as problems. */
async function hostsOf({ hosts }: ConfigFile, base: string, collect: CollectProblem): Promise<readonly HostsFile[]> {
  const found = await Promise.all(hosts.map((path) => hostsFile(resolve(base, path), collect)))
  return found.filter((one) => one !== undefined)
}

/** The lists with absolute paths. Files that cannot be used are collected as problems. */
async function listsOf({ lists }: ConfigFile, base: string, collect: CollectProblem): Promise<readonly ListConfig[]> {
  const found = lists.map((list) => (list.file === undefined ? list : { ...list, file: resolve(base, list.file) }))
  await Promise.all(found.map((list) => listFileFaults(list, collect)))
  return found
}

async function readConfig(file: string | undefined, fallback: string, collect: CollectProblem) {
  const configFile = resolve(file ?? fallback)
  const reading = await readGuarded(configFile)
  if (file === undefined && reading.absent === true) return { configFile: undefined, raw: undefined }
  return { configFile, raw: documentOf(configFile, reading, collect) }
}

function listeners(
  file: string,
  config: ConfigFile,
  overrides: Overrides,
  explicit: { readonly allowFrom: boolean; readonly listen: boolean },
  collect: CollectProblem,
): readonly SocketAddress[] {
  const named = overrides.listen !== undefined && overrides.listen.length > 0
  const instead = !explicit.listen && (overrides.inherited ?? []).length > 0
  const texts = named ? (overrides.listen ?? []) : instead ? [] : config.listen
  const seen = new Set<string>()
  return texts.flatMap((text, index) => {
    const where = named ? { file: NO_FILE, path: '--listen' } : { file, path: `listen[${index}]` }
    const listen = parseListen(text)
    const problem = listenProblem(text)
    if (listen === undefined || problem !== undefined) {
      collect({ ...where, message: `${problem} (found ${quoted(text)})` })
      return []
    }
    // The schema has checked the list of the file; this checks the list of the command line.
    if (named && seen.has(sameEndpoint(text))) collect({ ...where, message: `names ${quoted(text)} twice; keep one of them` })
    seen.add(sameEndpoint(text))
    const covered = coveredProblem(text, texts)
    if (covered !== undefined) collect({ ...where, message: covered })
    if (!explicit.allowFrom && !isLoopback(listen.address)) {
      const message = `${quoted(text)} can be reached from other hosts; list the allowed clients in allowFrom, as in ["192.168.0.0/16"]`
      collect({ ...where, message })
    }
    return [listen]
  })
}

/**
 * Adds the inherited sockets, each address once. `allowFrom` is required if others can reach one.
 */
function withInherited(
  named: readonly SocketAddress[],
  inherited: readonly SocketAddress[],
  explicitAllow: boolean,
  collect: CollectProblem,
): readonly SocketAddress[] {
  const sockets = new Map(
    [...inherited, ...named].map(({ address, port }) => [sameEndpoint(listenText({ address, port })), { address, port }]),
  )
  for (const endpoint of explicitAllow ? [] : inherited)
    if (!isLoopback(endpoint.address))
      collect({
        file: 'socket unit',
        path: listenText(endpoint),
        message: 'can be reached from other hosts; list the allowed clients in allowFrom of the configuration, as in ["192.168.0.0/16"]',
      })
  return [...sockets.values()]
}

/**
 * Finds ODoH targets whose key is neither in the set nor may be fetched (`configFetch`): no query
 * could be encrypted to them.
 */
function keylessTargets(
  { transports, odoh, via }: ConfigFile,
  resolvers: readonly TrustedResolver[],
  { indexOf }: SetReading,
  file: string,
): readonly Problem[] {
  if (!transports.includes('odoh') || odoh.configFetch === 'direct') return []
  const withoutHop = resolvers.filter((resolver) => (resolver.via ?? via).length === 0 && offers(resolver, 'odoh'))
  const keyless = withoutHop.filter((resolver) => resolver.transports.odoh?.config === undefined)
  return keyless.map(({ id }) => ({
    file,
    path: `resolvers[${indexOf.get(id) ?? 0}].transports.odoh`,
    message:
      'has no "config", the key of the resolver; copy the base64 of https://RESOLVER/.well-known/odohconfigs into it, name proxies in "via", or set "odoh": { "configFetch": "direct" } in the configuration, which shows your address to the resolver',
  }))
}

function finalConfig(
  found: ConfigFile,
  base: string,
  setFile: string,
  use: readonly string[],
  listen: readonly SocketAddress[],
  hosts: readonly HostsFile[],
  lists: readonly ListConfig[],
): Config {
  const { $schema: _schema, statusFile, stateDir, ...rest } = found
  return {
    ...rest,
    listen: listen.map(listenText),
    hosts: hosts.map(({ file }) => file),
    lists,
    resolvers: setFile,
    use,
    statusFile: statusFile === undefined ? defaultStatusFile() : resolve(base, statusFile),
    stateDir: stateDir === undefined ? defaultStateDir() : resolve(base, stateDir),
  }
}
