import type { Clock } from '../clock.ts'
import { parseListen, type SocketAddress } from '../config/listen-address.ts'
import type { Loaded } from '../config/load.ts'
import { inForceAfterReload, restartOnly } from '../config/restart-only.ts'
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

/** The result of the order `reload`; `waiting`: settings that take effect at the next start. */
export type ReloadReply = { readonly accepted: true; readonly waiting: readonly string[] } | { readonly refused: string }

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
  let refused = false
  const closers: (() => Promise<void>)[] = []

  const take = async (evenIfSame: boolean): Promise<ReloadReply> => {
    const readAtMs = clock.wallMs()
    manager?.reloading()
    try {
      const next = await load(inForce)
      // After a refusal, a configuration equal to the one in force is accepted too: that ends the
      // refusal.
      if (!evenIfSame && !refused && JSON.stringify(next) === JSON.stringify(inForce)) return { accepted: true, waiting: [] }
      if (!evenIfSame && !refused && differOnlyInHosts(next, inForce)) {
        daemon.adoptHosts(next)
        inForce = next
        watch.files(next.files, readAtMs)
        log.info('the hosts files were read again')
        return { accepted: true, waiting: [] }
      }
      await daemon.reload(next)
      const waiting = restartOnly(effective, next.config)
      effective = inForceAfterReload(effective, next.config)
      reloaded(next)
      log.setLevel(next.config.log.level)
      inForce = next
      refused = false
      watch.files(next.files, readAtMs)
      log.info('the new configuration is in force')
      return { accepted: true, waiting }
    } catch (error) {
      refused = true
      const { message } = asEnigmError(error)
      log.warn(`the new configuration was refused and the old one goes on: ${message}`)
      daemon.refuseReload(message)
      return { refused: message }
    } finally {
      manager?.ready()
    }
  }
  const reload = (evenIfSame: boolean): Promise<ReloadReply> => {
    if (stopping) return Promise.resolve({ refused: 'the service stops' })
    const taken = busy.then(() => take(evenIfSame))
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
