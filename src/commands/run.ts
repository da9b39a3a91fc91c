import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { type Clock, systemClock, systemRandom, type Timer } from '../clock.ts'
import { type Checked, checkConfig, type Loaded, loadConfig, reloadConfig } from '../config/load.ts'
import { DEFAULT_CONFIG_FILE, thisAccount } from '../config/paths.ts'
import type { ListsUse } from '../config/signed-parts.ts'
import { type Daemon, startDaemon } from '../daemon.ts'
import { asEnigmError, EnigmError, isBug } from '../errors.ts'
import { EXIT } from '../exit-codes.ts'
import { isDenied } from '../files/writing.ts'
import { neverAskedByResolved } from '../listen/bind.ts'
import { createLog, type LoadPino, type Log } from '../log.ts'
import { preparePaths, settlePaths, shareRuntime } from '../owned-paths.ts'
import { auditRivalry, keepsAudit, runningIn } from '../posture/earlier-runs.ts'
import { otherWriter } from '../posture/reader.ts'
import { controlPath, listenControl } from '../system/control-socket.ts'
import { harden, unsafeEnvironment } from '../system/hardening.ts'
import { inheritedSockets } from '../system/inherited-sockets.ts'
import { type LauncherWatch, watchLauncher } from '../system/launcher-watch.ts'
import { serviceNotifier } from '../system/notify.ts'
import { bootId, isSame, selfIdentity } from '../system/process-identity.ts'
import {
  networkNamespace,
  type Registration,
  register,
  runningServices,
  runtimeDirectories,
  type ServiceRecord,
} from '../system/service-register.ts'
import { accountOf, become, type Privileges, serviceAccount, UNCHANGED } from '../system/user.ts'
import { VERSION } from '../version.ts'
import type { ListUpdates, ListWorld } from './list-updates.ts'
import { serviceOf, warnOfSettings } from './service.ts'

interface RunOptions {
  readonly config?: string
  readonly listen?: string[]
}

/**
 * The function that loads pino from the bundle of src/bundle.mjs by `require`; undefined if the
 * program is not bundled.
 */
const bundledPino: LoadPino | undefined = typeof require === 'function' ? () => require('pino') : undefined

/**
 * `enigm-dns run`: starts the service in the foreground. Exits with 0 after SIGTERM or SIGINT, and
 * with 2 for an unusable configuration, environment or address.
 */
export function runCommand(): Command {
  return new Command('run')
    .description('start the resolver and stay in the foreground')
    .option('-c, --config <file>', 'configuration file (JSON with comments); default /etc/enigm-dns/config.json if it exists')
    .option('-l, --listen <address:port...>', 'listen here; overrides the configuration')
    .addHelpText(
      'after',
      `
Prints one line, \`ready\`, to standard output once every listener is bound; logs JSON to standard error.
The configuration, the trusted set and its CA files are read again when they change, and on SIGHUP. An invalid file
is rejected; the old settings stay, and the status says so. In a terminal the service ends with the terminal, and with
the npm that started it. Under nohup, setsid or a service manager it continues. SIGTERM answers running queries, then
ends. How to make the system use it: docs/system.md.

Exit codes:
  0  ended by a signal, by stop or with its terminal
  2  refused: the configuration, the environment, an address or a file; the message says which

Examples:
  $ enigm-dns run                                    the shipped resolvers on 127.0.0.53:53
  $ enigm-dns run --listen 127.0.0.55:53             beside systemd-resolved, which takes no server at .53 or .54
  $ enigm-dns run --config /etc/enigm-dns/config.json`,
    )
    .action(run)
}

