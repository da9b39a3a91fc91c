import type { Clock } from '../clock.ts'
import type { Loaded } from '../config/load.ts'
import type { Daemon } from '../daemon.ts'
import { asEnigmError } from '../errors.ts'
import type { Log } from '../log.ts'
import { Feed } from '../system/control-socket.ts'
import { watchFiles } from '../system/file-watch.ts'

const STOP_LIMIT_MS = 5000

export interface ServiceParts {
  readonly loaded: Loaded
  /** When that was read, wall clock. */
  readonly loadedAtMs: number
  readonly load: () => Promise<Loaded>
  readonly log: Log
  readonly clock: Clock
}

/** What signals, files and the control socket ask of a daemon that runs: one thing after the other. */
export interface Service {
  /** Reads the configuration again and puts it in force, though it is the same: connections are made anew. */
  reload(): void
  /** Answers what is under way, then ends the process with 0. */
  stop(): void
  /** An order of the control socket: `forget`, or `trace` and how many milliseconds; undefined: there is no such order. */
  obey(order: string): Promise<unknown>
  /** To be done before the daemon stops. */
  atStop(close: () => Promise<void>): void
}

/** Watches the files that the configuration came from, from now on. */
export function serviceOf(daemon: Daemon, { loaded, loadedAtMs, load, log, clock }: ServiceParts): Service {
  let busy: Promise<void> = Promise.resolve()
  let stopping = false
  let inForce = loaded
  let refused = false
  const closers: (() => Promise<void>)[] = []

  const take = async (evenIfSame: boolean) => {
    const readAtMs = clock.wallMs()
    try {
      const next = await load()
      // After a refusal also what is in force already is taken: that is how it is mended.
      if (!evenIfSame && !refused && JSON.stringify(next) === JSON.stringify(inForce)) return
      await daemon.reload(next)
      log.setLevel(next.config.log.level)
      inForce = next
      refused = false
      watch.files(next.files, readAtMs)
      log.info('the new configuration is in force')
    } catch (error) {
      refused = true
      const { message } = asEnigmError(error)
      log.warn(`the new configuration was refused and the old one goes on: ${message}`)
      daemon.refuseReload(message)
    }
  }
  const reload = (evenIfSame: boolean) => {
    if (!stopping) busy = busy.then(() => take(evenIfSame))
  }
  const watch = watchFiles({ clock, changed: () => reload(false) })
  watch.files(loaded.files, loadedAtMs)

  return {
    reload: () => reload(true),
    stop() {
      if (stopping) return
      stopping = true
      watch.stop()
      // It says so to whoever watches, before the control socket closes.
      daemon.trace.end('stop')
      // Timers of ours do not keep the process alive; this one does while answers drain, and ends it if a close hangs.
      setTimeout(() => process.exit(0), STOP_LIMIT_MS)
      busy = busy
        .then(() => Promise.all(closers.map((close) => close())))
        .then(() => daemon.stop())
        .then(() => process.exit(0))
    },
    obey(order) {
      if (stopping) return Promise.resolve(undefined)
      const [, traceMs] = /^trace (\d{1,9})$/.exec(order) ?? []
      if (traceMs !== undefined) return Promise.resolve(new Feed((outlet) => daemon.trace.begin(Number(traceMs), outlet)))
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
