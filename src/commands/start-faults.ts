import { lstatSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Clock } from '../clock.ts'
import { hostsFaults } from '../config/hosts-file.ts'
import { listenText, parseListen, type SocketAddress } from '../config/listen-address.ts'
import type { Loaded } from '../config/load.ts'
import { openToAll } from '../config/open-to-all.ts'
import { programDirectory, thisAccount } from '../config/paths.ts'
import { settingsWithoutEffect } from '../config/without-effect.ts'
import { splitKeyPlace } from '../divided-names.ts'
import { asEnigmError } from '../errors.ts'
import { socketFault } from '../files/socket.ts'
import { isReadableBy } from '../files/trust.ts'
import { directoryFault } from '../files/writing.ts'
import { bindFault, neverAskedByResolved } from '../listen/bind.ts'
import { pathFaults } from '../owned-paths.ts'
import { auditFault } from '../posture/audit.ts'
import { auditRivalry, runningIn } from '../posture/earlier-runs.ts'
import { otherWriter } from '../posture/reader.ts'
import { signingKeyFault } from '../posture/signature.ts'
import { savedKey } from '../retention/retention.ts'
import { controlPath } from '../system/control-socket.ts'
import { portHolder } from '../system/port-holder.ts'
import { bootId, isSame } from '../system/process-identity.ts'
import { secretKeyFault } from '../system/secret-key.ts'
import { registerFault, runtimeDirectories } from '../system/service-register.ts'
import { hasSocketUnit } from '../system/unit-install.ts'
import { accountOf, lostPrivileges, type ServiceAccount } from '../system/user.ts'
import { batchedCalls } from '../workers/worker-pool.ts'
import type { Host, RunningService } from './running-service.ts'

/** The messages of `run` about a valid configuration, one sentence each. */
export interface StartFaults {
  /** Reasons why it would not start. */
  readonly refused: readonly string[]
  /** Warnings, and reasons that prevent a start only while a temporary condition holds. */
  readonly warned: readonly string[]
}

/** The facts that the check uses besides the files. */
export interface StartWorld {
  readonly host: Host
  /** The service to which this configuration belongs. */
  readonly service: RunningService | undefined
  readonly clock: Clock
  /** $CREDENTIALS_DIRECTORY. */
  readonly credentials: string | undefined
}

/**
 * Checks whether `run` would start with `loaded`: user, paths, other services, sockets, keys. Opens
 * the configured ports briefly, sends nothing, and changes no file. If this user is not root,
 * faults that depend on the user are warnings, because an ordinary user may check the configuration
 * of root's service. Never rejects.
 */
export async function startFaults(loaded: Loaded, world: StartWorld): Promise<StartFaults> {
  const { host, service } = world
  const refused: string[] = []
  const sockets = socketsOf(service)
  const warned: string[] = [
    ...neverAsked(loaded),
    ...hostsFaults(loaded.hosts),
    ...settingsWithoutEffect(loaded, sockets),
    ...openToAll(loaded, sockets === 'unknown' ? [] : sockets),
  ]
  let account: ServiceAccount | undefined
  try {
    account = loaded.config.user === undefined ? undefined : accountOf(loaded.config.user)
  } catch (error) {
    return { refused: [asEnigmError(error).message], warned }
  }
  try {
    batchedCalls(loaded.config)
  } catch (error) {
    refused.push(asEnigmError(error).message)
  }
  const runsAs = account?.uid ?? host.uid
  const byRoot = host.uid === 0
  const isOurs = service === undefined ? byRoot || runsAs === host.uid : service.uid === (byRoot ? (account?.uid ?? 0) : host.uid)
  if (!byRoot && account !== undefined && runsAs !== host.uid)
    warned.push(`user: only root can switch to "${loaded.config.user}": start the service as root, or remove "user".`)
  if (isOurs) {
    const paths = pathFaults(loaded, account)
    if (byRoot) refused.push(...paths, ...closedTo(account, [programDirectory() ?? '/'], ''))
    else warned.push(...paths.map(byThisUser))
    if (byRoot) warned.push(...closedTo(account, loaded.files, 'a reload needs it; '))
    warned.push(...ownWarnings(loaded, account, world))
    const unwritten = unwritable(loaded, account)
    if (byRoot) refused.push(...unwritten.refused)
    else warned.push(...unwritten.refused.map(byThisUser))
    warned.push(...unwritten.warned)
    if (runsAs === host.uid) warned.push(...keyWarnings(loaded, world))
  }
  const taken = await Promise.all([takenBy(loaded, world), portFaults(loaded, world), pageWarnings(loaded, world)])
  for (const found of taken) {
    refused.push(...found.refused)
    warned.push(...found.warned)
  }
  return { refused: [...new Set(refused)], warned: [...new Set(warned)] }
}