async function run(options: RunOptions): Promise<void> {
  harden()
  const unsafe = unsafeEnvironment(process.env, process.execArgv)
  const activated = process.env.LISTEN_FDS !== undefined
  if (unsafe.length > 0) return refuse(unsafe.join('\n'), activated)
  let inherited: ReturnType<typeof inheritedSockets> = []
  const overrides = () => ({ ...(options.listen === undefined ? {} : { listen: options.listen }), inherited })
  const load = async (inForce: Loaded) => {
    const next = await reloadConfig(inForce, options.config, overrides())
    const { user } = next.config
    // The state directory stays that of the start, and a log that is open has its one writer.
    const { stateDir, policy } = inForce.config
    const writers = keepsAudit(policy) ? undefined : auditWriters({ stateDir, policy: next.config.policy })
    if (writers !== undefined) throw new EnigmError('config', writers)
    // Check the user now: the setting waits for the next start, which would fail with an unknown
    // user.
    if (user !== undefined && user !== inForce.config.user) accountOf(user)
    return next
  }
  const clock = systemClock()
  const manager = serviceNotifier({ clock })
  let end: (why: string) => void = () => process.exit(EXIT.good)
  const tied = watchLauncher({ clock, ended: (why) => end(why) })
  const early = duringStart(tied)
  try {
    inherited = inheritedSockets()
    const loadedAtMs = clock.wallMs()
    const loaded = await loadConfig(options.config, overrides())
    const { statusFile } = loaded.config
    const rival = otherWriter(statusFile, { wallMs: clock.wallMs(), isSame }, process.pid)
    if (rival !== undefined) return refuse(rivalry(statusFile, `process ${rival}`), activated)
    const privileges = established(loaded)
    const writers = auditWriters({ stateDir: loaded.config.stateDir, policy: loaded.config.policy })
    if (writers !== undefined) return refuse(writers, activated)
    const log = createLog(loaded.config.log.level, undefined, bundledPino)
    const heal: (() => void)[] = [tied.beat]
    const beat = () => heal.forEach((mend) => void mend())
    const { withLowPorts } = privileges
    const onState = (state: keyof typeof SAID) => manager.status(SAID[state])
    const world = { clock, random: systemRandom, version: VERSION, log: log.event, warn: log.warn, beat, withLowPorts, inherited, onState }
    const daemon = await startDaemon(loaded, world)
    settled(privileges, loaded, log)
    warnOfSettings(loaded, log)
    if (manager.lost)
      log.warn('the service manager waits for a ready notification, which needs the package koffi: install it, or set Type=exec')
    let registration: Registration | undefined
    const recheck = (lists: ListsUse) => checkConfig(options.config ?? recordOf(options, loaded, []).config, { ...overrides(), lists })
    const signedParts = watchSigned(daemon, { clock, warn: log.warn, recheck })
    const reloaded = (next: Loaded) => {
      registration?.listensOn(placesOf(daemon))
      signedParts.adopt(next)
    }
    const service = serviceOf(daemon, { loaded, loadedAtMs, load, log, clock, reloaded, manager })
    const control = await listenControl(controlPath(statusFile), service.obey, clock)
    if (control === 'taken') {
      // Another process that started at the same time was faster.
      await daemon.stop()
      return refuse(rivalry(statusFile, 'another process'), activated)
    }
    if ('why' in control)
      log.warn(
        `enigm-dns forget, trace, portal, stop and reload cannot reach this process: there is no control socket in the directory of the status file (${control.why})`,
      )
    else {
      heal.push(control.heal)
      service.atStop(control.close)
    }
    for (const why of loaded.listen.flatMap((endpoint) => neverAskedByResolved(endpoint) ?? [])) log.warn(why)
    const registered = register(runtimeDirectories(thisAccount()), recordOf(options, loaded, placesOf(daemon)))
    if (typeof registered === 'string')
      log.warn(`other commands find this service only if you name its configuration or its files: ${registered}`)
    else {
      registration = registered
      heal.push(registered.heal)
      service.atStop(async () => registered.withdraw())
    }
    early.end()
    end = (why) => {
      log.info(`${why}: the service ends`)
      service.stop()
    }
    process.on('SIGTERM', service.stop).on('SIGINT', service.stop)
    process.on('SIGHUP', () => (tied.hungUp() ? service.stop() : service.reload()))
    signedParts.adopt(loaded)
    service.atStop(async () => signedParts.stop())
    process.stdout.write('ready\n')
    manager.ready()
  } catch (error) {
    const fault = asEnigmError(error)
    if (isBug(fault.code)) throw error
    refuse(fault.message, activated)
  }
}

