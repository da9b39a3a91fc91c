import type { Clock, Timer } from '../clock.ts'
import { hostsFaults } from '../config/hosts-file.ts'
import { parseListen, type SocketAddress } from '../config/listen-address.ts'
import type { Loaded } from '../config/load.ts'
import { openToAll } from '../config/open-to-all.ts'
import { inForceAfterReload, restartOnly } from '../config/restart-only.ts'
import { settingsWithoutEffect } from '../config/without-effect.ts'
import type { Daemon } from '../daemon.ts'
import { asEnigmError } from '../errors.ts'
import { EXIT } from '../exit-codes.ts'
import type { Log } from '../log.ts'
import { LONGEST_PAUSE_MS } from '../rules/list-times.ts'
import { Feed } from '../system/control-socket.ts'
import { watchFiles } from '../system/file-watch.ts'
import type { ServiceNotifier } from '../system/notify.ts'
import { selfIdentity } from '../system/process-identity.ts'

/** The longest time that a stop may take. */
export const STOP_LIMIT_MS = 5000

/** A refused reload is tried again after this time, which doubles with each failure. */
const RETRY_MS = 5000
const LONGEST_RETRY_MS = 60_000

/**
 * The result of the order `reload`. `waiting`: settings that take effect at the next start.
 * `warnings`: what the log says about the new configuration, and which lists are not in force.
 */
export type ReloadReply =
  | { readonly accepted: true; readonly waiting: readonly string[]; readonly warnings: readonly string[] }
  | { readonly refused: string }

/** Identifies the process that stops, so that a command can wait for its end. */
export interface StopReply {
  readonly pid: number
  readonly processStart: string | undefined
}

export interface ServiceParts {
  readonly loaded: Loaded
  /** When the configuration was read: wall clock, ms since 1970. */
  readonly loadedAtMs: number
  readonly load: (inForce: Loaded) => Promise<Loaded>
  readonly log: Log
  readonly clock: Clock
  /** Called after each accepted reload. */
  readonly reloaded: (next: Loaded) => void
  /** Notifies the service manager of reloads and the end; absent: there is none. */
  readonly manager?: Pick<ServiceNotifier, 'ready' | 'reloading' | 'stopping'>
}

/**
 * Handles signals, file changes and orders of the control socket for a running daemon; one at a
 * time.
 */
export interface Service {
  /**
   * Reads the configuration again and puts it in force, even if it is the same: all connections are
   * re-established.
   */
  reload(): void
  /** Answers the queries in progress, then ends the process with 0. */
  stop(): void
  /**
   * Runs an order of the control socket: `forget`, `stop`, `reload`, `trace` with milliseconds,
   * `pause` with milliseconds and perhaps a list, `portal` with milliseconds and one or two
   * resolvers (ADDRESS:PORT), `await` or `arrived` with a token, `cached` with a type, a name and
   * the address of a client, or `watch`. Undefined: the order is unknown.
   */
  obey(order: string): Promise<unknown>
  /** Adds a task that runs before the daemon stops. */
  atStop(close: () => Promise<void>): void
}