/** Sockets that the service has besides `listen`. A unit of systemd may open some. */
function socketsOf(service: RunningService | undefined): readonly SocketAddress[] | 'unknown' {
  if (service !== undefined) return service.listen.flatMap((place) => parseListen(place) ?? [])
  return hasSocketUnit() ? 'unknown' : []
}

const byThisUser = (fault: string) => `Started by this user: ${fault}`

function neverAsked({ listen }: Loaded): string[] {
  return listen.flatMap((endpoint) => neverAskedByResolved(endpoint) ?? [])
}

/** The paths that the user of the service cannot read, one sentence each. */
function closedTo(account: ServiceAccount | undefined, paths: readonly string[], why: string): readonly string[] {
  if (account === undefined) return []
  const who = `user: "${account.name ?? account.uid}"`
  const closed = paths.filter((path) => !isReadableBy(path, account))
  return closed.map((path) => `${who} cannot read ${path}, or a directory above it: ${why}give it read permission.`)
}

/**
 * Faults of directories in which nothing can be written now. A start goes on without its files,
 * because names must resolve. It is refused if it could not give the directories to `account`; and
 * with a required audit log, it would answer no query.
 */
function unwritable({ config }: Loaded, account: ServiceAccount | undefined): StartFaults {
  const { stateDir, statusFile, policy } = config
  const refused: string[] = []
  const warned: string[] = []
  for (const [setting, directory, lost] of [
    ['stateDir', stateDir, 'the status would not be signed, and no key, log or token would be kept'],
    ['statusFile', dirname(statusFile), 'there would be no status and no control socket (forget, trace, stop, reload)'],
  ] as const) {
    const code = directoryFault(directory)
    if (code === undefined) continue
    const owner = lstatSync(directory, { throwIfNoEntry: false })?.uid
    if (account !== undefined && owner !== account.uid)
      refused.push(`${setting}: ${directory} cannot be used (${code}); name another place, or run this as its owner.`)
    else warned.push(`${setting}: ${directory} cannot be written (${code}): ${lost}; name another place, or make it writable.`)
  }
  const audit = policy !== undefined && policy.audit === 'required' ? auditFault(stateDir) : undefined
  if (audit !== undefined)
    refused.push(
      `policy.audit is "required", but the audit log cannot be written in ${stateDir} (${audit}): every query would be refused; make it writable, or name another stateDir.`,
    )
  return { refused, warned }
}

/** Problems that do not prevent names from resolving. */
function ownWarnings({ config }: Loaded, account: ServiceAccount | undefined, { host }: StartWorld): readonly string[] {
  const { statusFile } = config
  const socket = socketFault(controlPath(statusFile))
  const register = account === undefined ? registerFault(runtimeDirectories(thisAccount())) : undefined
  const lost = account !== undefined && host.uid === 0 ? lostPrivileges() : undefined
  return [
    ...(lost === undefined ? [] : [`user: ${lost}.`]),
    ...(socket === undefined
      ? []
      : [
          `statusFile: forget, trace, stop and reload cannot reach the service: there is no control socket in the directory of the status file (${socket}).`,
        ]),
    ...(register === undefined ? [] : [`Other commands find the service only if you name its configuration or its files: ${register}.`]),
  ]
}

/**
 * Warnings about existing keys that cannot be used. Only the user that owns the keys can check
 * them.
 */