/** The listen addresses as ADDRESS:PORT, without duplicates. */
function placesOf({ listeners }: Daemon): readonly string[] {
  return [...new Set(listeners.map(({ address, port }) => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`)))]
}

/**
 * Handles the signed parts of the configuration: saves the time of the policy, and keeps the lists
 * of resolvers up to date. Code is loaded only if there are signed parts.
 */
function watchSigned(
  daemon: Daemon,
  o: { readonly clock: Clock; readonly warn: (message: string) => void; readonly recheck: (lists: ListsUse) => Promise<Checked> },
) {
  const { clock, warn, recheck } = o
  let lists: Promise<ListUpdates> | undefined
  let again: Timer | undefined
  let warned: string | undefined
  let stopped = false
  /** Saves the time of the policy. A full disk or a wrong clock may be mended later. */
  const remember = async (loaded: Loaded): Promise<void> => {
    const { policySignedS } = loaded
    const { policyFrom, stateDir } = loaded.config
    if (policyFrom === undefined) return again?.cancel()
    const { rememberPolicy } = await import('../config/policy-from.ts')
    const why = rememberPolicy(policyFrom, policySignedS, stateDir, clock.wallMs())
    if (why !== undefined && why !== warned) warn(`the time of the signed policy ${why}; an older policy would be accepted`)
    warned = why
    again?.cancel()
    if (why === undefined || stopped) return
    again = clock.setTimer(REMEMBER_AGAIN_MS, () => void remember(loaded))
  }
  const start = async (): Promise<ListUpdates> => {
    const [{ listUpdates, unfitness }, { serviceLookup }] = await Promise.all([import('./list-updates.ts'), import('./set-lookup.ts')])
    const lookup = (host: string) => {
      const [listener] = daemon.listeners
      return listener === undefined ? Promise.resolve([]) : serviceLookup(reachable(listener), { clock, random: systemRandom })(host)
    }
    const unfit: ListWorld['unfit'] = async (source, reading) => unfitness(await recheck({ id: source.id, reading }), source)
    return listUpdates({ clock, random: systemRandom, lookup, unfit, report: daemon.report })
  }
  // The service continues with the lists that it has.
  const failed = (error: unknown) => warn(`the lists of resolvers are not kept up to date: ${asEnigmError(error).message}`)
  return {
    adopt(loaded: Loaded) {
      const { sources } = loaded.config
      void remember(loaded)
      if (sources !== undefined) lists ??= start()
      lists?.then((started) => started.adopt(loaded)).catch(failed)
    },
    stop() {
      stopped = true
      again?.cancel()
      void lists?.then((started) => started.stop()).catch(failed)
    },
  }
}

/** Delay before the time of a signed policy that could not be saved is saved again. */
const REMEMBER_AGAIN_MS = 600_000

/** Replaces a wildcard address by the loopback address. */
function reachable({ address, port }: { readonly address: string; readonly port: number }): {
  readonly address: string
  readonly port: number
} {
  return { address: address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address, port }
}

/** The record of this service for other commands. */
function recordOf(options: RunOptions, { config, files }: Loaded, listen: readonly string[]): ServiceRecord {
  const { pid, startedAtTicks } = selfIdentity()
  const file = options.config === undefined ? DEFAULT_CONFIG_FILE : resolve(options.config)
  return {
    pid,
    processStart: startedAtTicks,
    namespace: networkNamespace(),
    config: files.includes(file) ? file : undefined,
    listenOption: options.listen,
    listen,
    statusFile: config.statusFile,
    stateDir: config.stateDir,
  }
}

/**
 * Prepares the directories of state and status, and changes to the user of the configuration, if it
 * names one. Throws `config` or `state` if that fails.
 */
function established(loaded: Loaded): Privileges {
  const { user } = loaded.config
  const account = user === undefined ? undefined : serviceAccount(user)
  preparePaths(loaded, account)
  if (account === undefined) return UNCHANGED
  for (const directory of runtimeDirectories(thisAccount())) shareRuntime(directory, account)
  const privileges = become(account)
  settlePaths(loaded, account, [dirname(fileURLToPath(import.meta.url))])
  return privileges
}

/** Called after all sockets are bound. Gives up root permanently, and logs what no longer works. */
function settled(privileges: Privileges, { config, files }: Loaded, log: Log): void {
  privileges.settle()
  if (privileges.lost !== undefined) log.warn(privileges.lost)
  const reader = config.user === undefined ? 'the user of this service' : `user ${config.user}`
  for (const file of files.filter(isDenied))
    log.warn(`a reload cannot read ${file}: give ${reader} read permission, for example with chgrp and chmod g+r`)
}

/** Why this service may not write the audit log; undefined: it may, or writes none. */
function auditWriters(config: Parameters<typeof auditRivalry>[0]): string | undefined {
  const self = { bootId: bootId(), self: process.pid, isSame }
  return auditRivalry(config, runningIn(config.stateDir, self, runningServices(runtimeDirectories(thisAccount()))))
}

function rivalry(statusFile: string, who: string): string {
  return `${who} runs as a service with the status file ${statusFile}: stop it, or give this service its own statusFile and stateDir`
}

/**
 * Handles signals during the start, when there is nothing to drain or reload. SIGTERM and the end
 * of the terminal exit with 0. Another SIGHUP does nothing, because the configuration is being read
 * anyway.
 */
function duringStart(tied: LauncherWatch): { end(): void } {
  const stop = () => process.exit(EXIT.good)
  const hangup = () => tied.hungUp() && stop()
  process.on('SIGTERM', stop).on('SIGINT', stop).on('SIGHUP', hangup)
  return { end: () => void process.off('SIGTERM', stop).off('SIGINT', stop).off('SIGHUP', hangup) }
}

/**
 * The text that `systemctl status` shows for each state. It depends only on the state, never on a
 * query.
 */
const SAID = {
  protected: 'protected: authenticated answers arrive',
  degraded: 'degraded: answers arrive, but a requirement is not met (enigm-dns status)',
  exposed: 'exposed: answers come from a server that did not prove its identity (enigm-dns status)',
  offline: 'offline: no trusted resolver has answered yet, or none is reachable (enigm-dns status)',
  closed: 'offline: the policy allows no queries now (enigm-dns status)',
} as const

/**
 * Delay before the exit of a refused start that a socket of the service manager triggered. Without
 * it, the waiting query would restart this process at once.
 */
const ACTIVATED_PAUSE_MS = 1000

function refuse(message: string, activated = false): void {
  process.stderr.write(`${message}\n`)
  process.exitCode = EXIT.usage
  if (activated) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ACTIVATED_PAUSE_MS)
}