/** Makes the service, and watches the files of the configuration from now on. */
export function serviceOf(daemon: Daemon, { loaded, loadedAtMs, load, log, clock, reloaded, manager }: ServiceParts): Service {
  let busy: Promise<void> = Promise.resolve()
  let stopping = false
  let inForce = loaded
  /** `inForce` without the settings that wait for a start. */
  let effective = loaded.config
  /** Why the last reload was refused; undefined: it was not. */
  let refused: string | undefined
  let retry: Timer | undefined
  let retryMs = RETRY_MS
  const closers: (() => Promise<void>)[] = []

  const take = async (evenIfSame: boolean, again: boolean): Promise<ReloadReply> => {
    if (again && refused === undefined) return { accepted: true, waiting: [], warnings: [] }
    retry?.cancel()
    const readAtMs = clock.wallMs()
    if (!again) {
      retryMs = RETRY_MS
      manager?.reloading()
    }
    try {
      const next = await load(inForce)
      // After a refusal, a configuration equal to the one in force is accepted too: that ends the
      // refusal.
      if (!evenIfSame && refused === undefined && JSON.stringify(next) === JSON.stringify(inForce))
        return { accepted: true, waiting: [], warnings: [] }
      if (!evenIfSame && refused === undefined && differOnlyInHosts(next, inForce)) {
        daemon.adoptHosts(next)
        inForce = next
        watch.files(next.files, readAtMs)
        log.info('the hosts files were read again')
        const warnings = hostsFaults(next.hosts)
        for (const sentence of warnings) log.warn(sentence)
        return { accepted: true, waiting: [], warnings }
      }
      const missing = await daemon.reload(next)
      const waiting = restartOnly(effective, next.config)
      effective = inForceAfterReload(effective, next.config)
      reloaded(next)
      log.setLevel(next.config.log.level)
      inForce = next
      refused = undefined
      watch.files(next.files, readAtMs)
      log.info('the new configuration is in force')
      return { accepted: true, waiting, warnings: [...warnOfSettings(next, log), ...missing] }
    } catch (error) {
      const { message } = asEnigmError(error)
      if (!again || message !== refused) {
        log.warn(`the new configuration was refused and the old one goes on: ${message}`)
        daemon.refuseReload(message)
      }
      refused = message
      // The cause may be a file that is not watched, such as one that only `next` names.
      if (!stopping) retry = clock.setTimer(retryMs, () => void reload(false, true))
      retryMs = Math.min(LONGEST_RETRY_MS, 2 * retryMs)
      return { refused: message }
    } finally {
      if (!again) manager?.ready()
    }
  }
  const reload = (evenIfSame: boolean, again = false): Promise<ReloadReply> => {
    if (stopping) return Promise.resolve({ refused: 'the service stops' })
    const taken = busy.then(() => take(evenIfSame, again))
    busy = taken.then(() => {})
    return taken
  }
  const watch = watchFiles({ clock, changed: () => void reload(false) })
  watch.files(loaded.files, loadedAtMs)

  const stop = () => {
    if (stopping) return
    stopping = true
    manager?.stopping()
    watch.stop()
    retry?.cancel()
    // Notifies the watcher before the control socket closes.
    daemon.trace.end('stop')
    daemon.portal.end('stop')
    // Other timers of ours do not keep the process alive. This one does while answers drain, and it
    // ends the process if a close hangs.
    setTimeout(() => process.exit(EXIT.good), STOP_LIMIT_MS)
    busy = busy
      .then(() => Promise.all(closers.map((close) => close())))
      .then(() => daemon.stop())
      .then(() => process.exit(EXIT.good))
  }
  return {
    reload: () => void reload(true),
    stop,
    obey(order) {
      if (stopping) return Promise.resolve(undefined)
      const [, traceMs] = /^trace (\d{1,9})$/.exec(order) ?? []
      if (traceMs !== undefined) return Promise.resolve(new Feed((outlet) => daemon.trace.begin(Number(traceMs), outlet)))
      const portal = portalRequest(order)
      if (portal !== undefined) return Promise.resolve(new Feed((outlet) => daemon.portal.begin(portal.forMs, portal.resolvers, outlet)))
      const [, verb, token = ''] = /^(await|arrived) (\S+)$/.exec(order) ?? []
      if (verb !== undefined) return Promise.resolve(awaited(daemon.canary, verb, token))
      if (order.startsWith('cached ')) return cached(daemon, order)
      const [, pauseMs, list] = /^pause (\d{1,9})(?: ([\w-]{1,63}))?$/.exec(order) ?? []
      if (pauseMs !== undefined) return Promise.resolve(paused(daemon, Number(pauseMs), list, clock))
      if (order === 'watch') return daemon.watchSystem().then(() => ({ watched: true }))
      if (order === 'reload') return reload(true)
      if (order === 'stop') {
        // The reply is sent before the socket closes.
        setImmediate(stop)
        const { pid, startedAtTicks: processStart } = selfIdentity()
        return Promise.resolve({ pid, processStart } satisfies StopReply)
      }
      if (order !== 'forget') return Promise.resolve(undefined)
      const forgotten = busy.then(() => daemon.forget())
      busy = forgotten.then(
        () => log.info('everything that was asked is forgotten'),
        (error: unknown) => log.warn(`forgetting failed: ${asEnigmError(error).message}`),
      )
      return forgotten
    },
    atStop: (close) => void closers.push(close),
  }
}

/**
 * Handles `pause MS [LIST]`. Returns the paused lists and the end of the pause; 0 ms ends a pause.
 */
function paused(daemon: Pick<Daemon, 'pause'>, forMs: number, list: string | undefined, clock: Clock): object {
  const lists = daemon.pause(forMs, list)
  if (lists === undefined) return { refused: list === undefined ? 'no list is configured' : `there is no list ${list}` }
  return { lists, until: forMs === 0 ? null : new Date(clock.wallMs() + Math.min(forMs, LONGEST_PAUSE_MS)).toISOString() }
}

/**
 * Logs which hosts files are not used completely, which settings do nothing, and whether the whole
 * internet may ask. Returns the sentences.
 */
export function warnOfSettings(loaded: Loaded, log: Log): readonly string[] {
  const sentences = [...hostsFaults(loaded.hosts), ...settingsWithoutEffect(loaded), ...openToAll(loaded)]
  for (const sentence of sentences) log.warn(sentence)
  return sentences
}

/** Whether only the content of hosts files differs. */
function differOnlyInHosts(one: Loaded, other: Loaded): boolean {
  return JSON.stringify({ ...one, hosts: [] }) === JSON.stringify({ ...other, hosts: [] })
}

/** Parses `portal MS RESOLVER [RESOLVER]`; undefined: another order, or an invalid one. */
function portalRequest(order: string): { readonly forMs: number; readonly resolvers: readonly SocketAddress[] } | undefined {
  const [, ms, list = ''] = /^portal (\d{1,9}) (\S+(?: \S+)?)$/.exec(order) ?? []
  const resolvers = list.split(' ').map(parseListen)
  if (ms === undefined || resolvers.some((one) => one === undefined)) return undefined
  return { forMs: Number(ms), resolvers: resolvers.filter((one) => one !== undefined) }
}

/** Handles `cached TYPE NAME ADDRESS`: returns the cache entry for a question of that client. */
async function cached(daemon: Daemon, order: string): Promise<object | undefined> {
  const [, type, name, client] = /^cached (\S+) (\S+) (\S+)$/.exec(order) ?? []
  if (type === undefined || name === undefined || client === undefined) return undefined
  const { explainInput } = await import('../explain.ts')
  try {
    return daemon.held(explainInput(name, type, client)) ?? { kept: false }
  } catch {
    return undefined
  }
}

/**
 * Handles `await TOKEN`, which returns the name to query, and `arrived TOKEN`, which returns how
 * often it was queried, by transport.
 */
function awaited(canary: Daemon['canary'], verb: string, token: string): object | undefined {
  if (verb === 'arrived') return canary.arrivals(token)
  const name = canary.awaitToken(token)
  return name === undefined ? undefined : { name }
}