function keyWarnings({ config }: Loaded, { credentials }: StartWorld): readonly string[] {
  const { stateDir, statusFile, cache, split } = config
  const dividing = split === 'none' ? undefined : secretKeyFault(splitKeyPlace(config, credentials))
  const signing = signingKeyFault(stateDir)
  const sealing = cache.persist === 'off' ? undefined : secretKeyFault(savedKey({ config: { stateDir, statusFile } }, credentials))
  return [
    ...(signing === undefined ? [] : [`stateDir: the status would not be signed: ${signing}.`]),
    ...(sealing === undefined ? [] : [`cache.persist: the cache would not be saved: ${sealing}.`]),
    ...(dividing === undefined ? [] : [`split: sites would come to other operators at each start: ${dividing}.`]),
  ]
}

const isService = (pid: number | undefined, { services }: Host) => services().some((service) => service.pid === pid)

/**
 * Faults if another process writes the same files. A registered service may be stopped before the
 * start, so it gives a warning only.
 */
function takenBy({ config }: Loaded, { host, service, clock }: StartWorld): StartFaults {
  const { statusFile, stateDir } = config
  const writer = otherWriter(statusFile, { wallMs: clock.wallMs(), isSame }, process.pid)
  const others = host.services().filter(({ pid }) => pid !== writer && pid !== service?.pid)
  const owner = runningIn(stateDir, { bootId: bootId(), self: process.pid, isSame }, others)
  const other = owner === writer || owner === service?.pid ? undefined : owner
  const logged = auditRivalry({ stateDir, policy: config.policy }, other)
  const shared =
    other === undefined
      ? []
      : [`stateDir: ${logged ?? `process ${other} also keeps its state in ${stateDir}: give each service its own stateDir`}.`]
  const sharing = logged === undefined || isService(other, host) ? { refused: [], warned: shared } : { refused: shared, warned: [] }
  if (writer === undefined || writer === service?.pid) return sharing
  const rival = `statusFile: process ${writer} runs as a service with ${statusFile}: stop it, or give this service its own statusFile and stateDir.`
  const { refused, warned } = sharing
  return isService(writer, host) ? { refused, warned: [rival, ...warned] } : { refused: [rival, ...refused], warned }
}

/**
 * Faults of the listen addresses. They are tried one after another, because an inherited address
 * and a wildcard may share a port.
 */
async function portFaults({ listen }: Loaded, { host, service, clock }: StartWorld): Promise<StartFaults> {
  const refused: string[] = []
  const warned: string[] = []
  for (const endpoint of listen) {
    if (service?.listen.includes(listenText(endpoint)) === true) continue
    const { fault, holder } = await tried(endpoint, clock)
    if (fault === undefined) continue
    const said = `listen: ${fault.message}.`
    // A running service may be stopped before the start; the service manager holds sockets to pass
    // them on.
    const isFreed = fault.code === 'EADDRINUSE' && (holder === 1 || isService(holder, host))
    const passes = isFreed || (isRefusedRight(fault.code) && host.uid !== 0)
    if (passes) warned.push(said)
    else refused.push(said)
  }
  return { refused, warned }
}

const isRefusedRight = (code: string) => code === 'EACCES' || code === 'EPERM'

/**
 * Another `check` may hold the port for about 1 ms; the search for the holder takes longer, so the
 * next attempt needs no pause.
 */
const ATTEMPTS = 3

async function tried(endpoint: SocketAddress, clock: Clock) {
  for (let attempt = 1; ; attempt++) {
    let holder: number | undefined
    const fault = await bindFault(endpoint, clock, async (...where) => {
      const found = await portHolder(...where)
      holder = Number(/\(pid (\d+)\)$/.exec(found ?? '')?.[1] ?? Number.NaN)
      return found
    })
    if (fault?.code !== 'EADDRINUSE' || attempt === ATTEMPTS) return { fault, holder }
  }
}

/**
 * Warnings about the page. It is no fault if it cannot be served, because names resolve without it.
 */
async function pageWarnings({ config }: Loaded, { service }: StartWorld): Promise<StartFaults> {
  const { page, stateDir, statusFile } = config
  if (page === undefined) return { refused: [], warned: [] }
  if (service !== undefined) return { refused: [], warned: [] }
  const { pageFault } = await import('../page/page.ts')
  const fault = await pageFault({ listen: page.listen, stateDir }, [stateDir, dirname(statusFile)])
  return { refused: [], warned: fault === undefined ? [] : [`page.listen: ${fault}`] }
}
